"""Every way in which a provider can fail, the same for all: a named end, what to do, nothing half done, nothing leaked."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind
from kiro_lsp.executors import worker as worker_process
from kiro_lsp.executors.worker import WorkerPool
from tests.executors.contract import CALL, CHAT, EDIT, FILE, KEY, OLLAMA, Provider, check, each
from tests.support.claude import Ended
from tests.support.provider_server import Fault, ProviderServer, Step, closed_port
from tests.support.tree import snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")

SWEEP = os.environ.get("KIRO_LSP_SWEEP", "20261121")  # read here: a test's own environment has no such names
TWO = {FILE: b"NUMBER = 2\n"}
SOON: Mapping[str, str] = {"retry-after-ms": "1"}
LATE: Mapping[str, str] = {"retry-after": "3600"}
DATE: Mapping[str, str] = {"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}
MEMORY = 200 * 1024 * 1024
"""Of a worker's process: Python, an SDK, and the largest answer that is kept at all."""


@each()
@pytest.mark.parametrize(
    ("fault", "kind", "requests", "charged"),
    [
        (Fault(400, "invalid_request_error", "bad"), "agent", 1, False),
        (Fault(401, "authentication_error", "bad key"), "auth", 1, False),
        (Fault(401, headers={"x-should-retry": "true"}), "auth", 1, False),
        (Fault(402, "billing_error", "no credit"), "payment", 1, False),
        (Fault(403, "permission_error", "not yours"), "auth", 1, False),
        (Fault(404, "not_found_error", "the model was not found"), "agent", 1, False),
        (Fault(408, "timeout_error"), "timeout", 1, True),
        (Fault(409, "conflict_error", "busy with another"), "agent", 1, False),
        (Fault(413, "request_too_large", "too big"), "max-tokens", 1, False),
        (Fault(418, body="<html>I am a proxy</html>"), "agent", 1, False),
        (Fault(422, "unprocessable", "not like this"), "agent", 1, False),
        (Fault(429, "rate_limit_error", "spend cap"), "rate-limit", 1, False),
        (Fault(429, "rate_limit_error", headers=SOON), "rate-limit", 4, False),
        (Fault(429, "rate_limit_error", headers=LATE), "rate-limit", 1, False),
        (Fault(429, "rate_limit_error", headers=DATE), "rate-limit", 1, False),
        (Fault(500, headers={"x-should-retry": "false"}), "agent", 1, True),
        (Fault(500, headers=SOON), "agent", 4, True),
        (Fault(502, body="<html>Bad gateway</html>", headers=SOON), "agent", 4, True),
        (Fault(503, headers=SOON), "overloaded", 4, False),
        (Fault(503, headers=LATE), "overloaded", 1, False),
        (Fault(504, "timeout_error"), "timeout", 1, True),
        (Fault(529, "overloaded_error", headers=SOON), "overloaded", 4, False),
        (Fault(400, body="[]", headers={"content-type": "application/json"}), "agent", 1, False),
    ],
    ids=lambda value: f"{value.status}{'+' * bool(value.headers)}" if isinstance(value, Fault) else "",
)
async def test_an_http_error_ends_the_run_with_what_to_do(
    provider: Provider, root: Path, pool: WorkerPool, fault: Fault, kind: ErrorKind, requests: int, charged: bool
) -> None:
    before = snapshot(root)
    with provider.server([CALL], [Fault(**vars(fault))]) as server:
        ended = await provider.execute(root, pool, server.url)
    words = [] if fault.body is not None else [fault.message]
    check(ended, kind, f"({fault.status})", *words, *(["asks to wait"] if fault.headers in (LATE, DATE) else []))
    assert len(server.requests) == requests
    used = [used for _reserved, used in ended.run.requests]
    assert used == ([None] * requests if charged else [Usage()]), (
        "each attempt that may be charged is reserved by itself"
    )
    assert snapshot(root) == before
    assert len(waits(ended)) == requests - 1


def waits(ended: Ended) -> list[str]:
    return [event.detail for event in ended.of(events.Phase) if event.detail and "trying again" in event.detail]


@each()
async def test_a_short_trouble_is_waited_for_and_said_and_repeats_no_tool(
    provider: Provider, root: Path, pool: WorkerPool
) -> None:
    write = Step(tools=[("write_file", {"path": "log.txt", "content": "once\n"})])
    first = [write] if provider.calls else [Step(tools=[("read_file", {"path": FILE})]), write]
    faults = [Fault(529, headers=SOON, times=1), Fault(429, headers=SOON, times=2, step=1)]
    with provider.server(first, faults) as server:
        ended = await provider.execute(root, pool, server.url)
    assert ended.error is None, ended.error
    assert ended.staged == {"log.txt": b"once\n"}
    assert [event.path for event in ended.of(events.File)] == ["log.txt"]
    assert len(server.requests) == 5
    assert [wait.endswith(status) for wait, status in zip(waits(ended), ("529", "429", "429"), strict=True)] == [
        True
    ] * 3


@each()
async def test_a_failure_that_may_have_been_charged_stays_charged_when_the_next_attempt_succeeds(
    provider: Provider, root: Path, pool: WorkerPool
) -> None:
    with provider.server([CALL], [Fault(500, headers=SOON, times=1)]) as server:
        ended = await provider.execute(root, pool, server.url)
    assert ended.staged == TWO, ended.error
    used = [used for _reserved, used in ended.run.requests]
    assert used[0] is None
    assert None not in used[1:]
    assert len(waits(ended)) == 1


@each()
async def test_without_a_wish_it_waits_by_itself(provider: Provider, root: Path, pool: WorkerPool) -> None:
    with provider.server([CALL], [Fault(529, times=1)]) as server:
        ended = await provider.execute(root, pool, server.url)
    assert ended.staged == TWO, ended.error
    assert len(waits(ended)) == 1


@each()
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_and_the_key_stays_here(
    provider: Provider, root: Path, pool: WorkerPool, status: int
) -> None:
    with provider.server([CALL]) as elsewhere:
        fault = Fault(status, headers={"location": f"{elsewhere.url}/elsewhere"})
        with provider.server([], [fault]) as server:
            ended = await provider.execute(root, pool, server.url)
        assert elsewhere.paths == []
    check(ended, "network", "redirects elsewhere", "endpoint", provider.address)


@each()
async def test_nobody_listens(provider: Provider, root: Path, pool: WorkerPool) -> None:
    # Somewhere that is no address at all for one provider; the waits between attempts are real ones.
    url = "https://nowhere.invalid" if provider is CHAT else f"http://127.0.0.1:{closed_port()}"
    ended = await provider.execute(root, pool, url)
    check(ended, "network", url, "cannot be reached", provider.address, "Nothing was sent")
    assert [used for _reserved, used in ended.run.requests] in ([], [Usage()])


@each()
@pytest.mark.parametrize("step", [Step(text="a long answer", hold=True), None])
async def test_a_provider_that_falls_silent_is_given_up(
    provider: Provider, root: Path, pool: WorkerPool, step: Step | None
) -> None:
    """Before its headers or in the middle of a stream; it may have worked, so the reservation stays charged."""
    with provider.server([step or CALL], [] if step else [Fault(200, stall=True)]) as server:
        ended = await provider.execute(root, pool, server.url, idle_seconds=3)
        assert await asyncio.to_thread(server.holding.wait, 30)
    check(ended, "timeout", "fell silent")
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is None


@each()
async def test_an_error_after_a_good_start(provider: Provider, root: Path, pool: WorkerPool) -> None:
    step = Step(text="Just a", tools=[EDIT], error_event={"type": "api_error", "message": "said in it"})
    with provider.server([step]) as server:
        ended = await provider.execute(root, pool, server.url)
    check(ended, "agent", "said in it", "in the middle of its answer")
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is None


HUGE = "x" * (9 * 1024 * 1024)


@each()
@pytest.mark.parametrize(
    "step",
    [
        Step(text="x", endless="events"),
        Step(text="x", endless="line"),
        Step(text="x", endless="blank"),
        Step(text=HUGE, pieces=100_000),
        Step(tools=[("write_file", {"path": "a.txt", "content": HUGE})], pieces=100_000),
        Step(thinking=HUGE, pieces=len(HUGE)),
    ],
    ids=["events", "line", "blank", "text", "call", "one piece"],
)
async def test_an_answer_without_bounds_is_hung_up_on_in_bounded_memory(
    provider: Provider, root: Path, pool: WorkerPool, step: Step
) -> None:
    with provider.server([step]) as server:
        ended = await provider.execute(root, pool, server.url)
        assert not step.endless or await asyncio.to_thread(server.hung_up.wait, 10)
    check(ended, "agent", "larger than any answer")
    assert len(server.requests) == 1
    async with pool.worker(provider.script) as worker:
        assert most_memory(worker.pid) < MEMORY


def most_memory(pid: int) -> int:
    """The most bytes that a process ever held; what it holds now where the system does not keep count."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return int(psutil.Process(pid).memory_info().rss)
    (line,) = [line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:")]
    most = int(line.split()[1]) * 1024
    print(f"at most {most // 1024 // 1024} MiB")
    return most


@pytest.mark.parametrize("character", ["\x01", "🦊", '"'])
async def test_the_largest_answer_arrives_whatever_it_is_made_of(root: Path, pool: WorkerPool, character: str) -> None:
    """Characters that take the most bytes on the way out of a worker's process, which is one for all providers."""
    text = character * (4 * 1024 * 1024 - 1)
    with OLLAMA.server([Step(text=text, pieces=200_000)]) as server:
        ended = await OLLAMA.execute(root, pool, server.url)
    assert ended.error is None
    assert ended.text == text


@each(lambda provider: provider.metered)
async def test_an_event_without_end_is_hung_up_on(provider: Provider, root: Path, pool: WorkerPool) -> None:
    with provider.server([Step(text="x", endless="lines")]) as server:
        ended = await provider.execute(root, pool, server.url)
        assert await asyncio.to_thread(server.hung_up.wait, 10)
    assert ended.error is not None
    check(ended, "agent", "larger than any answer" if "larger" in ended.error.message else "could not be read")


async def held(provider: Provider, root: Path, pool: WorkerPool, server: ProviderServer) -> asyncio.Task[Ended]:
    """An execution in the middle of an answer."""
    running = asyncio.create_task(provider.execute(root, pool, server.url))
    assert await asyncio.to_thread(server.holding.wait, 30)
    return running


@each()
async def test_cancelling_hangs_up_at_once_and_the_process_is_used_again(
    provider: Provider, root: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "_STOP_SECONDS", 60)  # a machine that is busy is no worker that does not answer
    async with pool.worker(provider.script) as worker:
        process = psutil.Process(worker.pid)
    with provider.server([Step(text="a long answer", hold=True)]) as server:
        running = await held(provider, root, pool, server)
        environ, arguments = process.environ(), process.cmdline()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(server.hung_up.wait, 60)
        server.steps = [CALL]
        assert (await provider.execute(root, pool, server.url)).staged == TWO
    async with pool.worker(provider.script) as worker:
        assert worker.pid == process.pid
    assert KEY not in str(environ) + str(arguments)
    assert not [name for name in environ if name.startswith(("ANTHROPIC", "OPENAI", "GOOGLE_API", "GEMINI", "KIRO"))]


CUT = Step(
    thinking="Hm.", text="Now the edit 🦊.", tools=[EDIT, ("write_file", {"path": "b.txt", "content": "b\n"})], pieces=9
)
"""Two calls: one that came whole does not run either when the answer is cut before its end."""


def offsets(stream: bytes) -> list[int]:
    """Where to cut: every byte with KIRO_LSP_SWEEP=full, else a share of all bytes and of line ends by that seed."""
    if SWEEP == "full":
        return list(range(len(stream) + 1))
    print(f"KIRO_LSP_SWEEP={SWEEP}")
    chosen = {len(stream), *random.Random(int(SWEEP)).sample(range(len(stream)), 30)}
    ends = [place for place, byte in enumerate(stream) if byte == 0x0A]
    chosen.update(random.Random(int(SWEEP) + 1).sample(ends, min(15, len(ends))))
    return sorted({*chosen, *range(len(stream) - 6, len(stream)), stream.index("🦊".encode()) + 2, 0, 1})


@each()
@pytest.mark.parametrize("how", ["close", "end", "reset"])
async def test_a_stream_cut_at_any_byte_runs_no_half_tool(
    provider: Provider, root: Path, pool: WorkerPool, how: str
) -> None:
    """It ends as cut, is not asked for again, and is charged; or all of it had come, and it counts."""
    raw = provider.stream(CUT)
    parts = [provider.encode(name, data) for name, data in raw]
    ends_at = 1 + next(place for place, (name, _data) in enumerate(raw) if name == provider.end)
    whole, needed = b"".join(parts), len(b"".join(parts[:ends_at])) - provider.spare
    counts = {"cut": 0, "whole": 0}
    with provider.server() as server:
        for offset in offsets(whole):
            server.requests.clear()
            server.steps = [Step(raw=raw, cut_after=offset, cut_with=how), Step(text="Done.")]
            ended = await provider.execute(root, pool, server.url)
            if ended.error is None:
                assert offset >= needed, f"an answer cut at byte {offset} of {len(whole)} was taken for whole"
                assert ended.staged == {**TWO, "b.txt": b"b\n"}
                counts["whole"] += 1
                continue
            check(ended, "network", "cut", "Nothing of the half answer was carried out")
            assert len(server.requests) == 1, "a cut answer is not asked for again: it may have been charged"
            assert ended.run.requests[0][1] is None
            counts["cut"] += 1
    print(
        f"{provider.name}, {how}: {len(whole)} bytes, {counts['cut']} cuts ended as cut, {counts['whole']} were whole"
    )
    assert counts["cut"] >= len([offset for offset in offsets(whole) if offset < needed]) > 0
