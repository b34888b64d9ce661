"""Claude Code: `claude -p --output-format stream-json --verbose`, with or without `--include-partial-messages`.

Its exit code and the word "success" lie: an answer of 401 ends with both. What counts is `is_error`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind
from kiro_lsp.events import Phase
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
    "Bash": "execute",
    "BashOutput": "execute",
    "Edit": "edit",
    "Glob": "search",
    "Grep": "search",
    "LS": "search",
    "MultiEdit": "edit",
    "NotebookEdit": "edit",
    "Read": "read",
    "WebFetch": "fetch",
    "WebSearch": "fetch",
    "Write": "edit",
}
_ENDS: Final[Mapping[str, tuple[ErrorKind, str]]] = {
    "error_max_turns": ("loop", "It reached the number of turns that it may take."),
    "error_max_budget_usd": ("budget", "It reached what it may cost."),
}
_STOPS: Final[Mapping[str, tuple[ErrorKind, str]]] = {
    "refusal": ("refusal", "The model refused the task."),
    "max_tokens": ("max-tokens", "The model's answer was cut off at its limit."),
    "model_context_window_exceeded": ("max-tokens", "The conversation became too long for the model."),
}


@dataclass(slots=True)
class Reader(Told):
    _streamed: set[str] = field(default_factory=set)
    """Messages whose text came piece by piece."""
    _message: str = ""
    _model: str = ""
    _counting: dict[str, int] = field(default_factory=dict)
    """Usage of the message that is being answered."""
    _counted: dict[str, Usage] = field(default_factory=dict)
    """Model → what was reported of it."""
    _limited: bool = False

    def read(self, line: Json) -> Iterator[Shown]:
        self.session_id = text(line, "session_id") or self.session_id
        # What an agent of the agent says is its own matter; which tools it calls is seen.
        own = not line.get("parent_tool_use_id")
        match line.get("type"):
            case "system":
                yield from self._system(line)
            case "stream_event":
                yield from self._piece(of(line, "event"), own=own)
            case "assistant":
                yield from self._answer(of(line, "message"), own=own)
            case "user":
                yield from self._results(of(line, "message"))
            case "rate_limit_event":
                self._limited = of(line, "rate_limit_info").get("status") == "rejected"
            case "result":
                self._end(line)

    def _system(self, line: Json) -> Iterator[Shown]:
        match line.get("subtype"):
            case "api_retry":
                what = text(line, "error").replace("_", " ") or "the request failed"
                yield Phase("waiting", f"{what}, attempt {count(line, 'attempt')} of {count(line, 'max_retries')}")
            case "permission_denied":
                yield tool(line.get("tool_use_id"), status="failed")

    def _piece(self, event: Json, *, own: bool) -> Iterator[Shown]:
        match event.get("type"):
            case "message_start":
                begun = of(event, "message")
                self._message, self._model = text(begun, "id"), text(begun, "model")
                self._streamed.add(self._message)
                self._counting = {}
                self._add(of(begun, "usage"))
            case "content_block_delta" if own:
                delta = of(event, "delta")
                yield from message(delta.get("text"))
                yield from thought(delta.get("thinking"))
            case "message_delta":
                self._add(of(event, "usage"))
            case "message_stop":
                self._report(self._model, _usage(self._counting))
                self._counting = {}

    def _add(self, usage: Json) -> None:
        """Later numbers of one message are totals: they take the place of those before."""
        self._counting.update({name: value for name, value in usage.items() if count(usage, name)})

    def _report(self, model: str, usage: Usage) -> None:
        if usage != Usage():
            self._counted[model] = self._counted.get(model, Usage()) + usage
            self.usages.append((model, usage))

    def _answer(self, answer: Json, *, own: bool) -> Iterator[Shown]:
        self.began = self.began or answer.get("model") != "<synthetic>"
        whole = own and answer.get("id") not in self._streamed
        for block in listed(answer, "content"):
            match block.get("type"):
                case "text" if whole and answer.get("model") != "<synthetic>":
                    yield from message(block.get("text"))
                case "thinking" if whole:
                    yield from thought(block.get("thinking"))
                case "tool_use":
                    yield from _called(block)

    def _results(self, answer: Json) -> Iterator[Shown]:
        for block in listed(answer, "content"):
            if block.get("type") == "tool_result":
                status = "failed" if block.get("is_error") else "completed"
                texts = [text(part, "text") for part in listed(block, "content")]
                yield tool(block.get("tool_use_id"), status=status, output=text(block, "content") or "\n".join(texts))

    def _end(self, line: Json) -> None:
        self.over = True
        self.denied += [_shown(entry) for entry in listed(line, "permission_denials")]
        if not self.resumed:
            self._report_rest(of(line, "modelUsage"))
        said = text(line, "result") or "; ".join(str(each) for each in line.get("errors") or [])
        ended = _ENDS.get(text(line, "subtype")) or _STOPS.get(text(line, "stop_reason"))
        if ended is not None:
            self.failure = Failure(f"{ended[1]} {said}".strip(), ended[0])
        elif line.get("is_error") or text(line, "subtype").startswith("error"):
            kind: ErrorKind | None = "rate-limit" if self._limited else kind_of_status(line.get("api_error_status"))
            self.failure = Failure(said or text(line, "terminal_reason"), kind)
        else:
            self.summary = said

    def _report_rest(self, models: Json) -> None:
        """What the totals hold beyond what was seen: answers to agents of the agent, titles, retries."""
        for model in models:
            total = of(models, model)
            read, written = count(total, "cacheReadInputTokens"), count(total, "cacheCreationInputTokens")
            hour = count(total, "cacheCreationEphemeral1hInputTokens")
            known = self._counted.get(model) or self._counted.get(text(total, "canonicalModel"), Usage())
            rest = (
                count(total, "inputTokens") + read + written - known.input_tokens,
                count(total, "outputTokens") - known.output_tokens,
                read - known.cached_tokens,
                written - known.cache_write_tokens,
                hour - known.hour_write_tokens,
            )
            if min(rest) >= 0:
                self._report(model, Usage(*rest))


def _usage(usage: Json) -> Usage:
    """Of the API's own numbers, whose input does not hold what was cached."""
    read, written = count(usage, "cache_read_input_tokens"), count(usage, "cache_creation_input_tokens")
    hour = min(written, count(of(usage, "cache_creation"), "ephemeral_1h_input_tokens"))
    return Usage(count(usage, "input_tokens") + read + written, count(usage, "output_tokens"), read, written, hour)


def _called(block: Json) -> Iterator[Shown]:
    name, given = text(block, "name"), of(block, "input")
    if name == "TodoWrite":
        yield plan([(todo.get("content"), todo.get("status")) for todo in listed(given, "todos")])
        return
    path = text(given, "file_path") or text(given, "notebook_path")
    yield tool(
        block.get("id"),
        status="in_progress",
        kind=_KINDS.get(name, "other"),
        title=text(given, "command") or _titled(name, path or text(given, "pattern") or text(given, "url")),
        path=path,
        command=given.get("command"),
    )


def _titled(name: str, about: str) -> str:
    return f"{name} {about}" if about else name


def _shown(denial: Json) -> str:
    given = of(denial, "tool_input")
    return _titled(text(denial, "tool_name"), text(given, "command") or text(given, "file_path"))
