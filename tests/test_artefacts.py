"""The check at the end of the suite finds a planted key wherever and however a test leaves one, and fails the session."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import planted

REPO = Path(__file__).resolve().parent.parent
CONFTEST = """
from tests.support.artefacts import looked_through, pytest_configure, tmp_path
"""
HEAD = """
import os, subprocess, sys, sqlite3, tempfile, pytest
from tests.support import planted

KEY = planted.KEYS[{shape!r}]
"""


@pytest.fixture
def inner() -> Iterator[Path]:
    """A folder for a session of its own: what leaks there is not this suite's."""
    with tempfile.TemporaryDirectory(prefix="guarded-") as folder:
        yield Path(folder)


def session(inner: Path, body: str, *options: str, shape: str = "anthropic") -> subprocess.CompletedProcess[str]:
    (inner / "suite").mkdir()
    (inner / "suite" / "conftest.py").write_text(CONFTEST, "utf-8")
    (inner / "suite" / "test_inner.py").write_text(HEAD.format(shape=shape) + body, "utf-8")
    (inner / "suite" / "pytest.ini").write_text("[pytest]\n", "utf-8")
    (inner / "temp").mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *options, str(inner / "suite")],
        env=environ | {"PYTHONPATH": str(REPO), "TMPDIR": str(inner / "temp"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


LEAKS = """
@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")

def test_file(tmp_path):
    (tmp_path / "log.txt").write_text(f"sent {KEY} to nobody")

def test_name(tmp_path):
    (tmp_path / ("named-" + KEY[:40])).write_text("x")

def test_link(tmp_path):
    os.symlink(KEY, tmp_path / "link")

def test_database(tmp_path):
    with sqlite3.connect(tmp_path / "state.db") as db:
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (?)", (KEY,))

def test_commit(tmp_path):
    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x@x", *words], check=True)
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", f"It works with {KEY}")

def test_large(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 3_000_000 + KEY.encode())

def test_home(home):
    (home / "state").mkdir()
    (home / "state" / "kept").write_text(KEY)

def test_system():
    open(tempfile.mkdtemp(prefix="kiro-lsp-") + "/doctor", "w").write(KEY)

def test_checkout(request):
    (request.config.rootpath / "left").write_text(KEY)

def test_output():
    print(KEY)

def test_child(capfd):
    subprocess.run([sys.executable, "-c", f"import sys; print({KEY!r}, file=sys.stderr)"], check=True)

def test_failure():
    assert len(KEY) < 3, KEY
"""
PLACES = (
    *("log.txt", "named-", "/link", "state.db", ".git/objects/", "/big", "state/kept", "/doctor", "suite/left"),
    *("test_output, Captured stdout call", "test_child, Captured stderr call", "test_failure, failure"),
)


def test_a_leak_anywhere_is_named_by_shape_and_place(inner: Path) -> None:
    done = session(inner, LEAKS)
    assert "1 failed, 11 passed" in done.stdout
    _tests, found, rest = done.stdout.partition("planted keys were found")
    assert found
    # What follows is the test's own failure again, in as many lines as the runner gives it.
    listed, _heading, _summary = rest.partition("short test summary info")
    for place in PLACES:
        assert any(line.startswith("anthropic: ") and place in line for line in listed.splitlines()), place
    shown = [line for line in listed.splitlines() if planted.found_in(line) and "named-" not in line]
    assert shown == [], "values are not shown"


@pytest.mark.parametrize("policy", ["failed", "none"])
def test_a_leak_fails_a_session_of_which_every_test_passed_and_whose_folders_are_thrown_away(
    policy: str, inner: Path
) -> None:
    body = "def test(tmp_path): (tmp_path / 'log.txt').write_text(KEY)"
    done = session(inner, body, "-o", f"tmp_path_retention_policy={policy}", "-o", "tmp_path_retention_count=0")
    assert done.returncode == 1
    assert "1 passed" in done.stdout
    assert "anthropic: " in done.stdout


def test_a_leak_is_found_also_when_several_processes_run_the_tests(inner: Path) -> None:
    body = "def test(tmp_path): (tmp_path / 'log.txt').write_text(KEY)\n\ndef test_output():\n    print(KEY)"
    done = session(inner, body, "-n", "2")
    assert done.returncode == 1
    assert "2 passed" in done.stdout
    _tests, _found, listed = done.stdout.partition("planted keys were found")
    assert "log.txt" in listed
    assert "test_output, Captured stdout call" in listed


def test_a_session_without_a_leak_passes_and_says_what_was_looked_through(inner: Path) -> None:
    body = """
def test(tmp_path):
    (tmp_path / '.env').write_text(f'TOKEN={KEY}')
    (tmp_path / 'planted-notes.txt').write_text(KEY)
    (tmp_path / 'log.txt').write_text('QZ7 is how they begin: ' + KEY[:16])
"""
    done = session(inner, body)
    assert done.returncode == 0, done.stdout
    assert "no planted key in" in done.stdout


def ways(text: str) -> dict[str, bytes]:
    data = text.encode()
    return {
        "as it is": data,
        "base64": base64.b64encode(data),
        "base64 behind one": base64.b64encode(b"x" + data),
        "base64 behind two": base64.b64encode(b"xy" + data),
        "base64 for addresses": base64.urlsafe_b64encode(b"??" + data),
        "hex": data.hex().encode(),
        "capital hex": data.hex().upper().encode(),
        "UTF-16": text.encode("utf-16"),
        "a large text": b"-" * 100_000 + data,
    }


@pytest.mark.parametrize("shape", planted.KEYS)
def test_every_shape_is_found_in_every_way_to_write_it(shape: str) -> None:
    key = planted.KEYS[shape]
    assert planted.found_in(planted.shown(shape)) == {shape}
    for way, data in ways(key).items():
        assert planted.found_in(data) == {shape}, way
    assert all(planted.found_in(key[at : at + len(key) // 2 + 8]) == {shape} for at in range(0, len(key) // 2 - 8, 3))


def test_there_are_twelve_shapes() -> None:
    assert len({shape.split()[0] if shape.startswith("aws") else shape for shape in planted.KEYS}) == 12


def test_what_is_no_key_is_not_found() -> None:
    blocks = "QZ7AAAAA QZ7ABCDE UVo3 515a37 FaN RWj " * 50
    for data in ways(blocks).values():
        assert planted.found_in(data) == set()
