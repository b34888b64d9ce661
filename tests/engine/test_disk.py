"""One file on the disk: exchanged at once, never over a version that nobody has looked at, nothing left beside it."""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kiro_lsp.engine import faults, place
from kiro_lsp.engine.disk import Change, Changed, Disk, Seen
from tests.support.tree import snapshot

WAYS = pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "link and rename"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def put(root: Path, path: str, data: bytes, mode: int = 0o644) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    file.chmod(mode)
    return file


def carry_out(disk: Disk, change: Change) -> None:
    disk.lay(change, 0)
    disk.swap(change, 0)
    disk.sync([change])
    disk.sweep(change, 0)


@WAYS
def test_a_file_is_replaced_and_keeps_its_mode_and_attributes(root: Path, exchange: bool) -> None:
    file = put(root, "a", b"old", 0o751)
    supported = _set_attribute(file)
    disk = Disk(root, "t", exchange)
    carry_out(disk, Change("a", b"old", b"new"))
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o751
    assert not supported or os.getxattr(file, "user.kiro") == b"kept"
    assert os.listdir(root) == ["a"]


def _set_attribute(file: Path) -> bool:
    try:
        os.setxattr(file, "user.kiro", b"kept")
    except (OSError, AttributeError):
        return False
    return True


@WAYS
def test_a_new_file_gets_its_folders_and_what_the_umask_leaves(root: Path, exchange: bool) -> None:
    disk = Disk(root, "t", exchange)
    assert disk.missing_folders("x/y/new") == ("x", "x/y")
    before = os.umask(0o027)
    try:
        carry_out(disk, Change("x/y/new", None, b"1", folders=("x", "x/y")))
        carry_out(disk, Change("run", None, b"2", None, 0o777))
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "x/y/new").stat().st_mode) == 0o640
    assert stat.S_IMODE((root / "run").stat().st_mode) == 0o750


@WAYS
def test_a_file_that_comes_back_gets_exactly_its_mode(root: Path, exchange: bool) -> None:
    carry_out(Disk(root, "t", exchange), Change("a", None, b"1", None, 0o666, exact_mode=True))
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o666


@WAYS
def test_a_deletion_removes_folders_that_were_only_for_the_file(root: Path, exchange: bool) -> None:
    put(root, "x/y/a", b"1")
    put(root, "x/kept", b"2")
    carry_out(Disk(root, "t", exchange), Change("x/y/a", b"1", None, folders=("x", "x/y")))
    assert sorted(snapshot(root).entries) == ["x", "x/kept"]


def test_a_mode_changes_without_touching_the_content(root: Path) -> None:
    file = put(root, "a", b"1")
    written = file.stat().st_mtime_ns
    carry_out(Disk(root, "t"), Change("a", b"1", b"1", 0o644, 0o755))
    assert stat.S_IMODE(file.stat().st_mode) == 0o755
    assert file.stat().st_mtime_ns == written


INTRUDERS: dict[str, tuple[Change, bytes | None, Callable[[Path], object]]] = {
    "changed": (Change("a", b"old", b"new"), b"old", lambda file: file.write_bytes(b"theirs")),
    "same size": (Change("a", b"old", b"new"), b"old", lambda file: file.write_bytes(b"dlo")),
    "replaced": (Change("a", b"old", b"new"), b"old", lambda file: (file.unlink(), file.write_bytes(b"theirs"))),
    "deleted": (Change("a", b"old", b"new"), b"old", lambda file: file.unlink()),
    "became a folder": (Change("a", b"old", b"new"), b"old", lambda file: (file.unlink(), file.mkdir())),
    "became a link": (Change("a", b"old", b"new"), b"old", lambda file: (file.unlink(), file.symlink_to("b"))),
    "became a pipe": (Change("a", b"old", b"new"), b"old", lambda file: (file.unlink(), os.mkfifo(file))),
    "its mode changed": (Change("a", b"old", b"new", 0o644, 0o755), b"old", lambda file: file.chmod(0o600)),
    "deletion of a changed file": (Change("a", b"old", None), b"old", lambda file: file.write_bytes(b"theirs")),
    "deletion of what is gone": (Change("a", b"old", None), b"old", lambda file: file.unlink()),
    "creation of what exists": (Change("a", None, b"new"), None, lambda file: file.write_bytes(b"theirs")),
    "creation over a folder": (Change("a", None, b"new"), None, lambda file: file.mkdir()),
    "creation over a dangling link": (Change("a", None, b"new"), None, lambda file: file.symlink_to("nowhere")),
    "mode of a changed file": (Change("a", b"old", b"old", 0o644, 0o755), b"old", lambda file: file.write_bytes(b"x")),
}


@WAYS
@pytest.mark.parametrize("name", INTRUDERS)
def test_what_somebody_did_at_the_last_moment_stays(root: Path, name: str, exchange: bool) -> None:
    change, before, intrude = INTRUDERS[name]
    put(root, "b", b"beside")
    if before is not None:
        put(root, "a", before)
    disk = Disk(root, "t", exchange)
    disk.lay(change, 0)
    intrude(root / "a")
    theirs = {path: entry for path, entry in snapshot(root).entries.items() if not path.startswith(".kiro-lsp-")}
    with pytest.raises(Changed):
        disk.swap(change, 0)
    disk.sweep(change.reversed(), 0)
    assert dict(snapshot(root).entries) == theirs


@pytest.mark.skipif(place._renameat2() is None, reason="this system has no atomic exchange")
def test_a_version_that_arrives_between_look_and_exchange_is_not_lost(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intruder strikes at the very last point, after every check."""
    file = put(root, "a", b"old")
    disk = Disk(root, "t")
    change = Change("a", b"old", b"new")
    disk.lay(change, 0)
    theirs = put(root, "theirs", b"theirs")
    original = place.Place.exchange
    struck: list[bool] = []

    def exchange(self: place.Place, one: str, other: str) -> bool:
        if not struck:
            struck.append(True)
            theirs.replace(file)
        return original(self, one, other)

    monkeypatch.setattr(place.Place, "exchange", exchange)
    with pytest.raises(Changed, match="changed in the meantime"):
        disk.swap(change, 0)
    assert file.read_bytes() == b"theirs"


@WAYS
def test_a_content_is_synced_before_it_has_the_name_and_the_folder_after(
    root: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut may drop is what was not synced: a name must never come before its content."""
    file = put(root, "a", b"old")
    held: list[tuple[str, bytes]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        what = "folder" if stat.S_ISDIR(status.st_mode) else os.pread(descriptor, 100, 0).decode()
        held.append((what, file.read_bytes()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    # The temporary file is opened for writing only; its content is read by its name.
    monkeypatch.setattr(os, "pread", lambda descriptor, _size, _at: Path(f"/proc/self/fd/{descriptor}").read_bytes())
    carry_out(Disk(root, "t", exchange), Change("a", b"old", b"new"))
    assert held == [("new", b"old"), ("folder", b"new")]


CHANGES = {
    "modify": Change("d/a", b"old", b"new"),
    "modify with mode": Change("d/a", b"old", b"new", 0o640, 0o750),
    "delete": Change("d/a", b"old", None, 0o640),
    "mode": Change("d/a", b"old", b"old", 0o640, 0o750),
    "create": Change("x/y/n", None, b"new", folders=("x", "x/y")),
}


@WAYS
@pytest.mark.parametrize("taken", ["nothing", "lay", "swap"])
@pytest.mark.parametrize("name", CHANGES)
def test_going_back_restores_the_very_file_with_its_time(root: Path, name: str, taken: str, exchange: bool) -> None:
    put(root, "d/a", b"old", 0o640)
    before = snapshot(root)
    disk = Disk(root, "t", exchange)
    change = CHANGES[name]
    if taken != "nothing":
        disk.lay(change, 0)
    if taken == "swap":
        disk.swap(change, 0)
    disk.back(change, 0)
    disk.back(change, 0)
    assert snapshot(root) == before


@WAYS
@pytest.mark.parametrize("name", CHANGES)
def test_going_back_works_from_the_recorded_content_alone(root: Path, name: str, exchange: bool) -> None:
    put(root, "d/a", b"old", 0o640)
    before = snapshot(root, times=False)
    disk = Disk(root, "t", exchange)
    change = CHANGES[name]
    carry_out(disk, change)
    disk.back(change, 0)
    assert snapshot(root, times=False) == before


def test_a_version_that_a_crash_left_displaced_goes_back_into_place(root: Path) -> None:
    """Killed between exchanging a file and noticing that the displaced version was not the expected one."""
    file = put(root, "a", b"new")
    put(root, ".kiro-lsp-t-0.tmp", b"theirs")
    with pytest.raises(Changed):
        Disk(root, "t").back(Change("a", b"old", b"new"), 0)
    assert file.read_bytes() == b"theirs"


def test_a_half_written_copy_is_never_taken_for_a_version(root: Path) -> None:
    file = put(root, "a", b"new")
    put(root, ".kiro-lsp-t-0.tmp.new", b"ol")
    disk = Disk(root, "t")
    disk.back(Change("a", b"old", b"new"), 0)
    assert file.read_bytes() == b"old"
    assert os.listdir(root) == ["a"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("link", "a symbolic link"),
        ("folder", "a folder"),
        ("pipe", "a device, pipe or socket"),
        ("linked/a", "linked is not a folder"),
        ("file/a", "file is not a folder"),
    ],
)
def test_what_is_in_the_way_is_named_and_nothing_is_followed(root: Path, path: str, expected: str) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "a").write_text("secret")
    (root / "link").symlink_to(outside / "a")
    (root / "linked").symlink_to(outside)
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    put(root, "file", b"")
    found = Disk(root, "t").look(path)
    assert found.data is None
    assert expected in (found.obstacle or "")
    for change in (Change(path, None, b"x"), Change(path, b"secret", b"x"), Change(path, b"secret", None)):
        with pytest.raises((Changed, OSError)):
            carry_out(Disk(root, "t"), change)
    assert (outside / "a").read_text() == "secret"
    assert os.listdir(outside) == ["a"]


@pytest.mark.parametrize(
    ("existing", "wanted", "twin"),
    [
        ("src/Foo.py", "src/foo.py", "src/Foo.py"),
        ("Src/a", "src/b", "Src"),
        ("caf\u00e9", "cafe\u0301", "caf\u00e9"),
        ("stra\u00dfe", "STRASSE", "stra\u00dfe"),
        ("src/foo.py", "src/foo.py", None),
        ("src/foo.py", "src/bar.py", None),
        ("src/foo.py", "lib/foo.py", None),
    ],
)
def test_names_that_some_system_takes_for_one_are_found(
    root: Path, existing: str, wanted: str, twin: str | None
) -> None:
    put(root, existing, b"")
    assert Disk(root, "t").collision(wanted) == twin


def test_a_missing_file_is_nothing_at_all(root: Path) -> None:
    assert Disk(root, "t").look("no/such/file") == Seen()


def test_faults_act_at_the_named_pass_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(faults.VARIABLE, "disk.swap:2:ENOSPC")
    faults.reset()
    faults.point("disk.swap")
    faults.point("disk.lay")
    with pytest.raises(OSError, match=r"injected at disk\.swap"):
        faults.point("disk.swap")
    faults.point("disk.swap")
    monkeypatch.setenv(faults.VARIABLE, "disk.swap:2+:EIO")
    faults.reset()
    faults.point("disk.swap")
    for _ in range(2):
        with pytest.raises(OSError, match="injected"):
            faults.point("disk.swap")


def test_every_point_is_listed_and_every_listed_point_is_passed_somewhere() -> None:
    """What is not listed is not killed at, and what is not passed is a test that proves nothing."""
    package = Path(faults.__file__).parent.parent
    passed = {
        name
        for source in package.rglob("*.py")
        for name in re.findall(r"\bpoint\(\"([a-z.-]+)\"\)", source.read_text("utf-8"))
    }
    assert passed == set(faults.POINTS)


def test_a_folder_that_is_exchanged_for_a_link_all_the_time_never_leads_outside(root: Path) -> None:
    """An attacker flips a folder and a link to a folder outside while files are written, replaced and deleted in it."""
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(b"old")
    put(root, "d/a", b"old")
    before = snapshot(outside)
    stop = threading.Event()

    def flip() -> None:
        while not stop.wait(0.0005):  # long enough for some writes to succeed
            (root / "d").rename(root / "real")
            (root / "d").symlink_to(outside)
            (root / "d").unlink()
            (root / "real").rename(root / "d")

    attacker = threading.Thread(target=flip)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    attacker.start()
    succeeded = refused = 0
    try:
        while min(succeeded, refused) < 20 and succeeded + refused < 3_000:
            number = succeeded + refused
            content = Disk(root, "t").look("d/a").data
            for change in (
                Change("d/a", content, f"{number}".encode()),
                Change(f"d/n{number}", None, b"new"),
                Change(f"d/n{number}", b"new", None),
            ):
                try:
                    carry_out(Disk(root, "t"), change)
                except (Changed, OSError):
                    refused += 1
                else:
                    succeeded += 1
    finally:
        stop.set()
        attacker.join()
        sys.setswitchinterval(interval)
    assert succeeded, "no write came between two flips: nothing was tried"
    assert snapshot(outside) == before
