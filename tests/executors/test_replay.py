"""Recorded runs: played the same every time, checked against the files, made from logged runs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp import events
from kiro_lsp.changes.model import ChangeSet, FileChange
from kiro_lsp.errors import ExecutorError, PathRefused
from kiro_lsp.events import Envelope, RunEvent
from kiro_lsp.executors.local import LocalRun
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult
from kiro_lsp.executors.replay import ReplayExecutor, read, to_run_file
from kiro_lsp.settings import AgentSettings
from tests.conftest import REPO

HEADER = {"kiroRun": 1, "pace": 0, "summary": "Counted to two."}
ONE = {"edit": {"path": "src/number.py", "old": "1", "new": "2"}}
LINE = {"event": {"type": "chunk", "text": "I count."}}


def run_file(tmp_path: Path, *steps: Any, header: Any = HEADER) -> Path:
    path = tmp_path / "some.run.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (header, *steps)), "utf-8")
    return path


async def play(root: Path, recording: Path | None, run: LocalRun | None = None) -> tuple[LocalRun, ExecutorResult]:
    run = run or LocalRun(root)
    agent = AgentSettings("recorded", type="replay", recording=None if recording is None else str(recording))
    return run, await ReplayExecutor(agent).execute(ExecutorRequest(root_dir=root), run)


def staged(run: LocalRun) -> dict[str, bytes | None]:
    return {change.path: change.proposed for change in run.changes().files}


async def test_a_recording_says_and_does_what_it_holds(root: Path, tmp_path: Path) -> None:
    path = run_file(
        tmp_path,
        {"at": 0, "event": {"type": "phase", "phase": "thinking"}},
        {"at": 0.1, **LINE},
        {"at": 0.2, **ONE},
        {"at": 0.2, "write": {"path": "new.txt", "base": None, "text": "naïve\r\n"}},
        {"at": 0.3, "write": {"path": "bin", "base64": "AP8="}},
        {"at": 0.3, "delete": {"path": "README.md"}},
    )
    run, result = await play(root, path)
    assert result == ExecutorResult(
        True,
        changed_files=("src/number.py", "new.txt", "bin", "README.md"),
        stop_reason="end_turn",
        summary="Counted to two.",
    )
    assert staged(run) == {
        "src/number.py": b"NUMBER = 2\n",
        "new.txt": "naïve\r\n".encode(),
        "bin": b"\0\xff",
        "README.md": None,
    }
    assert run.events[:2] == [events.Phase("thinking"), events.Chunk("I count.")]
    assert (root / "src/number.py").read_text() == "NUMBER = 1\n"
    again, _ = await play(root, path)
    assert again.events == run.events


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"edit": {"path": "src/number.py", "old": "3", "new": "4"}}, "0 times"),
        ({"edit": {"path": "src/number.py", "old": "N", "new": "M"}}, None),
        ({"edit": {"path": "README.md", "old": "e", "new": "m"}}, "2 times"),
        ({"edit": {"path": "gone.py", "old": "n", "new": "m"}}, "no such file"),
        ({"delete": {"path": "gone.py"}}, "no such file"),
        ({"delete": {"path": "README.md", "base": "0" * 64}}, "not what the recorded run saw"),
        ({"write": {"path": "README.md", "base": None, "text": "x"}}, "there already"),
        ({"write": {"path": "gone.py", "base": "0" * 64, "text": "x"}}, "not what the recorded run saw"),
    ],
)
async def test_a_recording_that_does_not_fit_the_files_says_so_and_keeps_what_it_staged(
    root: Path, tmp_path: Path, step: dict[str, Any], says: str | None
) -> None:
    run = LocalRun(root)
    path = run_file(
        tmp_path, {"write": {"path": "first.txt", "text": "kept\n"}}, step, {"write": {"path": "z", "text": ""}}
    )
    if says is None:
        await play(root, path, run)
        return
    with pytest.raises(ExecutorError, match=says) as caught:
        await play(root, path, run)
    assert caught.value.kind == "edit"
    (body,) = step.values()
    assert body["path"] in caught.value.message
    assert staged(run) == {"first.txt": b"kept\n"}


async def test_a_recording_cannot_leave_the_root(root: Path, tmp_path: Path) -> None:
    with pytest.raises(PathRefused):
        await play(root, run_file(tmp_path, {"write": {"path": "../out.txt", "text": "x"}}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        ("{", "Line 1 .*not JSON"),
        ("[]", "Line 1 .*not an object"),
        ('{"kiroRun": 2}', "kiroRun"),
        ('{"pace": 1}', "kiroRun"),
        ('{"kiroRun": 1, "pace": 2}', "pace"),
        ('{"kiroRun": 1, "pace": -1}', "pace"),
        ('{"kiroRun": 1, "pace": "fast"}', "pace"),
        ('{"kiroRun": 1, "pace": true}', "pace"),
        ('{"kiroRun": 1}\n\n{"at": 1}', "Line 3 .*none"),
        ('{"kiroRun": 1}\n{"write": {"path": "a", "text": ""}, "delete": {"path": "a"}}', "Line 2 .*several"),
        ('{"kiroRun": 1}\n{"write": "a"}', "Line 2"),
        ('{"kiroRun": 1}\n{"write": {"path": "a"}}', "Line 2.*text or base64"),
        ('{"kiroRun": 1}\n{"write": {"path": 7, "text": ""}}', "Line 2.*path"),
        ('{"kiroRun": 1}\n{"write": {"path": "a", "base64": "!"}}', "Line 2.*base64"),
        ('{"kiroRun": 1}\n{"write": {"path": "a", "text": "", "base": 3}}', "Line 2.*base"),
        ('{"kiroRun": 1}\n{"edit": {"path": "a", "old": "", "new": "x"}}', "Line 2.*old is empty"),
        ('{"kiroRun": 1}\n{"edit": {"path": "a", "old": "x"}}', "Line 2.*new"),
        ('{"kiroRun": 1}\n{"event": {"type": "applause"}}', "Line 2.*applause"),
        ('{"kiroRun": 1}\n{"event": {"type": "complete", "filesChanged": []}}', "Line 2"),
        ('{"kiroRun": 1}\n{"event": {"type": "state", "from": "queued", "to": "applied"}}', "Line 2.*state"),
        ('{"kiroRun": 1}\n{"event": {"type": "chunk"}}', "Line 2"),
        ('{"kiroRun": 1}\n{"event": {"type": "chunk", "text": 5}}', "Line 2.*text"),
        ('{"kiroRun": 1}\n{"event": {"type": "plan", "entries": [7]}}', "Line 2"),
        ('{"kiroRun": 1}\n{"at": -1, "event": {"type": "chunk", "text": ""}}', "Line 2.*at"),
        ('{"kiroRun": 1}\n{"at": null, "event": {"type": "chunk", "text": ""}}', "Line 2.*at"),
        (
            '{"kiroRun": 1}\n{"at": 2, "event": {"type": "chunk", "text": ""}}\n'
            '{"at": 1, "event": {"type": "chunk", "text": ""}}',
            "Line 3.*back in time",
        ),
    ],
)
def test_a_bad_run_file_is_named_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ExecutorError, match=says) as caught:
        read(text)
    assert caught.value.kind == "agent"
    assert "docs/run-files.md" in caught.value.hint


NAMES = ["at", "event", "write", "edit", "delete", "path", "type", "text", "old", "new", "base", "entries", "x"]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(JSON, max_size=4))
def test_any_json_is_either_a_run_file_or_a_named_error(steps: list[Any]) -> None:
    text = "\n".join(json.dumps(row) for row in (HEADER, *steps))
    try:
        understood = len(read(text).steps)
    except ExecutorError:
        understood = len(steps)
    assert understood == len(steps)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
async def test_a_recording_that_cannot_be_read_is_named(root: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "odd.run.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExecutorError, match=r"odd\.run\.jsonl cannot be read"):
        await play(root, path)


async def test_a_replay_is_cancelled_in_the_middle_of_a_pause(root: Path, tmp_path: Path) -> None:
    run = LocalRun(root)
    steps = [{"at": 0, **LINE}, {"at": 0, **ONE}, {"at": 4, "write": {"path": "late.txt", "text": "x"}}]
    path = run_file(tmp_path, *steps, header=HEADER | {"pace": 1})
    playing = asyncio.create_task(play(root, path, run))
    while not staged(run):
        await asyncio.sleep(0)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert staged(run) == {"src/number.py": b"NUMBER = 2\n"}


async def test_a_trial_without_a_recording_stages_one_file_and_says_that_it_is_recorded(root: Path) -> None:
    run = LocalRun(root)
    agent = AgentSettings("recorded", type="replay")
    result = await ReplayExecutor(agent, pace=0).execute(ExecutorRequest(root_dir=root), run)
    assert result.success
    assert list(staged(run)) == ["KIRO-LSP-TRIAL.md"]
    assert "RECORDED" in "".join(event.text for event in run.events if isinstance(event, events.Chunk))


def logged(*happened: RunEvent) -> list[Envelope]:
    return [
        Envelope("r1", number, f"2026-11-21T10:00:{number:02d}.500Z", event)
        for number, event in enumerate(happened, start=1)
    ]


async def test_a_logged_run_becomes_a_recording_that_ends_with_the_same_files(root: Path, tmp_path: Path) -> None:
    original = LocalRun(root)
    await original.write("src/number.py", b"NUMBER = 3\n")
    await original.write("data.bin", b"\0\xff\r\n")
    await original.write("empty.txt", b"")
    await original.delete("README.md")
    envelopes = logged(
        events.Start("claude", "api", "m", "1", "chosen by you"),
        events.State("queued", "running"),
        events.Phase("editing", "src/number.py"),
        events.File("modify", "src/number.py"),
        events.Chunk("counting"),
        events.Tool("t1", "edit", "Edit src/number.py", "completed", "src/number.py"),
        events.File("modify", "src/number.py"),
        events.File("create", "staged-and-dropped.txt"),
        events.Thought("and the rest"),
        events.Plan((events.PlanEntry("count", "completed"),)),
        events.UsageReport(1, 1, 0, "0.1", "metered"),
        events.Complete(("src/number.py",), 0, 1, 0, 0, "Counted."),
    )
    text = to_run_file(envelopes, original.changes(), pace=0)
    path = tmp_path / "made.run.jsonl"
    path.write_text(text, "utf-8")
    run, result = await play(root, path)
    assert staged(run) == staged(original)
    assert result.summary == "Counted."
    assert [type(event) for event in run.events if not isinstance(event, events.File)] == [
        events.Phase,
        events.Chunk,
        events.Tool,
        events.Thought,
        events.Plan,
    ]
    rows = [json.loads(line) for line in text.splitlines()[1:]]
    kinds = [name for row in rows for name in row if name != "at"]
    assert kinds == ["event", "event", "event", "write", "event", "event", "delete", "write", "write"]
    assert [step.at for step in read(text).steps] == sorted(step.at for step in read(text).steps)


def test_a_rename_becomes_a_deletion_and_a_new_file() -> None:
    change = FileChange("old.py", "rename", b"a\n", b"b\n", 0o644, 0o644, "new.py")
    rows = [json.loads(line) for line in to_run_file([], ChangeSet((change,))).splitlines()[1:]]
    assert [(list(row)[1], next(iter([*row.values()][1:]))["path"]) for row in rows] == [
        ("delete", "old.py"),
        ("write", "new.py"),
    ]
    assert rows[1]["write"]["base"] is None
    moved = replace(change, proposed=None, to=None, action="delete")
    assert len(to_run_file([], ChangeSet((moved,))).splitlines()) == 2


@pytest.mark.parametrize("path", sorted((REPO / "kiro_lsp").rglob("*.run.jsonl")), ids=lambda path: path.name)
def test_the_recordings_that_ship_are_valid(path: Path) -> None:
    recording = read(path.read_text("utf-8"))
    assert recording.steps
    assert recording.summary
