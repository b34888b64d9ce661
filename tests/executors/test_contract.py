"""The same scenarios for every provider, with the real SDKs against local servers: one outcome, whatever the wire."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import psutil
import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind
from kiro_lsp.executors.worker import WorkerPool
from tests.executors.contract import KEY, PROVIDERS, Provider
from tests.support.anthropic_server import Fault, Step, closed_port, edits
from tests.support.claude import Ended
from tests.support.tree import snapshot

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name),
]

FILE = "src/number.py"
EDIT = {"path": FILE, "old_text": "1", "new_text": "2"}
SWEEP = os.environ.get("KIRO_LSP_SWEEP", "20261121")  # read here: a test's own environment has no such names
CALL = Step(thinking="Hm.", text="Now the edit 🦊.", tools=[("edit", EDIT)], pieces=9)


def check(ended: Ended, kind: ErrorKind, *says: str) -> None:
    """A failure with its kind, words for a person and a next step; no tool ran for it."""
    assert ended.error is not None, f"it succeeded: {ended.result}"
    assert ended.error.kind == kind, ended.error
    for words in says:
        assert words in str(ended.error), str(ended.error)
    assert ended.error.hint
    assert "Traceback" not in ended.error.message
    assert KEY not in str(ended.error)
    assert ended.staged == {}
    assert ended.of(events.Tool) == []
    assert ended.of(events.File) == []


async def test_a_task_is_carried_out_over_several_turns(provider: Provider, root: Path, pool: WorkerPool) -> None:
    before = snapshot(root)
    with provider.server(edits(FILE, "1", "2", summary="Now it is two.\n\nAll is well.")) as server:
        ended = await provider.execute(root, pool, server.url)
    assert ended.result is not None, ended.error
    assert (ended.result.stop_reason, ended.result.summary) == ("end_turn", "All is well.")
    assert ended.result.changed_files == (FILE,)
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert snapshot(root) == before
    assert ended.text == "I read the file first.Now the edit.Now it is two.\n\nAll is well."
    tools = [(event.kind, event.path, event.status) for event in ended.of(events.Tool)]
    assert tools == [(kind, FILE, state) for kind in ("read", "edit") for state in ("in_progress", "completed")]
    assert len(server.requests) == 3
    assert [len(provider.results(request)) for request in server.requests] == [0, 1, 2]
    assert "NUMBER = 1" in provider.results(server.requests[2])[0]
    assert all(used is not None and used.output_tokens == 20 for _reserved, used in ended.run.requests)
    assert all(reserved.input_tokens >= used.input_tokens for reserved, used in ended.run.requests if used)


async def test_the_tools_of_one_turn_are_carried_out_in_order(provider: Provider, root: Path, pool: WorkerPool) -> None:
    step = Step(
        tools=[
            ("write_file", {"path": "a.txt", "content": "one\n"}),
            ("edit", {"path": "a.txt", "old_text": "one", "new_text": "two"}),
            ("read_file", {"path": "a.txt"}),
        ]
    )
    with provider.server([step, Step(text="Done.")]) as server:
        ended = await provider.execute(root, pool, server.url)
    assert ended.staged == {"a.txt": b"two\n"}
    assert "two" in provider.results(server.requests[1])[2]


@pytest.mark.parametrize(("pieces", "write_size"), [(1, None), (3, 1), (5, 7), (1000, 64)])
async def test_a_stream_may_be_split_anywhere(
    provider: Provider, root: Path, pool: WorkerPool, pieces: int, write_size: int | None
) -> None:
    text = 'naïve 🦊 “quotes” \\ \u2028 "'
    steps = [
        Step(
            thinking=text,
            text=text,
            tools=[("write_file", {"path": "ü.txt", "content": text})],
            pieces=pieces,
            write_size=write_size,
        ),
        Step(text=text, pieces=pieces, write_size=write_size),
    ]
    with provider.server(steps) as server:
        ended = await provider.execute(root, pool, server.url)
    assert ended.error is None
    assert ended.staged == {"ü.txt": text.encode()}
    assert ended.text == text * 2
    assert "".join(event.text for event in ended.of(events.Thought)) == text


@pytest.mark.parametrize("args", ['{"path": "src/number.py", "old_te', "[1, 2]"])
async def test_arguments_that_make_no_sense_are_answered(
    provider: Provider, root: Path, pool: WorkerPool, args: str
) -> None:
    with provider.server([Step(tools=[("edit", args)]), Step(text="I give up.")]) as server:
        ended = await provider.execute(root, pool, server.url)
    assert ended.error is None
    assert ended.staged == {}
    assert ended.of(events.Tool)[-1].status == "failed"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "kind", "requests", "charged"),
    [
        (Fault(400, "invalid_request_error", "bad"), "agent", 1, False),
        (Fault(401, "authentication_error", "bad key"), "auth", 1, False),
        (Fault(402, "billing_error", "no credit"), "payment", 1, False),
        (Fault(403, "permission_error", "not yours"), "auth", 1, False),
        (Fault(404, "not_found_error", "no such model"), "agent", 1, False),
        (Fault(408, "timeout_error"), "timeout", 1, True),
        (Fault(413, "request_too_large", "too big"), "max-tokens", 1, False),
        (Fault(418, body="<html>I am a proxy</html>"), "agent", 1, False),
        (Fault(429, "rate_limit_error", "spend cap"), "rate-limit", 1, False),
        (Fault(429, headers={"retry-after": "3600"}), "rate-limit", 1, False),
        (Fault(500, headers={"x-should-retry": "false"}), "agent", 1, True),
        (Fault(503, "api_error", headers={"retry-after-ms": "1"}), "overloaded", 4, False),
        (Fault(504, "timeout_error"), "timeout", 1, True),
        (Fault(529, "overloaded_error", headers={"retry-after-ms": "1"}), "overloaded", 4, False),
        (Fault(307, headers={"location": "https://example.test/"}), "network", 1, False),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Fault) else None,
)
async def test_an_http_error_ends_the_run_with_what_to_do(
    provider: Provider, root: Path, pool: WorkerPool, fault: Fault, kind: ErrorKind, requests: int, charged: bool
) -> None:
    with provider.server([CALL], [Fault(**vars(fault))]) as server:
        ended = await provider.execute(root, pool, server.url)
    check(ended, kind, "" if fault.status == 307 else f"({fault.status})")
    assert len(server.requests) == requests
    ((_reserved, used),) = ended.run.requests
    assert used == (None if charged else Usage())


async def test_a_short_trouble_is_waited_for_and_said(provider: Provider, root: Path, pool: WorkerPool) -> None:
    fault = Fault(429, headers={"retry-after-ms": "1"}, times=2, step=1)
    with provider.server(edits(FILE, "1", "2"), [fault]) as server:
        ended = await provider.execute(root, pool, server.url)
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert len(server.requests) == 5
    waits = [event.detail for event in ended.of(events.Phase) if event.detail and "trying again" in event.detail]
    assert len(waits) == 2


async def test_nobody_listens(provider: Provider, root: Path, pool: WorkerPool) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    ended = await provider.execute(root, pool, url)
    check(ended, "network", url, "cannot be reached", provider.address, "Nothing was sent")
    assert ended.run.requests[0][1] == Usage()


@pytest.mark.parametrize("step", [Step(text="a long answer", hold=True), None])
async def test_a_provider_that_falls_silent_is_given_up(
    provider: Provider, root: Path, pool: WorkerPool, step: Step | None
) -> None:
    with provider.server([step or CALL], [] if step else [Fault(200, stall=True)]) as server:
        ended = await provider.execute(root, pool, server.url, idle_seconds=0.3)
    check(ended, "timeout", "fell silent")
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is None


async def test_an_error_after_a_good_start(provider: Provider, root: Path, pool: WorkerPool) -> None:
    step = Step(text="Just a", tools=[("edit", EDIT)], error_event={"type": "api_error", "message": "said in it"})
    with provider.server([step]) as server:
        ended = await provider.execute(root, pool, server.url)
    check(ended, "agent", "said in it", "in the middle of its answer")
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is None


async def test_an_answer_at_its_limit_runs_no_tool(provider: Provider, root: Path, pool: WorkerPool) -> None:
    for args in (EDIT, '{"path": "src/nu'):
        with provider.server([Step(text="I write", tools=[("edit", args)], stop=provider.cut_short)]) as server:
            ended = await provider.execute(root, pool, server.url)
        check(ended, "max-tokens", "inside a tool call")


@pytest.mark.parametrize(
    ("step", "kind", "says"),
    [
        (Step(text="I cannot help with that.", stop="refusal"), "refusal", "I cannot help with that."),
        (Step(), "agent", "empty"),
        (Step(text=" \n"), "agent", "empty"),
        (Step(tools=[("edit", EDIT, "same"), ("read_file", {"path": FILE}, "same")]), "agent", "told apart"),
        (Step(tools=[("edit", EDIT, "")]), "agent", "told apart"),
        (Step(body="<html>Log in</html>", content_type="text/html"), "agent", "could not be read"),
        (Step(body="{}", content_type="application/json"), "agent", "could not be read"),
        (Step(text="x", encoding="gzip"), "agent", "could not be read"),
    ],
)
async def test_an_answer_that_is_no_answer(
    provider: Provider, root: Path, pool: WorkerPool, step: Step, kind: ErrorKind, says: str
) -> None:
    with provider.server([step]) as server:
        ended = await provider.execute(root, pool, server.url)
    check(ended, kind, says)
    assert len(server.requests) == 1


async def test_usage_that_is_not_said_is_charged_as_reserved(provider: Provider, root: Path, pool: WorkerPool) -> None:
    with provider.server([Step(text="Done.", usage=provider.no_usage)]) as server:
        ended = await provider.execute(root, pool, server.url)
    assert ended.error is None
    ((reserved, used),) = ended.run.requests
    assert used is None
    assert ended.run.usage == reserved


@pytest.mark.parametrize("endless", ["events", "line"])
async def test_an_endless_answer_is_hung_up_on_in_bounded_memory(
    provider: Provider, root: Path, pool: WorkerPool, endless: str
) -> None:
    with provider.server([Step(text="x", endless=endless)]) as server:
        ended = await provider.execute(root, pool, server.url)
        assert await asyncio.to_thread(server.hung_up.wait, 30)
    check(ended, "agent", "larger than any answer")
    async with pool.worker(provider.script) as worker:
        assert psutil.Process(worker.pid).memory_info().rss < 400 * 1024 * 1024


async def test_a_known_secret_in_a_file_does_not_reach_the_provider(
    provider: Provider, root: Path, pool: WorkerPool
) -> None:
    (root / "planted-notes.txt").write_text(f"the key is {KEY}\n", "utf-8")
    with provider.server([Step(tools=[("read_file", {"path": "planted-notes.txt"})]), Step(text="Done.")]) as server:
        ended = await provider.execute(root, pool, server.url)
    assert ended.error is None
    assert KEY not in str(server.requests)
    assert "the key is" in provider.results(server.requests[1])[0]


async def test_a_key_is_not_sent_where_others_could_read_it(provider: Provider, root: Path, pool: WorkerPool) -> None:
    for url in ("http://example.test", "//example.test", "https://user@example.test"):
        check(await provider.execute(root, pool, url), "network", "no key is sent")


def offsets(stream: bytes) -> list[int]:
    """Where to cut: every byte with KIRO_LSP_SWEEP=full, else a share of all bytes and of line ends by that seed."""
    if SWEEP == "full":
        return list(range(len(stream) + 1))
    print(f"KIRO_LSP_SWEEP={SWEEP}")
    chosen = {len(stream), *random.Random(int(SWEEP)).sample(range(len(stream)), 30)}
    ends = [place for place, byte in enumerate(stream) if byte == 0x0A]
    chosen.update(random.Random(int(SWEEP) + 1).sample(ends, 15))
    return sorted({*chosen, *range(len(stream) - 4, len(stream)), stream.index("🦊".encode()) + 2, 0, 1})


@pytest.mark.parametrize("how", ["close", "end", "reset"])
async def test_a_stream_cut_at_any_byte_runs_no_half_tool(
    provider: Provider, root: Path, pool: WorkerPool, how: str
) -> None:
    """It ends as cut, is not asked for again, and is charged; or all of it had come, and it counts."""
    raw = provider.stream(CALL)
    parts = [provider.encode(name, data) for name, data in raw]
    ends_at = 1 + next(place for place, (name, _data) in enumerate(raw) if name == provider.end)
    whole, needed = b"".join(parts), len(b"".join(parts[:ends_at]))
    with provider.server() as server:
        for offset in offsets(whole):
            server.requests.clear()
            server.steps = [Step(raw=raw, cut_after=offset, cut_with=how), Step(text="Done.")]
            ended = await provider.execute(root, pool, server.url)
            if ended.error is None:
                assert offset >= needed, f"an answer cut at byte {offset} of {len(whole)} was taken for whole"
                assert ended.staged == {FILE: b"NUMBER = 2\n"}
                continue
            check(ended, "network", "cut")
            assert len(server.requests) == 1, "a cut answer is not asked for again: it may have been charged"
            assert ended.run.requests[0][1] is None
