"""Playing a recorded run: the same events and file changes every time, with no key and no network.

Used by the demo, for trying the review, and to reproduce a logged run. A file operation is checked against what the
project holds now: a recording that does not fit says so and stages nothing further. The format is in docs/run-files.md.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson

from kiro_lsp import events
from kiro_lsp.changes.model import ChangeSet, FileChange
from kiro_lsp.errors import ExecutorError
from kiro_lsp.events import Envelope
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, RunContext
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import AgentSettings

FORMAT: Final = 1
_LONGEST_PAUSE: Final = 5.0
_PLAYED: Final = (events.Chunk, events.Thought, events.Phase, events.Plan, events.Tool)
"""What a recording may say. Files come from its file operations, the rest from the engine."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a run file after the header: `at` seconds after the start, something happens."""

    at: float
    what: str
    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recording:
    steps: tuple[Step, ...]
    pace: float
    """1 plays in real time, 0 as fast as possible."""
    summary: str


class ReplayExecutor:
    def __init__(
        self, agent: AgentSettings, _workers: WorkerPool | None = None, _environ: Mapping[str, str] | None = None
    ) -> None:
        self._recording = agent.recording

    async def execute(self, _request: ExecutorRequest, run: RunContext) -> ExecutorResult:
        """Play the recording. Raises ExecutorError("edit") where it does not fit the files, ("agent") for a bad file."""
        recording = read(await asyncio.to_thread(self._text))
        changed: list[str] = []
        loop = asyncio.get_running_loop()
        started = loop.time()
        for step in recording.steps:
            wait = started + step.at * recording.pace - loop.time()
            if wait > 0:
                await asyncio.sleep(min(wait, _LONGEST_PAUSE))
            if step.what == "event":
                run.emit(_event(step.value))
            else:
                await _carry_out(step, run)
                changed.append(str(step.value["path"]))
        return ExecutorResult(
            True, changed_files=tuple(dict.fromkeys(changed)), stop_reason="end_turn", summary=recording.summary
        )

    def _text(self) -> str:
        try:
            if self._recording is not None:
                return Path(self._recording).read_text("utf-8")
            return resources.files(__package__).joinpath("recordings", "trial.run.jsonl").read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ExecutorError(
                "agent", f"The recording {self._recording} cannot be read: {error}", hint="Check agents.NAME.recording."
            ) from error


def read(text: str) -> Recording:
    """Parse a run file. Raises ExecutorError that names the line."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise ExecutorError("agent", "The recording is empty.", hint="A run file begins with a header line.")
    values = [(number, _object(number, line)) for number, line in lines]
    header = values[0][1]
    if header.get("kiroRun") != FORMAT:
        raise ExecutorError("agent", f"This is not a run file of format {FORMAT}: its first line has no kiroRun.")
    steps = tuple(_step(number, value) for number, value in values[1:])
    if any(later.at < earlier.at for earlier, later in pairwise(steps)):
        raise ExecutorError("agent", "The recording goes back in time: `at` must not fall.")
    return Recording(steps, float(header.get("pace", 1)), str(header.get("summary", "")))


def to_run_file(envelopes: Iterable[Envelope], changes: ChangeSet, *, pace: float = 1) -> str:
    """A run file that plays what a logged run said, and then makes its changes."""
    kept = list(envelopes)
    first = _seconds(kept[0].at) if kept else 0.0
    summary = next((item.event.summary for item in kept if isinstance(item.event, events.Complete)), "")
    rows: list[dict[str, Any]] = [{"kiroRun": FORMAT, "pace": pace, "summary": summary}]
    at = 0.0
    for item in kept:
        at = max(at, _seconds(item.at) - first)
        if isinstance(item.event, _PLAYED):
            type_, body = events.body_to_wire(item.event)
            rows.append({"at": round(at, 3), "event": {"type": type_} | body})
    rows += [{"at": round(at, 3)} | _operation(change) for change in changes.files]
    return "".join(orjson.dumps(row).decode() + "\n" for row in rows)


def _operation(change: FileChange) -> dict[str, Any]:
    base = None if change.base is None else hashlib.sha256(change.base).hexdigest()
    if change.proposed is None:
        return {"delete": {"path": change.path, "base": base}}
    try:
        content = {"text": change.proposed.decode("utf-8")}
    except UnicodeDecodeError:
        content = {"base64": base64.b64encode(change.proposed).decode()}
    return {"write": {"path": change.path, "base": base} | content}


def _object(number: int, line: str) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ExecutorError("agent", f"Line {number} of the recording is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ExecutorError("agent", f"Line {number} of the recording is not an object.")
    return value


_NEEDED: Final[Mapping[str, Sequence[str]]] = {
    "event": ("type",),
    "write": ("path",),
    "edit": ("path", "old", "new"),
    "delete": ("path",),
}


def _step(number: int, value: Mapping[str, Any]) -> Step:
    kinds = [kind for kind in _NEEDED if kind in value]
    if len(kinds) != 1 or not isinstance(value[kinds[0]], dict):
        raise ExecutorError("agent", f"Line {number} of the recording is none of {', '.join(_NEEDED)}.")
    body = value[kinds[0]]
    missing = [name for name in _NEEDED[kinds[0]] if name not in body]
    if missing:
        raise ExecutorError("agent", f"Line {number} of the recording lacks {', '.join(missing)}.")
    if kinds[0] == "event":
        try:
            _event(body)
        except (ValueError, TypeError) as error:
            raise ExecutorError("agent", f"Line {number} of the recording: {error}") from error
    return Step(float(value.get("at", 0)), kinds[0], body)


def _event(body: Mapping[str, Any]) -> events.RunEvent:
    event = events.event_from_wire(str(body["type"]), body)
    if not isinstance(event, _PLAYED):
        raise ValueError(f"a recording may not say {body['type']!r}")
    return event


async def _carry_out(step: Step, run: RunContext) -> None:
    value = step.value
    path = str(value["path"])
    current = await _content(run, path)
    if "base" in value:
        found = None if current is None else hashlib.sha256(current).hexdigest()
        if found != value["base"]:
            raise _does_not_fit(path, "it is not what the recorded run saw")
    if step.what == "delete":
        if current is None:
            raise _does_not_fit(path, "there is no such file")
        await run.delete(path)
    elif step.what == "edit":
        await run.write(path, _edited(path, current, str(value["old"]), str(value["new"])))
    else:
        data = base64.b64decode(value["base64"]) if "base64" in value else str(value.get("text", "")).encode("utf-8")
        await run.write(path, data)


def _edited(path: str, current: bytes | None, old: str, new: str) -> bytes:
    if current is None:
        raise _does_not_fit(path, "there is no such file")
    count = current.count(old.encode("utf-8"))
    if count != 1:
        raise _does_not_fit(path, f"the recorded text stands there {count} times")
    return current.replace(old.encode("utf-8"), new.encode("utf-8"))


async def _content(run: RunContext, path: str) -> bytes | None:
    try:
        return await run.read(path)
    except FileNotFoundError:
        return None


def _does_not_fit(path: str, why: str) -> ExecutorError:
    return ExecutorError(
        "edit", f"The recording does not fit {path}: {why}.", hint="It was made on another state of the project."
    )


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
