"""Which program a name means, and the environment a child may have.

A project must not be able to choose the program that runs under a well-known name, so a name is looked up on a PATH
without anything inside the project or a copy of it, and never in the current folder. A child gets a short list of
variables that tools need to work; nothing that can hold a secret, and nothing that loads code into a process.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_KEPT: Final = frozenset(
    """
    HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TMP TEMP NO_COLOR FORCE_COLOR CI XDG_CACHE_HOME XDG_CONFIG_HOME
    XDG_DATA_HOME XDG_STATE_HOME SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT USERPROFILE USERNAME HOMEDRIVE HOMEPATH
    APPDATA LOCALAPPDATA PROGRAMDATA PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 COMMONPROGRAMFILES NUMBER_OF_PROCESSORS
    PROCESSOR_ARCHITECTURE OS JAVA_HOME GOROOT GOPATH GOCACHE GOMODCACHE CARGO_HOME RUSTUP_HOME NVM_DIR VOLTA_HOME
    PYENV_ROOT RBENV_ROOT GEM_HOME CONDA_PREFIX ANDROID_HOME ANDROID_SDK_ROOT DOTNET_ROOT GRADLE_USER_HOME PNPM_HOME
    BUN_INSTALL DENO_DIR DEVELOPER_DIR SDKROOT NIX_PATH SSL_CERT_FILE SSL_CERT_DIR
    """.split()  # noqa: SIM905  # one variable per element would be sixty lines of nothing to read
)
_KEPT_PREFIXES: Final = ("LC_",)


def find_program(name: str, environ: Mapping[str, str], outside: Iterable[Path | str] = ()) -> str | None:
    """The absolute path of the program `name` (a bare name), None when there is none.

    Folders of PATH that are relative, or inside one of `outside`, do not count, nor does a program that is a link into
    them.
    """
    roots = _real(outside)
    for folder in search_path(environ, roots):
        for ending in _endings(name, environ):
            candidate = os.path.join(folder, name + ending)
            if _is_program(candidate) and not inside(candidate, roots):
                return candidate
    return None


def search_path(environ: Mapping[str, str], outside: Iterable[Path | str] = ()) -> list[str]:
    """The absolute folders of PATH that are not inside any of `outside`, in order, each once."""
    roots = _real(outside)
    folders = (environ.get("PATH") or os.defpath).split(os.pathsep)
    usable = (folder for folder in folders if os.path.isabs(folder) and not inside(folder, roots))
    return list(dict.fromkeys(usable))


def reduced_environ(environ: Mapping[str, str], outside: Iterable[Path | str] = ()) -> dict[str, str]:
    """What a command gets of `environ`: the variables that tools need, with a PATH as in `search_path`."""
    kept = {
        name: value
        for name, value in environ.items()
        if (name.upper() if sys.platform == "win32" else name) in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    return kept | {"PATH": os.pathsep.join(search_path(environ, outside)), "TERM": "dumb"}


def _real(folders: Iterable[Path | str]) -> tuple[str, ...]:
    return tuple(os.path.realpath(folder) for folder in folders)


def inside(path: str, folders: Iterable[Path | str]) -> bool:
    """Whether a path is one of `folders` or below it, by the components of the real paths."""
    real = os.path.normcase(os.path.realpath(path))
    return any(
        real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in map(os.path.normcase, _real(folders))
    )


def _endings(name: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    if sys.platform != "win32":
        return ("",)
    endings = tuple((environ.get("PATHEXT") or ".COM;.EXE;.BAT;.CMD").lower().split(";"))
    return ("",) if name.lower().endswith(endings) else endings


def _is_program(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except (OSError, ValueError):
        return False
