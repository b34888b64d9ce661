"""The copy of the workspace: what is laid out, what a command changed in it, and that the original stays as it is."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import RunRefused
from kiro_lsp.sandbox import cloning, copy, stamps


def oracle(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything about a tree that must not change: kind, mode, times, size, content, link target."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""
        target = os.readlink(path) if path.is_symlink() else ""
        found[str(path.relative_to(root))] = (status.st_mode, status.st_mtime_ns, status.st_nlink, content, target)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    ws = tmp_path / "ws"
    for path, text in {
        "src/app.py": "print(1)\n",
        "src/lib.py": "x = 1\n",
        "run.sh": "#!/bin/sh\n",
        "read-only.txt": "keep\n",
        ".gitignore": "*.log\nbuild/\n",
        "debug.log": "ignored",
        "build/out": "ignored",
        "tasks.md": "- [ ] 1 one\n",
        ".env": "KEY=secret",
        ".env.example": "KEY=",
        "deep/er/x.bin": "\0\1\2",
    }.items():
        (ws / path).parent.mkdir(parents=True, exist_ok=True)
        (ws / path).write_text(text)
    (ws / "run.sh").chmod(0o755)
    (ws / "read-only.txt").chmod(0o444)
    (ws / "link.py").symlink_to("src/app.py")
    (ws / "folder-link").symlink_to(ws / "src")
    (ws / "out-link").symlink_to("/etc/passwd")
    return ws


Make = Callable[..., copy.Copy]


@pytest.fixture
def make(root: Path, tmp_path: Path) -> Iterator[Make]:
    made: list[copy.Copy] = []

    def lay_out(
        staged: list[FileChange] | None = None, buffers: Mapping[str, bytes] | None = None, *, trusted: bool = False
    ) -> copy.Copy:
        made.append(copy.materialise(root, staged or [], buffers or {}, tmp_path / f"copy{len(made)}", trusted=trusted))
        return made[-1]

    yield lay_out
    for each in made:
        each.remove()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("copy")] == []


def sh(where: copy.Copy, script: str) -> None:
    subprocess.run(["/bin/sh", "-c", script], cwd=where.path, check=True, stdin=subprocess.DEVNULL)


def brief(changes: list[FileChange]) -> list[tuple[str, str]]:
    return [(change.action, change.path) for change in changes]


def test_the_copy_has_what_is_not_ignored_with_modes_times_and_inner_links(root: Path, make: Make) -> None:
    before = oracle(root)
    laid = make()
    files = sorted(
        str(path.relative_to(laid.path)) for path in laid.path.rglob("*") if path.is_symlink() or path.is_file()
    )
    assert files == [
        ".env.example", ".gitignore", "deep/er/x.bin", "folder-link", "link.py", "read-only.txt", "run.sh", "src/app.py",
        "src/lib.py", "tasks.md",
    ]  # fmt: skip
    assert os.access(laid.path / "run.sh", os.X_OK)
    assert (laid.path / "src/app.py").stat().st_mtime_ns == (root / "src/app.py").stat().st_mtime_ns
    assert os.readlink(laid.path / "link.py") == "src/app.py"
    assert (laid.path / "folder-link").resolve() == laid.path.resolve() / "src"
    assert [left_out.path for left_out in laid.skipped] == [".env", "out-link"]
    assert laid.path.name == "ws"
    assert stat.S_IMODE(laid.path.parent.stat().st_mode) == 0o700
    assert laid.absorb() == []
    assert oracle(root) == before


def test_documents_win_over_the_disk_and_staged_changes_over_documents(root: Path, make: Make) -> None:
    laid = make(
        [
            FileChange("src/lib.py", "modify", b"x = 1\n", b"staged", 0o644, 0o644),
            FileChange("run.sh", "delete", b"#!/bin/sh\n", None, 0o755, None),
            FileChange("new/file.sh", "create", None, b"made", None, 0o755),
            FileChange("tasks.md", "rename", b"- [ ] 1 one\n", b"moved", None, None, to="todo.md"),
        ],
        {
            "src/app.py": b"buffer",
            "src/lib.py": b"buffer",
            "untitled.py": b"new",
            "debug.log": b"open but ignored",
            ".env": b"open",
        },
    )
    for path, content in {
        "src/app.py": b"buffer", "src/lib.py": b"staged", "run.sh": None, "new/file.sh": b"made", "tasks.md": None,
        "todo.md": b"moved", "untitled.py": b"new", "debug.log": None, ".env": None,
    }.items():  # fmt: skip
        found = (laid.path / path).read_bytes() if (laid.path / path).exists() else None
        assert found == content, path
    assert os.access(laid.path / "new/file.sh", os.X_OK)
    assert laid.absorb() == []


def test_every_kind_of_change_is_taken_over_and_the_original_stays_as_it_was(root: Path, make: Make) -> None:
    before = oracle(root)
    laid = make()
    sh(
        laid,
        "echo 'print(2)' > src/app.py; rm src/lib.py; mkdir -p made; printf 'a\\0b' > made/x.bin; echo hi > made/tool; "
        "chmod +x made/tool; chmod +x deep/er/x.bin; chmod -x run.sh; chmod 600 tasks.md; echo more >> read-only.txt; "
        "echo noise > a.log; mkdir -p build __pycache__ .pytest_cache; touch build/y __pycache__/a.pyc "
        ".pytest_cache/z m.pyc .coverage",
    )
    changes = laid.absorb()
    assert changes == [
        FileChange("deep/er/x.bin", "modify", b"\0\1\2", b"\0\1\2", 0o644, 0o755),
        FileChange("made/tool", "create", None, b"hi\n", None, 0o755),
        FileChange("made/x.bin", "create", None, b"a\0b", None, 0o644),
        FileChange("read-only.txt", "modify", b"keep\n", b"keep\nmore\n", 0o444, 0o444),
        FileChange("run.sh", "modify", b"#!/bin/sh\n", b"#!/bin/sh\n", 0o755, 0o644),
        FileChange("src/app.py", "modify", b"print(1)\n", b"print(2)\n", 0o644, 0o644),
        FileChange("src/lib.py", "delete", b"x = 1\n", None, 0o644, None),
    ]
    assert laid.refused == []
    assert oracle(root) == before
    assert laid.absorb() == []


@pytest.mark.parametrize(
    "script",
    [
        "touch -r src/app.py stamp; printf 'print(9)\\n' > src/app.py; touch -r stamp src/app.py; rm stamp",
        "touch -r src/app.py ../stamp; printf 'print(9)\\n' > tmp; touch -r ../stamp tmp; mv tmp src/app.py",
        "printf 9 | dd of=src/app.py bs=1 seek=6 conv=notrunc 2>/dev/null",
    ],
    ids=["same time and size in place", "same time and size by rename", "one byte in place"],
)
def test_a_change_that_keeps_size_and_times_is_found(make: Make, script: str) -> None:
    laid = make()
    sh(laid, script)
    assert brief(laid.absorb()) == [("modify", "src/app.py")]


def test_a_touched_or_rewritten_equal_file_is_no_change(make: Make) -> None:
    laid = make()
    sh(laid, "touch src/app.py; cp src/lib.py t; mv t src/lib.py; chmod 600 tasks.md")
    assert laid.absorb() == []


def test_a_clock_too_coarse_to_tell_is_made_up_for_by_reading(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    laid = make()
    laid._exact_clock = False
    same = dict(laid._manifest)
    (laid.path / "src/app.py").write_bytes(b"print(7)\n")
    same["src/app.py"] = stamps.Stamp.of((laid.path / "src/app.py").lstat())
    laid._manifest = same
    assert brief(laid.absorb()) == [("modify", "src/app.py")]


def test_links_pipes_and_files_of_others_are_refused_and_named(root: Path, make: Make, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    laid = make()
    os.link(tmp_path / "secret", laid.path / "hard")
    (laid.path / "src/app.py").unlink()
    os.link(tmp_path / "secret", laid.path / "src/app.py")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.relpath(laid.path / "sock"))
    sh(
        laid,
        f"ln -s /etc/passwd evil; ln -sfn /etc link.py; mkfifo pipe; mv deep gone; ln -s {tmp_path} deep; mkdir -p "
        f"{tmp_path}/er; "
        f"echo secret > {tmp_path}/er/x.bin; touch 'a:b' 'dot.'; rm gone/er/x.bin; mkdir -p '.git/hooks'; touch "
        ".git/hooks/x",
    )
    changes = laid.absorb()
    listener.close()
    assert all(
        b"secret" not in (change.proposed or b"") and b"root:" not in (change.proposed or b"") for change in changes
    )
    assert brief(changes) == [("delete", "deep/er/x.bin")]
    assert [left_out.path for left_out in laid.refused] == [
        "a:b", "deep", "dot.", "evil", "hard", "link.py", "pipe", "sock", "src/app.py",
    ]  # fmt: skip
    assert all(left_out.reason for left_out in laid.refused)


def test_a_change_behind_a_planted_link_counts_where_it_really_is(make: Make) -> None:
    laid = make()
    sh(laid, "mv src moved; ln -s moved src; echo more >> src/app.py")
    changes = laid.absorb()
    assert brief(changes) == [
        ("create", "moved/app.py"),
        ("create", "moved/lib.py"),
        ("delete", "src/app.py"),
        ("delete", "src/lib.py"),
    ]
    assert [left_out.path for left_out in laid.refused] == ["src"]


def test_a_copy_that_was_put_away_is_brought_up_to_date_and_kept_where_nothing_changed(
    root: Path, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    first = copy.materialise(root, [], {"tasks.md": b"buffer"}, held, trusted=False)
    sh(
        first,
        "echo agent > src/app.py; echo left > left.txt; mkdir -p build/x; echo o > build/x/o; rm run.sh; ln -s / way",
    )
    inode = (first.path / "src/lib.py").stat().st_ino
    first.absorb()
    first.put_away()
    (root / "deep/er/x.bin").write_text("new")
    (root / "later.txt").write_text("later")
    (root / "read-only.txt").unlink()
    again = copy.materialise(root, [], {}, held, trusted=False, reuse=True)
    fresh = copy.materialise(root, [], {}, tmp_path / "fresh", trusted=False)
    try:
        assert contents(again.path) == contents(fresh.path)
        assert (again.path / "src/lib.py").stat().st_ino == inode
        assert again.absorb() == []
        sh(again, "echo more >> src/lib.py")
        assert [(change.path, change.base) for change in again.absorb()] == [("src/lib.py", b"x = 1\n")]
    finally:
        again.remove()
        fresh.remove()


def test_a_copy_of_another_project_or_without_its_memory_is_made_anew(root: Path, tmp_path: Path) -> None:
    held = tmp_path / "held"
    for spoil in ("[]", "{", '{"root": "/", "files": {"src/app.py": [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]}}'):
        copy.materialise(root, [], {}, held, trusted=False).put_away()
        (held / "copy.json").write_text(spoil)
        (held / "ws/src/app.py").write_text("planted")
        again = copy.materialise(root, [], {}, held, trusted=False, reuse=True)
        assert (again.path / "src/app.py").read_text() == "print(1)\n"
        again.remove()


def contents(folder: Path) -> dict[str, tuple[object, ...]]:
    """What a tree is to a person: no times of folders."""
    return {path: (mode, data, target) for path, (mode, _, _, data, target) in oracle(folder).items()}


def test_a_file_too_large_to_take_over_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "CHANGED_FILE_LIMIT", 100)
    laid = make()
    sh(laid, "head -c 101 /dev/zero > big; head -c 100 /dev/zero > small")
    assert brief(laid.absorb()) == [("create", "small")]
    assert [left_out.path for left_out in laid.refused] == ["big"]


def test_a_change_on_content_that_the_person_changed_meanwhile_has_no_base(root: Path, make: Make) -> None:
    """Invariant 3: the person's edit must not be overwritten by a change that was computed on the older content."""
    laid = make()
    (root / "src/app.py").write_text("the person's edit\n")
    (root / "src/lib.py").write_text("the person's edit\n")
    sh(laid, "echo command >> src/app.py; rm src/lib.py")
    assert laid.absorb() == [FileChange("src/app.py", "create", None, b"print(1)\ncommand\n", None, 0o644)]
    assert laid.stale == ["src/app.py", "src/lib.py"]
    assert [left_out.path for left_out in laid.refused] == ["src/lib.py"]


def test_a_copy_follows_what_is_staged_and_unstaged_between_commands(root: Path, make: Make) -> None:
    laid = make()
    sh(laid, "echo one > made; echo 'print(2)' > src/app.py")
    first = laid.absorb()
    laid.update(first)
    assert laid.absorb() == []
    edited = FileChange("src/app.py", "modify", b"print(1)\n", b"print(3)\n", 0o644, 0o644)
    laid.update([edited])
    assert not (laid.path / "made").exists()
    assert (laid.path / "src/app.py").read_bytes() == b"print(3)\n"
    sh(laid, "cat src/app.py > seen")
    assert laid.absorb() == [FileChange("seen", "create", None, b"print(3)\n", None, 0o644)]
    laid.update([])
    assert (laid.path / "src/app.py").read_bytes() == b"print(1)\n"


def test_a_staged_write_does_not_follow_a_link_that_a_command_planted(make: Make, tmp_path: Path) -> None:
    laid = make()
    (tmp_path / "target").mkdir()
    sh(laid, f"mv src away; ln -s {tmp_path}/target src")
    laid.update([FileChange("src/new.py", "create", None, b"x", None, None)])
    assert list((tmp_path / "target").iterdir()) == []
    assert "src/new.py" in [left_out.path for left_out in laid.skipped]


def test_what_git_ignores_by_other_means_is_not_taken_over(root: Path, make: Make) -> None:
    subprocess.run(["git", "-C", str(root), "init", "-q"], check=True)
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/exclude").write_text("*.cache\n")
    (root / "forced.log").write_text("tracked")
    subprocess.run(["git", "-C", str(root), "add", "-f", "forced.log"], check=True)
    laid = make(trusted=True)
    sh(laid, "touch x.cache; echo more >> forced.log; echo y > y")
    assert brief(laid.absorb()) == [("modify", "forced.log"), ("create", "y")]


def test_a_copy_that_cannot_be_finished_is_removed(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cloning.Cloner, "clone", full)
    with pytest.raises(RunRefused, match="no room"):
        copy.materialise(root, [], {}, tmp_path / "copies/one", trusted=False)
    assert list((tmp_path / "copies").iterdir()) == []


def test_removing_copes_with_what_a_command_locked(root: Path, tmp_path: Path) -> None:
    laid = copy.materialise(root, [], {}, tmp_path / "copies/one", trusted=False)
    sh(laid, "mkdir -p a/b; touch a/b/c; chmod 000 a/b a; chmod 500 src; ln -s /etc folder")
    laid.remove()
    laid.remove()
    assert list((tmp_path / "copies").iterdir()) == []
    assert Path("/etc/passwd").exists()


def test_leftovers_of_dead_processes_are_removed_and_living_ones_stay(root: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    mine = copy.materialise(root, [], {}, copies / "mine", trusted=False)
    code = (
        "import os; from pathlib import Path; from kiro_lsp.sandbox import copy\n"
        f"copy.materialise(Path({str(root)!r}), [], {{}}, Path({str(copies / 'theirs')!r}), trusted=False)\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False)
    (copies / "not-ours").mkdir()
    assert (copies / "theirs/ws/src/app.py").exists()
    assert copy.clean_leftovers(copies) == 1
    assert sorted(path.name for path in copies.iterdir()) == ["mine", "not-ours"]
    assert copy.clean_leftovers(tmp_path / "nowhere") == 0
    with pytest.raises(FileExistsError):
        copy.materialise(root, [], {}, copies / "mine", trusted=False)
    mine.remove()


@pytest.mark.parametrize("ways", ["reflink refused", "nothing in the kernel", "partly in the kernel"])
def test_every_way_to_copy_gives_the_same_bytes(ways: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(300_000)
    (tmp_path / "source").write_bytes(data)
    real = os.copy_file_range
    calls = iter([True, False])

    def partly(source: int, target: int, count: int) -> int:
        if next(calls):
            return real(source, target, 100_000)
        raise OSError(18, "Invalid cross-device link")

    cloner = cloning.Cloner()
    if ways == "nothing in the kernel":
        cloner._shares_blocks = cloner._in_kernel = False
    if ways == "partly in the kernel":
        cloner._shares_blocks = False
        monkeypatch.setattr(os, "copy_file_range", partly)
    with open(tmp_path / "source", "rb") as source:
        cloner.clone(source.fileno(), os.fstat(source.fileno()), tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert (tmp_path / "target").stat().st_ino != (tmp_path / "source").stat().st_ino


_NAMES = st.sampled_from(["a", "b", "d/a", "d/e/f", "run.sh", "src/app.py"])
_STEPS = st.lists(st.tuples(st.sampled_from(["write", "delete", "chmod"]), _NAMES, st.binary(max_size=4)), max_size=8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_what_was_laid_out_plus_the_changes_is_what_the_command_left(
    steps: list[tuple[str, str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("property")
    root = base / "ws"
    (root / "src").mkdir(parents=True)
    contents = {"src/app.py": b"print\n", "run.sh": b"#!"}
    for path, data in contents.items():
        (root / path).write_bytes(data)
    laid = copy.materialise(root, [], {}, base / "copy", trusted=False)
    for action, path, data in steps:
        target = laid.path / path
        if action == "write" and not target.is_dir() and not any(parent.is_file() for parent in target.parents):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        elif action == "delete" and target.is_file():
            target.unlink()
        elif action == "chmod" and target.is_file():
            target.chmod(0o755)
    for change in laid.absorb():
        assert contents.get(change.path) == change.base
        if change.proposed is None:
            del contents[change.path]
        else:
            contents[change.path] = change.proposed
    left = {str(path.relative_to(laid.path)): path.read_bytes() for path in laid.path.rglob("*") if path.is_file()}
    assert contents == left
    laid.remove()
