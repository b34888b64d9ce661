"""File names in the headers of diffs: quoted by git, followed by a time, prefixed by the program that wrote them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

NOWHERE = "/dev/null"

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\([0-7]{1,3}|.)")
_LETTERS = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_TIME = re.compile(r"\s+(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?(?:\s*(?:([+-])(\d\d):?(\d\d)|Z|UTC|GMT))?\s*$")
_WORDY_TIME = re.compile(r"\s+(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} +\d+ \d\d:\d\d:\d\d (?:\w+ )?\d{4}\s*$")
_REVISION = re.compile(r"\s+\((?:revision \d+|working copy|nonexistent|.*revision.*)\)\s*$")


def unquoted(name: str) -> tuple[str, bool]:
    """A name as git or diff writes it, without quotes; and whether it was quoted (then a backslash is part of it)."""
    quoted = _QUOTED.match(name)
    if quoted is None or (quoted.end() != len(name) and not name[quoted.end()].isspace()):
        return name, False
    data = bytearray()
    position = 0
    body = quoted.group(1)
    for escape in _ESCAPE.finditer(body):
        data += body[position : escape.start()].encode("utf-8", "surrogatepass")
        said = escape.group(1)
        if said[0] in "01234567":
            data.append(int(said, 8) & 0xFF)
        elif said in _LETTERS:
            data.append(_LETTERS[said])
        else:
            data += said.encode("utf-8", "surrogatepass")
        position = escape.end()
    data += body[position:].encode("utf-8", "surrogatepass")
    return data.decode("utf-8", "replace"), True


def header_name(rest: str) -> tuple[str, bool, bool]:
    """What follows `---` or `+++`: the name, whether it was quoted, and whether its time says that there is no file.

    diff writes the start of 1970 for a file that is not there.
    """
    rest = rest.strip("\r")
    name, was_quoted = unquoted(rest.strip())
    if was_quoted:
        return name, True, False
    absent = False
    timed = _TIME.search(rest)
    if timed is not None:
        absent = _is_epoch(*timed.groups())
        rest = rest[: timed.start()]
    elif (wordy := _WORDY_TIME.search(rest) or _REVISION.search(rest)) is not None:
        rest = rest[: wordy.start()]
    elif "\t" in rest.strip() and not rest.strip().startswith("\t"):
        before, _, after = rest.strip().partition("\t")
        rest = before if not after or after[0].isdigit() or after[0] == "(" else rest
    return rest.strip(), False, absent


def _is_epoch(day: str, time: str, sign: str | None, hours: str | None, minutes: str | None) -> bool:
    try:
        moment = datetime.strptime(f"{day} {time}", "%Y-%m-%d %H:%M:%S")
        shift = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
        return moment.replace(tzinfo=timezone(shift)).astimezone(UTC) == datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return False


def git_pair(rest: str) -> tuple[str, str] | None:
    """The two names of a `diff --git` line, with their prefixes; None when they cannot be told apart."""
    if rest.startswith('"'):
        first = _QUOTED.match(rest)
        if first is None:
            return None
        second = rest[first.end() :].strip()
        return unquoted(first.group(0))[0], unquoted(second)[0]
    if rest.endswith('"') and ' "' in rest:
        first_name, _, second = rest.partition(' "')
        return first_name, unquoted(f'"{second}')[0]
    # Names may hold blanks: of all cuts the one is meant whose sides are the same but for the first part.
    cuts = [at for at, character in enumerate(rest) if character == " "]
    for at in cuts:
        old, new = rest[:at], rest[at + 1 :]
        if old.partition("/")[2] == new.partition("/")[2] != "" or old == new:
            return old, new
    if len(cuts) == 1:
        return rest[: cuts[0]], rest[cuts[0] + 1 :]
    return None


def without_prefix(old: str, new: str) -> tuple[str, ...]:
    """The names a pair of headers may mean, the likeliest first: without the part in which only the two differ."""
    names: list[str] = []
    old_first, _, old_rest = old.partition("/")
    new_first, _, new_rest = new.partition("/")
    differ_in_first = old_rest == new_rest and (old_first != new_first or old_first in ("a", "b"))
    if new_rest and (differ_in_first or (new_first in ("b", "new") and old in (NOWHERE, ""))):
        names.append(new_rest)
    elif old_rest and old_first in ("a", "old") and (new == NOWHERE or not new):
        names.append(old_rest)
    names += [name for name in (new, old) if name and name != NOWHERE]
    return tuple(dict.fromkeys(names))
