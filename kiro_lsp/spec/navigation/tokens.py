"""What the signs of a task file mean, for colours: ids, tags, marks, metadata keys, references."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.blocks import CODE, HTML
from kiro_lsp.spec.editing import requirement_ids
from kiro_lsp.spec.editing.edits import without_end
from kiro_lsp.spec.editing.places import own_place, references, title_column
from kiro_lsp.spec.model import Task

Meaning = Literal["id", "tag", "mark", "key", "requirement", "dependency"]
_TAG: Final = re.compile(r"\[P\]|\(P\)|\[(?:US|User ?Story ?)-?\d+\]", re.IGNORECASE)
_KEY: Final = re.compile(
    r"(?:^[ \t]*(?:[-*+][ \t]+)?(?:\*\*|__|[_*])?|(?<![\w_])_)(?P<key>[^\W\d_][^_*:：`|\[\]]{0,39}?)"
    r"[ \t]{0,4}(?:\*\*|__|[_*])?[:：]"
)
_LONGEST_LINE: Final = 5000


class Token(NamedTuple):
    """From `start` to `end` of a line, in characters."""

    line: int
    start: int
    end: int
    meaning: Meaning


def tokens_of(parsed: Parsed, *, with_tasks: bool = True) -> list[Token]:
    """The tokens of a document in their order; none overlaps another. Without tasks only what refers to requirements."""
    found = list(_requirements(parsed, with_tasks=with_tasks))
    if with_tasks:
        for task in parsed.task_list.tasks:
            found += _of_task(parsed, task)
        for place in references(parsed):
            ends = (place.end,) if place.to is None else (place.first_end, place.end)
            starts = (place.start,) if place.to is None else (place.start, place.end - len(place.to))
            found += (Token(place.line, start, end, "dependency") for start, end in zip(starts, ends, strict=True))
    return _apart(found)


def _apart(found: list[Token]) -> list[Token]:
    """In order, without empty ones and without those that begin inside another."""
    apart: list[Token] = []
    for token in sorted(found):
        free = not apart or apart[-1].line != token.line or apart[-1].end <= token.start
        if free and token.start < token.end:
            apart.append(token)
    return apart


def _of_task(parsed: Parsed, task: Task) -> Iterator[Token]:
    place = own_place(parsed, task)
    if place is not None:
        yield Token(place.line, place.start, place.end, "id")
    line = without_end(parsed.lines[task.line])
    if len(line) > _LONGEST_LINE:
        return
    if task.mark_column is not None and task.mark.strip():
        yield Token(task.line, task.mark_column, task.mark_column + len(task.mark), "mark")
    begins = title_column(line, task) or 0
    for match in _TAG.finditer(line, begins):
        is_story = match[0][1:-1].upper() != "P"
        if (is_story and task.story is not None) or (not is_story and task.parallel):
            yield Token(task.line, *match.span(), "tag")
    if task.metadata:
        for number in range(task.line + 1, min(task.end_line, len(parsed.lines))):
            if parsed.blocks.kinds[number] not in (CODE, HTML):
                yield from _keys(without_end(parsed.lines[number]), number, task)


def _keys(line: str, number: int, task: Task) -> Iterator[Token]:
    if len(line) > _LONGEST_LINE or (":" not in line and "：" not in line):
        return
    for match in _KEY.finditer(line):
        if match["key"].strip() in task.metadata:
            yield Token(number, *match.span("key"), "key")


def _requirements(parsed: Parsed, *, with_tasks: bool) -> Iterator[Token]:
    for number, raw in enumerate(parsed.lines):
        line = without_end(raw)
        if len(line) > _LONGEST_LINE or parsed.blocks.kinds[number] in (CODE, HTML):
            continue
        for start, end in requirement_ids.reference_spans(line, tasks=with_tasks):
            for match in requirement_ids.ID.finditer(line, start, end):
                yield Token(number, *match.span(), "requirement")
