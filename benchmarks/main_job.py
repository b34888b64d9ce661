"""The figures of the main job, in one run, each as a ratio to something that runs beside us: python -m benchmarks.main_job

Start and memory against a bare pygls server (bare_pygls.py), streaming against the official SDK's own loop, both on the
same local provider; the time to the first progress, and the stalls of the loop, as they are. Medians; the runs are
interleaved, since the machine is noisy. Nothing here is asserted: the suite must not depend on how busy a machine is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kiro_lsp.demo.editor import Editor
from tests.support.anthropic_server import Step, write_script

REPO = Path(__file__).resolve().parent.parent
OURS = [sys.executable, "-m", "kiro_lsp", "--stdio"]
BARE = [sys.executable, "-m", "benchmarks.bare_pygls"]
SHORT, LONG = 2_000, 12_000
"""Chunks of two answers; the cost of one chunk is the slope between them, so what a run costs once does not count."""
PIECE = 20

RAW_SDK = """
import asyncio, resource, sys, time
import anthropic
async def main(url, text_only):
    client = anthropic.AsyncAnthropic(api_key="x", base_url=url, max_retries=0)
    async def once():
        started, first, chunks = time.perf_counter(), None, 0
        stream = await client.messages.create(model="claude-sonnet-5-5", max_tokens=16384, stream=True,
            messages=[{"role": "user", "content": "go"}])
        async for event in stream:
            if event.type == "content_block_delta":
                first = first or time.perf_counter() - started
                chunks += 1
        return first, chunks, time.perf_counter() - started
    await once()
    cpu = resource.getrusage(resource.RUSAGE_SELF)
    first, chunks, wall = await once()
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(first, chunks, wall, after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime)
asyncio.run(main(sys.argv[1], True))
"""


def environ(folder: Path, **more: str) -> dict[str, str]:
    """As an editor starts a server: compiled modules are written and used."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    homes = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("STATE", "CONFIG", "CACHE")}
    return kept | homes | {"HOME": str(folder), "PYTHONPATH": str(REPO)} | more


def frame(**message: Any) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def read_message(stream: Any) -> dict[str, Any]:
    length = 0
    while (line := stream.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length"):
            length = int(line.split(b":")[1])
        elif not line:
            raise EOFError
    return dict(json.loads(stream.read(length)))


def tree_memory(pid: int) -> int:
    """PSS in KiB of a process and its descendants (proc_pid_smaps_rollup(5))."""
    total = 0
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    for child in children:
        total += tree_memory(int(child))
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            total += int(line.split()[1])
    return total


def one_start(argv: list[str], folder: Path) -> tuple[float, float, int]:
    """(seconds to initialize, seconds to the first lens, KiB when quiet) of one spawn with a 100-task file."""
    root = folder / "project"
    tasks = root / ".kiro/specs/a/tasks.md"
    tasks.parent.mkdir(parents=True, exist_ok=True)
    tasks.write_text("# Plan\n\n" + "".join(f"- [ ] {number}. Task {number}\n" for number in range(1, 101)), "utf-8")
    started = time.perf_counter()
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ(folder), cwd=REPO
    )
    assert process.stdin is not None
    try:
        params = {"processId": None, "rootUri": root.as_uri(), "capabilities": {}, "workspaceFolders": None}
        process.stdin.write(frame(id=1, method="initialize", params=params))
        process.stdin.flush()
        while read_message(process.stdout).get("id") != 1:
            pass
        initialized = time.perf_counter() - started
        item = {"uri": tasks.as_uri(), "languageId": "markdown", "version": 1, "text": tasks.read_text()}
        process.stdin.write(frame(method="initialized", params={}))
        process.stdin.write(frame(method="textDocument/didOpen", params={"textDocument": item}))
        process.stdin.write(frame(id=2, method="textDocument/codeLens", params={"textDocument": {"uri": item["uri"]}}))
        process.stdin.flush()
        while read_message(process.stdout).get("id") != 2:
            pass
        lens = time.perf_counter() - started
        # A cold request is answered when everything is loaded.
        process.stdin.write(frame(id=3, method="workspace/executeCommand", params={"command": "no.such"}))
        process.stdin.flush()
        while read_message(process.stdout).get("id") != 3:
            pass
        memory = tree_memory(process.pid)
        process.stdin.write(frame(id=4, method="shutdown") + frame(method="exit"))
        process.stdin.flush()
        process.wait(10)
        return initialized, lens, memory
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def starts(times: int, folder: Path) -> dict[str, Any]:
    ours, bare = [], []
    one_start(OURS, folder)
    one_start(BARE, folder)
    for _ in range(times):
        ours.append(one_start(OURS, folder))
        bare.append(one_start(BARE, folder))

    def median(rows: list[tuple[float, float, int]], column: int) -> float:
        return statistics.median(row[column] for row in rows)

    return {
        "start_ms": {"ours": median(ours, 0) * 1000, "bare": median(bare, 0) * 1000},
        "first_lens_ms": {"ours": median(ours, 1) * 1000, "bare": median(bare, 1) * 1000},
        "idle_memory_mib": {"ours": median(ours, 2) / 1024, "bare": median(bare, 2) / 1024},
    }


async def to_progress(times: int, folder: Path) -> list[float]:
    """Seconds from writing the command's frame to reading the progress begin, in a trusted project with a recording."""
    root = folder / "run"
    tasks = root / ".kiro/specs/a/tasks.md"
    tasks.parent.mkdir(parents=True, exist_ok=True)
    tasks.write_text("# Plan\n\n" + "".join(f"- [ ] {number}. Task {number}\n" for number in range(1, 101)), "utf-8")
    begun = asyncio.Event()
    ended = asyncio.Event()

    def heard(method: str, params: dict[str, Any]) -> None:
        if method == "$/progress" and params["value"]["kind"] == "begin":
            begun.set()
        if method == "$/progress" and params["value"]["kind"] == "end":
            ended.set()

    async def choose(_message: str, titles: Any) -> str | None:
        return "Run" if "Run" in titles else "Discard"

    editor = await Editor.start(OURS, environ(folder), folder / "log", heard, choose)
    try:
        await editor.initialize(root, ())
        uri = await editor.open(tasks)
        await editor.request("textDocument/codeLens", {"textDocument": {"uri": uri}})
        found = []
        for number in range(1, times + 2):
            begun.clear()
            ended.clear()
            started = time.perf_counter()
            await editor.execute("kiroLsp.runTask", {"uri": uri, "task": str(number), "agent": "recorded"})
            await begun.wait()
            found.append(time.perf_counter() - started)
            await ended.wait()
        return found[1:]  # the first one shows the consent sheet and loads what is loaded late
    finally:
        await editor.close()


async def streamed(url: str, folder: Path, beat: Callable[[], None]) -> dict[str, float]:
    """Our own executor inside an engine: first chunk, wall and CPU (of both processes) for one long answer."""
    from kiro_lsp import events
    from kiro_lsp.engine.engine import Engine, StartRun
    from kiro_lsp.store import Store

    root = folder / "stream"
    tasks = root / ".kiro/specs/a/tasks.md"
    tasks.parent.mkdir(parents=True, exist_ok=True)
    tasks.write_text("# Plan\n\n- [ ] 1. One\n- [ ] 2. Two\n", "utf-8")
    variables = environ(folder, ANTHROPIC_API_KEY="x" * 20, ANTHROPIC_BASE_URL=url)
    store = Store.open(folder / "stream-state")
    figures: dict[str, float] = {}
    async with Engine(store, face="benchmark", environ=variables) as engine:
        for number in ("1", "2"):
            beat()
            worker = _worker_of(engine)
            before = _cpu(worker)
            started = time.perf_counter()
            run_id = await engine.start(StartRun(root, str(tasks), number, "claude", trust="once", confirmed=True))
            first = None
            async for envelope in engine.follow(run_id):
                if isinstance(envelope.event, events.Phase) and envelope.event.phase == "thinking" and first is None:
                    started = time.perf_counter()
                if isinstance(envelope.event, events.Chunk) and first is None:
                    first = time.perf_counter() - started
                if isinstance(envelope.event, events.ENDED):
                    break
            figures = {
                "first_ms": (first or 0) * 1000,
                "wall": time.perf_counter() - started,
                "cpu": _cpu(_worker_of(engine) or worker) - before,
            }
            await engine.reject(run_id, by="benchmark")
    store.close()
    return figures


def _worker_of(engine: Any) -> int | None:
    idle = [worker for group in engine.workers._idle.values() for worker in group]
    return idle[0]._process.pid if idle else None


def _cpu(child: int | None) -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    total = usage.ru_utime + usage.ru_stime
    if child is not None:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


async def with_heartbeat(work: Callable[[Callable[[], None]], Any]) -> tuple[Any, list[float], list[float]]:
    """(result, gaps in ms during the first run with its warm-up, gaps after it) of a 5 ms heartbeat in the same loop."""
    gaps: list[list[float]] = [[]]
    stop = asyncio.Event()

    async def heart() -> None:
        last = time.perf_counter()
        while not stop.is_set():
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            gaps[-1].append((now - last - 0.005) * 1000)
            last = now

    async with asyncio.TaskGroup() as group:
        group.create_task(heart())
        result = await work(lambda: gaps.append([]))
        stop.set()
    return result, gaps[1] if len(gaps) > 1 else [], [gap for later in gaps[2:] for gap in later]


def raw_sdk(url: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", RAW_SDK, url], capture_output=True, text=True, check=True)
    first, _chunks, wall, cpu = (float(value) for value in done.stdout.split())
    return {"first_ms": first * 1000, "wall": wall, "cpu": cpu}


@contextmanager
def provider(chunks: int, folder: Path) -> Iterator[str]:
    """A local provider in a process of its own, so that its work is counted on neither side; gives its address."""
    folder.mkdir(parents=True, exist_ok=True)
    script, address = write_script(folder / "script.json", answer(chunks)), folder / "address"
    argv = [
        sys.executable,
        "-m",
        "tests.support.anthropic_server",
        "--script",
        str(script),
        "--port-file",
        str(address),
    ]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, cwd=REPO, env=environ(folder)) as process:
        assert process.stdin is not None
        while not address.exists():
            time.sleep(0.01)  # a program says that it is ready by writing this file; nothing is measured yet
        try:
            yield address.read_text()
        finally:
            process.stdin.close()


def answer(chunks: int) -> list[Step]:
    sentence = "Some words of an answer, the way models write them. "
    return [Step(text=(sentence * (PIECE * chunks // len(sentence) + 1))[: PIECE * chunks], pieces=PIECE)]


def slope(short: dict[str, float], long: dict[str, float]) -> dict[str, float]:
    """Microseconds for one chunk more."""
    per = {f"{name}_us": (long[name] - short[name]) / (LONG - SHORT) * 1e6 for name in ("wall", "cpu")}
    return {"first_ms": short["first_ms"]} | per


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0


def measure(times: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="kiro-lsp-bench-") as name:
        folder = Path(name)
        figures = starts(times, folder)
        progress = asyncio.run(to_progress(times, folder))
        figures["to_progress_ms"] = {"median": statistics.median(progress) * 1000, "worst": max(progress) * 1000}
        with provider(SHORT, folder / "short") as short, provider(LONG, folder / "long") as long:
            raw, ours = [], []
            warm: list[float] = []
            after: list[float] = []
            for number in range(max(2, times // 3)):
                raw.append(slope(raw_sdk(short), raw_sdk(long)))
                work = folder / str(number)
                least, *_ = asyncio.run(with_heartbeat(lambda beat, work=work: streamed(short, work / "s", beat)))
                most, first, later = asyncio.run(
                    with_heartbeat(lambda beat, work=work: streamed(long, work / "l", beat))
                )
                ours.append(slope(least, most))
                warm += first
                after += later
        figures["stream"] = {
            name: {
                "ours": statistics.median(row[name] for row in ours),
                "raw": statistics.median(row[name] for row in raw),
            }
            for name in ours[0]
        }
        figures["stalls_ms"] = {
            "warm_up": {"p99": p99(warm), "worst": max(warm, default=0), "over_50": sum(gap > 50 for gap in warm)},
            "after": {"p99": p99(after), "worst": max(after, default=0), "over_50": sum(gap > 50 for gap in after)},
        }
    return figures


def report(figures: dict[str, Any]) -> str:
    rows = ["| figure | ours | beside us | ratio | bound |", "|---|---:|---:|---:|---:|"]
    bounds = {"start_ms": "≤ 1.0", "idle_memory_mib": "≤ 1.5", "first_lens_ms": ""}
    for name, bound in bounds.items():
        pair = figures[name]
        rows.append(
            f"| {name} | {pair['ours']:.1f} | {pair['bare']:.1f} | {pair['ours'] / pair['bare']:.2f} | {bound} |"
        )
    for name, pair in figures["stream"].items():
        bound = "≤ 1.3" if name != "first_ms" else ""
        rows.append(
            f"| stream {name} | {pair['ours']:.1f} | {pair['raw']:.1f} | {pair['ours'] / pair['raw']:.2f} | {bound} |"
        )
    progress = figures["to_progress_ms"]
    rows.append(f"| command → progress, ms | {progress['median']:.1f} (worst {progress['worst']:.1f}) | | | < 100 |")
    for when, stalls in figures["stalls_ms"].items():
        rows.append(
            f"| loop stalls {when}, ms | p99 {stalls['p99']:.1f}, worst {stalls['worst']:.1f}, over 50: {stalls['over_50']} | | |"
            " p99 ≤ 20 |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=9, help="spawns of each server")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    figures = measure(args.times)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2), "utf-8")
    print(report(figures))


if __name__ == "__main__":
    main()
