"""One run's own view of the project: what commands see and change there, and that the person's tree stays as it is.

The same promises are checked at every level that this system can be brought to; what a level cannot promise is checked
to be said.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import ExecutorError
from kiro_lsp.sandbox.isolation import Home, IsolatedCopy, Policy, open_copy
from kiro_lsp.sandbox.processes import Finished
from tests.conftest import missing
from tests.support import procs, tree

GONE_WITHIN = 2.0
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


@each_level
async def test_commands_see_the_work_as_it_stands(level: str, root: Path, opened: Open) -> None:
    staged = FileChange("src/new.py", "create", None, b"staged", None, 0o644)
    copy = opened(level, buffers={"src/app.py": b"buffer", "fresh.txt": b"untitled"}, staged=(staged,))
    seen = await sh(
        copy, "cat src/app.py src/lib.py src/new.py fresh.txt old/one.txt link.py; test -x run.sh || echo -n x"
    )
    assert seen.output == "bufferx = 2  # not committed\nstageduntitledstaged\nbufferx"
    assert copy.changes() == []


@each_level
async def test_secrets_and_agents_own_configuration_are_not_shown(level: str, root: Path, opened: Open) -> None:
    copy = opened(level)
    looked = "ls -A . .kiro .kiro/specs/one; cat .env .mcp.json .claude/settings.json .kiro/hooks/* .git/config; cat AGENTS.md"
    seen = (await sh(copy, looked)).output
    assert "secret" not in seen
    assert "{}" not in seen
    assert "tasks.md" in seen
    assert "be kind" in seen
    assert ".git" in seen
    hidden = [(left_out.path, left_out.reason.partition(",")[0]) for left_out in copy.skipped]
    assert all(reason == "it configures agents" for path, reason in hidden if path != ".env")
    assert {path.split("/")[0] for path, _ in hidden} - {".env"} == {".claude", ".kiro", ".mcp.json"}


@each_level
async def test_a_trusted_project_shows_its_agents_their_configuration(level: str, opened: Open) -> None:
    copy = opened(level, {"trusted": True})
    seen = await sh(copy, "cat .mcp.json .claude/settings.json .kiro/hooks/on-save.json; cat .env; true")
    assert seen.output.startswith("{}{}{}")
    assert "secret" not in seen.output


@each_level
@pytest.mark.parametrize("trusted", [True, False])
async def test_the_differences_are_the_change_set(level: str, trusted: bool, root: Path, opened: Open) -> None:
    before = tree.snapshot(root)
    copy = opened(level, {"trusted": trusted}, buffers={"run.sh": b"#!/bin/sh\nbuffer\n"})
    await sh(
        copy,
        """
        echo more >> src/lib.py; rm src/app.py; mkdir -p new/deep; echo n > new/deep/file; chmod +x run.sh
        rm -r old; mkdir old; echo other > old/three.txt; printf '\\0\\377' > data.bin
        ln -s /etc/passwd leak; ln -sf src/lib.py link.py; mkfifo pipe; touch -d 2001-01-01 AGENTS.md
        mkdir -p build node_modules/dep; echo x > build/out2; echo x > node_modules/dep/other.js; echo log > debug.log
        mkdir -p __pycache__ .pytest_cache; echo x > __pycache__/a.pyc; echo x > .pytest_cache/x
        """,
    )
    changes = {change.path: change for change in copy.changes()}
    assert brief(list(changes.values())) == [
        ("modify", "data.bin"),
        ("create", "new/deep/file"),
        ("delete", "old/one.txt"),
        ("create", "old/three.txt"),
        ("delete", "old/two.txt"),
        ("modify", "run.sh"),
        ("delete", "src/app.py"),
        ("modify", "src/lib.py"),
    ]
    assert changes["data.bin"].proposed == b"\0\xff"
    assert changes["src/lib.py"].base == b"x = 2  # not committed\n"
    assert changes["src/lib.py"].proposed == b"x = 2  # not committed\nmore\n"
    assert (changes["run.sh"].base, changes["run.sh"].proposed) == (b"#!/bin/sh\nbuffer\n",) * 2
    assert (changes["run.sh"].base_mode, changes["run.sh"].mode) == (0o644, 0o755)
    assert changes["src/app.py"].base == b"print(1)\n"
    assert [each.path for each in copy.refused] == ["leak", "link.py", "pipe"]
    assert tree.differences(before, tree.snapshot(root)) == []
    # What was told once is not told again, and what comes later is.
    await sh(copy, "echo later >> src/lib.py; rm new/deep/file")
    later = copy.changes()
    assert brief(later) == [("delete", "new/deep/file"), ("modify", "src/lib.py")]
    assert later[1].base == b"x = 2  # not committed\nmore\n"


@each_level
async def test_git_works_in_the_copy_and_goes_nowhere(level: str, root: Path, opened: Open) -> None:
    before, objects = tree.snapshot(root), sorted((root / ".git").rglob("*"))
    copy = opened(level, {"trusted": True})
    worked = await sh(
        copy,
        "git status --short; git log --format=%s; git remote; git diff --cached --stat; "
        "git commit -qm second && git log --format=%s && git checkout -qb side && git stash list && git stash drop -q "
        "&& git tag made && git gc -q && git branch -D main",
    )
    assert worked.output.startswith(" M src/lib.py\n" if level.startswith("overlay") else "M  old/one.txt\n") or (
        "M  old/one.txt\n M src/lib.py\n" in worked.output
    ), worked.output
    assert "second\nfirst\n" in worked.output
    assert "origin" not in worked.output
    assert worked.exit_code == 0, worked.output
    assert copy.changes() == []
    assert tree.differences(before, tree.snapshot(root)) == []
    assert sorted((root / ".git").rglob("*")) == objects
    assert git(root, "log", "--format=%s") == "first\n"
    assert "stashed" in git(root, "stash", "show", "-p")


@each_level
async def test_a_linked_worktree_has_a_git_folder_of_its_own(level: str, root: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(root, "worktree", "add", "-q", str(linked))
    before = git(root, "for-each-ref")
    copy = open_copy(linked, Policy(trusted=True, levels=frozenset(LEVELS[level])), tmp_path / "copy")
    try:
        worked = await sh(copy, "echo x >> AGENTS.md; git status --short; git commit -qam second; git log --format=%s")
        assert (worked.output, brief(copy.changes())) == (" M AGENTS.md\nsecond\nfirst\n", [("modify", "AGENTS.md")])
    finally:
        copy.close()
    assert git(root, "for-each-ref") == before
    assert git(linked, "status", "--short") == ""


@each_level
async def test_what_the_person_saved_meanwhile_is_never_overwritten(level: str, root: Path, opened: Open) -> None:
    copy = opened(level)
    # The change time of a save cannot be that of the copy: wait for the clock of the file system by looking at it.
    probe = root.parent / "probe"
    while True:
        probe.write_text("x")
        if probe.stat().st_ctime_ns > (root / "src/app.py").stat().st_ctime_ns + 20_000_000:
            break
    (root / "src/app.py").write_text("mine\n")
    copy.saved(["src/app.py"])
    await sh(copy, "echo theirs > src/app.py; rm -f src/gone")
    assert [(change.action, change.base) for change in copy.changes()] == [("create", None)]
    assert list(copy.stale) == ["src/app.py"]


@pytest.mark.parametrize("level", SANDBOXED)
async def test_installed_dependencies_can_be_used_and_not_changed(level: str, root: Path, opened: Open) -> None:
    copy = opened(level)
    used = "cat node_modules/dep/index.js; echo evil > node_modules/dep/index.js"
    assert (await sh(copy, used)).output.startswith("exports.x = 1\n")
    assert (await sh(copy, used)).output.startswith("evil\n" if level.startswith("overlay") else "exports.x = 1\n")
    assert copy.changes() == []
    assert (root / "node_modules/dep/index.js").read_text() == "exports.x = 1\n"


@each_level
async def test_a_folder_that_a_command_closed_is_looked_into(level: str, opened: Open) -> None:
    copy = opened(level)
    await sh(copy, "echo more > src/lib.py; chmod 0 src; mkdir -m 0 empty")
    assert brief(copy.changes()) == [("modify", "src/lib.py")]


@each_level
async def test_update_brings_the_copy_to_what_is_staged(level: str, root: Path, opened: Open) -> None:
    copy = opened(level)
    await sh(copy, "echo agent > src/app.py; echo made > made.txt")
    staged = copy.changes()
    copy.update([*staged, FileChange("AGENTS.md", "modify", b"be kind\n", b"be quick\n", 0o644, 0o644)])
    assert (await sh(copy, "cat src/app.py made.txt AGENTS.md")).output == "agent\nmade\nbe quick\n"
    copy.update([change for change in staged if change.path == "made.txt"])
    assert (await sh(copy, "cat src/app.py made.txt AGENTS.md")).output == "print(1)\nmade\nbe kind\n"
    assert copy.changes() == []


@each_sandbox
async def test_a_home_folder_of_the_agent_is_bound_and_the_rest_is_not(
    level: str, own_homes: Path, opened: Open
) -> None:
    (own_homes / ".agent/hooks").mkdir(parents=True)
    (own_homes / ".agent/token").write_text("old")
    (own_homes / ".agent/settings.json").write_text("{}")
    (own_homes / ".ssh").mkdir()
    (own_homes / ".ssh/id").write_text("private")
    home = Home("~/.agent", ("settings.json", "hooks", "plugins"))
    copy = opened(level, {"homes": (home, Home("~/../elsewhere"), Home("/etc")), "environ": dict(os.environ)})
    said = await sh(copy, "echo new > ~/.agent/token; echo own > ~/.own; cat ~/.ssh/id; true")
    assert (own_homes / ".agent/token").read_text() == "new\n"
    assert not (own_homes / ".own").exists()
    if copy.level == "bubblewrap":
        assert "private" not in said.output
    assert copy.changes() == []
    await sh(copy, "echo evil > ~/.agent/settings.json; echo evil > ~/.agent/hooks/start")
    if copy.level == "bubblewrap":
        assert (own_homes / ".agent/settings.json").read_text() == "{}"
        assert copy.changes() == []
    await sh(copy, "mkdir -p ~/.agent/plugins; echo evil > ~/.agent/plugins/start")
    with pytest.raises(ExecutorError, match=r"\.agent/plugins/start was created"):
        copy.changes()


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
async def test_a_hostile_agent_is_gone_in_two_seconds_and_the_tree_is_equal(
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
    async with asyncio.timeout(GONE_WITHIN):
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
    assert procs.gone_within(before, GONE_WITHIN) == set()
    assert living(token) == set()
    mounts = "".join(each.read_text() for each in Path("/proc").glob("[0-9]*/mountinfo") if readable(each))
    assert str(tmp_path / "copy") not in mounts


def readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


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


# What an overlay says about a tree must be what a comparison of two trees says.

NAMES = st.sampled_from(["a", "b", "d", "d/a", "d/b", "d/e/a", "e", "e/a"])
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, st.sampled_from(["", "one", "two"])),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.just("folder"), NAMES),
        st.tuples(st.just("move"), NAMES, NAMES),
        st.tuples(st.just("mode"), NAMES, st.sampled_from([0o644, 0o755])),
        st.tuples(st.just("link"), NAMES, NAMES),
    ),
    max_size=8,
)
ACT = """
import json, os, shutil, sys
def remove(path): shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
def write(path, text):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    open(path, "w").write(text)
acts = {"write": write, "remove": remove, "folder": os.makedirs, "move": shutil.move,
        "mode": lambda path, mode: os.path.isfile(path) and os.chmod(path, mode),
        "link": lambda path, target: os.symlink(target, path)}
for name, *arguments in json.loads(sys.argv[1]):
    try: acts[name](*arguments)
    except (OSError, shutil.Error): pass
"""


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS, OPERATIONS)
def test_an_overlay_and_a_copy_tell_the_same(
    tmp_path: Path, first: list[tuple[object, ...]], then: list[tuple[object, ...]]
) -> None:
    root = tmp_path / secrets.token_hex(4)
    for path in ("a", "d/a", "d/b", "d/e/a"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"{path}\n")
    before = tree.snapshot(root)
    told = []
    for levels in ({"overlay"}, {"copy"}):
        copy = open_copy(root, Policy(trusted=False, levels=frozenset(levels)), tmp_path / "copy")  # type: ignore[arg-type]
        if {copy.level} != levels:
            missing("overlay", "; ".join(copy.missing))
        try:
            for operations in (first, then):
                asyncio.run(copy.run(["/usr/bin/python3", "-c", ACT, json.dumps(operations)]))
                told.append((levels, copy.changes(), [each.path for each in copy.refused]))
        finally:
            copy.close()
    assert [each[1:] for each in told[:2]] == [each[1:] for each in told[2:]]
    assert tree.differences(before, tree.snapshot(root)) == []
