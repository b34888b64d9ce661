"""At the end of the suite: no planted key stands in anything that the suite has written.

Looked through are the names and contents of all files under pytest's temporary folder (projects, homes, state folders, logs,
databases, objects of git unpacked), of what the programs left in the system's, and of what appeared in the checkout; and, as
each test ends, what it printed and how it failed. Only files in which tests plant keys are passed over (see planted.py). A key
that is found fails the session, with its shape and its place and without its value.

`tmp_path` is a folder that stays until then, whatever is configured about those of tests that passed.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import stat
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.support import planted

_OWN = "kiro-lsp-"
"""What our programs call their folders in the system's temporary folder."""
_NOT_WRITTEN = frozenset({".git", ".venv", "node_modules", "__pycache__"})


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # of several processes that run tests, the one that began them looks
        config.pluginmanager.register(_Guard(config), "artefacts")


@pytest.fixture(autouse=True, scope="session")
def looked_through(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tells the check where the suite's files are."""
    guard = request.config.pluginmanager.get_plugin("artefacts")
    if guard is not None:
        guard.base = tmp_path_factory.getbasetemp()


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As pytest's own, but no test that passes takes its folder away."""
    return tmp_path_factory.mktemp(re.sub(r"\W", "_", request.node.name)[:30])


class _Guard:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.base: Path | None = None
        self._started = time.time()
        self._found: list[str] = []
        self._files = self._bytes = 0
        self._seconds = 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        texts = [*report.sections, ("failure", str(report.longrepr) if report.failed else "")]
        for title, text in texts:
            self._note(planted.found_in(text), f"{report.nodeid}, {title}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        begun = time.perf_counter()
        if self.base is None:  # other processes ran the tests, in folders below this one
            self.base = self._config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # as xdist finds it
        for path in self._written():
            self._note(planted.found_in(os.fsencode(path)) | self._in_file(path), path)
        self._seconds = time.perf_counter() - begun
        if self._found:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        looked = f"{self._files} files, {self._bytes >> 20} MiB, {self._seconds:.1f} s"
        if self._found:
            terminalreporter.section("planted keys were found", red=True)
            terminalreporter.write_line("\n".join(sorted(set(self._found))))
        elif self._config.get_verbosity() > 0:
            terminalreporter.write_line(f"no planted key in {looked}")

    def _note(self, shapes: set[str], place: str) -> None:
        self._found += [f"{shape}: {place}" for shape in shapes]

    def _written(self) -> Iterator[str]:
        yield from _files_in([self.base] if self.base is not None else [])
        with os.scandir(tempfile.gettempdir()) as entries:
            ours = [Path(entry.path) for entry in entries if entry.name.startswith(_OWN)]
        yield from (path for path in _files_in(ours) if self._is_new(path))
        yield from (path for path in _files_in([self._config.rootpath]) if self._is_new(path))

    def _is_new(self, path: str) -> bool:
        with contextlib.suppress(OSError):
            return os.lstat(path).st_mtime >= self._started
        return False

    def _in_file(self, path: str) -> set[str]:
        try:
            if stat.S_ISLNK(os.lstat(path).st_mode):
                return planted.found_in(os.fsencode(os.readlink(path)))
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                self._files += 1
                self._bytes += size
                if size < 1 << 20:
                    return planted.found_in(_unpacked(file.read()) if "/objects/" in path else file.read())
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    return planted.found_in(data)
        except OSError:  # another process takes it away, or no reader gets in
            return set()


def _unpacked(data: bytes) -> bytes:
    """What an object of git holds: contents of commits, and their messages."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def _files_in(folders: Iterable[Path]) -> Iterator[str]:
    """Regular files and links below folders, but those in which tests plant keys."""
    for top in folders:
        for folder, inner, names in os.walk(top, onerror=None):
            inner[:] = [name for name in inner if not (Path(folder) == top and name in _NOT_WRITTEN)]
            for name in names:
                path = os.path.join(folder, name)
                if name.startswith(planted.INPUTS):
                    continue
                with contextlib.suppress(OSError):
                    if stat.S_ISREG(mode := os.lstat(path).st_mode) or stat.S_ISLNK(mode):
                        yield path
