"""A project with everything in it that isolation is about, and copies of it at each level that this system can be brought to."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import ExecutorError
from kiro_lsp.sandbox.isolation import IsolatedCopy, Policy, open_copy
from kiro_lsp.sandbox.processes import Finished
from tests.conftest import missing

LEVELS = {
    "overlay in bubblewrap": {"bubblewrap", "overlay"},
    "files in bubblewrap": {"bubblewrap"},
    "overlay": {"overlay"},
    "files": {"copy"},
}
SANDBOXED = [name for name in LEVELS if name != "files"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project in a repository, with uncommitted work, a stash, ignored build output and things not to be shown."""
    ws = tmp_path / "outer" / "ws"
    for path, text in {
        "src/app.py": "print(1)\n",
        "src/lib.py": "x = 1\n",
        "old/one.txt": "1\n",
        "old/two.txt": "2\n",
        "run.sh": "#!/bin/sh\n",
        ".gitignore": "build/\nnode_modules/\n.env\n*.log\n",
        ".mcp.json": "{}",
        ".claude/settings.json": "{}",
        ".kiro/hooks/on-save.json": "{}",
        ".kiro/specs/one/tasks.md": "- [ ] 1 one\n",
        "AGENTS.md": "be kind\n",
        "data.bin": "\0\1\2",
    }.items():
        (ws / path).parent.mkdir(parents=True, exist_ok=True)
        (ws / path).write_text(text)
    (ws / "link.py").symlink_to("src/app.py")
    git(ws, "init", "-q", "-b", "main")
    (ws / ".git/config").write_text(
        (ws / ".git/config").read_text() + '[remote "origin"]\n\turl = https://user:secret@example.test/x\n'
    )
    git(ws, "add", "-A")
    git(ws, "commit", "-qm", "first")
    (ws / "src/lib.py").write_text("x = 'stashed'\n")
    git(ws, "stash")
    (ws / "src/lib.py").write_text("x = 2  # not committed\n")
    (ws / "old/one.txt").write_text("staged\n")
    git(ws, "add", "old/one.txt")
    (ws / "build").mkdir()
    (ws / "build/out").write_text("built\n")
    (ws / "node_modules/dep").mkdir(parents=True)
    (ws / "node_modules/dep/index.js").write_text("exports.x = 1\n")
    (ws / ".env").write_text("KEY=secret\n")
    return ws


def git(where: Path, *arguments: str) -> str:
    names = ("-c", "user.name=Person", "-c", "user.email=person@example.test")
    return subprocess.run(["git", *names, *arguments], cwd=where, check=True, capture_output=True, text=True).stdout


Open = Callable[..., IsolatedCopy]


@pytest.fixture
def opened(root: Path, tmp_path: Path) -> Iterator[Open]:
    """Opens a copy at exactly the named level."""
    made: list[IsolatedCopy] = []

    def open_(
        level: str,
        policy: Mapping[str, object] | None = None,
        buffers: Mapping[str, bytes] | None = None,
        staged: tuple[FileChange, ...] = (),
    ) -> IsolatedCopy:
        given: dict[str, object] = {"trusted": False, "levels": frozenset(LEVELS[level])} | dict(policy or {})
        try:
            copy = open_copy(root, Policy(**given), tmp_path / f"copy{len(made)}", buffers=buffers, staged=staged)  # type: ignore[arg-type]
        except ExecutorError as refused:
            missing(level, refused.message)
        made.append(copy)
        wanted = ("overlay" in LEVELS[level], "bubblewrap" in LEVELS[level])
        if (type(copy._tree).__name__ == "Layered", copy.level == "bubblewrap") != wanted:
            missing(level, "; ".join(copy.missing))
        return copy

    yield open_
    for each in made:
        each.close()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("copy")] == []


async def sh(copy: IsolatedCopy, script: str) -> Finished:
    return await copy.run(["sh", "-c", script])


def brief(changes: list[FileChange]) -> list[tuple[str, str]]:
    return [(change.action, change.path) for change in changes]


each_level = pytest.mark.parametrize("level", LEVELS)
each_sandbox = pytest.mark.parametrize("level", SANDBOXED)


@pytest.fixture
def listener() -> Iterator[tuple[int, Callable[[], int]]]:
    """A port of this machine, and how many have connected to it."""
    count = 0
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            nonlocal count
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                count += 1
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], lambda: count
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
