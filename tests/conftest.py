"""What every test gets: homes of its own, no keys of this machine but planted ones, no network but loopback."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import planted
from tests.support.artefacts import looked_through, pytest_configure, tmp_path

__all__ = ["looked_through", "pytest_configure", "tmp_path"]

REPO = Path(__file__).resolve().parent.parent
SHARED = REPO.parent / "shared"
IN_CI = os.environ.get("KIRO_LSP_CI") == "1"

# A busy machine is slow without being wrong: no example has a time limit. In CI every run tries the same examples.
settings.register_profile("suite", deadline=None, derandomize=IN_CI, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

_PROVIDER_PREFIXES = ("ANTHROPIC_", "OPENAI_", "GEMINI_", "GOOGLE_", "CLAUDE_", "CODEX_", "KIRO_")
_KEPT = {"KIRO_LSP_CI"}


def missing(what: str, why: str) -> None:
    """A missing program or data set fails the test in CI and skips it, by name, elsewhere."""
    if IN_CI:
        pytest.fail(f"{what} is missing: {why}")
    pytest.skip(f"{what} is missing: {why}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the shared data sets."""
    if not SHARED.is_dir():
        missing("../shared", "the data sets lie beside a development checkout only")
    return SHARED


@pytest.fixture(autouse=True)
def own_homes(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for each test, none of this machine's keys or settings, and keys that must appear nowhere."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(_PROVIDER_PREFIXES) and name not in _KEPT:
            monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    for name in ("STATE", "CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    for name, key in planted.ENVIRON.items():
        monkeypatch.setenv(name, key)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    return home


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """The suite refuses any connection that leaves this machine."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def allowed(address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if host is not None and host not in ("localhost", "::1") and not str(host).startswith("127."):
            raise AssertionError(f"a test tried to connect to {host!r}: the suite is offline")

    def guarded(self: socket.socket, address: Any) -> None:
        allowed(address)
        connect(self, address)

    def guarded_ex(self: socket.socket, address: Any) -> int:
        allowed(address)
        return connect_ex(self, address)

    socket.socket.connect, socket.socket.connect_ex = guarded, guarded_ex  # type: ignore[method-assign]
    yield
    socket.socket.connect, socket.socket.connect_ex = connect, connect_ex  # type: ignore[method-assign]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no process ends the suite alone with a long file.

    Files with editors, which keep the processor busy, alternate with those of whole runs, which wait for other programs.
    """
    files = list(dict.fromkeys(item.path for item in items))
    editors, runs = (
        [file for file in files if file.is_relative_to(REPO / "tests" / name)] for name in ("vscode", "e2e")
    )
    whole = [file for file in files if file.parent == REPO / "tests"]  # they read or check the whole project
    first = [*whole, *(file for pair in zip_longest(editors, runs) for file in pair if file is not None)]
    places = {file: place for place, file in enumerate(dict.fromkeys([*first, *files]))}
    items.sort(key=lambda item: places[item.path])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What a test recorded as "summary": figures that are wanted also when everything passed."""
    for kind in ("passed", "failed"):
        for report in terminalreporter.stats.get(kind, ()):
            for name, value in report.user_properties:
                if name == "summary" and report.when == "call":
                    terminalreporter.write_line(str(value))
