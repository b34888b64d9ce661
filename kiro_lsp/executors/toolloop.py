"""The tool loop that every model provider shares: ask, carry out the tools, ask again, within limits.

A provider module translates one turn to its wire and back; everything that decides (limits, loops, what an incomplete
answer means) is here. A tool call is carried out only when the whole turn has arrived.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import orjson

from kiro_lsp.budget import Usage
from kiro_lsp.errors import ExecutorError
from kiro_lsp.events import Phase, Tool
from kiro_lsp.executors.protocol import ExecutorResult, RunContext
from kiro_lsp.executors.tools import Toolbox, ToolResult

Stop = Literal["end_turn", "tool_use", "max_tokens", "refusal", "pause", "context"]


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


class Conversation(Protocol):
    """A provider's side: the messages so far in its own form."""

    @property
    def model(self) -> str: ...

    def at_most(self) -> Usage:
        """An upper bound for the next request: an estimate of all input, and the output limit."""
        ...

    async def turn(self, run: RunContext) -> Turn:
        """Send what there is and stream the answer; text and thoughts are emitted as they come. Raises ExecutorError."""
        ...

    def add_results(self, results: Sequence[tuple[ToolUse, ToolResult]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    turns: int = 100
    result_bytes: int = 8 * 1024 * 1024
    """Of all tool results together."""
    one_result_bytes: int = 256 * 1024
    equal_calls: int = 5
    longest_cycle: int = 5
    equal_failing_edits: int = 3


_EDITS: Final = frozenset({"edit", "write_file", "delete_file"})


@dataclass(slots=True)
class _Progress:
    """What the loop watches."""

    calls: list[str] = field(default_factory=list)
    failed_edits: Counter[str] = field(default_factory=Counter)
    bytes_read: int = 0


async def work(conversation: Conversation, run: RunContext, limits: Limits = Limits()) -> ExecutorResult:  # frozen
    """Carry a task out. Raises ExecutorError with the kinds loop, max-tokens, refusal, agent, and what the provider raises."""
    toolbox = Toolbox(run)
    progress = _Progress()
    total = Usage()
    for _number in range(limits.turns):
        run.emit(Phase("thinking"))
        async with run.spend(conversation.model, conversation.at_most()) as spend:
            turn = await conversation.turn(run)
            if turn.usage is not None:
                await spend.used(turn.usage)
                total += turn.usage
        _complete_or_raise(turn)
        if turn.stop == "pause":
            continue
        if not turn.tool_uses:
            return ExecutorResult(True, stop_reason="end_turn", usage=total, summary=_last_paragraph(turn.text))
        results = [(use, await _carry_out(use, toolbox, run, progress, limits)) for use in turn.tool_uses]
        conversation.add_results(results)
    raise ExecutorError(
        "loop",
        f"The agent was stopped after {limits.turns} turns without coming to an end.",
        hint="What it staged can be reviewed. Split the task, or retry with a note that says what matters.",
    )


def _complete_or_raise(turn: Turn) -> None:
    """Turn an answer that is no answer into a named failure."""
    if turn.stop == "refusal":
        raise ExecutorError(
            "refusal",
            "The model refused the task." + (f" It said: {turn.text.strip()[:500]}" if turn.text.strip() else ""),
            hint="Read the task's wording, or pick another agent or model.",
        )
    if turn.stop == "max_tokens":
        inside = " inside a tool call, which was not carried out" if turn.tool_uses else ""
        raise ExecutorError(
            "max-tokens",
            f"The model's answer was cut at its output limit{inside}.",
            hint="Raise max_tokens of the agent in your own configuration, or split the task.",
        )
    if turn.stop == "context":
        raise ExecutorError(
            "max-tokens",
            "The conversation has outgrown the model's context window.",
            hint="Split the task, or pick a model with a larger window.",
        )
    if turn.stop == "tool_use" and not turn.tool_uses:
        raise ExecutorError("agent", "The model announced a tool call and sent none.", hint="Retry the run.")
    if not turn.tool_uses and not turn.text.strip() and turn.stop == "end_turn":
        raise ExecutorError("agent", "The model's answer was empty.", hint="Retry the run, or pick another model.")


async def _carry_out(
    use: ToolUse, toolbox: Toolbox, run: RunContext, progress: _Progress, limits: Limits
) -> ToolResult:
    signature = (
        f"{use.name} {use.raw if use.args is None else orjson.dumps(use.args, option=orjson.OPT_SORT_KEYS).decode()}"
    )
    progress.calls.append(signature)
    _stop_loops(progress.calls, limits)
    shown = toolbox.describe(use.name, use.args)
    run.emit(Phase(shown.phase, shown.path))
    run.emit(Tool(use.id, shown.kind, shown.title, "in_progress", shown.path))
    if use.args is None:
        result = ToolResult(f"The arguments of {use.name} are not valid JSON: {use.raw[:200]}", is_error=True)
    else:
        result = await toolbox.call(use.name, use.args)
    result = _bounded(result, limits)
    progress.bytes_read += len(result.text.encode("utf-8", "replace"))
    run.emit(
        Tool(use.id, shown.kind, shown.title, "failed" if result.is_error else "completed", result.path or shown.path)
    )
    if progress.bytes_read > limits.result_bytes:
        raise ExecutorError(
            "loop",
            f"The agent has read more than {limits.result_bytes // 1024 // 1024} MiB; it was stopped.",
            hint="Narrow the task down to the files it is about.",
        )
    if result.is_error and use.name in _EDITS:
        progress.failed_edits[signature] += 1
        if progress.failed_edits[signature] >= limits.equal_failing_edits:
            raise ExecutorError(
                "loop",
                f"The same edit failed {limits.equal_failing_edits} times: {result.text[:300]}",
                hint="Retry, or pick another model.",
            )
    return result


def _stop_loops(calls: Sequence[str], limits: Limits) -> None:
    """Raise when the last calls are one call, or one cycle of up to `longest_cycle`, `equal_calls` times over."""
    for length in range(1, limits.longest_cycle + 1):
        needed = length * limits.equal_calls
        if len(calls) >= needed:
            tail = calls[-needed:]
            if all(tail[index] == tail[index % length] for index in range(needed)):
                what = tail[0][:120] if length == 1 else f"a cycle of {length} calls"
                raise ExecutorError(
                    "loop",
                    f"The agent repeated itself {limits.equal_calls} times: {what}.",
                    hint="Retry with a note that says what it should do instead, or pick another model.",
                )


def _bounded(result: ToolResult, limits: Limits) -> ToolResult:
    data = result.text.encode("utf-8", "replace")
    if len(data) <= limits.one_result_bytes:
        return result
    kept = data[: limits.one_result_bytes].decode("utf-8", "ignore")
    note = f"\n[cut: {len(data)} bytes in all, the first {limits.one_result_bytes} are shown]"
    return ToolResult(kept + note, is_error=result.is_error, path=result.path, kind=result.kind)


def _last_paragraph(text: str) -> str:
    paragraphs = [part.strip() for part in text.strip().split("\n\n") if part.strip()]
    return paragraphs[-1][:2000] if paragraphs else ""
