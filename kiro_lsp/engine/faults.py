"""Named points at which a test can kill this process or make a step fail, to prove that no point leaves a hybrid.

Without KIRO_LSP_FAULT a point does nothing. `KIRO_LSP_FAULT=NAME[:N[+]][:MODE]` acts at the N-th pass (1 without N,
with `+` also at every later one): MODE `kill` (the usual one) is SIGKILL to ourselves, as hard as a power switch; `stop`
is SIGSTOP, so that a test can do something at just that moment and go on with SIGCONT; any other is the name of an
errno (`ENOSPC`, `EACCES`, …) and raises that OSError, as a system call at that place would.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from typing import Final

VARIABLE: Final = "KIRO_LSP_FAULT"

POINTS: Final = (
    # A run, from the click to the pending review.
    "run.recorded",
    "run.consented",
    "run.started",
    "run.staging",
    "run.staged",
    "run.copied",
    "run.commanded",
    "run.ending",
    "run.ended",
    # A run that goes on from another, before all that.
    "resume.laid",
    # One request that is paid by the token.
    "spend.reserved",
    "spend.received",
    "spend.settled",
    # An answer that a person pasted, in place of a run.
    "paste.recorded",
    "paste.staged",
    # Deciding on it.
    "review.accepting",
    "review.applied",
    "review.ticked",
    "review.settled",
    "review.rejecting",
    "review.rejected",
    # Applying: accept, undo, restore and tick all go through these.
    "apply.planned",
    "apply.prepared",
    "apply.applying",
    "apply.buffers",
    "apply.edited",
    "disk.folder",
    "disk.temporary",
    "disk.written",
    "disk.laid",
    "disk.swap",
    "disk.swapped",
    "disk.synced",
    "apply.swapped",
    "apply.verified",
    "disk.sweep",
    "apply.swept",
    "apply.recorded",
    # Going back, in the same process or after a crash.
    "disk.back",
    "recover.begin",
    "recover.file",
    "recover.recorded",
    # Committing.
    "commit.tree",
    "commit.object",
    "commit.index",
    "commit.ref",
)
"""Every point there is; a test walks through them all."""

_passes: dict[str, int] = {}


def point(name: str) -> None:
    """Pass a named point. Raises OSError when the environment asks for that."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    at, _, rest = wanted.partition(":")
    if at != name:
        return
    count, _, mode = rest.partition(":")
    lasting = count.endswith("+")
    _passes[wanted] = _passes.get(wanted, 0) + 1
    number = int(count.rstrip("+") or 1)
    if _passes[wanted] == number or (lasting and _passes[wanted] > number):
        _act(mode or "kill", name)


def reset() -> None:
    """Forget the passes counted so far: a test that sets the variable in its own process begins anew."""
    _passes.clear()


def _act(mode: str, name: str) -> None:
    if mode == "kill":
        # Windows has no SIGKILL; ending at once without clean-up is the same there.
        if hasattr(signal, "SIGKILL"):
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(137)
    if mode == "stop":
        # To this very thread: sent to the process, another thread could take it while this one runs on.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        return
    number = getattr(errno, mode)
    raise OSError(number, f"{os.strerror(number)} (injected at {name})")
