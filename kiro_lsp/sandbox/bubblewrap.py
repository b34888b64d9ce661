"""The argument list that puts a command into bubblewrap, and whether this system lets it.

Inside there is the project (a copy of it, at its own path), the system read-only, a fresh home folder with the person's
tools in it and nothing else of theirs, fresh temporary folders, processes of its own, and a network or none. The agent's
own home folder is bound in writable, since logins are renewed there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from kiro_lsp.sandbox.programs import find_program, inside, reduced_environ, search_path

OBJECTS: Final = Path("/run/kiro-lsp/objects")
"""Where commands find the objects of the person's repository."""

_FRESH: Final = ("/tmp", "/var/tmp", "/run")  # noqa: S108  # to be covered, not used
_KEPT_OF_RUN: Final = ("/run/systemd/resolve", "/run/current-system", "/run/NetworkManager/resolv.conf")
_HOME_TOOLS: Final = """
    .cargo/bin .rustup .nvm .pyenv .rbenv .nodenv .asdf .volta .bun .deno .npm-global .sdkman/candidates .opam .ghcup/bin
    .local/bin .local/lib .local/share/uv .local/share/pipx .local/share/mise .local/share/pnpm .local/share/fnm
    """.split()  # noqa: SIM905  # as in `programs`: a list to read
_INSTALLATION: Final = ("lib", "libexec", "share", "versions", "pyvenv.cfg", "conda-meta", "node_modules")
_PROBE_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    program: str
    processes: bool
    """Whether it can give a command processes and a /proc of its own: some containers forbid that."""

    def before(
        self,
        *,
        tree: str,
        root: str,
        cwd: str,
        network: bool,
        hidden: Iterable[str] = (),
        readable: Mapping[str, str] | None = None,
        writable: Iterable[str] = (),
        copied: Mapping[str, str] | None = None,
        guarded: Iterable[str] = (),
        inside_root: Iterable[str] = (),
        home: str | None = None,
    ) -> tuple[str, ...]:
        """What goes in front of a command: `tree` is shown at `root`, writable.

        `inside_root` are folders of the root that the tree does not hold: they are shown read-only. `hidden` folders are
        empty inside; `readable` (place inside → source) and `writable` paths are as outside, `copied` ones (place inside →
        copy) can be written to without an effect outside, `guarded` ones are read-only although a writable folder holds them.
        """
        arguments = [self.program, *self._basis(network=network)]
        covered = [*_FRESH, *hidden, *([home] if home is not None and not inside(home, [root]) else [])]
        for place in covered:
            if os.path.isdir(place) and not os.path.islink(place):
                arguments += ["--tmpfs", place]
        for place, source in {**{each: each for each in _KEPT_OF_RUN}, **(readable or {})}.items():
            if os.path.exists(source):
                arguments += ["--ro-bind", source, place]
        for option, places in (("--bind", writable), ("--ro-bind", guarded)):
            for place in places:
                arguments += [option, place, place]
        for place, copy in (copied or {}).items():
            arguments += ["--bind", copy, place]
        arguments += ["--bind", tree, root]
        for place in inside_root:
            # Bubblewrap makes an empty folder to mount on, which stays; what has files in it is the project's own.
            held = os.path.join(tree, os.path.relpath(place, root))
            if not os.path.lexists(held) or (os.path.isdir(held) and not os.listdir(held)):
                arguments += ["--ro-bind", place, place]
        return (*arguments, "--chdir", cwd, "--")

    def _basis(self, *, network: bool) -> list[str]:
        own = ["--unshare-pid", "--proc", "/proc"] if self.processes else []
        return [
            *([] if os.getuid() == 0 else ["--unshare-user"]),
            *([] if network else ["--unshare-net"]),
            "--unshare-ipc",
            "--die-with-parent",
            "--new-session",
            "--cap-drop",
            "ALL",
            "--ro-bind",
            "/",
            "/",
            "--dev",
            "/dev",
            *own,
        ]


@lru_cache(maxsize=8)
def probed(program: str) -> Bubblewrap | str:
    """Bubblewrap as this system allows it, or what it says when it does not work at all."""
    said = ""
    for processes in (True, False):
        found = Bubblewrap(program, processes)
        argv = [program, *found._basis(network=False), "--tmpfs", "/tmp", "--", "/bin/true"]  # noqa: S108
        try:
            ended = subprocess.run(
                argv,
                env=reduced_environ(os.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PROBE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if ended.returncode == 0:
            return found
        said = ended.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
    return said or "it ended with an error"


def available(root: Path | str) -> Bubblewrap | str:
    """What `probed` says of the bubblewrap on the PATH, or why there is none."""
    if not sys.platform.startswith("linux"):
        return "bubblewrap is a Linux program"
    program = find_program("bwrap", os.environ, [root])
    if program is None:
        return "bubblewrap (bwrap) is not installed"
    found = probed(program)
    return found if isinstance(found, Bubblewrap) else f"bubblewrap does not work here: {found}"


def tools_in(home: str, environ: Mapping[str, str], programs: Sequence[str]) -> dict[str, str]:
    """Folders below the home folder, or a temporary one, in which the person's tools lie: by the PATH, by custom, by the
    `programs` used.
    """
    found: list[str] = [os.path.join(home, *name.split("/")) for name in _HOME_TOOLS]
    found += [sys.prefix, sys.base_prefix, str(Path(__file__).resolve().parent)]
    for folder in search_path(environ):
        found += _installation(folder, home)
    for program in programs:
        found += [os.path.dirname(program), *_installation(os.path.dirname(os.path.realpath(program)), home)]
    covered = tuple(place + os.sep for place in (os.path.realpath(home), os.path.abspath(home), *_FRESH))
    real = {os.path.abspath(each) for each in found if os.path.isdir(each)}
    wanted = sorted(each for each in real if each.startswith(covered))
    return {each: each for each in wanted}


def _installation(folder: str, home: str) -> Iterator[str]:
    """A folder with programs, and what stands around it when that looks like an installation and not like a home."""
    yield folder
    for place in (os.path.dirname(folder), os.path.dirname(os.path.realpath(folder))):
        is_home = place in (home, os.path.realpath(home), os.path.join(home, ".local"))
        if not is_home and any(os.path.exists(os.path.join(place, name)) for name in _INSTALLATION):
            yield place
