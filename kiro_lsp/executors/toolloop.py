"""The tool loop that every model provider shares: ask, carry out the tools, ask again, within limits.

A provider module translates one turn to its wire and back; everything that decides (limits, loops, what an incomplete
answer means, what is charged) is here. A tool call is carried out only when the whole turn has arrived, and never twice.
It knows no wire, no SDK and no prompt.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol

import orjson

from kiro_lsp.budget import Usage
from kiro_lsp.errors import BudgetExceeded, ErrorKind, ExecutorError
from kiro_lsp.events import Phase, Tool
from kiro_lsp.executors.protocol import ExecutorResult, RunContext
from kiro_lsp.executors.tools import Toolbox, ToolResult
from kiro_lsp.executors.tools.text import shown as as_shown
from kiro_lsp.executors.tools.textanswer import edits_in

Stop = Literal["end_turn", "tool_use", "max_tokens", "refusal", "pause", "context", "unknown", "broken"]
"""broken: the provider itself could not read what the model called, and hands on none of it."""


_ATTEMPTS: Final = 4
_FIRST_WAIT: Final = 0.5


class NotCharged(ExecutorError):
    """A request that failed and certainly cost nothing: it was refused, or never left this machine."""


class TryAgain(ExecutorError):
    """A request that failed and may have been charged, though another one could succeed. `seconds`: when, 0 for soon."""

    def __init__(self, kind: ErrorKind, message: str, *, hint: str = "", seconds: float = 0.0) -> None:
        super().__init__(kind, message, hint=hint)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call as the model sent it. `args` is None when what it sent is not JSON; `raw` is the text then."""

    id: str
    name: str
    args: object
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One complete answer of a model."""

    text: str
    tool_uses: tuple[ToolUse, ...]
    stop: Stop
    usage: Usage | None
    """None when the provider did not say: the request is then charged as reserved."""
    said: str = ""
    """The provider's own word for `stop`."""


class Conversation(Protocol):
    """A provider's side: the messages so far in its own form."""

    @property
    def model(self) -> str: ...

    def at_most(self) -> Usage:
        """An upper bound for the next request: of all its input, and of the output."""
        ...

    async def turn(self, run: RunContext) -> Turn:
        """Send what there is and stream the answer; text and thoughts are emitted as they come. Raises ExecutorError,
        and NotCharged where the request certainly cost nothing.
        """
        ...

    def add_results(self, results: Sequence[tuple[ToolUse, ToolResult]]) -> None: ...

    def add_text(self, text: str) -> None:
        """Say something to the model, after a turn that called no tool."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    turns: int = 100
    result_bytes: int = 8 * 1024 * 1024
    """Of all tool results together."""
    one_result_bytes: int = 256 * 1024
    calls_in_a_turn: int = 64
    equal_calls: int = 5
    longest_cycle: int = 5
    equal_failing_edits: int = 3
    refused_answers: int = 3
    """How often edits written into an answer may be refused before the run ends."""
    unreadable_calls: int = 3
    """How many answers in a row may hold a tool call that nobody could read."""


_UNREADABLE: Final = (
    "Your tool call could not be read, so nothing was carried out. Call the tool again, with one JSON object of the "
    "arguments that it declares."
)
_EDITS: Final = frozenset({"edit", "write_file", "delete_file"})


@dataclass(slots=True)
class _Loop:
    """One run of the loop and what it watches."""

    run: RunContext
    toolbox: Toolbox
    limits: Limits
    redact: Callable[[str], str]
    calls: list[str] = field(default_factory=list)
    failed_edits: Counter[str] = field(default_factory=Counter)
    result_bytes: int = 0
    refused_answers: int = 0
    unreadable_calls: int = 0
    ids: set[str] = field(default_factory=set)
    changed: dict[str, None] = field(default_factory=dict)
    """Paths that a successful tool has changed, in order."""

    async def carry_out(self, use: ToolUse) -> ToolResult:
        signature = _signature(use)
        self.calls.append(signature)
        self._stop_cycles()
        shown = self.toolbox.describe(use.name, use.args)
        identifier = self._event_id(use.id)
        self.run.emit(Phase(shown.phase, shown.path))
        self.run.emit(Tool(identifier, shown.kind, shown.title, "in_progress", shown.path))
        if use.args is None:
            result = ToolResult(f"The arguments of {use.name} are not valid JSON: {use.raw[:200]}", is_error=True)
        else:
            result = await self.toolbox.call(use.name, use.args)
        result = _bounded(replace(result, text=self.redact(result.text)), self.limits.one_result_bytes)
        status: Literal["failed", "completed"] = "failed" if result.is_error else "completed"
        path = result.path or shown.path
        output = as_shown(result.text) if result.is_error or shown.kind == "execute" else None
        self.run.emit(Tool(identifier, shown.kind, shown.title, status, path, output))
        if use.name in _EDITS and path is not None and not result.is_error:
            self.changed[path] = None
        self._stop_reading(result)
        if use.name in _EDITS and result.is_error:
            self._stop_failing_edits(signature, result)
        return result

    async def take_edits(self, text: str) -> str | None:
        """Stage the edits that an answer holds as text, from a model that changed nothing by tools.

        None when there is nothing (more) to say to the model; else why they were refused, which goes back to it.
        """
        if self.changed or (answer := edits_in(text)) is None:
            return None
        identifier = self._event_id("answer")
        self.run.emit(Phase("editing"))
        self.run.emit(Tool(identifier, "edit", "Edits of the answer", "in_progress"))
        result, changed = await self.toolbox.stage(answer)
        self.changed |= dict.fromkeys(changed)
        status: Literal["failed", "completed"] = "failed" if result.is_error else "completed"
        output = as_shown(result.text) if result.is_error else None
        self.run.emit(Tool(identifier, "edit", "Edits of the answer", status, output=output))
        if not result.is_error:
            return None
        self.refused_answers += 1
        if self.refused_answers >= self.limits.refused_answers:
            raise ExecutorError(
                "loop",
                f"The agent's edits could not be used {self.refused_answers} times. {result.text[:500]}",
                hint="Retry, or pick another model.",
            )
        return result.text

    def ask_again(self, turn: Turn) -> str | None:
        """What to tell a model whose tool call could not be read by anybody; None after an answer that can be read."""
        if turn.stop != "broken" and not (turn.stop == "tool_use" and not turn.tool_uses):
            self.unreadable_calls = 0
            return None
        self.unreadable_calls += 1
        word = f" ({turn.said})" if turn.said else ""
        if self.unreadable_calls >= self.limits.unreadable_calls:
            raise ExecutorError(
                "loop",
                f"The model announced a tool call {self.unreadable_calls} times and sent none that can be read{word}.",
                hint="Retry, or pick another model.",
            )
        self.run.emit(Phase("thinking", f"asking again: a tool call could not be read{word}"))
        return _UNREADABLE

    def _event_id(self, given: str) -> str:
        """The call's id, told apart from one of an earlier turn: readers of events tell calls by it."""
        identifier, number = given, 1
        while identifier in self.ids:
            number += 1
            identifier = f"{given}~{number}"
        self.ids.add(identifier)
        return identifier

    def _stop_cycles(self) -> None:
        """Raise when the last calls are one call, or one cycle of up to `longest_cycle`, `equal_calls` times over."""
        for length in range(1, self.limits.longest_cycle + 1):
            needed = length * self.limits.equal_calls
            tail = self.calls[-needed:]
            if len(tail) == needed and all(tail[index] == tail[index % length] for index in range(needed)):
                what = tail[0][:120] if length == 1 else f"a cycle of {length} calls"
                raise ExecutorError(
                    "loop",
                    f"The agent repeated itself {self.limits.equal_calls} times: {what}.",
                    hint="Retry with a note that says what it should do instead, or pick another model.",
                )

    def _stop_reading(self, result: ToolResult) -> None:
        self.result_bytes += len(result.text.encode("utf-8", "replace"))
        if self.result_bytes > self.limits.result_bytes:
            raise ExecutorError(
                "loop",
                f"The agent has read more than {self.limits.result_bytes // 1024 // 1024} MiB; it was stopped.",
                hint="Narrow the task down to the files it is about.",
            )

    def _stop_failing_edits(self, signature: str, result: ToolResult) -> None:
        self.failed_edits[signature] += 1
        if self.failed_edits[signature] >= self.limits.equal_failing_edits:
            raise ExecutorError(
                "loop",
                f"The same edit failed {self.limits.equal_failing_edits} times: {result.text[:300]}",
                hint="Retry, or pick another model.",
            )


async def work(
    conversation: Conversation,
    run: RunContext,
    limits: Limits = Limits(),  # frozen
    *,
    redact: Callable[[str], str] = str,
    toolbox: Toolbox | None = None,
) -> ExecutorResult:
    """Carry a task out. `redact` takes secrets out of what tools found before the provider gets it; without a `toolbox`
    there are our own tools.

    Raises ExecutorError with the kinds loop, max-tokens, refusal, agent and budget, and what the provider raises.
    """
    loop = _Loop(run, toolbox or Toolbox(run), limits, redact)
    total, said = Usage(), ""
    for _number in range(limits.turns):
        run.emit(Phase("thinking"))
        turn = await _answered(conversation, run)
        total += turn.usage or Usage()
        said = turn.text if turn.text.strip() else said
        if (unread := loop.ask_again(turn)) is not None:
            conversation.add_text(unread)
            continue
        _complete_or_raise(turn, limits, begun=bool(loop.calls))
        if turn.tool_uses:
            conversation.add_results([(use, await loop.carry_out(use)) for use in turn.tool_uses])
        elif turn.stop != "pause":
            if (refused := await loop.take_edits(turn.text)) is not None:
                conversation.add_text(redact(refused))
                continue
            return ExecutorResult(
                True,
                changed_files=tuple(loop.changed),
                stop_reason="end_turn",
                usage=total,
                summary=_last_paragraph(said) or "The agent ended without a closing word.",
            )
    raise ExecutorError(
        "loop",
        f"The agent was stopped after {limits.turns} turns without coming to an end.",
        hint="What it staged can be reviewed. Split the task, or retry with a note that says what matters.",
    )


async def _answered(conversation: Conversation, run: RunContext) -> Turn:
    """The next turn, asked for again after a short trouble. Each request that may be charged is reserved by itself, so
    that attempts together cannot pass a cap; where another is not affordable, the trouble is what ends the run.
    """
    trouble: TryAgain | None = None
    for tried in range(_ATTEMPTS):
        try:
            return await _paid(conversation, run)
        except BudgetExceeded as refused:
            raise trouble or refused from None
        except TryAgain as failed:
            trouble = failed
        if tried + 1 < _ATTEMPTS:
            seconds = trouble.seconds or _FIRST_WAIT * 2**tried
            run.emit(Phase("thinking", f"trying again in {seconds:.0f} s: {trouble.message}"))
            await asyncio.sleep(seconds)
    raise trouble or AssertionError("there is at least one attempt")


async def _paid(conversation: Conversation, run: RunContext) -> Turn:
    """One request, reserved before it is sent and settled after; what stays unknown is charged as reserved."""
    async with run.spend(conversation.model, conversation.at_most()) as spend:
        try:
            turn = await conversation.turn(run)
        except NotCharged:
            await spend.used(Usage())
            raise
        if turn.usage is not None and turn.usage != Usage():  # no request is made of nothing: zeros are no report
            await spend.used(turn.usage)
    return turn


_CUT_SHORT: Final[dict[Stop, tuple[ErrorKind, str, str]]] = {
    "max_tokens": (
        "max-tokens",
        "The model's answer was cut at its output limit",
        "Raise max_tokens of the agent in your own configuration, or split the task.",
    ),
    "context": (
        "max-tokens",
        "The conversation has outgrown the model's context window",
        "Split the task, or pick a model with a larger window.",
    ),
    "unknown": (
        "agent",
        "The model stopped for a reason that this version does not know",
        "Update kiro-lsp, or pick another model.",
    ),
}


def _complete_or_raise(turn: Turn, limits: Limits, *, begun: bool) -> None:
    """Turn an answer that is no answer into a named failure; nothing of it is carried out."""
    text = turn.text.strip()
    if turn.stop == "refusal":
        said = f" It said: {text[:500]}" if text else ""
        raise ExecutorError(
            "refusal",
            f"The model refused the task.{said}",
            hint="Read the task's wording, or pick another agent or model.",
        )
    if turn.stop in _CUT_SHORT:
        kind, what, hint = _CUT_SHORT[turn.stop]
        inside = " inside a tool call, which was not carried out" if turn.tool_uses else ""
        word = f" ({turn.said})" if turn.stop == "unknown" and turn.said else ""
        raise ExecutorError(kind, f"{what}{word}{inside}.", hint=hint)
    ids = [use.id for use in turn.tool_uses]
    if "" in ids or len(set(ids)) != len(ids):
        raise ExecutorError(
            "agent",
            "The model's tool calls cannot be told apart: ids are missing or doubled. None was carried out.",
            hint="Retry the run. If an endpoint of your own answers, this is its fault.",
        )
    if len(ids) > limits.calls_in_a_turn:
        raise ExecutorError(
            "loop",
            f"The model asked for {len(ids)} tool calls at once; at most {limits.calls_in_a_turn} are carried out.",
            hint="Retry, or split the task.",
        )
    # After tools have run, models do end with nothing more to say; as a first answer it means that nothing was done.
    if not ids and not text and turn.stop == "end_turn" and not begun:
        raise ExecutorError("agent", "The model's answer was empty.", hint="Retry the run, or pick another model.")


def _signature(use: ToolUse) -> str:
    """What makes two calls equal: the name and the arguments, in whatever order."""
    if use.args is None:
        return f"{use.name} {use.raw}"
    return f"{use.name} {orjson.dumps(use.args, option=orjson.OPT_SORT_KEYS).decode()}"


def _bounded(result: ToolResult, limit: int) -> ToolResult:
    data = result.text.encode("utf-8", "replace")
    if len(data) <= limit:
        return replace(result, text=data.decode())
    kept = data[:limit].decode("utf-8", "ignore")
    return replace(result, text=f"{kept}\n[cut: {len(data)} bytes in all, the first {limit} are shown]")


def _last_paragraph(text: str) -> str:
    paragraphs = [part.strip() for part in text.strip().split("\n\n") if part.strip()]
    return paragraphs[-1][:2000] if paragraphs else ""
