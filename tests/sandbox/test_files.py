"""Reading and replacing files of a root: nothing outside is ever touched, whatever stands in the way."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from kiro_lsp.errors import PathRefused, UnreadableFile
from kiro_lsp.sandbox import files

LIMIT = 1000
AT_FDCWD, RENAME_EXCHANGE = -100, 2
SECRET = b"the secret"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(SECRET)
    ws = tmp_path / "ws"
    (ws / "src").mkdir(parents=True)
    (ws / "src/app.py").write_bytes(b"print()\n")
    return ws


def test_a_regular_file_is_read_and_a_missing_one_is_none(root: Path) -> None:
    assert files.safe_read(root, "src/app.py", LIMIT) == b"print()\n"
    assert files.safe_read(root, "src/none.py", LIMIT) is None
    assert files.safe_read(root, "none/none.py", LIMIT) is None
    assert files.safe_read(root / "gone", "x", LIMIT) is None
    (root / "empty").touch()
    assert files.safe_read(root, "empty", LIMIT) == b""


def test_the_limit_is_exact(root: Path) -> None:
    (root / "big").write_bytes(b"x" * LIMIT)
    assert files.safe_read(root, "big", LIMIT) == b"x" * LIMIT
    (root / "big").write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(UnreadableFile, match="too large"):
        files.safe_read(root, "big", LIMIT)


def test_special_files_are_refused_without_waiting_for_them(root: Path) -> None:
    os.mkfifo(root / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "socket"))
    for name in ("pipe", "socket", "src"):
        with pytest.raises(UnreadableFile, match="not a regular file"):
            files.safe_read(root, name, LIMIT)
    listener.close()


def test_links_inside_are_followed_and_links_outside_are_refused(root: Path) -> None:
    (root / "link").symlink_to("src/app.py")
    (root / "out").symlink_to("../outside")
    (root / "zero").symlink_to("/dev/zero")
    assert files.safe_read(root, "link", LIMIT) == b"print()\n"
    for path in ("out/secret", "zero", "../outside/secret"):
        with pytest.raises(PathRefused):
            files.safe_read(root, path, LIMIT)


def test_a_second_hard_link_counts_only_where_strangers_made_the_tree(root: Path) -> None:
    os.link(root.parent / "outside/secret", root / "hard")
    assert files.safe_read(root, "hard", LIMIT) == SECRET
    with pytest.raises(PathRefused, match="hard links"):
        files.safe_read(root, "hard", LIMIT, single_link=True)


def test_a_resolved_path_is_opened_without_following_a_link_that_came_later(root: Path) -> None:
    descriptor = files.open_root(root)
    try:
        (root / "src").rename(root / "moved")
        (root / "src").symlink_to("../outside")
        with pytest.raises((PathRefused, OSError)):
            files.open_source(root, descriptor, "src/secret")
        (root / "app.py").symlink_to("../outside/secret")
        with pytest.raises(PathRefused):
            files.open_source(root, descriptor, "app.py")
    finally:
        os.close(descriptor)


def test_a_folder_flipped_to_a_link_while_reading_and_writing_never_leads_outside(root: Path) -> None:
    """An attacker thread exchanges a folder and a link to the outside as fast as it can, without a gap."""
    outside = root.parent / "outside"
    (outside / "app.py").write_bytes(SECRET)
    (root / "src-link").symlink_to("../outside")
    stop = threading.Event()

    exchange = ctypes.CDLL(None, use_errno=True).renameat2
    names = (AT_FDCWD, os.fsencode(root / "src"), AT_FDCWD, os.fsencode(root / "src-link"), RENAME_EXCHANGE)

    def flip() -> None:
        while not stop.is_set():
            assert exchange(*names) == 0

    attacker = threading.Thread(target=flip)
    attacker.start()
    seen: set[bytes | None] = set()
    try:
        for round_ in range(1500):
            try:
                seen.add(files.safe_read(root, "src/app.py", LIMIT))
                if round_ % 3 == 0:
                    files.write_atomic(root, "src/new.py", b"new", durable=False)
                    files.remove(root, "src/new.py")
            except (PathRefused, OSError):
                continue
    finally:
        stop.set()
        attacker.join()
    assert SECRET not in seen
    assert b"print()\n" in seen, "the file must have been reached at least once"
    assert sorted(path.name for path in outside.iterdir()) == ["app.py", "secret"]
    assert (outside / "app.py").read_bytes() == SECRET


def test_writing_replaces_the_file_keeps_its_mode_and_breaks_hard_links(root: Path) -> None:
    os.chmod(root / "src/app.py", 0o755)
    os.link(root / "src/app.py", root.parent / "outside/same")
    inode = (root / "src/app.py").stat().st_ino
    assert files.write_atomic(root, "src/app.py", b"new") == ()
    status = (root / "src/app.py").stat()
    assert stat.S_IMODE(status.st_mode) == 0o755
    assert status.st_ino != inode
    assert (root.parent / "outside/same").read_bytes() == b"print()\n"
    files.write_atomic(root, "src/app.py", b"new", 0o640)
    assert files.mode_of(root, "src/app.py") == 0o640


def test_missing_folders_are_made_and_named_and_files_are_removed(root: Path) -> None:
    assert files.write_atomic(root, "a/b/c.txt", b"x") == ("a", "a/b")
    files.remove(root, "a/b/c.txt")
    assert os.listdir(root / "a/b") == []
    with pytest.raises(FileNotFoundError):
        files.remove(root, "a/b/c.txt")


def test_a_failed_write_leaves_nothing_behind(root: Path) -> None:
    (root / "folder").mkdir()
    (root / "pipe-folder").mkdir()
    os.mkfifo(root / "pipe-folder/pipe")
    for path in ("folder", "pipe-folder/pipe"):
        with pytest.raises(PathRefused):
            files.write_atomic(root, path, b"x")
    (root / "out").symlink_to("../outside")
    with pytest.raises(PathRefused):
        files.write_atomic(root, "out/new", b"x")
    left = [path for path in root.rglob("*") if path.name.startswith(files.TEMPORARY)]
    assert left == []
    assert not (root.parent / "outside/new").exists()


def test_without_descriptors_the_final_path_decides(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch of systems that open by whole paths only."""
    monkeypatch.setattr(files, "_BY_DESCRIPTOR", False)
    assert files.safe_read(root, "src/app.py", LIMIT) == b"print()\n"
    assert files.safe_read(root, "none", LIMIT) is None
    monkeypatch.setattr(files, "_final_path", lambda _descriptor, _full: str(root.parent / "outside/secret"))
    with pytest.raises(PathRefused):
        files.safe_read(root, "src/app.py", LIMIT)


@pytest.mark.parametrize(
    ("final", "expected"),
    [
        ("\\\\?\\C:\\Work\\WS\\a.py", True),
        ("C:\\work\\ws\\src\\a.py", True),
        ("C:\\work\\ws-evil\\a.py", False),
        ("\\\\?\\UNC\\server\\share\\a.py", False),
        ("C:\\work", False),
        ("", False),
    ],
)
def test_a_final_windows_path_is_compared_by_components(final: str, expected: bool) -> None:
    assert files.is_beneath(final, "C:\\work\\ws") is expected
