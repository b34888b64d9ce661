"""Progress: one begin, one end, at most ten reports a second, never on a token that the client refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from kiro_lsp import events
from kiro_lsp.errors import StoreError
from kiro_lsp.events import CommandDetail, Envelope, Permission, PermissionOption
from kiro_lsp.lsp import forward
from kiro_lsp.lsp.client import client_of
from kiro_lsp.lsp.endpoint import ResponseError
from kiro_lsp.lsp.forward import Forwarder, exact


class Told:
    """An endpoint that keeps what was sent, and answers as a test says."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.answer: Any = None

    def notify(self, method: str, params: Any) -> None:
        self.sent.append((method, params))

    async def request(self, method: str, params: Any) -> Any:
        self.sent.append((method, params))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def progress(self) -> list[dict[str, Any]]:
        return [params["value"] for method, params in self.sent if method == "$/progress"]


class Runs:
    """What a forwarder asks of an engine: who is live, and where answers go."""

    def __init__(self) -> None:
        self.handles = {"r": object()}
        self.answers: list[tuple[str, str]] = []
        self.said: list[str | None] = []
        self.store = SimpleNamespace(decisions=lambda _run: ({}, 3))

    async def answer(self, _run: str, request: str, option: str, *, by: str, text: str | None = None) -> None:
        assert by == "editor"
        self.answers.append((request, option))
        self.said.append(text)


@pytest.fixture
async def group() -> AsyncIterator[asyncio.TaskGroup]:
    async with asyncio.TaskGroup() as opened:
        yield opened


def make(group: asyncio.TaskGroup, kiro: tuple[str, ...] = (), progress: bool = True) -> tuple[Forwarder, Told, Runs]:
    told, runs = Told(), Runs()
    capabilities = {"window": {"workDoneProgress": progress}}
    client = client_of({"capabilities": capabilities, "initializationOptions": {"kiro": list(kiro)}})
    forwarder = Forwarder(runs, SimpleNamespace(client=client), told, SimpleNamespace(), group)  # type: ignore[arg-type]
    return forwarder, told, runs


def take(forwarder: Forwarder, *group: Any) -> None:
    for number, event in enumerate(group, 1):
        forwarder._forward(Envelope("r", number, "2026-01-01T00:00:00Z", event))


async def test_one_begin_without_percentage_and_one_end(group: asyncio.TaskGroup) -> None:
    forwarder, told, _runs = make(group, ("kiro/review",))
    await forwarder.begin("r", "Claude: First", None)
    done = events.Complete(("a",), 0, 1, 0, 0, "")
    take(forwarder, events.Phase("thinking"), done, done, events.Phase("late"))
    kinds = [value["kind"] for value in told.progress()]
    assert kinds == ["begin", "report", "end"]
    assert "percentage" not in told.progress()[0]
    assert told.progress()[0]["cancellable"]
    assert forwarder.run_of("kiro-lsp/r") is None


async def test_the_token_of_the_client_is_used_and_leads_to_the_run(group: asyncio.TaskGroup) -> None:
    forwarder, told, _runs = make(group)
    await forwarder.begin("r", "t", "mine")
    assert [method for method, _params in told.sent] == ["$/progress"]
    assert forwarder.run_of("mine") == "r"
    forwarder.end_all()


@pytest.mark.parametrize("progress", [True, False])
async def test_nothing_is_sent_on_a_token_that_was_not_accepted(progress: bool, group: asyncio.TaskGroup) -> None:
    forwarder, told, _runs = make(group, progress=progress)
    told.answer = ResponseError(-32601, "no progress here")
    await forwarder.begin("r", "t", None)
    take(forwarder, events.Phase("thinking"), events.Cancelled())
    assert told.progress() == []


async def test_of_many_events_the_latest_wins(group: asyncio.TaskGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "REPORT_SECONDS", 0.05)
    forwarder, told, _runs = make(group)
    await forwarder.begin("r", "t", "mine")
    take(forwarder, *(events.Chunk(f"chunk {number}") for number in range(500)))
    reports = [value["message"] for value in told.progress() if value["kind"] == "report"]
    assert reports == ["chunk 0"]
    async with asyncio.timeout(60):
        while len(told.progress()) < 3:
            await asyncio.sleep(0.01)
    assert told.progress()[-1]["message"] == "chunk 499"
    forwarder.end_all()


OPTIONS = (PermissionOption("once", "Allow once", "allow-once"), PermissionOption("deny", "Deny", "deny"))
QUESTION = Permission(
    "q", "command", "Run in a copy: rm", OPTIONS, CommandDetail(("rm", "a b", "x\ny", "\u202e"), ".", {}, "d")
)


@pytest.mark.parametrize(
    ("kiro", "answer", "option"),
    [
        ((), {"title": "Allow once"}, "once"),
        ((), {"title": "Something else"}, "deny"),
        ((), None, "deny"),
        ((), ResponseError(-32800, "gone"), "deny"),
        (("kiro/permission",), {"option": "once"}, "once"),
        (("kiro/permission",), {"option": "root"}, "deny"),
        (("kiro/permission",), "yes", "deny"),
        (("kiro/permission",), ResponseError(-32601, "unknown"), "deny"),
    ],
)
async def test_only_a_clear_yes_is_a_yes(kiro: tuple[str, ...], answer: Any, option: str) -> None:
    async with asyncio.TaskGroup() as group:
        forwarder, told, runs = make(group, kiro)
        told.answer = answer
        take(forwarder, QUESTION)
    assert runs.answers == [("q", option)]


@pytest.mark.parametrize(("given", "text"), [("use tox", "use tox"), ("", None), (7, None)])
async def test_what_the_person_says_with_an_answer_goes_with_it(given: object, text: str | None) -> None:
    async with asyncio.TaskGroup() as group:
        forwarder, told, runs = make(group, ("kiro/permission",))
        told.answer = {"option": "deny", "text": given}
        take(forwarder, QUESTION)
    assert (runs.answers, runs.said) == ([("q", "deny")], [text])


async def test_an_event_that_cannot_be_forwarded_holds_up_no_other(group: asyncio.TaskGroup) -> None:
    forwarder, told, runs = make(group, kiro=("kiro/runEvent", "kiro/reviewChanged"))

    def broken(_run: str) -> object:
        raise StoreError("the disk is full")

    runs.store.decisions = broken
    happened = [events.Rejected((), ()), events.Chunk("on")]

    async def follow(_run: None) -> AsyncIterator[Envelope]:
        for number, event in enumerate(happened, 1):
            yield Envelope("r", number, "2026-01-01T00:00:00Z", event)

    runs.follow = follow  # type: ignore[attr-defined]
    await forwarder.follow()
    assert [params["event"]["type"] for method, params in told.sent if method == "kiro/runEvent"] == [
        "rejected",
        "chunk",
    ]


async def test_a_question_of_another_process_is_not_asked_here(group: asyncio.TaskGroup) -> None:
    forwarder, told, runs = make(group)
    runs.handles.clear()
    take(forwarder, QUESTION)
    assert told.sent == []


def test_a_command_is_shown_whole_one_argument_a_line_and_nothing_hidden() -> None:
    assert exact(QUESTION).splitlines() == ["Run in a copy:", "  rm", "  a b", r"  x\ny", r"  \u202e", "in ."]


async def test_what_a_run_has_cost_stands_in_its_progress_and_at_its_end(group: asyncio.TaskGroup) -> None:
    forwarder, told, _runs = make(group, ("kiro/review",))
    await forwarder.begin("r", "Claude: First", None)
    used = events.UsageReport(900, 100, 0, "0.031", "metered", 2)
    take(forwarder, used, events.Phase("thinking"), events.Complete(("a",), 0, 1, 0, 0, ""))
    assert [value.get("message") for value in told.progress()][1:] == ["thinking · $0.03", "1 file to review · $0.03"]


@pytest.mark.parametrize("started_here", [True, False])
async def test_a_warning_is_shown_in_the_editor_that_started_the_run_and_in_no_other(
    group: asyncio.TaskGroup, started_here: bool
) -> None:
    forwarder, told, _runs = make(group)
    if started_here:
        await forwarder.begin("r", "Claude: First", None)
    take(forwarder, events.Warned("budget", "Five dollars are spent.", "Ten are the cap."))
    shown = [params for method, params in told.sent if method == "window/showMessage"]
    expected = [{"type": 2, "message": "Five dollars are spent. Ten are the cap."}]
    assert shown == (expected if started_here else [])
