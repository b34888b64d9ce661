"""OpenAI's apply_patch format (V4A): files between `*** Begin Patch` and `*** End Patch`, hunks without numbers.

The sentinels may be missing; what stands between them may not. Source of the grammar: the tool description of
openai/codex (codex-rs/apply-patch).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kiro_lsp.changes.edits.answer import Action, FileEdit, FormatProblem, LinesEdit
from kiro_lsp.changes.edits.formats.reading import Reading, Region
from kiro_lsp.changes.edits.hunks import Header, edit_of, is_header, read_body, read_header

NAME = "apply-patch"
ORDER = 10
IGNORES_FENCES = True
ENDS = re.compile(r"\s*\*\*\* ")

_BEGIN, _END = "*** Begin Patch", "*** End Patch"
_ADD, _UPDATE, _DELETE, _MOVE = "*** Add File:", "*** Update File:", "*** Delete File:", "*** Move to:"
_END_OF_FILE = "*** End of File"
_FILES: dict[str, Action] = {_ADD: "create", _UPDATE: "edit", _DELETE: "delete"}


def begins(region: Region, at: int) -> bool:
    line = region.lines[at].strip()
    return line == _BEGIN or line.startswith(tuple(_FILES))


def read(region: Region, at: int) -> Reading | None:
    """One file of a patch, with the sentinels around it."""
    lines = region.lines
    start = at
    opened = lines[at].strip() == _BEGIN
    if opened:
        at += 1
    while at < region.end and not lines[at].strip():
        at += 1
    if at >= region.end:
        return ([], [_problem(start, "A patch begins and has no file.")], at) if region.closed else None
    header = lines[at].strip()
    kind = next((word for word in _FILES if header.startswith(word)), None)
    if kind is None:
        if header == _END:
            return [], [_problem(start, "The patch is empty: it names no file.")], at + 1
        return [], [_problem(at, f"Expected a file header such as {_UPDATE!r}, found {header!r}.")], at + 1
    end = _section_end(lines, at + 1, region.end)
    if end >= region.end and not region.closed:
        return None
    name = header[len(kind) :].strip()
    edit, problems = _file(region, kind, name, at, end)
    ended = end < region.end and lines[end].strip() == _END
    if not ended and end >= region.end and (region.cut or _was_opened(lines, start)):
        problems.append(_problem(start, f"The patch has no {_END!r}: it may have been cut off."))
    return [edit] if edit and not problems else [], problems, (end + 1 if ended else end)


def _was_opened(lines: Sequence[str], at: int) -> bool:
    """Whether the nearest sentinel at or above a line opens a patch."""
    for line in reversed(lines[: at + 1]):
        if line.strip() in (_BEGIN, _END):
            return line.strip() == _BEGIN
    return False


def _section_end(lines: Sequence[str], at: int, end: int) -> int:
    for number in range(at, end):
        # A marker may be padded: the program that the format comes from strips it, too.
        line = lines[number].strip()
        if line in (_END, _BEGIN) or line.startswith(tuple(_FILES)):
            return number
    return end


def _file(region: Region, kind: str, name: str, at: int, end: int) -> tuple[FileEdit | None, list[FormatProblem]]:
    if not name:
        return None, [_problem(at, f"{kind!r} names no file.")]
    names = tuple(dict.fromkeys((name.replace("\\", "/"), name)))
    if kind == _DELETE:
        rest = [number for number in range(at + 1, end) if region.lines[number].strip()]
        if rest:
            return None, [_problem(rest[0], f"A deleted file has no lines, found {region.lines[rest[0]]!r}.")]
        return FileEdit(names, "delete", format=NAME, answer_line=at + 1), []
    if kind == _ADD:
        return _added(region, names, at, end)
    return _updated(region, names, at, end)


def _added(region: Region, names: tuple[str, ...], at: int, end: int) -> tuple[FileEdit | None, list[FormatProblem]]:
    body = list(region.lines[at + 1 : end])
    while body and not body[-1].strip():
        body.pop()
    for number, line in enumerate(body):
        if not line.startswith("+"):
            return None, [_problem(at + 1 + number, f"Every line of an added file starts with '+', found {line!r}.")]
    content = "".join(f"{line[1:]}\n" for line in body)
    # The format has no other way to replace a whole file, and its own program lets an added one replace another.
    return FileEdit(names, "whole", (), content, format=NAME, answer_line=at + 1), []


def _updated(region: Region, names: tuple[str, ...], at: int, end: int) -> tuple[FileEdit | None, list[FormatProblem]]:
    lines = region.lines
    line = at + 1
    target: str | None = None
    if line < end and lines[line].strip().startswith(_MOVE):
        target = lines[line].strip()[len(_MOVE) :].strip()
        if not target:
            return None, [_problem(line, f"{_MOVE!r} names no file.")]
        line += 1
    edits: list[LinesEdit] = []
    chunks = 0
    while line < end:
        if not lines[line].strip() and not _is_body(lines, line, end):
            line += 1
            continue
        edit, following = _chunk(region, line, end)
        chunks += 1
        # A file that only moves is written with a hunk of nothing but context.
        if edit is None and target is None:
            return None, [_problem(line, "A hunk has no line that starts with '+' or '-'.")]
        if edit is not None:
            edits.append(edit)
        line = following
    if not chunks:
        return None, [_problem(at, "The update has no hunk: nothing says what to change.")]
    if target is not None:
        return FileEdit(names, "rename", tuple(edits), None, target, None, False, NAME, at + 1), []
    return FileEdit(names, "edit", tuple(edits), format=NAME, answer_line=at + 1), []


def _is_body(lines: Sequence[str], at: int, end: int) -> bool:
    """Whether an empty line is empty context: lines with markers follow before the next header."""
    following = next((line for line in lines[at:end] if line.strip()), "")
    return bool(following) and not is_header(following) and not following.startswith("***")


def _chunk(region: Region, at: int, end: int) -> tuple[LinesEdit | None, int]:
    """One hunk: `@@` lines (several nest), the lines, and perhaps the end-of-file mark."""
    lines = region.lines
    anchors: list[str] = []
    header = Header()
    start = at
    while at < end and is_header(lines[at]):
        header = read_header(lines[at])
        if header.anchor:
            anchors.append(header.anchor)
        at += 1
    body = read_body(lines, at, end, Header(header.start, None, None), fenced=True)
    at = max(body.end, at)
    at_end = at < end and lines[at].strip() == _END_OF_FILE
    if at_end:
        at += 1
    elif at < end and lines[at].startswith("***"):
        return None, at + 1
    if not body.changes:
        return None, max(at, start + 1)
    edit = edit_of(body, header, start + 1)
    only_new = all(line.mark == "+" for line in edit.lines)
    return (
        LinesEdit(
            edit.lines,
            edit.line_hint,
            tuple(anchors),
            at_end or (only_new and not anchors),
            answer_line=edit.answer_line,
        ),
        max(at, start + 1),
    )


def _problem(at: int, message: str) -> FormatProblem:
    return FormatProblem(f"Line {at + 1} of the answer: {message}", at + 1)
