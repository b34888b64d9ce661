"""Gemini CLI: `gemini -o stream-json`.

`result` says how it went. Where it never comes, the program's own exit codes tell something.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind
from kiro_lsp.executors.streams import Failure, Json, Shown, Told, count, message, of, text, thought, tool

_KINDS: Final[Mapping[str, str]] = {
    "edit": "edit",
    "glob": "search",
    "google_web_search": "fetch",
    "grep_search": "search",
    "list_directory": "search",
    "read_file": "read",
    "read_many_files": "read",
    "replace": "edit",
    "run_shell_command": "execute",
    "search_file_content": "search",
    "web_fetch": "fetch",
    "write_file": "edit",
}
_EXITS: Final[Mapping[int, ErrorKind]] = {41: "auth", 53: "loop"}
_TYPES: Final[Mapping[str, ErrorKind]] = {
    "FatalAuthenticationError": "auth",
    "FatalTurnLimitedError": "loop",
    "MAX_TURNS_EXCEEDED": "loop",
}
_TRIES: Final = re.compile(r"^Attempt \d+ failed with status \d+", re.MULTILINE)
_REFUSED: Final = (
    "denied by policy",
    "denied by user",
    "policy_violation",
    "not permitted",
    "requires user confirmation",
)


@dataclass(slots=True)
class Reader(Told):
    _names: dict[str, str] = field(default_factory=dict)
    """Tool call → what it was about."""

    def read(self, line: Json) -> Iterator[Shown]:
        match line.get("type"):
            case "init":
                self.session_id = text(line, "session_id") or self.session_id
            case "message" if line.get("role") == "assistant":
                self.began = True
                yield from message(line.get("content"))
            case "tool_use":
                self.began = True
                yield self._called(line)
            case "tool_result":
                yield self._answered(line)
            case "error":
                yield from thought(f"{text(line, 'message')}\n")
                if line.get("severity") == "error":
                    self.failure = Failure(text(line, "message"))
            case "result":
                self._end(line)

    def waiting(self, errors: str) -> str:
        return next(iter(_TRIES.findall(errors)[-1:]), "")

    def exited(self, code: int) -> ErrorKind | None:
        return _EXITS.get(code)

    def _called(self, line: Json) -> Json:
        name, given = text(line, "tool_name"), of(line, "parameters")
        path, command = text(given, "file_path") or text(given, "path"), text(given, "command")
        title = command or " ".join(filter(None, (name, path or text(given, "pattern"))))
        self._names[text(line, "tool_id")] = title
        kind = _KINDS.get(name, "other")
        return tool(line.get("tool_id"), status="in_progress", kind=kind, title=title, path=path, command=command)

    def _answered(self, line: Json) -> Json:
        identifier = text(line, "tool_id")
        title = self._names.pop(identifier, "")
        worked = line.get("status") == "success"
        if not worked:
            error = of(line, "error")
            said = f"{text(error, 'type')} {text(error, 'message')}".casefold()
            if any(words in said for words in _REFUSED):
                self.denied.append(title)
        output = text(line, "output") if worked else text(of(line, "error"), "message")
        return tool(identifier, status="completed" if worked else "failed", output=output)

    def _end(self, line: Json) -> None:
        self.over = True
        models = of(of(line, "stats"), "models")
        for name in models:
            told = of(models, name)
            used = Usage(count(told, "input_tokens"), count(told, "output_tokens"), count(told, "cached"))
            if used != Usage():
                self.usages.append((name, used))
        if line.get("status") == "success":
            self.failure = None
            return
        error = of(line, "error")
        self.failure = Failure(text(error, "message") or "It ended with an error.", _TYPES.get(text(error, "type")))
