"""The process between the server and a command: it ends everything the command started, whatever that did to get away.

Runs as a script of its own (`python -I -S supervisor.py`), so it outlives a killed server and imports nothing of this
package.

    stdin    one line of JSON {argv, cwd, env, grace, marker, enter?, stdin?, stderr?}; after that, its end means: stop
    (the server asks, or is dead)
    stdout   the command's output and errors
    stderr   one line of JSON: {"exit": code}, {"signal": number} or {"error": message, "errno": number}

`stdin` and `stderr` are descriptors for a command that is talked to; without them it reads nothing, and its errors go where
its output goes. `enter` is {descriptors: [user, mount], capable}: the namespaces that the command starts in (Linux).

When the first process has ended, what it left behind is ended too. A stop is SIGTERM to all, and after `grace` seconds
SIGKILL. On Linux this process is a child subreaper: orphans of double forks and of setsid become its children, so the
tree below it is complete. On Windows a job object does the same. On other systems the process group, the tree and the
marker in the environment are what can be found; a process that leaves all three is not.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
ROOT_IS_NOBODY = 0b11
"""SECBIT_NOROOT and its lock: user 0 gets no capabilities by starting a program."""
CAPABILITY_VERSION = 0x20080522
KILLING_SECONDS = 3.0
_POLL_SECONDS = 0.02
_HELPERS = 16
"""Processes that a command may start to clean up after itself; more of them end its grace."""


def main() -> int:
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return 1
    order = json.loads(line)
    return _windows(order) if sys.platform == "win32" else _posix(order)


def _report(**facts: object) -> None:
    with contextlib.suppress(OSError):
        os.write(2, json.dumps(facts).encode() + b"\n")


# POSIX


def _posix(order: dict[str, Any]) -> int:
    linux = sys.platform.startswith("linux")
    if linux:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(awake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    stops: list[int] = []
    # Handlers, not SIG_IGN: an ignored signal stays ignored in the command, a handled one does not.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda received, _frame: stops.append(received) if received != signal.SIGCHLD else None)
    try:
        command = subprocess.Popen(
            order["argv"],
            cwd=None if "enter" in order else order["cwd"],
            env=order["env"],
            stdin=order.get("stdin", subprocess.DEVNULL),
            stdout=1,
            stderr=order.get("stderr", 1),
            start_new_session=True,
            preexec_fn=functools.partial(_before_exec, order) if linux else None,  # noqa: PLW1509  # this process has one thread
        )
    except OSError as error:
        _report(error=error.strerror or str(error), errno=error.errno)
        return 0
    for name in ("stdin", "stderr"):
        if name in order:
            os.close(order[name])  # the command's alone, so that its end is seen
    tree = Tree(command.pid, order["marker"])
    status = _watch(tree, awake, order["grace"], stops)
    tree.kill()
    if status is None:
        status = tree.status
    command.returncode = 0
    if status is None:
        _report(signal=int(signal.SIGKILL))
    elif os.WIFSIGNALED(status):
        _report(signal=os.WTERMSIG(status))
    else:
        _report(exit=os.WEXITSTATUS(status))
    return 0


def _watch(tree: Tree, awake: int, grace: float, stops: list[int]) -> int | None:
    """Until the first process has ended (its status), or a stop was asked for and everything ended or the grace is
    over.
    """
    stopping: float | None = None
    most = 0
    while True:
        tree.reap()
        if stopping is None and tree.status is not None:
            return tree.status
        if stopping is not None and (time.monotonic() >= stopping or not 0 < len(tree.alive()) <= most):
            return tree.status
        wait = None if stopping is None else _POLL_SECONDS
        watched = [awake] if stopping is not None else [awake, 0]
        ready, _, _ = select.select(watched, [], [], wait)
        if awake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(awake, 4096)
        if stopping is None and ((0 in ready and not os.read(0, 4096)) or stops):
            stopping = time.monotonic() + grace
            asked = tree.alive()
            _send(signal.SIGTERM, asked)
            most = len(asked) + _HELPERS


class Tree:
    """All processes that the first one started, and their ends."""

    def __init__(self, first: int, marker: str) -> None:
        self.first = first
        self.status: int | None = None
        self._marker = marker

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.first:
                self.status = status

    def alive(self) -> list[int]:
        if sys.platform.startswith("linux"):
            return below(os.getpid(), _parents())
        listed = subprocess.run(
            ["/bin/ps", "-axEww", "-o", "pid=,ppid=,pgid=,command="],
            capture_output=True,
            check=False,
            env={"LC_ALL": "C"},
        )
        return found_by_ps(listed.stdout.decode("utf-8", "replace"), os.getpid(), self.first, self._marker)

    def kill(self) -> None:
        """End everything. What is stopped cannot fork, so all are stopped until no new one turns up, and killed then."""
        deadline = time.monotonic() + KILLING_SECONDS
        self.reap()
        while (found := set(self.alive())) and time.monotonic() < deadline:
            stopped: set[int] = set()
            while new := found - stopped:
                _send(signal.SIGSTOP, new)
                stopped |= new
                found = set(self.alive())
            _send(signal.SIGKILL, stopped)
            time.sleep(_POLL_SECONDS / 4)
            self.reap()


def _send(number: int, pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def below(ancestor: int, parents: dict[int, int]) -> list[int]:
    """Every pid whose chain of parents holds `ancestor`."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    todo = [ancestor]
    while todo:
        for pid in children.get(todo.pop(), ()):
            found.append(pid)
            todo.append(pid)
    return found


def _parents() -> dict[int, int]:
    """Parent by pid for all processes that are not dead already."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The name of a program may hold blanks and brackets: the fields start after its last bracket.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state not in (b"Z", b"X"):
            parents[int(name)] = int(parent)
    return parents


def found_by_ps(listed: str, me: int, first: int, marker: str) -> list[int]:
    """Pids of `ps` lines (pid, parent, group, command with environment) that belong to the command."""
    parents: dict[int, int] = {}
    others: list[int] = []
    for line in listed.splitlines():
        pid, parent, group, command = [*line.split(None, 3), "", "", "", ""][:4]
        if not (pid.isdigit() and parent.isdigit()):
            continue
        parents[int(pid)] = int(parent)
        if group == str(first) or f"={marker}" in command:
            others.append(int(pid))
    mine: Iterable[int] = below(me, parents)
    return sorted((set(mine) | set(others)) - {me})


def _prctl(option: int, value: int) -> None:
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _before_exec(order: dict[str, Any]) -> None:
    """In the child: without this process nobody would end it. Asked for last, since a change of rights revokes it."""
    enter = order.get("enter")
    if enter is not None:
        _enter(enter["descriptors"], order["cwd"])
        if not enter["capable"]:
            _give_up_capabilities()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _enter(descriptors: list[int], cwd: str) -> None:
    """The namespaces that `namespace.py` made; the user namespace comes first, since it allows the other."""
    import ctypes

    for descriptor in descriptors:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0) != 0:
            raise OSError(ctypes.get_errno(), "the copy of the project cannot be entered")
    os.chdir(cwd)


def _give_up_capabilities() -> None:
    """A command must not be able to unmount what hides the real tree from it, not even as root of the namespace."""
    import ctypes

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(PR_SET_SECUREBITS, ROOT_IS_NOBODY, 0, 0, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if library.capset(ctypes.byref(Header(CAPABILITY_VERSION, 0)), nothing) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be given up")
    library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


# Windows


def _windows(order: dict[str, Any]) -> int:
    """This process enters a job that ends all its members when its last handle closes: when this process ends."""
    import threading

    _enter_job()
    try:
        command = subprocess.Popen(
            order["argv"], cwd=order["cwd"], env=order["env"], stdin=subprocess.DEVNULL, stdout=1, stderr=1
        )
    except OSError as error:
        _report(error=error.strerror or str(error), errno=error.errno)
        return 0

    def stop() -> None:
        while os.read(0, 4096):
            pass
        command.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.wait(order["grace"])
        _report(exit=1)
        os._exit(0)

    threading.Thread(target=stop, daemon=True).start()
    code = command.wait()
    _report(exit=code)
    # Not a return: the job must go at once, with whatever the command left behind.
    os._exit(0)


def _enter_job() -> None:
    if sys.platform == "win32":
        import ctypes
        from ctypes import wintypes

        class Limits(ctypes.Structure):
            """JOBOBJECT_EXTENDED_LIMIT_INFORMATION: 64 bytes of basic limits, 48 of counters, four sizes."""

            _fields_ = (
                ("process_time", ctypes.c_int64),
                ("job_time", ctypes.c_int64),
                ("flags", wintypes.DWORD),
                ("minimum", ctypes.c_size_t),
                ("maximum", ctypes.c_size_t),
                ("active", wintypes.DWORD),
                ("affinity", ctypes.c_size_t),
                ("priority", wintypes.DWORD),
                ("scheduling", wintypes.DWORD),
                ("counters", ctypes.c_uint64 * 6),
                ("memory", ctypes.c_size_t * 4),
            )

        kill_on_job_close, extended_limits = 0x2000, 9
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateJobObjectW.restype = wintypes.HANDLE
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        job = wintypes.HANDLE(kernel.CreateJobObjectW(None, None))
        limits = Limits(flags=kill_on_job_close)
        kernel.SetInformationJobObject(job, extended_limits, ctypes.byref(limits), ctypes.sizeof(limits))
        kernel.AssignProcessToJobObject(job, wintypes.HANDLE(kernel.GetCurrentProcess()))


if __name__ == "__main__":
    sys.exit(main())
