"""A small reader for `.env` files: names and values, nothing else.

Own code, because the rules here are stricter than the usual ones: nothing is expanded, nothing is exported, no parent
folder is searched, and only an allow-list of names ever has an effect. Reading the file is the caller's business, and
allowed only once the project is trusted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kiro_lsp.settings.providers import STANDARD_KEYS

ALLOWED_KEYS: frozenset[str] = frozenset(STANDARD_KEYS)
ALLOWED_SETTINGS: tuple[str, ...] = ("KIRO_ENABLED", "KIRO_DEFAULT_AGENT")


@dataclass(frozen=True, slots=True)
class Entry:
    """One assignment; `line` is 0-based."""

    name: str
    value: str
    line: int


_ENTRY = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*
    (?: "(?P<double>(?:[^"\\]|\\.)*)"
      | '(?P<single>[^']*)'
      | (?P<bare>[^\r\n]*?)
    )[ \t]*(?:(?:(?<=[ \t"'=])\#[^\r\n]*)?)\r?$""",
    re.MULTILINE | re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def parse_dotenv(text: str) -> tuple[Entry, ...]:
    """Every assignment in the order of the file; what is not one is passed over. Never raises."""
    entries = []
    text = text.removeprefix("\ufeff")
    line = counted = 0
    for match in _ENTRY.finditer(text):
        line, counted = line + text.count("\n", counted, match.start()), match.start()
        if match["double"] is not None:
            value = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), match["double"], flags=re.DOTALL)
        elif match["single"] is not None:
            value = match["single"]
        else:
            value = match["bare"]
        entries.append(Entry(match["name"], value, line))
    return tuple(entries)
