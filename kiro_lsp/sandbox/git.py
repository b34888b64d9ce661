"""Asking git about a project, in a way that the project's own git configuration cannot turn into running something.

A planted `.git/config` can name programs (fsmonitor, hooks, pagers, ssh commands). Every call switches those off, takes
the git program from outside the project, asks no questions and has a time limit. Nobody calls this before the root is
trusted.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kiro_lsp.sandbox.programs import find_program, reduced_environ

HARDENED: Final = (
    "-c", "core.fsmonitor=false",
    "-c", f"core.hooksPath={os.devnull}",
    "-c", "safe.bareRepository=explicit",
    "-c", "protocol.allow=never",
    "-c", "core.sshCommand=false",
    "-c", "commit.gpgSign=false",
    "-c", "core.pager=cat",
    "--no-pager",
    "--no-optional-locks",
)  # fmt: skip
"""Options before the subcommand."""

_PASSED_ON: Final = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
_TIMEOUT_SECONDS: Final = 20


def environment(root: Path | str) -> dict[str, str]:
    """A child environment for git: no prompt, no lock, messages in English, none of the caller's GIT_* but its config
    files.
    """
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    own = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_ASKPASS": "", "LC_ALL": "C"}
    return reduced_environ(os.environ, [root]) | kept | own


def tracked_and_untracked(root: Path | str) -> list[str] | None:
    """Paths below the root that git tracks or would track, relative to it; a nested repository ends in `/`.

    None when there is no git, no repository, or no answer.
    """
    output = _output(root, ["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    return None if output is None else _split(output)


def ignored(root: Path | str, candidates: Sequence[str], *, tracked_too: bool = True) -> frozenset[str] | None:
    """Those of `candidates` that the project's rules ignore, tracked or not, or untracked ones only; None without an
    answer, so that a caller can ask the ignore files.
    """
    if not candidates:
        return frozenset()
    options = ["--no-index"] if tracked_too else []
    given = "\0".join(candidates).encode("utf-8", "surrogateescape") + b"\0"
    output = _output(root, ["check-ignore", "--stdin", "-z", *options], given, expected=(0, 1))
    return None if output is None else frozenset(_split(output))


def _output(
    root: Path | str, arguments: Sequence[str], given: bytes | None = None, expected: Sequence[int] = (0,)
) -> bytes | None:
    program = find_program("git", os.environ, [root])
    if program is None:
        return None
    try:
        ended = subprocess.run(
            [program, *HARDENED, *arguments],
            cwd=root,
            env=environment(root),
            input=given if given is not None else b"",
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout if ended.returncode in expected else None


def _split(output: bytes) -> list[str]:
    return [path.decode("utf-8", "surrogateescape") for path in output.split(b"\0") if path]
