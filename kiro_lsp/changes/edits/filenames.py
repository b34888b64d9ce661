"""File names that an answer says in prose: in the line before a block, or behind the backticks of a fence."""

from __future__ import annotations

import re
from collections.abc import Sequence

_FENCE = re.compile(r"[ ]{0,8}(`{3,}|~{3,})[ \t]*([^`]*)$")
_QUOTED = re.compile(r"`([^`\n]+)`")
_SAID = re.compile(r"(?:file ?name|file ?path|file|path|in|edit|update|create|modify)\s*:?\s+", re.IGNORECASE)
_SETTING = re.compile(r"(?:title|file|filename|path|name)\s*[=:]\s*[\"']?([^\"'\s}]+)[\"']?", re.IGNORECASE)
_PATH = re.compile(r"[^\s`\"'<>|*?]*[\w.)\]-]")
_COMMENT = re.compile(r"(?:#+|//+|--|;+|/\*+|<!--)\s*(.*?)\s*(?:\*/|-->)?$")
_WITHOUT_ENDING = re.compile(
    r"[A-Z]\w*file|LICEN[CS]E|README|CHANGELOG|NOTICE|AUTHORS|CODEOWNERS|COPYING|INSTALL|VERSION|TODO"
)
_ENDING = re.compile(r"[^.]\.[A-Za-z][\w+-]{0,11}$")
_NO_FILE = re.compile(
    r"e\.g|i\.e|a\.m|p\.m|(?:Node|Vue|Next|Nuxt|React|Express|Three|D3|Deno|Bun)\.js|ASP\.NET|.*@.*|.*:\d+(?::\d+)?"
)
"""What has a dot or a slash and is no file: abbreviations, products, addresses, places in files."""
_LOOKS_LIKE_PATH = re.compile(r".*(?:/|\\|\.\w)|[A-Z]\w*file$|\.\w+$")


def fence_opening(line: str) -> tuple[str, str] | None:
    """The marks and the info string of a line that can open a fence; None for any other line."""
    found = _FENCE.match(line)
    return (found.group(1), found.group(2).strip()) if found else None


def closes(line: str, marks: str, indent: int = 0) -> bool:
    """Whether a line closes a fence: the same character, at least as often, and nothing behind. `indent` is the
    number of blanks before the opening line; lists indent their blocks.
    """
    bare = line.strip()
    return len(bare) >= len(marks) and set(bare) == {marks[0]} and len(line) - len(line.lstrip(" ")) < indent + 4


def language_and_name(info: str) -> tuple[str, str | None]:
    """What an info string says: `python src/a.py`, `src/a.py`, `diff:src/a.py`, `js title="a.js"`."""
    setting = _SETTING.search(info)
    words = info.split()
    first = words[0] if words else ""
    if setting is not None and not setting.group(0).startswith(first + ":"):
        return str(first.partition(":")[0]), str(setting.group(1))
    language, _, name = first.partition(":")
    if name and _is_path(name):
        return language, name
    if _is_path(first):
        return "", first
    if len(words) == 2 and _is_path(words[1].strip("`\"'()")):
        return first, words[1].strip("`\"'()")
    return first, None


def name_above(lines: Sequence[str], at: int, *, alone: bool = False) -> str | None:
    """The file that the nearest line above names, over fence lines and one empty line; None when it names none.

    `alone` asks for a line that is nothing but the name: a sentence about a file is not the head of its content.
    """
    blank = 0
    for line in reversed(lines[max(0, at - 4) : at]):
        fence = fence_opening(line)
        if fence is not None:
            name = language_and_name(fence[1])[1]
            if name:
                return name
            continue
        if line.strip().startswith("<") and line.strip().partition(">")[0] in ("<source", "<code", "<pre", "<file"):
            continue
        if not line.strip():
            blank += 1
            if blank > 1:
                return None
            continue
        return name_in(line, alone=alone)
    return None


def name_in(line: str, *, alone: bool = False) -> str | None:
    """The file name that a line consists of, decorations aside, or (unless `alone`) that it has as its only quoted path."""
    quoted = [text.strip() for text in _QUOTED.findall(line) if _is_path(text.strip())]
    rest = _QUOTED.sub("", line).strip("#*_:-.0123456789 \t")
    if len(quoted) == 1 and (not alone or not rest or _SAID.fullmatch(f"{rest} ")):
        return str(quoted[0])
    bare = line.strip().strip("*_`").strip()
    commented = _COMMENT.match(bare)
    bare = (commented.group(1) if commented else bare).strip().rstrip(":").strip("*_`\"' ").rstrip(":")
    said = _SAID.match(bare)
    if said is not None:
        bare = bare[said.end() :].strip("*_`\"' ")
    if not bare or " " in bare or bare.strip(".") == "":
        return None
    return str(bare) if _PATH.fullmatch(bare) else None


def names_a_file(name: str) -> bool:
    """Whether a name that stands above a block can be that of a file that is not there yet.

    A lone word such as "Run:" is none, nor "e.g.", "v1.2", "and/or", "Node.js" or a line of a file ("a.py:3").
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    if _WITHOUT_ENDING.fullmatch(last):
        return True
    if not _is_path(name) or _NO_FILE.fullmatch(name) or "://" in name:
        return False
    return _ENDING.search(last) is not None or last.startswith(".")


def _is_path(text: str) -> bool:
    return bool(text) and " " not in text and bool(_PATH.fullmatch(text)) and bool(_LOOKS_LIKE_PATH.match(text))
