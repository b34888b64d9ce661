"""Playing a recorded run: the same events and file changes every time, with no key and no network.

Used by the demo, for trying the review, and to reproduce a logged run. A file operation is checked against what the
project holds now: a recording that does not fit says so and stages nothing further. The format is in docs/run-files.md.
It runs no command, asks nobody, and never says what the engine says about a run (its start, its cost, its end).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
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
_LARGEST: Final = 64 * 1024 * 1024
_PLAYED: Final = (events.Chunk, events.Thought, events.Phase, events.Plan, events.Tool)
"""What a recording may say. Files come from its file operations, the rest from the engine."""


@dataclass(frozen=True, slots=True)
class Said:
    """An event of the recorded agent."""

    event: events.RunEvent


@dataclass(frozen=True, slots=True)
class Written:
    """A whole file."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Edited:
    """An exact replacement of text that stands in the file once."""

    path: str
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class Deleted:
    path: str


Action = Said | Written | Edited | Deleted
ANY: Final = ""
"""As a `base`: the recording does not say what the file held."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a run file after the header: `at` seconds after the start, something happens."""

    at: float
    action: Action
    base: str | None = ANY
    """sha256 of what the recorded run found in the file, None for no file."""


@dataclass(frozen=True, slots=True)
class Recording:
    steps: tuple[Step, ...]
    pace: float
    """1 plays in real time, 0 as fast as possible."""
    summary: str


class ReplayExecutor:
    """`pace` overrides what the recording says."""

    def __init__(
        self,
        agent: AgentSettings,
        _workers: WorkerPool | None = None,
        _environ: Mapping[str, str] | None = None,
        *,
        pace: float | None = None,
    ) -> None:
        self._recording = agent.recording
        self._pace = pace

    async def execute(self, request: ExecutorRequest, run: RunContext) -> ExecutorResult:
        """Play the recording. Raises ExecutorError("edit") where it does not fit the files, ("agent") for a bad file."""
        agent = request.agent
        chosen = agent.recording if agent is not None and agent.recording is not None else self._recording
        recording = await asyncio.to_thread(_load, chosen)
        pace = recording.pace if self._pace is None else self._pace
        changed: dict[str, None] = {}
        loop = asyncio.get_running_loop()
        started = loop.time()
        for step in recording.steps:
            wait = started + step.at * pace - loop.time()
            if wait > _LONGEST_PAUSE:
                started -= wait - _LONGEST_PAUSE  # whatever the person was waited for then, nobody waits for now
            await asyncio.sleep(max(min(wait, _LONGEST_PAUSE), 0))
            if isinstance(step.action, Said):
                run.emit(step.action.event)
            else:
                await _carry_out(step.action, step.base, run)
                changed[step.action.path] = None
        return ExecutorResult(True, changed_files=tuple(changed), stop_reason="end_turn", summary=recording.summary)


def read(text: str) -> Recording:
    """Parse a run file. Raises ExecutorError that names the line."""
    numbered = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not numbered:
        raise _bad("The recording is empty.")
    values = [(number, _object(number, line)) for number, line in numbered]
    header = values[0][1]
    if header.get("kiroRun") != FORMAT:
        raise _bad(f"This is not a run file of format {FORMAT}: its first line has no kiroRun = {FORMAT}.")
    pace = header.get("pace", 1)
    if not _is_number(pace) or not 0 <= pace <= 1:
        raise _bad("pace must be a number from 0 (as fast as possible) to 1 (as it was).")
    steps = tuple(_step(number, value) for number, value in values[1:])
    for (number, _), earlier, later in zip(values[2:], steps, steps[1:], strict=False):
        if later.at < earlier.at:
            raise _bad(f"Line {number} of the recording goes back in time: `at` must not fall.")
    return Recording(steps, float(pace), str(header.get("summary", "")))


def to_run_file(envelopes: Iterable[Envelope], changes: ChangeSet, *, pace: float = 1) -> str:
    """A run file that plays what a logged run said and makes its changes, each where the run last touched the file."""
    kept = list(envelopes)
    first = _seconds(kept[0].at) if kept else 0.0
    summary = next((item.event.summary for item in kept if isinstance(item.event, events.Complete)), "")
    last_touched = {item.event.path: place for place, item in enumerate(kept) if isinstance(item.event, events.File)}
    operations = {change.path: list(_operations(change)) for change in changes.files}
    rows: list[dict[str, Any]] = [{"kiroRun": FORMAT, "pace": pace, "summary": summary}]
    at = 0.0
    for place, item in enumerate(kept):
        at = max(at, round(_seconds(item.at) - first, 3))
        if isinstance(item.event, _PLAYED):
            type_, body = events.body_to_wire(item.event)
            rows.append({"at": at, "event": {"type": type_} | body})
        elif isinstance(item.event, events.File) and last_touched[item.event.path] == place:
            rows += [{"at": at} | operation for operation in operations.pop(item.event.path, ())]
    rows += [{"at": at} | operation for rest in operations.values() for operation in rest]
    return "".join(orjson.dumps(row).decode() + "\n" for row in rows)


def _operations(change: FileChange) -> Iterator[dict[str, Any]]:
    base = None if change.base is None else hashlib.sha256(change.base).hexdigest()
    if change.to is not None or change.proposed is None:
        yield {"delete": {"path": change.path, "base": base}}
    if change.proposed is not None:
        moved = change.to is not None and change.to != change.path
        where = {"path": change.to or change.path, "base": None if moved else base}
        try:
            yield {"write": {**where, "text": change.proposed.decode("utf-8")}}
        except UnicodeDecodeError:
            yield {"write": {**where, "base64": base64.b64encode(change.proposed).decode()}}


def _load(recording: str | None) -> Recording:
    try:
        if recording is None:
            text = resources.files(__package__).joinpath("recordings", "trial.run.jsonl").read_text("utf-8")
        else:
            path = Path(recording).expanduser()
            if path.stat().st_size > _LARGEST:
                raise _bad(f"The recording {recording} is larger than {_LARGEST // 1024 // 1024} MiB.")
            text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise _bad(f"The recording {recording} cannot be read: {error}.") from error
    return read(text)


def _object(number: int, line: str) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _bad(f"Line {number} of the recording is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise _bad(f"Line {number} of the recording is not an object.")
    return value


_NEEDED: Final[Mapping[str, Sequence[str]]] = {
    "event": ("type",),
    "write": ("path",),
    "edit": ("path", "old", "new"),
    "delete": ("path",),
}


def _step(number: int, value: Mapping[str, Any]) -> Step:
    where = f"Line {number} of the recording"
    at = value.get("at", 0)
    if not _is_number(at) or at < 0:
        raise _bad(f"{where}: at must be seconds since the start.")
    kinds = [kind for kind in _NEEDED if kind in value]
    if len(kinds) != 1 or not isinstance(value[kinds[0]], dict):
        raise _bad(f"{where} is none, or several, of {', '.join(_NEEDED)}.")
    kind, body = kinds[0], value[kinds[0]]
    wrong = [name for name in _NEEDED[kind] if not isinstance(body.get(name), str)]
    if wrong:
        raise _bad(f"{where}: {kind} lacks the text {' and '.join(wrong)}.")
    base = body.get("base", ANY)
    if base is not None and not isinstance(base, str):
        raise _bad(f"{where}: base is neither a sha256 nor null.")
    try:
        return Step(float(at), _action(kind, body), base)
    except (ValueError, TypeError, KeyError) as error:
        raise _bad(f"{where}: {error}.") from error


def _action(kind: str, body: Mapping[str, Any]) -> Action:
    if kind == "event":
        event = events.event_from_wire(body["type"], body)
        if not isinstance(event, _PLAYED):
            raise ValueError(f"a recording may not say {body['type']!r}")
        _check_texts(event)
        return Said(event)
    path = str(body["path"])
    if kind == "delete":
        return Deleted(path)
    if kind == "edit":
        if not body["old"]:
            raise ValueError("old is empty; use write for a new file")
        return Edited(path, body["old"].encode("utf-8"), body["new"].encode("utf-8"))
    if isinstance(body.get("text"), str):
        return Written(path, body["text"].encode("utf-8"))
    if isinstance(body.get("base64"), str):
        try:
            return Written(path, base64.b64decode(body["base64"], validate=True))
        except binascii.Error as error:
            raise ValueError(f"base64: {error}") from error
    raise ValueError("write lacks text or base64")


def _check_texts(event: events.RunEvent) -> None:
    """The members of an event are texts, or absent; a plan has entries."""
    _type, body = events.body_to_wire(event)
    for name, value in body.items():
        if not (value is None or isinstance(value, str) or (name == "entries" and isinstance(value, list))):
            raise ValueError(f"{name} is not a text")


async def _carry_out(action: Written | Edited | Deleted, base: str | None, run: RunContext) -> None:
    path = action.path
    try:
        current: bytes | None = await run.read(path)
    except FileNotFoundError:
        current = None
    if base != ANY and (None if current is None else hashlib.sha256(current).hexdigest()) != base:
        raise _does_not_fit(path, "it is not what the recorded run saw" if base else "it is there already")
    if isinstance(action, Written):
        await run.write(path, action.data)
        return
    if current is None:
        raise _does_not_fit(path, "there is no such file")
    if isinstance(action, Deleted):
        await run.delete(path)
        return
    count = current.count(action.old)
    if count != 1:
        raise _does_not_fit(path, f"the recorded text stands there {count} times")
    await run.write(path, current.replace(action.old, action.new))


def _bad(message: str) -> ExecutorError:
    return ExecutorError(
        "agent", message, hint="Check the file that `recording` of the agent names (docs/run-files.md)."
    )


def _does_not_fit(path: str, why: str) -> ExecutorError:
    return ExecutorError(
        "edit",
        f"The recording does not fit {path}: {why}.",
        hint="It was made on another state of the project. What it staged until then can be reviewed.",
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
