"""A git folder for a copy of a project: status, diff and commit work there, and go nowhere.

Only files are read and written; git is not started. The copy's git knows the person's commits by reference
(objects/info/alternates), has its own index, refs and HEAD, a configuration of its own without remotes, hooks, filters
or credentials, and so cannot reach the person's repository. The person's own git folder is only read.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LIMIT: Final = 1024 * 1024
_SECTION: Final = re.compile(r"\s*\[\s*([A-Za-z0-9.-]+)\s*\]")
_VALUE: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*)\s*=\s*([A-Za-z0-9]+)\s*$")
_CORE: Final = frozenset(
    {"filemode", "ignorecase", "symlinks", "autocrlf", "eol", "precomposeunicode", "repositoryformatversion"}
)
_EXTENSIONS: Final = frozenset({"objectformat", "refstorage"})
_COPIED: Final = (
    "packed-refs",
    "shallow",
    "info/exclude",
    "info/attributes",
    "info/sparse-checkout",
    "logs/refs/stash",
)
_OWN: Final = "[user]\n\tname = Agent\n\temail = agent@localhost\n[commit]\n\tgpgsign = false\n[gc]\n\tauto = 0\n"


@dataclass(frozen=True, slots=True)
class Repository:
    """`folder` holds HEAD and the index, `common` the refs and objects: the same but in a linked worktree."""

    folder: Path
    common: Path
    linked: bool
    """The project's `.git` is a file that points elsewhere."""


def find(root: Path | str) -> Repository | None:
    """The repository whose top is `root`; None when there is none, or it is not laid out as git does it."""
    place = Path(root) / ".git"
    try:
        mode = place.lstat().st_mode
        if stat.S_ISREG(mode):
            pointer = _text(place)
            if not pointer.startswith("gitdir:"):
                return None
            place = (Path(root) / pointer.removeprefix("gitdir:").strip()).resolve()
        elif not stat.S_ISDIR(mode):
            return None
        common = place
        if (place / "commondir").is_file():
            common = (place / _text(place / "commondir").strip()).resolve()
        if not ((place / "HEAD").is_file() and (common / "objects").is_dir()):
            return None
        return Repository(place, common, linked=stat.S_ISREG(mode))
    except (OSError, ValueError):
        return None


def seed(repository: Repository, target: Path, objects: Path) -> None:
    """Make `target` (which must not exist) a git folder that starts where `repository` stands.

    `objects` is where its users find the folder of the repository's objects. Raises OSError.
    """
    (target / "objects" / "info").mkdir(parents=True)
    (target / "refs").mkdir()
    (target / "info").mkdir()
    alternates = target / "objects" / "info" / "alternates"
    alternates.write_bytes(os.fsencode(objects) + b"\n")
    _copy(repository.folder / "HEAD", target / "HEAD")
    for entry in os.listdir(repository.folder):
        if entry == "index" or entry.startswith("sharedindex."):
            _copy(repository.folder / entry, target / entry)
    for name in _COPIED:
        _copy(repository.common / name, target / name)
    for folder in ("refs", "reftable"):
        _copy_files(repository.common / folder, target / folder)
    (target / "config").write_text(_config(repository), encoding="utf-8")


def shield(repository: Repository, layer: Path, erase: list[str]) -> None:
    """For an overlay over the project: its git folder shows through, but for what this writes into `layer`/.git.

    `erase` gets the paths below the root that must not show at all.
    """
    (layer / ".git").mkdir()
    (layer / ".git" / "config").write_text(_config(repository), encoding="utf-8")
    for name in ("hooks", "config.worktree", "index.lock"):
        if os.path.lexists(repository.folder / name):
            erase.append(f".git/{name}")


def _config(repository: Repository) -> str:
    """What of the person's configuration says how the repository is stored, and nothing that names a program or host."""
    kept: dict[str, dict[str, str]] = {"core": {"repositoryformatversion": "0", "bare": "false"}, "extensions": {}}
    section = ""
    with suppress(OSError, ValueError):
        for line in _text(repository.common / "config").split("\n"):
            if heading := _SECTION.match(line):
                section = heading[1].lower()
            elif value := _VALUE.match(line):
                name = value[1].lower()
                if name in {"core": _CORE, "extensions": _EXTENSIONS}.get(section, ()):
                    kept[section][name] = value[2]
    lines = [f"[{name}]\n" + "".join(f"\t{key} = {kept[name][key]}\n" for key in kept[name]) for name in kept]
    return "".join(lines) + _OWN


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LIMIT).decode("utf-8")


def _copy(source: Path, target: Path) -> None:
    """A regular file; what is not there or is a link is left out."""
    with suppress(FileNotFoundError):
        if stat.S_ISREG(source.lstat().st_mode):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target, follow_symlinks=False)


def _copy_files(source: Path, target: Path) -> None:
    for folder, _folders, names in os.walk(source):
        for name in names:
            place = Path(folder) / name
            _copy(place, target / place.relative_to(source))
