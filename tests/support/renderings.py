"""One change of a text, written in each of the formats that models use.

The writers are naive on purpose and share no code with the readers: lines by a split of their own, hunks by difflib.
A text has no byte order mark here; its lines may end in any way, which no format but a diff of raw lines can say.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Sequence

NO_NEWLINE = "\\ No newline at end of file"
_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|$)")

Block = tuple[int, list[tuple[str, str]]]
"""The 0-based first old line of a hunk, and (mark, line) in order."""


def lines_of(text: str) -> list[str]:
    """Lines without their ends; no empty one behind a final end."""
    found = [match[1] for match in _LINE.finditer(text)]
    return found[:-1] if not found[-1] else found


def ends_with_newline(text: str) -> bool:
    return text.endswith(("\n", "\r"))


def hunks(before: str, after: str, context: int = 3) -> list[Block]:
    """The places where two texts differ, with `context` lines around them.

    A last line that gains or loses its end differs, too: both versions of it stand in a hunk.
    """
    old, new = _marked(before), _marked(after)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    found: list[Block] = []
    for group in matcher.get_grouped_opcodes(context):
        lines: list[tuple[str, str]] = []
        for tag, a0, a1, b0, b1 in group:
            if tag == "equal":
                lines += [(" ", line) for line, _last in old[a0:a1]]
                continue
            lines += [("-", line) for line, _last in old[a0:a1]]
            lines += [("+", line) for line, _last in new[b0:b1]]
        found.append((group[0][1], lines))
    return found


def _marked(text: str) -> list[tuple[str, bool]]:
    """(line, whether it lacks an end): the last line of a text may differ from another by its end alone."""
    lines = lines_of(text)
    ended = ends_with_newline(text)
    return [(line, not ended and number == len(lines) - 1) for number, line in enumerate(lines)]


def hides_a_header(diff: str) -> bool:
    """Whether a removed line and an added one look like the names of a file: only the counts tell them apart."""
    return len(re.findall(r"^--- .*\n\+\+\+ ", diff, re.MULTILINE)) > 1


def as_diff(path: str, before: str, after: str, context: int = 3, numbers: bool = True) -> str:
    """A unified diff, with the line that says so where a side has no newline at its end."""
    old_lines, new_lines = lines_of(before), lines_of(after)
    rows = [f"--- a/{path}", f"+++ b/{path}"]
    shift = 0
    for start, lines in hunks(before, after, context):
        removed = sum(mark != "+" for mark, _line in lines)
        added = sum(mark != "-" for mark, _line in lines)
        rows.append(_header(start, removed, start + shift, added) if numbers else "@@ ... @@")
        old_at, new_at = start, start + shift
        for mark, line in lines:
            rows.append(mark + line)
            old_at += mark != "+"
            new_at += mark != "-"
            old_cut = mark != "+" and old_at == len(old_lines) and not ends_with_newline(before)
            new_cut = mark != "-" and new_at == len(new_lines) and not ends_with_newline(after)
            if old_cut or new_cut:
                rows.append(NO_NEWLINE)
        shift += added - removed
    return "\n".join(rows) + "\n"


def _header(old: int, removed: int, new: int, added: int) -> str:
    # A side without lines is counted from the line before it.
    return f"@@ -{old + 1 if removed else old},{removed} +{new + 1 if added else new},{added} @@"


def as_apply_patch(path: str, before: str, after: str, context: int = 3) -> str:
    rows = ["*** Begin Patch", f"*** Update File: {path}"]
    for _start, lines in hunks(before, after, context):
        rows += ["@@", *(mark + line for mark, line in lines)]
    return "\n".join([*rows, "*** End Patch"]) + "\n"


def as_search_replace(path: str, before: str, after: str, context: int = 3) -> str:
    rows: list[str] = []
    for _start, lines in hunks(before, after, context):
        rows += [path, "```", "<<<<<<< SEARCH", *_old(lines), "=======", *_new(lines), ">>>>>>> REPLACE", "```", ""]
    return "\n".join(rows)


def as_string_replacements(path: str, before: str, after: str, context: int = 3) -> str:
    """One tool call's arguments for one place, those of a multi-edit for several."""
    pairs = [("\n".join(_old(lines)), "\n".join(_new(lines))) for _start, lines in hunks(before, after, context)]
    if len(pairs) == 1:
        return json.dumps({"path": path, "old_str": pairs[0][0], "new_str": pairs[0][1]})
    return json.dumps({"path": path, "edits": [{"old_string": old, "new_string": new} for old, new in pairs]})


def as_whole_file(path: str, before: str, after: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", after)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([path, fence, *lines_of(after), fence]) + "\n"


def _old(lines: Sequence[tuple[str, str]]) -> list[str]:
    return [line for mark, line in lines if mark != "+"]


def _new(lines: Sequence[tuple[str, str]]) -> list[str]:
    return [line for mark, line in lines if mark != "-"]


RENDERINGS: dict[str, Callable[[str, str, str], str]] = {
    "udiff": as_diff,
    "apply-patch": as_apply_patch,
    "search-replace": as_search_replace,
    "str-replace": as_string_replacements,
    "whole-file": as_whole_file,
}
"""The name of a format → what writes a change of one file in it: (path, before, after) → text."""
