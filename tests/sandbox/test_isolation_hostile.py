"""What a program in a copy of the project tries against the tree, the network and its own end, and what comes of it.

The same promises are checked at every level; what a level cannot promise is checked to be said.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kiro_lsp.errors import ExecutorError
from kiro_lsp.sandbox.isolation import Policy, open_copy
from tests.sandbox.conftest import LEVELS, Open, brief, each_sandbox, sh
from tests.support import procs, tree

FETCH = """
import sys, urllib.request
for url in sys.argv[1:]:
    try: print(urllib.request.urlopen(url, timeout=20).read().decode())
    except OSError as error: print(type(error).__name__, error)
"""


@pytest.fixture
def web() -> Iterator[int]:
    """The port of a web server of this machine."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("level", ["overlay in bubblewrap", "files in bubblewrap"])
async def test_a_command_reaches_the_hosts_that_are_named_and_no_other(
    level: str, web: int, opened: Open, listener: tuple[int, Callable[[], int]]
) -> None:
    port, connected = listener
    copy = opened(level, {"network": "hosts", "hosts": (f"127.0.0.1:{web}", "api.example.test")})
    assert copy.network == f"only 127.0.0.1:{web}, api.example.test"
    urls = [
        f"http://127.0.0.1:{web}/",
        f"http://127.0.0.1:{port}/",
        "http://other.example.test/",
        "https://other.example.test/",
    ]
    said = await copy.run(["/usr/bin/python3", "-c", FETCH, *urls])
    assert said.output.split("\n")[0] == "hello"
    assert "HTTPError HTTP Error 403" in said.output
    assert "hello" not in said.output[5:]
    assert connected() == 0
    assert copy.unreached == {"other.example.test:80", "other.example.test:443"}
    assert (await copy.run(["sh", "-c", "exit 7"])).exit_code == 7


HOSTILE = """
import os, signal, socket, subprocess, sys
root, port, token = sys.argv[1:]
outer = os.path.dirname(root)
def quietly(call, *arguments):
    try: call(*arguments)
    except OSError as error: print("no:", error)
def write(path): open(path, "w").write("evil")
for path in (root + "/planted.txt", root + "/src/app.py", outer + "/outside.txt", "../outside2.txt", "/etc/kiro-planted",
             os.path.expanduser("~/.profile"), root + "/.git/refs/heads/evil", root + "/.git/hooks/pre-commit", root + "/.env"):
    quietly(write, path)
quietly(os.symlink, outer, "way-out"); quietly(write, "way-out/outside3.txt")
quietly(os.symlink, root + "/src/lib.py", "alias"); quietly(write, "alias")
quietly(os.link, root + "/src/lib.py", outer + "/hard"); quietly(os.chmod, root + "/run.sh", 0o777)
quietly(os.chmod, outer, 0o777); quietly(os.rename, root + "/old", outer + "/old"); quietly(os.utime, root + "/AGENTS.md", (0, 0))
for command in (["git", "-C", root, "commit", "-qam", "evil"], ["git", "-C", root, "stash", "drop"],
                ["git", "config", "--file", root + "/.git/config", "core.fsmonitor", "evil"],
                ["umount", root], ["umount", "-l", root], ["unshare", "-Urm", "umount", root],
                ["mount", "-o", "remount,rw", "/"]):
    try: subprocess.run(command, stderr=subprocess.DEVNULL)
    except OSError: pass
with socket.socket() as s:
    s.settimeout(1); quietly(s.connect, ("127.0.0.1", int(port)))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            print("ready", flush=True)
            while True: quietly(write, root + "/background.txt")
        os._exit(0)
print("ready", flush=True)
while True: signal.pause()
"""


@each_sandbox
async def test_a_hostile_agent_is_gone_and_the_tree_is_equal(
    level: str, root: Path, opened: Open, listener: tuple[int, Callable[[], int]], own_homes: Path
) -> None:
    port, connected = listener
    before, around = tree.snapshot(root), sorted(os.listdir(root.parent))
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (root.parent, root / "run.sh")]
    copy = opened(level)
    token, said = f"hostile-{secrets.token_hex(8)}", Said(4)
    argv = ["/usr/bin/python3", "-c", HOSTILE, str(root), str(port), token]
    running = asyncio.create_task(copy.run(argv, on_output=said))
    await said.ready.wait()
    assert living(token)
    running.cancel()
    async with asyncio.timeout(procs.GONE_WITHIN):
        with pytest.raises(asyncio.CancelledError):
            await running
    assert living(token) == set()
    assert tree.differences(before, tree.snapshot(root)) == []
    assert sorted(os.listdir(root.parent)) == around
    assert [stat.S_IMODE(path.stat().st_mode) for path in (root.parent, root / "run.sh")] == modes
    assert not Path("/etc/kiro-planted").exists()
    assert not (own_homes / ".profile").exists()
    assert connected() == (0 if copy.level == "bubblewrap" else 1)
    assert copy.network == "none" if copy.level == "bubblewrap" else "cannot be switched off" in copy.network
    changed = {change.path: change for change in copy.changes()}
    assert changed["planted.txt"].proposed == b"evil"
    assert {"way-out", "alias"} <= {each.path for each in copy.refused}
    assert not [path for path in changed if path.startswith((".git/", "outside"))]
    assert ".env" not in changed


class Said:
    """Counts the lines that say that a process is ready."""

    def __init__(self, wanted: int) -> None:
        self.text, self.wanted, self.ready = "", wanted, asyncio.Event()

    def __call__(self, text: str) -> None:
        self.text += text
        if self.text.count("ready\n") >= self.wanted:
            self.ready.set()


def living(token: str) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and not procs.is_dead(int(entry.name)):
            try:
                if token.encode() in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


@each_sandbox
def test_a_killed_server_leaves_no_process_and_no_mount(level: str, root: Path, tmp_path: Path) -> None:
    token = f"hostile-{secrets.token_hex(8)}"
    code = f"""
import asyncio, sys
from kiro_lsp.sandbox.isolation import Policy, open_copy
copy = open_copy({str(root)!r}, Policy(trusted=False, levels=frozenset({LEVELS[level]!r})), {str(tmp_path / "copy")!r})
argv = ["/usr/bin/python3", "-c", {HOSTILE!r}, {str(root)!r}, "1", {token!r}]
asyncio.run(copy.run(argv, on_output=lambda text: print(text, end="", flush=True)))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        for _ in range(4):
            while server.stdout.readline() != "ready\n":
                assert server.poll() is None
        before = living(token)
        server.kill()
        server.wait()
    assert before
    assert procs.gone_within(before) == set()
    assert living(token) == set()
    mounts = "".join(text_of(each) for each in Path("/proc").glob("[0-9]*/mountinfo"))
    assert str(tmp_path / "copy") not in mounts


def text_of(path: Path) -> str:
    """Of a file that may go away at any moment; then nothing."""
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("echo evil > {root}/src/app.py", "src/app.py was changed"),
        ("echo evil > {root}/planted.txt", "planted.txt was created"),
        ("rm {root}/old/one.txt", "old/one.txt was deleted"),
        ("mkdir {root}/made; echo evil > {root}/made/x", "made/x was created"),
        ("touch -d 2001-01-01 {root}/AGENTS.md", "AGENTS.md was changed"),
        (
            "cp -p {root}/AGENTS.md x; echo evil > {root}/AGENTS.md; cat x > {root}/AGENTS.md; touch -r x {root}/AGENTS.md",
            "AGENTS.md was",
        ),
        ("chmod +x {root}/src/lib.py", "src/lib.py was changed"),
        ("ln -sf lib.py {root}/link.py", "link.py was changed"),
        ("echo evil > {root}/.env", ".env was changed"),
        ("echo evil > {root}/.claude/hook", ".claude/hook was created"),
        ("git -C {root} -c user.name=x -c user.email=y commit -qam evil", ".git/refs/heads/main was changed"),
        ("git -C {root} add src/lib.py", ".git/index was changed"),
        ("git -C {root} stash drop -q", ".git/refs/stash was deleted"),
        ("git -C {root} config core.fsmonitor evil", ".git/config was changed"),
        ("echo evil > {root}/.git/hooks/pre-commit", ".git/hooks/pre-commit was created"),
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
async def test_without_a_sandbox_a_write_to_the_tree_is_named_and_fails_the_run(
    script: str, named: str, trusted: bool, root: Path, opened: Open
) -> None:
    copy = opened("files", {"trusted": trusted})
    assert copy.level == "copy"
    assert copy.missing
    await sh(copy, f"echo work > src/app.py; {script.format(root=root)}")
    for _ in range(2):
        with pytest.raises(ExecutorError) as refused:
            copy.changes()
        assert named in refused.value.message
        assert refused.value.kind == "agent"


async def test_without_a_sandbox_what_only_looks_is_no_trespass(root: Path, opened: Open) -> None:
    copy = opened("files", {"trusted": True})
    await sh(
        copy,
        f"cat {root}/src/app.py; git -C {root} status --short; git -C {root} diff; git -C {root} fetch; echo a > x",
    )
    (root / "src/lib.py").write_text("the person saved this")
    copy.saved(["src/lib.py"])
    assert brief(copy.changes()) == [("create", "x")]


def test_a_policy_that_allows_no_plain_copy_refuses_where_there_is_nothing_else(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match="There is no sandbox here: bubblewrap is switched off"):
        open_copy(root, Policy(trusted=False, levels=frozenset()), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
