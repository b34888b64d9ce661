"""What a project offered last time, kept for the first lenses of the next session.

The engine, which knows what is offered, is ten times as long in coming as a file is in reading. So the template of a project's
lenses is kept in the state folder, with what it depends on that can be looked at in no time: the files of settings, the
environment, what the editor says. It is used only where all of that is as it was; once the engine is there, lenses that it
would have made differently are asked for again. Of files with runs nothing is kept, and where each task is given an agent of
its own the engine is waited for.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kiro_lsp import __version__
from kiro_lsp.lsp.lens_templates import CHOSEN_AT_MOST, COMPLETE_TASKS, Template, pieces

if TYPE_CHECKING:
    from kiro_lsp.lsp.client import Client
    from kiro_lsp.spec.assemble import Rows

_FOLDER: Final = "first-lenses"
_AS_THEY_ARE: Final = re.compile(r"KIRO_LSP_|PATH\Z|HOME\Z|XDG_|(?:LOCAL)?APPDATA\Z")
_WHETHER: Final = re.compile(r"KEY|TOKEN|BASE_URL|HOST|API")
"""Variables of which only counts whether they are set: they may hold secrets."""
_LARGEST: Final = 1_000_000


class Offered(NamedTuple):
    """What was kept of one project."""

    root: str
    complete: Template
    unresolved: Template
    chooses: bool
    """Whether tasks are given agents of their own."""
    busy: frozenset[str]
    """Root-relative paths of files with runs."""

    def lenses(self, rows: Rows, path: str, uri: str, client: Client) -> bytes | None:
        """The answer for a document; None where only the engine can give it."""
        count = len(rows.keys)
        complete = count <= COMPLETE_TASKS or client.resolves_every_lens
        if path in self.busy or (complete and self.chooses and count <= CHOSEN_AT_MOST):
            return None
        template = self.complete if complete else self.unresolved
        found = pieces(rows, template.of(_quoted([uri])[0], 0), _quoted)
        return b"[%b]" % b",".join(filter(None, found))


def known(state: str, root: str, about: Sequence[object]) -> Offered | None:
    """What a project offered last time, None where something is not as it was then; `about` as the function has it."""
    try:
        with open(_place(state, root), "rb") as file:
            data = json.loads(file.read(_LARGEST))
        if data["root"] != root or data["about"] != about:
            return None
        if any(_stamp(path) != stamp for path, stamp in data["files"].items()):
            return None
        complete, unresolved = (
            Template(tuple(_part(part) for part in data[name])) for name in ("complete", "unresolved")
        )
        return Offered(root, complete, unresolved, bool(data["chooses"]), frozenset(data["busy"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def keep(state: str, offered: Offered, files: Iterable[str], about: Sequence[object]) -> None:
    """Keep it for next time; `files` are those that settings come from. What cannot be written is not kept."""
    data = {
        "root": offered.root,
        "about": about,
        "files": {path: _stamp(path) for path in files},
        "complete": [_plain(part) for part in offered.complete.parts],
        "unresolved": [_plain(part) for part in offered.unresolved.parts],
        "chooses": offered.chooses,
        "busy": sorted(offered.busy),
    }
    place = _place(state, offered.root)
    beside = f"{place}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(data, file)
        os.replace(beside, place)
    except (OSError, ValueError):
        return


def _place(state: str, root: str) -> str:
    return os.path.join(state, _FOLDER, f"{zlib.crc32(os.fsencode(root)):08x}.json")


def about(environ: Mapping[str, str], client: Client) -> list[object]:
    """What else an offer depends on. Never a value that may be a secret."""
    plain = sorted((name, value) for name, value in environ.items() if _AS_THEY_ARE.match(name))
    there = sorted(name for name, value in environ.items() if value and _WHETHER.search(name))
    given = json.dumps([client.settings, client.own_settings], sort_keys=True, default=str)
    return [__version__, zlib.crc32(repr((plain, given)).encode("utf-8", "surrogatepass")), there, client.trusted]


def _stamp(path: str) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size, status.st_ino]


def _plain(part: bytes | int) -> str | int:
    return part.decode() if isinstance(part, bytes) else part


def _part(part: str | int) -> bytes | int:
    return part if isinstance(part, int) else part.encode()


def _quoted(texts: Sequence[str]) -> list[bytes]:
    return [json.dumps(text, ensure_ascii=False).encode("utf-8", "replace") for text in texts]


def folder_of(uri: Any) -> str | None:
    """The path of a `file:` URI, here where it is plainly one; None where reading it takes more."""
    if not isinstance(uri, str) or not uri.startswith("file:///") or os.name == "nt":
        return None
    path = uri.removeprefix("file://")
    if "%" in path:
        from urllib.parse import unquote

        path = unquote(path, errors="surrogateescape")
    return None if "\0" in path or "?" in path or "#" in path else os.path.normpath(path)
