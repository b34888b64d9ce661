"""The person's own folders that an agent's program needs, above all for its login: which they are, and what in them is guarded."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Home:
    """A folder or file of the person's that an agent needs, for its login above all: `~/.claude`, by the agent's TOML.

    It can be written to. A file is shown as a copy where there is bubblewrap: what a program makes of it is lost, since such
    files often name programs to start. `guarded` are names in a folder that make some program run something (settings,
    hooks): those that are there are read-only, where there is bubblewrap, and any that were changed or made fail the run.
    """

    path: str
    guarded: tuple[str, ...] = ()


def home_folder(environ: Mapping[str, str]) -> str | None:
    """The person's home folder by its real path, None where none is named that can be used."""
    named = environ.get("HOME")
    return os.path.realpath(named) if named and os.path.isdir(named) and os.path.realpath(named) != "/" else None


def found(homes: Iterable[Home], environ: Mapping[str, str]) -> list[tuple[str, Home]]:
    """The agent's folders that are there, by their real paths. One that is not inside the home folder does not count."""
    home = home_folder(environ)
    there = []
    for each in homes:
        place = os.path.realpath(os.path.join(home or "/", each.path.removeprefix("~/")))
        if home is not None and os.path.exists(place) and place.startswith(home + os.sep):
            there.append((place, each))
    return there


def guarded_paths(homes: Iterable[Home], environ: Mapping[str, str]) -> list[str]:
    return [os.path.join(place, name) for place, home in found(homes, environ) for name in home.guarded]


def folders(homes: Iterable[Home], environ: Mapping[str, str]) -> list[str]:
    """Those of the agent's that are no files."""
    return [place for place, _ in found(homes, environ) if os.path.isdir(place)]


@contextmanager
def copies(homes: Iterable[Home], environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Those that are files, each with a copy of it, which is there for as long as the context."""
    files = [place for place, _ in found(homes, environ) if not os.path.isdir(place)]
    if not files:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="kiro-lsp-") as folder:
        copied = {place: os.path.join(folder, str(number)) for number, place in enumerate(files)}
        for place, copy in copied.items():
            shutil.copyfile(place, copy)
        yield copied
