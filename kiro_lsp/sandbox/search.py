"""Lines that match a regular expression, in the files of a project."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Match:
    """A search hit: root-relative POSIX path, 1-based line, the line without its end."""

    path: str
    line: int
    text: str
