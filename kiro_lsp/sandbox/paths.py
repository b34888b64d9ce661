"""Which file a spelling means, and that it lies inside the root.

`resolve` is the only way from a spelling (of a model, a patch header, a setting, a client) to a path that is read or
staged. Its lexical rules are the same on every system: what is dangerous on one of them is refused on all, so that a
change set made here can be applied there. Symbolic links inside the root are followed to the one real path of the file;
links out of it are refused. Nothing is expanded: no variable, no home, no percent sign, no glob.

A resolved path is a fact about one moment. Whoever opens it goes through `files`, which follows no link at all.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from kiro_lsp.errors import PathRefused

LONGEST_PATH: Final = 4096
LONGEST_COMPONENT: Final = 255
_TEMPLATE_ENDINGS: Final = frozenset({"example", "sample", "template", "dist", "defaults", "schema"})
_MOST_LINKS: Final = 40

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,31}:/?/?")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_PERCENT: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_VARIABLE: Final = re.compile(r"\$[A-Z_][A-Z0-9_]*$|\$\{.*\}|\$\(.*\)|%[^%/]+%", re.DOTALL)
_SHORT_NAME: Final = re.compile(r"[^.~]{1,6}~[0-9]{1,6}(\.[^.]{0,3})?$")
_DEVICE: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?$", re.IGNORECASE | re.DOTALL
)

_HARMLESS: Final = re.compile(r"(?!.*\.$)[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}")
"""Nearly all names of a project: nothing below applies to them but the names of devices."""

_SLASHES: Final = frozenset("\u2044\u2215\u29f8\uff0f\u2216\u29f5\u29f9\ufe68\uff3c\u2571\u2572\u20e5")
"""Characters that look like a slash or backslash, or become one in a compatibility mapping."""

_JOINERS: Final = frozenset("\u200c\u200d")
"""Invisible, but part of Persian and Indic words and of emoji."""


def resolve(root: Path | str, spelling: str) -> str:
    """The one root-relative POSIX path of the file that `spelling` means; it need not exist.

    `spelling` is relative to the root, or absolute inside it. Raises PathRefused, which says what is wrong with it.
    """
    relative = resolve_folder(root, spelling)
    if not relative:
        raise _refused(spelling, "it is the project root itself, not a file in it")
    return relative


def resolve_folder(root: Path | str, spelling: str) -> str:
    """As `resolve`, but the root itself is allowed too: "", "." or its absolute path give ""."""
    if spelling == "":
        return ""
    given, real = os.path.abspath(root), os.path.realpath(root)
    parts = normalise(_relativised(spelling, (given, real)), spelling)
    return "/".join(_canonical(real, given, parts, spelling))


def normalise(relative: str, spelling: str | None = None) -> tuple[str, ...]:
    """The components of a relative spelling after the lexical rules; () is the root. Touches no disk.

    Raises PathRefused; the message quotes `spelling`, the text as it was given.
    """
    spelling = relative if spelling is None else spelling
    if relative == "":
        raise _refused(spelling, "the path is empty", hint="Give a path relative to the project root.")
    _check_whole(relative, spelling)
    parts: list[str] = []
    for component in relative.split("/"):
        if component in ("", "."):
            continue
        if component == "..":
            if not parts:
                raise _outside(spelling)
            parts.pop()
            continue
        reason = component_problem(component)
        if reason is not None:
            raise _refused(spelling, reason)
        parts.append(component)
    if parts and (parts[0].startswith("~") or _VARIABLE.match(parts[0])):
        raise _refused(
            spelling, "home folders and variables are not expanded", hint="Give a path relative to the project root."
        )
    return tuple(parts)


def _check_whole(relative: str, spelling: str) -> None:
    """What is wrong with the spelling as a whole, most telling reason first."""
    try:
        size = len(relative.encode("utf-8"))
    except UnicodeEncodeError:
        raise _refused(spelling, "it holds bytes that are not valid Unicode") from None
    if size > LONGEST_PATH:
        raise _refused(spelling, f"it is longer than {LONGEST_PATH} bytes")
    if relative.startswith(("//", "\\\\")):
        raise _refused(spelling, "network and device paths are not allowed")
    if relative.startswith("/"):
        raise _outside(spelling)
    if _DRIVE.match(relative) and not _SCHEME.match(relative):
        raise _refused(spelling, "drive letters are not allowed", hint="Give a path relative to the project root.")
    if _SCHEME.match(relative):
        raise _refused(spelling, "it is a URI, not a path", hint="Give a path relative to the project root.")


@lru_cache(maxsize=8192)
def component_problem(component: str) -> str | None:
    """Why a name (not ".", "..", "") cannot be a path component, None when it can. The same on every system."""
    if _HARMLESS.fullmatch(component) and not _DEVICE.match(component):
        return None
    if "\\" in component:
        return "it holds a backslash; folders are separated by /"
    if any(_is_hidden(character) for character in component):
        return "it holds control or invisible formatting characters"
    if ":" in component:
        return "it holds a colon, which names a drive, a stream or a scheme"
    if _PERCENT.search(component):
        return "it is percent-encoded; give the plain characters"
    if any(character in _SLASHES for character in component):
        return "it holds a character that looks like a slash"
    if component[-1] in " .":
        return "a name ends with a dot or a space"
    if not unicodedata.normalize("NFKC", component).strip("."):
        return "a name consists of dots only"
    if _SHORT_NAME.match(component):
        return "it looks like a short (8.3) name, which can mean another file"
    if _DEVICE.match(component):
        return "it is the name of a device on some systems"
    if is_git(component):
        return ".git belongs to git and is never read or changed by an agent"
    try:
        too_long = len(component.encode("utf-8")) > LONGEST_COMPONENT
    except UnicodeEncodeError:
        return "it holds bytes that are not valid Unicode"
    return f"a name is longer than {LONGEST_COMPONENT} bytes" if too_long else None


def is_git(component: str) -> bool:
    """Whether some system takes this name for `.git`: case, ignorable characters, compatibility forms, trailing dots
    and spaces.
    """
    visible = "".join(character for character in component if not _is_ignorable(character))
    folded = unicodedata.normalize("NFKC", visible).casefold().rstrip(". ")
    return folded == ".git" or re.fullmatch(r"git~[0-9]+", folded) is not None


def holds_secrets(path: str) -> bool:
    """Whether a file is an environment file by its name. Agents and commands are not given these; templates of them
    they are.
    """
    name = path.rpartition("/")[2].casefold()
    if name in (".env", ".envrc"):
        return True
    return name.startswith(".env.") and name.rpartition(".")[2] not in _TEMPLATE_ENDINGS


def _is_ignorable(character: str) -> bool:
    """Format characters, variation selectors and the like, which HFS+ and fonts leave out."""
    return (
        unicodedata.category(character) in ("Cf", "Cc", "Cn")
        or character in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
        or ("\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef")
    )


def _is_hidden(character: str) -> bool:
    if character in _JOINERS:
        return False
    return (
        unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Cs") or "\U000e0000" <= character <= "\U000e0fff"
    )


# Absolute spellings


def _relativised(spelling: str, roots: Sequence[str]) -> str:
    """An absolute spelling inside one of `roots` (two names of one folder) as a relative one; others as they are."""
    for root in dict.fromkeys(roots):
        rest = _below(spelling, root, windows=sys.platform == "win32")
        if rest is not None:
            return rest or "."
    return spelling


def _below(spelling: str, root: str, *, windows: bool) -> str | None:
    """What follows `root` in `spelling`, compared component by component; None when it is not below it.

    On Windows, where the root itself is spelt with backslashes, the rest may be too, and case does not count.
    """
    if not windows:
        if not spelling.startswith("/") or spelling.startswith("//"):
            return None
        prefix = root.rstrip("/") + "/"
        if spelling.rstrip("/") + "/" == prefix:
            return ""
        return spelling[len(prefix) :].lstrip("/") if spelling.startswith(prefix) else None
    slashed, prefix = spelling.replace("\\", "/"), root.replace("\\", "/").rstrip("/") + "/"
    if slashed.rstrip("/").casefold() + "/" == prefix.casefold():
        return ""
    return slashed[len(prefix) :].lstrip("/") if slashed.casefold().startswith(prefix.casefold()) else None


# Links


def _canonical(real: str, given: str, parts: Sequence[str], spelling: str) -> tuple[str, ...]:
    """`parts` with every symbolic link replaced by what it points to, as long as that stays below the root."""
    done: list[str] = []
    todo = list(reversed(parts))
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not done:
                raise _refused(spelling, "a symbolic link in it leads out of the project")
            done.pop()
            continue
        reason = component_problem(part)
        if reason is not None:
            raise _refused(spelling, f"a symbolic link in it leads to {part!r}: {reason}")
        status = _status(os.path.join(real, *done, part), spelling)
        if status is not None and is_link(status):
            links += 1
            if links > _MOST_LINKS:
                raise _refused(spelling, "its symbolic links go round in a circle")
            target = _link_target(os.path.join(real, *done, part), (given, real), spelling)
            if target.startswith("/"):
                done, target = [], target[1:]
            todo.extend(reversed(target.split("/")))
            continue
        if status is not None and not stat.S_ISDIR(status.st_mode) and any(rest not in ("", ".") for rest in todo):
            raise _refused(spelling, f"{'/'.join([*done, part])} is a file, not a folder")
        done.append(part if status is None else true_name(os.path.join(real, *done), part))
    return tuple(done)


def is_link(status: os.stat_result) -> bool:
    """A symbolic link, or on Windows also a junction or another reparse point that leads elsewhere."""
    if stat.S_ISLNK(status.st_mode):
        return True
    tag: int = getattr(status, "st_reparse_tag", 0)
    return tag == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)


def _status(path: str, spelling: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _refused(spelling, f"it cannot be looked up: {error.strerror}") from error


def _link_target(path: str, roots: Sequence[str], spelling: str) -> str:
    """Where a link points: relative to its folder, or with a leading / to the root. Raises when it leads out."""
    try:
        target = os.readlink(path)
    except OSError as error:
        raise _refused(spelling, f"its symbolic link cannot be read: {error.strerror}") from error
    windows = sys.platform == "win32"
    if not os.path.isabs(target):
        return target.replace("\\", "/") if windows else target
    for root in dict.fromkeys(roots):
        rest = _below(target.removeprefix("\\\\?\\") if windows else target, root, windows=windows)
        if rest is not None:
            return f"/{rest}"
    raise _refused(spelling, "a symbolic link in it leads out of the project")


def true_name(folder: str, name: str, listed: Callable[[str], Iterable[str]] | None = None) -> str:
    """How an existing `name` is spelt in its folder.

    Where case or normalisation do not count (macOS, Windows) two spellings are one file; one of them must win, or a
    guard that compares paths could be passed by another spelling. Elsewhere names are taken as they are.
    """
    if listed is None:
        if sys.platform not in ("darwin", "win32"):
            return name
        listed = os.listdir
    wanted = _folded(name)
    try:
        names = list(listed(folder))
    except OSError:
        return name
    return name if name in names else next((other for other in names if _folded(other) == wanted), name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


# Messages


def _outside(spelling: str) -> PathRefused:
    return _refused(spelling, "it leaves the project", hint="Give a path relative to the project root.")


def _refused(spelling: str, why: str, *, hint: str = "") -> PathRefused:
    shown = ascii(spelling) if len(spelling) <= 200 else f"{spelling[:200]!a}…"
    if spelling.isprintable() and len(spelling) <= 200:
        shown = repr(spelling)
    return PathRefused(f"The path {shown} is refused: {why}.", hint=hint)
