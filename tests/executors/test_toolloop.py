"""The limits of the tool loop, with a provider that says what a test wants it to say."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.errors import BudgetExceeded, ExecutorError
from kiro_lsp.executors.protocol import ExecutorResult, RunContext
from kiro_lsp.executors.toolloop import Limits, NotCharged, ToolUse, TryAgain, Turn, _Loop, work
from kiro_lsp.executors.tools import Toolbox, ToolResult
from tests.support.claude import CountingRun

READ = ("read_file", {"path": "src/number.py"})
BAD_EDIT = ("edit", {"path": "src/number.py", "old_text": "nowhere", "new_text": "x"})
Calls = Sequence[tuple[str, Any]]


@dataclass
class Scripted:
    """A provider whose turns are given; after them it ends."""

    turns: Iterable[Calls | str]
    """Tool calls, or the text of an answer without any."""
    model: str = "m"
    results: list[list[tuple[ToolUse, ToolResult]]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self) -> None:
        self._turns = iter(self.turns)

    def at_most(self) -> Usage:
        return Usage(100, 10)

    async def turn(self, run: RunContext) -> Turn:
        self.asked += 1
        calls = next(self._turns, None)
        if calls is None:
            return Turn("All done.", (), "end_turn", Usage(7, 3))
        if isinstance(calls, str):
            return Turn(calls, (), "end_turn", Usage(7, 3))
        uses = tuple(ToolUse(f"t{self.asked}.{place}", name, args) for place, (name, args) in enumerate(calls))
        return Turn("", uses, "tool_use", Usage(7, 3))

    def add_results(self, results: Sequence[tuple[ToolUse, ToolResult]]) -> None:
        self.results.append(list(results))

    def add_text(self, text: str) -> None:
        self.told.append(text)


async def check(root: Path, turns: Iterable[Calls | str], limits: Limits, says: str) -> tuple[Scripted, CountingRun]:
    """The loop is stopped with kind "loop" and these words; what it did before is kept."""
    provider, run = Scripted(turns), CountingRun(root)
    with pytest.raises(ExecutorError, match=says) as caught:
        await work(provider, run, limits)
    assert caught.value.kind == "loop"
    assert caught.value.hint
    return provider, run


async def test_the_same_call_is_made_four_times_and_not_a_fifth(root: Path) -> None:
    provider, run = await check(root, itertools.repeat([READ]), Limits(), "repeated itself 5 times: read_file")
    assert len(provider.results) == 4
    assert len([event for event in run.events if isinstance(event, events.Tool)]) == 8


async def test_why_a_call_failed_is_told_with_its_event(root: Path) -> None:
    run = CountingRun(root)
    await work(Scripted([[READ], [BAD_EDIT]]), run, Limits())
    ended = [event for event in run.events if isinstance(event, events.Tool) and event.status != "in_progress"]
    assert [(event.status, event.output is None) for event in ended] == [("completed", True), ("failed", False)]
    assert "nowhere" in str(ended[1].output) or "not found" in str(ended[1].output)


async def test_arguments_in_another_order_are_the_same_call(root: Path) -> None:
    one = ("edit", {"path": "a", "old_text": "b", "new_text": "c"})
    two = ("edit", {"new_text": "c", "old_text": "b", "path": "a"})
    limits = Limits(equal_failing_edits=100)
    provider, _ = await check(root, itertools.cycle([[one], [two]]), limits, "repeated itself 5 times: edit")
    assert len(provider.results) == 4


@pytest.mark.parametrize("length", [2, 3, 4, 5])
async def test_a_cycle_of_calls_is_stopped(root: Path, length: int) -> None:
    calls = [[("read_file", {"path": f"f{number}"})] for number in range(length)]
    provider, _ = await check(root, itertools.cycle(calls), Limits(), f"cycle of {length} calls")
    assert len(provider.results) == 5 * length - 1


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=40))
def test_only_five_repeats_of_up_to_five_calls_are_a_loop(numbers: list[int]) -> None:
    """Against the definition, spelled out: some tail of the calls is one cycle five times over."""
    loop = _Loop(CountingRun(Path()), Toolbox(CountingRun(Path())), Limits(), str)
    for place, number in enumerate(numbers, start=1):
        loop.calls.append(str(number))
        seen = numbers[:place]
        expected = any(seen[-5 * length :] == seen[-length:] * 5 for length in range(1, 6) if len(seen) >= 5 * length)
        try:
            loop._stop_cycles()
        except ExecutorError:
            assert expected, seen  # whether it is raised is the point
            return
        assert not expected, seen


async def test_a_failing_edit_is_tried_three_times_even_with_reading_in_between(root: Path) -> None:
    reads = ([("read_file", {"path": f"f{number}"})] for number in itertools.count())
    turns = itertools.chain.from_iterable(([BAD_EDIT], read) for read in reads)
    provider, run = await check(root, turns, Limits(), "same edit failed 3 times")
    assert sum(use.name == "edit" for results in provider.results for use, _ in results) == 2
    assert run.changes().files == ()


async def test_turns_are_limited(root: Path) -> None:
    turns = ([("read_file", {"path": f"f{number}"})] for number in itertools.count())
    provider, _ = await check(root, turns, Limits(turns=7), "after 7 turns")
    assert provider.asked == 7


async def test_what_is_read_is_limited_in_all_and_in_one_result(root: Path) -> None:
    (root / "long.txt").write_text("x" * 99 + "\n", "utf-8")
    turns = (
        [("search", {"pattern": "x+", "path": ""}), ("read_file", {"path": "long.txt", "start_line": 1, "end_line": n})]
        for n in itertools.count(1)
    )
    limits = Limits(result_bytes=1000, one_result_bytes=60)
    provider, _ = await check(root, turns, limits, "has read more than")
    texts = [result.text for results in provider.results for _, result in results]
    assert all(len(text.encode()) <= 60 + 80 for text in texts)
    assert any("[cut: " in text for text in texts)


async def test_too_many_calls_at_once_are_refused_whole(root: Path) -> None:
    write = [("write_file", {"path": f"f{number}", "content": "x"}) for number in range(65)]
    _, run = await check(root, [write], Limits(), "65 tool calls at once")
    assert run.changes().files == ()


async def test_ids_that_come_again_in_a_later_turn_are_told_apart_in_events(root: Path) -> None:
    class Same(Scripted):
        async def turn(self, run: RunContext) -> Turn:
            turn = await super().turn(run)
            return Turn(turn.text, tuple(ToolUse("t", use.name, use.args) for use in turn.tool_uses), turn.stop, None)

    run, provider = CountingRun(root), Same([[READ], [("read_file", {"path": "README.md"})]])
    await work(provider, run)
    tools = [(event.id, event.path) for event in run.events if isinstance(event, events.Tool)]
    assert tools[::2] == [("t", "src/number.py"), ("t~2", "README.md")]
    assert [use.id for results in provider.results for use, _ in results] == ["t", "t"]


class Broken(Scripted):
    """A provider whose first request fails."""

    def __init__(self, error: ExecutorError) -> None:
        super().__init__([])
        self.error = error

    async def turn(self, run: RunContext) -> Turn:
        raise self.error


@pytest.mark.parametrize(
    ("error", "used"), [(NotCharged("auth", "no"), Usage()), (ExecutorError("network", "cut"), None)]
)
async def test_a_failed_request_stays_charged_unless_it_certainly_cost_nothing(
    root: Path, error: ExecutorError, used: Usage | None
) -> None:
    run = CountingRun(root)
    with pytest.raises(ExecutorError, match=error.message):
        await work(Broken(error), run)
    assert run.requests == [(Usage(100, 10), used)]


class Uncounted(Scripted):
    """Its server says that a whole answer was made of no tokens."""

    async def turn(self, run: RunContext) -> Turn:
        return replace(await super().turn(run), usage=Usage())


async def test_a_report_of_zero_tokens_is_no_report(root: Path) -> None:
    run = CountingRun(root)
    await work(Uncounted(["Done."]), run)
    assert run.requests == [(Usage(100, 10), None)]


class Troubled(Scripted):
    """It fails a few times, in a way that may have been charged, and then answers."""

    troubles: int = 0

    async def turn(self, run: RunContext) -> Turn:
        if self.troubles:
            self.troubles -= 1
            raise TryAgain("agent", "The provider failed.", seconds=0.001)
        return await super().turn(run)


@pytest.mark.parametrize("troubles", [0, 1, 3])
async def test_each_attempt_that_may_be_charged_is_reserved_by_itself(root: Path, troubles: int) -> None:
    run, provider = CountingRun(root), Troubled(["Done."])
    provider.troubles = troubles
    await work(provider, run)
    at_most = Usage(100, 10)
    assert run.requests[:-1] == [(at_most, None)] * troubles
    assert run.requests[-1][1] is not None
    waits = [event.detail for event in run.events if isinstance(event, events.Phase) and event.detail]
    assert [detail for detail in waits if "trying again" in detail and "The provider failed." in detail] == waits[
        :troubles
    ]


async def test_a_trouble_that_lasts_ends_the_run_after_four_attempts(root: Path) -> None:
    run, provider = CountingRun(root), Troubled(["Done."])
    provider.troubles = 4
    with pytest.raises(ExecutorError, match="The provider failed"):
        await work(provider, run)
    assert run.requests == [(Usage(100, 10), None)] * 4


async def test_an_attempt_that_a_cap_forbids_leaves_the_trouble_as_the_reason(root: Path) -> None:
    class Capped(CountingRun):
        def spend(self, model: str, at_most: Usage) -> Any:
            if self.requests:
                raise BudgetExceeded("over the cap")
            return super().spend(model, at_most)

    run, provider = Capped(root), Troubled(["Done."])
    provider.troubles = 1
    with pytest.raises(ExecutorError, match="The provider failed"):
        await work(provider, run)
    assert run.requests == [(Usage(100, 10), None)]


async def test_a_cap_stops_before_the_request(root: Path) -> None:
    class Capped(CountingRun):
        def spend(self, model: str, at_most: Usage) -> Any:
            raise BudgetExceeded(f"{model} could take the day over its cap")

    provider = Scripted([])
    with pytest.raises(BudgetExceeded, match="over its cap"):
        await work(provider, Capped(root))
    assert provider.asked == 0


async def test_the_result_names_what_was_changed_and_what_was_spent(root: Path) -> None:
    edit = ("edit", {"path": "./src//number.py", "old_text": "1", "new_text": "2"})
    create = ("write_file", {"path": "b.txt", "content": "x"})
    result = await work(Scripted([[edit, BAD_EDIT], [create]]), CountingRun(root))
    assert result == ExecutorResult(
        True,
        changed_files=("src/number.py", "b.txt"),
        stop_reason="end_turn",
        usage=Usage(21, 9),
        summary="All done.",
    )


async def test_results_are_redacted_before_they_go_back(root: Path) -> None:
    (root / "notes.txt").write_text("hunter2 is the word\n", "utf-8")
    hide: Callable[[str], str] = lambda text: text.replace("hunter2", "[redacted]")  # noqa: E731
    provider = Scripted([[("read_file", {"path": "notes.txt"})]])
    await work(provider, CountingRun(root), redact=hide)
    assert "[redacted] is the word" in provider.results[0][0][1].text


GOOD = "src/number.py\n```python\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n```\nDone."


async def test_edits_written_into_an_answer_are_staged(root: Path) -> None:
    old = (root / "src/number.py").read_text().split("\n")[0]
    provider, run = Scripted([GOOD.format(old=old, new="NEW = 1")]), CountingRun(root)
    result = await work(provider, run)
    assert result.changed_files == ("src/number.py",)
    assert (await run.read("src/number.py")).startswith(b"NEW = 1\n")
    assert provider.told == []


async def test_refused_edits_of_an_answer_go_back_with_the_reason_and_are_counted(root: Path) -> None:
    old = (root / "src/number.py").read_text().split("\n")[0]
    bad = GOOD.format(old="nowhere at all", new="x")
    provider, run = Scripted([bad, GOOD.format(old=old, new="NEW = 1")]), CountingRun(root)
    result = await work(provider, run)
    assert result.changed_files == ("src/number.py",)
    assert "not-found" in provider.told[0]
    assert "Nothing was changed" in provider.told[0]
    await check(root, [bad, bad, bad], Limits(), "could not be used 3 times")


async def test_a_closing_word_with_a_diff_in_it_is_no_edit_after_tools_have_changed_something(root: Path) -> None:
    old = (root / "src/number.py").read_text().split("\n")[0]
    write = ("write_file", {"path": "new.txt", "content": "x\n"})
    provider, run = Scripted([[write], GOOD.format(old=old, new="NEW = 1")]), CountingRun(root)
    result = await work(provider, run)
    assert result.changed_files == ("new.txt",)


async def test_edits_of_an_answer_reach_no_file_that_no_agent_may_change(root: Path) -> None:
    answer = "```diff\n--- /dev/null\n+++ b/.env\n@@ -0,0 +1 @@\n+KEY=1\n```"
    provider, run = Scripted([answer]), CountingRun(root)
    await work(provider, run)
    assert "may hold secrets" in provider.told[0]
    assert run.changes().files == ()
