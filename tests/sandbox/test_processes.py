"""Commands: bounded output, a reduced environment, and no process left behind, whatever it does to stay."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kiro_lsp.sandbox import processes, programs, supervisor
from tests.support import procs

# A ready line goes through the FIFO $READY from every process that must die; the tree is known by an argument, since the
# environment of a command is reduced.
HOSTILE: dict[str, tuple[int, str]] = {
    "ignores-term": (1, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); ready(); hang()"),
    "ignores-everything": (
        1,
        "import signal\n"
        "for s in range(1, 32):\n"
        "    if s not in (9, 19): signal.signal(s, signal.SIG_IGN)\n"
        "ready(); hang()",
    ),
    "double-fork": (2, "if os.fork() == 0:\n    if os.fork() == 0: ready(); hang()\n    os._exit(0)\nready(); hang()"),
    "double-fork-setsid": (
        2,
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: ready(); hang()\n    os._exit(0)\nready(); hang()",
    ),
    "setsid-chain": (
        6,
        "for _ in range(5):\n    if os.fork(): break\n    os.setsid()\n    ready()\nelse: hang()\nready()\nhang()",
    ),
    "two-hundred-forks": (201, "for _ in range(200):\n    if os.fork() == 0: ready(); hang()\nready(); hang()"),
    "stopped": (1, "ready(); os.kill(os.getpid(), 19); hang()"),
    "clean-environment": (2, "if os.fork() == 0: os.setsid(); os.execve('/bin/sh', ['sh', '-c', loop], {})\nready(); hang()"),
    "closes-everything": (
        2,
        "if os.fork() == 0:\n    fd = os.open(fifo, os.O_WRONLY); os.closerange(0, 3); os.setsid()\n"
        "    os.write(fd, b'r\\n'); hang()\nready(); hang()",
    ),
    "forks-for-ever": (
        5,
        "import time\nready()\nwhile True:\n    if os.fork() == 0:\n        os.setsid(); ready(); time.sleep(0.05)\n  "
        "  elif n() > 30: hang()",
    ),
}  # fmt: skip

PREAMBLE = """
import os, sys, select, itertools
fifo = sys.argv[1]
count = itertools.count()
def n(): return next(count)
def ready():
    fd = os.open(fifo, os.O_WRONLY); os.write(fd, b"r\\n"); os.close(fd)
def hang():
    while True: select.select([], [], [], 1000)
loop = f"echo r > {fifo}; while :; do read x < {fifo}.never; done"
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Callable[[str], tuple[list[str], Path, int]]:
    """(argv, FIFO, how many processes say that they are ready) of a hostile script."""

    def make(name: str) -> tuple[list[str], Path, int]:
        ready, script = HOSTILE[name]
        os.mkfifo(tmp_path / "ready")
        os.mkfifo(tmp_path / "ready.never")
        (tmp_path / "script.py").write_text(PREAMBLE + script)
        return [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "ready")], tmp_path / "ready", ready

    return make


def living(tmp_path: Path) -> set[int]:
    """Processes that name the folder of this test on their command line, our own one aside."""
    wanted = os.fsencode(tmp_path)
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted in (entry / "cmdline").read_bytes() and not procs.is_dead(int(entry.name)):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def alive_after(seconds: float, tmp_path: Path) -> set[int]:
    """What still lives after that time, also of those who were not born when it began; at once when nothing does."""
    deadline = time.monotonic() + seconds
    while (found := living(tmp_path)) and time.monotonic() < deadline:
        procs.gone_within(found, deadline - time.monotonic())
    return found


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_cancelled_command_leaves_no_process(
    name: str, hostile: Callable[[str], tuple[list[str], Path, int]], tmp_path: Path
) -> None:
    argv, fifo, ready = hostile(name)
    running = asyncio.create_task(processes.run(argv, cwd=tmp_path))
    await asyncio.to_thread(procs.lines_of, fifo, ready)
    assert len(living(tmp_path)) >= min(ready, 2) - 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert living(tmp_path) == set()


@pytest.mark.parametrize("name", ["double-fork-setsid", "two-hundred-forks"])
async def test_processes_are_gone_when_the_time_is_over(
    name: str, hostile: Callable[[str], tuple[list[str], Path, int]], tmp_path: Path
) -> None:
    argv, fifo, ready = hostile(name)
    watching = asyncio.create_task(asyncio.to_thread(procs.lines_of, fifo, min(ready, 2)))
    ended = await processes.run(argv, cwd=tmp_path, timeout=20, grace=0.2)
    await watching
    assert ended.timed_out
    assert ended.exit_code == 124
    assert living(tmp_path) == set()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_killed_server_takes_its_commands_along(
    name: str, hostile: Callable[[str], tuple[list[str], Path, int]], tmp_path: Path
) -> None:
    """SIGKILL gives the server no chance to clean up: the supervisor sees the end of its input."""
    argv, fifo, ready = hostile(name)
    code = f"import asyncio; from kiro_lsp.sandbox import processes; asyncio.run(processes.run({argv!r}, cwd={str(tmp_path)!r}))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) as server:
        procs.lines_of(fifo, ready)
        before = living(tmp_path)
        server.kill()
        server.wait()
    assert before
    assert alive_after(procs.GONE_WITHIN, tmp_path) == set()


def test_a_command_dies_with_its_supervisor_when_nobody_is_left_to_sweep(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    argv = ["sh", "-c", f"echo r > {tmp_path}/ready; read x < {tmp_path}/ready.never"]
    os.mkfifo(tmp_path / "ready.never")
    code = f"import asyncio; from kiro_lsp.sandbox import processes; asyncio.run(processes.run({argv!r}, cwd={str(tmp_path)!r}))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) as server:
        procs.lines_of(tmp_path / "ready", 1)
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        commands = living(tmp_path) - {server.pid}
        server.kill()
        for pid in children:
            os.kill(int(pid), signal.SIGKILL)
        server.wait()
    assert commands
    assert procs.gone_within(commands) == set()


async def test_what_a_finished_command_left_behind_is_ended(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    script = (
        f"(setsid sh -c 'echo r > {tmp_path}/ready; sleep 1000' {tmp_path} &) ; read x < {tmp_path}/ready; echo done"
    )
    ended = await processes.run(["sh", "-c", script], cwd=tmp_path)
    assert (ended.exit_code, ended.output) == (0, "done\n")
    assert living(tmp_path) == set()


async def test_a_killed_supervisor_is_swept_up_after(tmp_path: Path) -> None:
    """The command ends its own supervisor; the marker in the environment finds what is left."""
    script = f"setsid sh -c 'sleep 1000' {tmp_path} & kill -9 $PPID; sleep 1000"
    ended = await processes.run(["sh", "-c", script], cwd=tmp_path)
    assert ended.exit_code == 137
    assert living(tmp_path) == set()


async def test_a_stopped_supervisor_does_not_hold_up_a_cancel(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    script = f"kill -STOP $PPID; echo r > {tmp_path}/ready; sleep 1000"
    running = asyncio.create_task(processes.run(["sh", "-c", script], cwd=tmp_path, grace=0.1))
    await asyncio.to_thread(procs.lines_of, tmp_path / "ready", 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert living(tmp_path) == set()


async def test_a_second_cancel_does_not_leave_the_tree_alone(
    hostile: Callable[[str], tuple[list[str], Path, int]], tmp_path: Path
) -> None:
    argv, fifo, ready = hostile("ignores-term")
    running = asyncio.create_task(processes.run(argv, cwd=tmp_path, grace=0.3))
    await asyncio.to_thread(procs.lines_of, fifo, ready)
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert living(tmp_path) == set()


async def test_a_listener_that_fails_ends_the_command_and_shows_its_error(tmp_path: Path) -> None:
    def listener(_text: str) -> None:
        raise LookupError("broken listener")

    with pytest.raises(LookupError, match="broken listener"):
        await processes.run(["sh", "-c", f"echo x; sleep 1000 # {tmp_path}"], cwd=tmp_path, on_output=listener)
    assert living(tmp_path) == set()


# Results


@pytest.mark.parametrize(
    ("script", "code", "output"),
    [
        ("echo out; echo err >&2; exit 3", 3, "out\nerr\n"),
        ("kill -9 $$", 137, ""),
        ("kill -TERM $$", 143, ""),
        ("cat; echo end", 0, "end\n"),
        ("printf '\\303\\251\\377'", 0, "é\ufffd"),
        ("trap 'echo bye; exit 5' TERM; kill -TERM $$; sleep 1", 5, "bye\n"),
    ],
)
async def test_exit_code_and_output_are_the_commands(script: str, code: int, output: str, tmp_path: Path) -> None:
    ended = await processes.run(["sh", "-c", script], cwd=tmp_path)
    assert (ended.exit_code, ended.output, ended.truncated, ended.timed_out) == (code, output, False, False)


async def test_output_is_bounded_and_its_beginning_and_end_are_kept(tmp_path: Path) -> None:
    heard: list[str] = []
    script = "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last"
    ended = await processes.run(["sh", "-c", script], cwd=tmp_path, limit=8000, on_output=heard.append)
    assert ended.truncated
    assert ended.output.startswith("first\nxxx")
    assert ended.output.endswith("xxx\nlast\n")
    assert "bytes left out" in ended.output
    assert len(ended.output) < 8200
    assert len("".join(heard)) < 8200


@pytest.mark.parametrize("size", [0, 1, 1999, 2000, 2001, 7999, 8000, 8001, 8002, 20000])
def test_kept_output_is_exact_around_its_limit(size: int) -> None:
    data = bytes(97 + index % 26 for index in range(size))
    for step in (1, 7, 4096, 30000):
        output = processes._Output(8000, None)
        for start in range(0, size, step):
            output.add(data[start : start + step])
        text = output.text()
        if size <= 8000:
            assert text == data.decode()
            continue
        head, _, tail = text.partition("\n[…")
        assert head == data[:2000].decode()
        assert tail.partition("…]\n")[2] == data[-6000:].decode()
        assert f"{size - 8000} bytes left out" in text


async def test_text_is_heard_while_the_command_runs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    heard = asyncio.Event()
    script = f"echo first; read x < {tmp_path}/go; echo second"
    running = asyncio.create_task(
        processes.run(["sh", "-c", script], cwd=tmp_path, on_output=lambda _text: heard.set())
    )
    await asyncio.wait_for(heard.wait(), 60)
    (tmp_path / "go").write_text("x\n")
    assert (await running).output == "first\nsecond\n"


@pytest.mark.parametrize(
    ("argv", "cwd", "error"),
    [
        (["no-such-program-here"], ".", FileNotFoundError),
        ([""], ".", FileNotFoundError),
        ([], ".", FileNotFoundError),
        (["echo", "a\0b"], ".", FileNotFoundError),
        (["./missing"], ".", FileNotFoundError),
        (["./plain.txt"], ".", PermissionError),
        (["./empty-program"], ".", FileNotFoundError),
        (["true"], "nowhere", NotADirectoryError),
        (["true"], "plain.txt", NotADirectoryError),
    ],
)
async def test_what_cannot_start_says_why(argv: list[str], cwd: str, error: type[OSError], tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("x")
    (tmp_path / "empty-program").write_text("#!/no/such/interpreter\n")
    (tmp_path / "empty-program").chmod(0o755)
    with pytest.raises(error) as raised:
        await processes.run(argv, cwd=tmp_path / cwd)
    assert raised.value.strerror is None
    assert str(raised.value).endswith(".")


# What is run


def program(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)
    return path


async def test_a_project_cannot_put_its_own_program_first(tmp_path: Path) -> None:
    """K13: on the PATH, through a link, through a relative PATH entry, and in the current folder."""
    root, copy, outside = tmp_path / "ws", tmp_path / "copy", tmp_path / "bin"
    for folder in (root, copy):
        program(folder / "bin/tool", "planted")
        program(folder / "tool", "planted")
    program(outside / "tool", "real")
    (tmp_path / "link").symlink_to(root / "bin")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "tool").symlink_to(root / "bin/tool")
    for first in (f"{root}/bin", f"{copy}/bin", f"{tmp_path}/link", "bin", "", ".", str(linked)):
        path = os.pathsep.join([first, str(outside), "/usr/bin", "/bin"])
        ended = await processes.run(["tool"], cwd=copy, env={"PATH": path}, outside=(root, copy))
        assert ended.output == "real\n", first
    child = await processes.run(
        ["sh", "-c", "echo $PATH"], cwd=copy, env={"PATH": f"{root}/bin:/usr/bin:/bin"}, outside=(root,)
    )
    assert child.output == "/usr/bin:/bin\n"


async def test_a_program_of_the_copy_runs_by_its_path_and_one_of_the_real_project_does_not(tmp_path: Path) -> None:
    root, copy = tmp_path / "ws", tmp_path / "copy"
    program(root / "run.sh", "original")
    program(copy / "run.sh", "copied")
    assert (await processes.run(["./run.sh"], cwd=copy, outside=(root, copy))).output == "copied\n"
    for name in (f"{root}/run.sh", "../ws/run.sh"):
        with pytest.raises(PermissionError, match="project itself"):
            await processes.run([name], cwd=copy, outside=(root, copy))


async def test_no_secret_of_the_environment_reaches_a_command(tmp_path: Path) -> None:
    canary = secrets.token_hex(8)
    names = [
        "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "GITHUB_TOKEN", "MY_SECRET", "DB_PASSWORD",
        "HTTPS_PROXY", "LD_PRELOAD", "PYTHONPATH", "PYTHONSTARTUP", "NODE_OPTIONS", "GIT_SSH_COMMAND", "BASH_ENV", "ENV",
        "SSH_AUTH_SOCK", "KUBECONFIG", "DATABASE_URL", "CLAUDE_CODE_TOKEN", "RIPGREP_CONFIG_PATH", "PERL5OPT", "RUBYOPT",
    ]  # fmt: skip
    environ = dict.fromkeys(names, canary) | {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LC_ALL": "C",
        "LANG": "C",
    }
    ended = await processes.run(["env"], cwd=tmp_path, env=environ)
    assert canary not in ended.output
    given = {line.partition("=")[0] for line in ended.output.splitlines()}
    assert given <= {"PATH", "HOME", "LC_ALL", "LANG", "TERM", "PWD", processes.MARKER, "_", "SHLVL", "OLDPWD"}
    assert {"PATH", "HOME", "LC_ALL", "LANG"} <= given


def test_the_supervisor_itself_gets_no_secret_either(tmp_path: Path) -> None:
    reduced = programs.reduced_environ({"PATH": "/bin", "X_API_KEY": "k", "HOME": "/h"})
    assert reduced == {"PATH": "/bin", "HOME": "/h", "TERM": "dumb"}


async def test_a_command_has_no_terminal_its_own_session_and_default_signals(tmp_path: Path) -> None:
    code = (
        "import os, signal; print(os.getsid(0) == os.getpid(), os.read(0, 1), "
        "[s for s in (1, 2, 13, 15, 17) if signal.getsignal(s) not in (signal.SIG_DFL, signal.default_int_handler)])"
    )
    ended = await processes.run([sys.executable, "-I", "-c", f"import signal; {code}"], cwd=tmp_path)
    assert ended.output == "True b'' [13]\n", "Python itself ignores SIGPIPE"


def test_a_command_runs_on_a_loop_of_another_thread(tmp_path: Path) -> None:
    results: list[str] = []

    def own_loop() -> None:
        results.append(asyncio.run(processes.run(["echo", "hello"], cwd=tmp_path)).output)

    thread = threading.Thread(target=own_loop)
    thread.start()
    thread.join(30)
    assert results == ["hello\n"]


# The parts that other systems use


def test_descendants_are_found_through_any_chain_of_parents() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 11, 20: 1, 13: 10, 21: 20}
    assert sorted(supervisor.below(10, parents)) == [11, 12, 13]
    assert supervisor.below(99, parents) == []


def test_ps_output_gives_the_tree_the_group_and_the_marked_ones() -> None:
    listed = """
        1     0     1 /sbin/launchd
      100     1   100 python supervisor.py
      101   100   101 sh -c x KIRO_LSP_COMMAND=abc
      102   101   101 sleep 1000
      103     1   101 sleep in the group
      104     1   104 sh away from group and tree KIRO_LSP_COMMAND=abc PATH=/bin
      105     1   105 somebody else KIRO_LSP_COMMAND=other
      garbage
    """
    assert supervisor.found_by_ps(listed, 100, 101, "abc") == [101, 102, 103, 104]


def test_batch_files_get_no_argument_that_their_shell_would_read() -> None:
    assert processes.batch_problem("C:\\x\\npm.cmd", ["run", "test-all"]) is None
    assert processes.batch_problem("/usr/bin/echo", ['a"b&c']) is None
    for bad in ('"&calc', "%PATH%", "a|b", "x>y", "a\nb", "^x"):
        assert processes.batch_problem("C:\\x\\NPM.CMD", [bad])


def test_the_supervisor_refuses_an_order_that_was_cut_off() -> None:
    """A server that dies while it writes must not start half a command."""
    ended = subprocess.run(
        [sys.executable, "-I", "-S", supervisor.__file__],
        input=b'{"argv": ["/bin/echo", "x"]',
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, b"")


def test_a_signal_to_the_supervisor_stops_the_command(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    order = (
        f'{{"argv": ["/bin/sh", "-c", "echo r > {tmp_path}/ready; sleep 1000"], "cwd": "{tmp_path}", "env": {{"PATH": "/bin"}}, '
        '"grace": 0.2, "marker": "m"}\n'
    )
    with subprocess.Popen(
        [sys.executable, "-I", "-S", supervisor.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(order.encode())
        process.stdin.flush()
        procs.lines_of(tmp_path / "ready", 1)
        process.send_signal(signal.SIGTERM)
        assert process.stderr.read() == b'{"signal": 15}\n'
    assert living(tmp_path) == set()
