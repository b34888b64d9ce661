"""opencode: `opencode run --format json`.

It has worked when it ended and no `error` came. A step that called a tool is not its last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind
from kiro_lsp.executors.streams import (
    Failure,
    Json,
    Shown,
    Told,
    count,
    kind_of_status,
    listed,
    message,
    of,
    plan,
    text,
    thought,
    tool,
)

_KINDS: Final[Mapping[str, str]] = {
    "apply_patch": "edit",
    "bash": "execute",
    "edit": "edit",
    "glob": "search",
    "grep": "search",
    "list": "search",
    "patch": "edit",
    "read": "read",
    "webfetch": "fetch",
    "websearch": "fetch",
    "write": "edit",
}
_ERRORS: Final[Mapping[str, ErrorKind]] = {
    "ProviderAuthError": "auth",
    "MessageOutputLengthError": "max-tokens",
    "ContextOverflowError": "max-tokens",
}
_REASONS: Final[Mapping[str, tuple[ErrorKind, str]]] = {
    "length": ("max-tokens", "The model's answer was cut off at its limit."),
    "content-filter": ("refusal", "The model refused the task."),
}
_REFUSED: Final = ("rejected permission", "prevents you from using", "denied by")


@dataclass(slots=True)
class Reader(Told):
    def read(self, line: Json) -> Iterator[Shown]:
        self.session_id = text(line, "sessionID") or self.session_id
        part = of(line, "part")
        match line.get("type"):
            case "step_start":
                self.over = False
            case "text":
                self.began = True
                self.summary = text(part, "text")
                yield from message(f"{self.summary}\n")
            case "reasoning":
                yield from thought(f"{text(part, 'text')}\n")
            case "tool_use":
                self.began = True
                yield from self._tool(part)
            case "step_finish":
                self._step(part)
            case "error":
                self._error(of(line, "error"))

    def _step(self, part: Json) -> None:
        tokens = of(part, "tokens")
        cache = of(tokens, "cache")
        read, written = count(cache, "read"), count(cache, "write")
        answered = count(tokens, "output") + count(tokens, "reasoning")
        used = Usage(count(tokens, "input") + read + written, answered, read, written)
        if used != Usage():
            self.usages.append(("", used))
        reason = text(part, "reason")
        self.over = self.over or reason != "tool-calls"
        if reason in _REASONS:
            kind, said = _REASONS[reason]
            self.failure = Failure(said, kind)

    def _tool(self, part: Json) -> Iterator[Shown]:
        name, state = text(part, "tool"), of(part, "state")
        given = of(state, "input")
        if name == "todowrite":
            yield plan([(todo.get("content"), todo.get("status")) for todo in listed(given, "todos")])
            return
        path, command = text(given, "filePath") or text(given, "path"), text(given, "command")
        title = command or " ".join(filter(None, (name, path or text(given, "pattern"))))
        worked = state.get("status") == "completed"
        if not worked and any(words in text(state, "error") for words in _REFUSED):
            self.denied.append(title)
            # After a refusal it ends without another step.
            self.over = True
        status = "completed" if worked else "failed"
        yield tool(
            part.get("callID"),
            status=status,
            kind=_KINDS.get(name, "other"),
            title=title,
            path=path,
            command=command,
            output=text(state, "output") if worked else text(state, "error"),
        )

    def _error(self, error: Json) -> None:
        self.over = True
        data, name = of(error, "data"), text(error, "name")
        said = text(data, "message") or text(error, "message") or name or "It ended with an error."
        self.failure = Failure(said, kind_of_status(data.get("statusCode")) or _ERRORS.get(name))
