"""The tick: one mark of the right task in the current text, or nothing at all."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiro_lsp.engine.apply import Applier
from kiro_lsp.spec import tasks
from kiro_lsp.spec.model import TaskStatus
from kiro_lsp.store import Store
from tests.support.documents import Documents, Way
from tests.support.project import TASK_FILE, TASKS, File, anchor, everything, lay_out, record_run, review_of
from tests.support.tree import snapshot

FILES = {"a.txt": File(b"1\n", b"2\n")}
TICKED = TASKS.replace("- [ ] 1.", "- [x] 1.")


def prepare(root: Path, store: Store, text: str = TASKS) -> Path:
    lay_out(root, FILES, text)
    record_run(store, root, FILES)
    return root / TASK_FILE


def changed_bytes(before: bytes, after: bytes) -> int:
    """How many bytes differ, for contents of one length."""
    assert len(before) == len(after)
    return sum(left != right for left, right in zip(before, after, strict=True))


async def test_exactly_one_byte_of_the_file_changes(root: Path, store: Store) -> None:
    file = prepare(root, store)
    file.chmod(0o640)
    outcome = await Applier(store, root, Documents()).tick("run-1", TASK_FILE, anchor(), "done")
    assert outcome.ticked
    assert file.read_bytes() == TICKED.encode()
    assert changed_bytes(TASKS.encode(), file.read_bytes()) == 1
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(file.parent) == ["tasks.md"]


async def test_marks_line_ends_and_a_missing_last_one_stay(root: Path, store: Store) -> None:
    text = "\ufeff# T\r\n- [ ] 1. a\r- [ ] 2. b\n- [] 3. c"
    file = prepare(root, store, text)
    applier = Applier(store, root, Documents())
    assert (await applier.tick("run-1", TASK_FILE, anchor("2", text), "done")).ticked
    assert file.read_bytes() == text.replace("[ ] 2.", "[x] 2.").encode()
    assert (await applier.tick("run-1", TASK_FILE, anchor("3", text), "done")).ticked
    assert file.read_bytes() == text.replace("[ ] 2.", "[x] 2.").replace("[]", "[x]").encode()


async def test_an_open_document_is_ticked_in_the_editor(root: Path, store: Store) -> None:
    file = prepare(root, store)
    editor = Documents({file: TASKS})
    assert (await Applier(store, root, editor).tick("run-1", TASK_FILE, anchor(), "done")).ticked
    assert editor.texts[file] == TICKED
    assert file.read_bytes() == TASKS.encode()


TWICE = "# Plan\n\n" + "- [ ] 2. Second task ✅\n- [ ] 1. First task\n" * 2 + "- [ ] 2. Second task ✅\n"

EDITED: dict[str, tuple[str, str | None]] = {
    "a line above": ("intro\r\n" + TASKS, "intro\r\n" + TICKED),
    "moved down": (
        "# Plan\n\n- [ ] 2. Second task\n- [x] 3. Third task\n- [ ] 1. First task\n",
        "# Plan\n\n- [ ] 2. Second task\n- [x] 3. Third task\n- [x] 1. First task\n",
    ),
    "gone": ("# Plan\n\n- [ ] 2. Second task\n", None),
    "empty": ("", None),
    "twice": (TWICE, None),
    "in a fence": ("# Plan\n\n```\n- [ ] 1. First task\n```\n", None),
    "ticked already": (TICKED, None),
}


@pytest.mark.parametrize("is_open", [False, True], ids=["on disk", "in the editor"])
@pytest.mark.parametrize("name", EDITED)
async def test_in_an_edited_file_the_right_box_is_found_or_none(
    root: Path, store: Store, name: str, is_open: bool
) -> None:
    text, wanted = EDITED[name]
    file = prepare(root, store)
    editor = Documents({file: text} if is_open else {})
    if not is_open:
        file.write_bytes(text.encode())
    before = snapshot(root)
    outcome = await Applier(store, root, editor).tick("run-1", TASK_FILE, anchor(), "done")
    after = editor.texts[file].encode() if is_open else file.read_bytes()
    assert after == (text if wanted is None else wanted).encode()
    assert outcome.ticked is (wanted is not None)
    if wanted is None:
        assert snapshot(root) == before
        assert (outcome.problem is None) is (name == "ticked already")


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "binary", "utf-16", "read-only"])
async def test_a_file_that_cannot_be_written_is_a_problem_and_stays(root: Path, store: Store, kind: str) -> None:
    file = prepare(root, store)
    match kind:
        case "missing":
            file.unlink()
        case "folder":
            file.unlink()
            file.mkdir()
        case "link":
            file.rename(root / "real.md")
            file.symlink_to(root / "real.md")
        case "binary":
            file.write_bytes(b"- [ ] 1. First task\n\0")
        case "utf-16":
            file.write_bytes(TASKS.encode("utf-16"))
        case "read-only":
            file.chmod(0o444)
    before = snapshot(root)
    outcome = await Applier(store, root, Documents()).tick("run-1", TASK_FILE, anchor(), "done")
    assert not outcome.ticked
    assert outcome.problem is not None
    assert outcome.problem.message
    assert snapshot(root) == before


async def test_a_status_is_written_only_from_the_one_that_is_expected(root: Path, store: Store) -> None:
    file = prepare(root, store)
    applier = Applier(store, root, Documents())
    outcome = await applier.tick("run-1", TASK_FILE, anchor(), "open", only_from="in-progress")
    assert (outcome.ticked, outcome.problem) == (False, None)
    assert (await applier.tick("run-1", TASK_FILE, anchor(), "in-progress")).ticked
    assert (await applier.tick("run-1", TASK_FILE, anchor(), "open", only_from="in-progress")).ticked
    assert file.read_bytes() == TASKS.encode()


@pytest.mark.parametrize("way", ["refuses", "lies", "gone before"])
async def test_an_editor_that_does_not_tick_is_said_so(root: Path, store: Store, way: Way) -> None:
    file = prepare(root, store)
    editor = Documents({file: TASKS}, ways=[way])
    outcome = await Applier(store, root, editor).tick("run-1", TASK_FILE, anchor(), "done")
    assert not outcome.ticked
    assert outcome.problem is not None
    assert editor.texts[file] == TASKS


@pytest.mark.parametrize("ways", [["stale", "honest"], ["typed meanwhile"], ["stale", "stale", "typed meanwhile"]])
async def test_what_a_person_types_at_that_moment_stays_and_the_box_is_ticked(
    root: Path, store: Store, ways: list[Way]
) -> None:
    file = prepare(root, store)
    typed = "- [ ] 4. typed\r\n"
    times = len([way for way in ways if way != "honest"])
    editor = Documents({file: TASKS + "\r\n"}, ways=list(ways), typed=typed)
    assert (await Applier(store, root, editor).tick("run-1", TASK_FILE, anchor(), "done")).ticked
    assert editor.texts[file] == TICKED + "\r\n" + typed * times


async def test_ticks_at_the_same_moment_are_all_written(root: Path, store: Store) -> None:
    text = "".join(f"- [ ] {n}. Task number {n}\n" for n in range(1, 9))
    file = prepare(root, store, text)
    applier = Applier(store, root, Documents())
    done = await asyncio.gather(*(applier.tick("run-1", TASK_FILE, anchor(str(n), text), "done") for n in range(1, 9)))
    assert all(outcome.ticked for outcome in done)
    assert file.read_text() == text.replace("[ ]", "[x]")


async def test_a_mark_without_a_run_is_written_and_recorded_nowhere(root: Path, store: Store) -> None:
    file = prepare(root, store)
    assert (await Applier(store, root, Documents()).tick(None, TASK_FILE, anchor(), "done")).ticked
    assert file.read_bytes() == TICKED.encode()
    assert store.journals() == []
    assert os.listdir(file.parent) == ["tasks.md"]


# Undoing


async def test_an_undo_takes_the_tick_back_with_the_files(root: Path, store: Store) -> None:
    prepare(root, store)
    before = snapshot(root, times=False)
    applier = Applier(store, root, Documents())
    await applier.tick("run-1", TASK_FILE, anchor(), "in-progress")
    await applier.accept("run-1", everything(review_of(store)))
    await applier.tick("run-1", TASK_FILE, anchor(), "done")
    outcome = await applier.undo("run-1")
    assert outcome.state == "verified"
    assert outcome.files == (TASK_FILE, "a.txt")
    assert snapshot(root, times=False) == before


@pytest.mark.parametrize("verb", ["undo", "restore"])
@pytest.mark.parametrize("is_open", [False, True], ids=["on disk", "in the editor"])
async def test_in_an_edited_task_file_only_the_mark_goes_back(
    root: Path, store: Store, verb: str, is_open: bool
) -> None:
    file = prepare(root, store)
    editor = Documents({file: TASKS} if is_open else {})
    applier = Applier(store, root, editor)
    await applier.accept("run-1", everything(review_of(store)))
    await applier.tick("run-1", TASK_FILE, anchor(), "done")
    edited = "Written later.\r\n" + TICKED.replace("[ ] 2.", "[x] 2.")
    if is_open:
        editor.texts[file] = edited
    else:
        file.write_bytes(edited.encode())
    outcome = await (applier.undo("run-1") if verb == "undo" else applier.restore("run-1"))
    assert outcome.state == "verified"
    text = editor.texts[file] if is_open else file.read_bytes().decode()
    assert text == edited.replace("[x] 1.", "[ ] 1.")
    assert (root / "a.txt").read_bytes() == b"1\n"


@pytest.mark.parametrize("text", ["", TASKS.replace("[ ] 1.", "[-] 1."), TWICE.replace("[ ] 1.", "[x] 1.")])
async def test_a_box_that_is_not_ours_any_more_stays_and_the_files_go_back(root: Path, store: Store, text: str) -> None:
    file = prepare(root, store)
    applier = Applier(store, root, Documents())
    await applier.accept("run-1", everything(review_of(store)))
    await applier.tick("run-1", TASK_FILE, anchor(), "done")
    file.write_bytes(text.encode())
    outcome = await applier.undo("run-1")
    assert outcome.state == "verified"
    assert "stays as it is" in outcome.message
    assert file.read_bytes() == text.encode()
    assert (root / "a.txt").read_bytes() == b"1\n"


# Any file, any edit


TITLES = ("First task", "Second task", "Same words", "Same words", "Umlaut ä 😀", "`code` and **bold**")


@st.composite
def task_files(draw: st.DrawFn) -> str:
    rows = []
    for number, title in enumerate(draw(st.lists(st.sampled_from(TITLES), min_size=1, max_size=8)), 1):
        bullet = draw(st.sampled_from(["-", "*", "+"]))
        mark = draw(st.sampled_from(["[ ]", "[x]", "[]", "[X]", "[-]"]))
        name = draw(st.sampled_from([f"{number}. ", f"{number}.1 ", "", "T001 "]))
        end = draw(st.sampled_from(["\n", "\r\n"]))
        rows.append(f"{bullet} {mark} {name}{title}{end}")
        if draw(st.integers(0, 4)) == 0:
            rows.append(
                draw(st.sampled_from(["```\n- [ ] 9. fenced\n```\n", "\n## Heading\n\n", "<!-- - [ ] 8. -->\n"]))
            )
    return draw(st.sampled_from(["", "\ufeff"])) + "".join(rows)


@given(text=task_files(), chance=st.randoms(use_true_random=False), status=st.sampled_from(["done", "open"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_was_edited_a_tick_writes_one_mark_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, text: str, chance: random.Random, status: TaskStatus
) -> None:
    root = tmp_path_factory.mktemp("project")
    store = Store.open(root / ".state")
    try:
        found = tasks.parse(text, TASK_FILE)
        if not found.tasks:
            return
        task = chance.choice(found.tasks)
        rows = text.splitlines(keepends=True)
        match chance.choice(["nothing", "insert", "delete", "duplicate", "shuffle"]):
            case "insert":
                rows.insert(chance.randrange(len(rows) + 1), "- [ ] 77. inserted\n")
            case "delete":
                del rows[chance.randrange(len(rows))]
            case "duplicate":
                rows.append(chance.choice(rows).removeprefix("\ufeff"))  # in the middle of a file it is a letter
            case "shuffle":
                chance.shuffle(rows)
        edited = "".join(rows)
        file = root / "tasks.md"
        file.write_bytes(edited.encode())
        outcome = await Applier(store, root, Documents()).tick(None, "tasks.md", tasks.anchor_of(found, task), status)
        after = file.read_bytes()
        if not outcome.ticked:
            assert after == edited.encode()
            return
        before_marks = [other.mark for other in tasks.parse(edited, "tasks.md").tasks]
        after_tasks = tasks.parse(after.decode("utf-8-sig"), "tasks.md").tasks
        changed = [number for number, other in enumerate(after_tasks) if other.mark != before_marks[number]]
        assert len(changed) == 1
        assert after_tasks[changed[0]].title == task.title
        assert after_tasks[changed[0]].status == status
        assert len(after) - len(edited.encode()) in (0, 1)
    finally:
        store.close()
