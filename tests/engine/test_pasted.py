"""The files of a project as an answer is read against them, and the run that is made of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kiro_lsp.changes.edits.answer import Failure, Outcome
from kiro_lsp.changes.model import FileChange
from kiro_lsp.engine import followup, pasted
from kiro_lsp.engine.engine import Engine
from kiro_lsp.errors import RunRefused
from kiro_lsp.store import Store


@pytest.fixture(name="root")
def root_fixture(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for path, text in {"a.py": "a\n", "src/b.py": "b\n", "build/c.py": "c\n", ".gitignore": "build/\n"}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    (tmp_path / "secret.txt").write_text("secret\n", "utf-8")
    (root / "out.txt").symlink_to("../secret.txt")
    (root / "link.py").symlink_to("a.py")
    return root


def check(root: Path, name: str, data: bytes | None, trouble: str = "") -> None:
    files = pasted.ProjectFiles(root)
    assert files.get(name) == data
    assert (name in files) is (data is not None)
    assert trouble in files.trouble.get(name, "")
    assert bool(trouble) is (name in files.trouble)


def test_a_file_is_found_by_every_spelling_that_stays_inside(root: Path) -> None:
    check(root, "a.py", b"a\n")
    check(root, "./src/../a.py", b"a\n")
    check(root, str(root / "src/b.py"), b"b\n")
    check(root, "link.py", b"a\n")
    check(root, "build/c.py", b"c\n")
    check(root, "none.py", None)
    check(root, "out.txt", None, "leads out of the project")
    check(root, "../secret.txt", None, "leaves the project")
    check(root, ".git/config", None, "belongs to git")
    check(root, "src", None, "is a folder")
    check(root, "", None, "not a file")


def test_the_listing_has_what_is_not_ignored_and_what_is_open(root: Path) -> None:
    assert list(pasted.ProjectFiles(root)) == [".gitignore", "a.py", "link.py", "src/b.py"]
    opened = pasted.ProjectFiles(root, {"new.py": b"new\n", "a.py": b"typed\n"}.get, lambda: ["new.py", "a.py"])
    assert list(opened) == [".gitignore", "a.py", "link.py", "new.py", "src/b.py"]
    assert (opened["a.py"], opened["new.py"], opened["link.py"]) == (b"typed\n", b"new\n", b"typed\n")


def test_a_file_is_the_same_however_often_it_is_asked_for(root: Path) -> None:
    files = pasted.ProjectFiles(root)
    assert files["a.py"] == b"a\n"
    (root / "a.py").write_text("changed meanwhile\n", "utf-8")
    assert files["./a.py"] == b"a\n"


GIT = {
    "delete": "diff --git a/{0} b/{0}\ndeleted file mode 100644\n--- a/{0}\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
    "rename": "diff --git a/{0} b/new.py\nsimilarity index 100%\nrename from {0}\nrename to new.py\n",
    "onto a link out": "diff --git a/{0} b/out.txt\nsimilarity index 100%\nrename from {0}\nrename to out.txt\n",
    "into a file": "diff --git a/{0} b/src/b.py/x\nsimilarity index 100%\nrename from {0}\nrename to src/b.py/x\n",
    "copy into git": "diff --git a/{0} b/.git/x\nsimilarity index 100%\ncopy from {0}\ncopy to .git/x\n",
    "mode": "diff --git a/{0} b/{0}\nold mode 100644\nnew mode 100755\n",
}


@pytest.mark.parametrize("name", ["delete", "rename", "mode"])
def test_a_file_changes_its_name_its_mode_or_goes(root: Path, name: str) -> None:
    outcome = pasted.read(GIT[name].format("a.py"), pasted.ProjectFiles(root))
    assert outcome.ok, outcome.failures
    (change,) = outcome.changes
    assert (change.path, change.to) == ("a.py", "new.py" if name == "rename" else None)
    assert change.proposed == (None if name == "delete" else b"a\n")
    assert (change.base_mode, change.mode) == (0o644, {"mode": 0o755, "rename": 0o644, "delete": None}[name])


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("delete", "link.py", "symbolic link"),
        ("rename", "link.py", "symbolic link"),
        ("onto a link out", "a.py", "leads out of the project"),
        ("copy into git", "a.py", "git"),
        ("delete", "out.txt", "leads out of the project"),
        ("mode", "src", "is a folder"),
    ],
)
def test_what_is_not_to_be_touched_is_a_failure_with_its_reason(root: Path, name: str, path: str, words: str) -> None:
    outcome = pasted.read(GIT[name].format(path), pasted.ProjectFiles(root))
    assert outcome.changes == ()
    assert words in " ".join(failure.hint for failure in outcome.failures)
    assert {failure.reason for failure in outcome.failures} == {"path"}


def test_an_absolute_name_in_the_project_is_as_good_as_a_relative_one(root: Path) -> None:
    diff = f"--- {root}/a.py\n+++ {root}/a.py\n@@ -1 +1 @@\n-a\n+A\n"
    outcome = pasted.read(diff, pasted.ProjectFiles(root))
    assert [change.path for change in outcome.changes] == ["a.py"], outcome.failures


@pytest.fixture(name="engine")
async def engine_fixture(tmp_path: Path) -> AsyncIterator[Engine]:
    store = Store.open(tmp_path / "state")
    async with Engine(store, face="test", environ=dict(os.environ)) as engine:
        yield engine
    store.close()


def change(path: str, before: bytes | None, after: bytes | None) -> FileChange:
    action = "create" if before is None else "delete" if after is None else "modify"
    return FileChange(path, action, before, after, None if before is None else 0o644, None if after is None else 0o644)  # type: ignore[arg-type]


async def test_a_run_of_an_answer_is_told_like_every_run(root: Path, engine: Engine) -> None:
    outcome = Outcome("udiff", (change("new.py", None, b"x\n"), change("a.py", b"a\n", b"A\n")))
    follower = engine.follow(None)
    run_id = await pasted.record(engine, root, outcome)
    told = [(await anext(follower)).type for _ in range(5)]
    assert told == ["start", "state", "review", "phase", "complete"]
    assert told == [envelope.type for envelope in engine.store.events(run_id)]
    record = engine.store.run(run_id)
    assert (record.state, record.files, record.cost) == ("review", 2, "0")
    assert record.ended_at
    assert engine.live(root) == []  # no task shows it
    with pytest.raises(RunRefused):
        await followup.retry(engine, run_id)
    assert (root / "a.py").read_text("utf-8") == "a\n"


async def test_several_answers_wait_for_review_side_by_side(root: Path, engine: Engine) -> None:
    outcome = Outcome("udiff", (change("a.py", b"a\n", b"A\n"),))
    one, other = await asyncio.gather(*(pasted.record(engine, root, outcome) for _ in range(2)))
    assert one != other
    assert (await engine.accept(one, by="test")).state == "applied"
    conflict = await engine.accept(other, by="test")
    assert (conflict.ok, (root / "a.py").read_text("utf-8")) == (True, "A\n")  # it is what was wanted already


async def test_a_failed_answer_is_no_run(root: Path, engine: Engine) -> None:
    failures = tuple(Failure("a.py", number, "not-found", f"hint {number}", (3, 7)) for number in range(22))
    with pytest.raises(RunRefused) as refused:
        await pasted.record(engine, root, Outcome("udiff", (), failures=failures))
    assert refused.value.code == "edit"
    assert "a.py, edit 1: not-found (lines 3, 7): hint 0" in str(refused.value)
    assert "and 2 more" in str(refused.value)
    assert engine.store.runs() == []
