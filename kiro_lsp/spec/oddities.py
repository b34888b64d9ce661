"""What is odd in a task file, said as problems: where it is, what it means for the tasks, and what to do about it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final

from kiro_lsp.spec.blocks import CODE, HTML, ITEM, TEXT, Box
from kiro_lsp.spec.dialects import in_spec_workflow
from kiro_lsp.spec.marks import is_writable
from kiro_lsp.spec.model import Dialect, Problem, Severity, Task
from kiro_lsp.spec.patterns import pattern
from kiro_lsp.spec.reading import Reading

OF_ONE_KIND: Final = 50
"""Problems of one code; a broken file needs no thousand copies of one message."""
_BOX_LINE: Final = pattern(r"[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]+\[(?:[^\r\n\]\w]|[xX]|)\](?![(\[:])")
_BARE_BOX: Final = pattern(r"[ \t]*\[(?:[ xX~\-/!]|)\][ \t]+\S")
_WIDE_BOX: Final = pattern(
    r"[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]+(\[(?:[ \t]{1,4}[xX]?[ \t]{0,4}|[xX][ \t]{1,4})\])(?=[ \t*\\])"
)
_LISTING: Final = pattern(r"[ \t]*(?!\[[ xX]\])\S.*\[[ xX]\][ \t]+\S")
"""A line with words and then a box."""
_INLINE_BOXES: Final = pattern(r"\[[ xX]\][ \t]+\S")
_HEADING_BOX: Final = pattern(r"(?:[-*+][ \t]+)?\[(?:[^\r\n\]\w]|[xX]|)\](?![(\[:])")


def of_file(reading: Reading) -> list[Problem]:
    """Problems of the file's structure."""
    return list(_limited(_structure(reading)))


def of_lines(reading: Reading, first: int, end: int) -> list[Problem]:
    """Those of some lines by themselves: boxes that are none, or two."""
    here = reading.blocks.boxes[_index_at(reading, first) : _index_at(reading, end)]
    after = min(end + 1, len(reading.lines))  # what a box at the start of a line is depends on the line above
    around = reading.blocks.boxes[_index_at(reading, first - 1) : _index_at(reading, after)]
    elsewhere = _boxes_elsewhere(reading, {box.line for box in around}, range(first, after))
    return [*elsewhere, *_doubled(reading, first, end), *_folded(here)]


def of_task(task: Task, dialect: Dialect, path: str) -> list[Problem]:
    """Those of one task by itself."""
    return list(_of_task(task, dialect, path))


def _index_at(reading: Reading, line: int) -> int:
    return bisect_left(reading.blocks.boxes, line, key=lambda box: box.line)


def of_tasks(tasks: Sequence[Task], reading: Reading, dialect: Dialect, path: str) -> list[Problem]:
    """Problems of the tasks that were found."""
    return list(_limited(_tasks(tasks, reading, dialect, path)))


def _limited(problems: Iterable[Problem]) -> Iterator[Problem]:
    count: Counter[str] = Counter()
    for problem in problems:
        count[problem.code] += 1
        if count[problem.code] <= OF_ONE_KIND:
            yield problem


def _say(line: int, code: str, severity: Severity, message: str, column: int = 0) -> Problem:
    return Problem(line, column, code, severity, message)


def _structure(reading: Reading) -> Iterator[Problem]:
    if is_blank(reading.lines):
        yield _say(0, "empty-file", "information", "This file is empty: it has no tasks yet.")
        return
    lines, blocks = reading.lines, reading.blocks
    for fence in blocks.fences:
        if not fence.closed:
            hidden = sum(1 for line in lines[fence.start + 1 : fence.end] if _BOX_LINE.match(line))
            swallowed = f" {hidden} boxes below it are part of it and no tasks." if hidden else ""
            mend = "Close it with the same characters, on a line of their own."
            if is_blank(lines[fence.start + 1 : fence.end]):
                mend = "There is nothing in it: remove this line."
            yield _say(
                fence.start,
                "unclosed-fence",
                "warning" if hidden else "information",
                f"This code block is never closed.{swallowed} {mend}",
            )
    if blocks.unclosed_html is not None:
        hidden = sum(1 for line in lines[blocks.unclosed_html :] if _BOX_LINE.match(line))
        yield _say(
            blocks.unclosed_html,
            "unclosed-comment",
            "warning" if hidden else "information",
            f"This comment or raw HTML is never closed; {hidden} boxes below it are no tasks. Close it.",
        )
    yield from _boxes_elsewhere(reading, {box.line for box in blocks.boxes}, range(len(lines)))
    yield from _doubled(reading, 0, len(lines))
    yield from _folded(reading.boxes)


def is_blank(lines: Sequence[str]) -> bool:
    """Whether a text has nothing in it."""
    return not any(line.strip("\ufeff \t\r\n") for line in lines)


def _folded(boxes: Iterable[Box]) -> Iterator[Problem]:
    for box in boxes:
        if box.folded:
            yield _say(
                box.line,
                "details-box",
                "warning",
                "Markdown takes this box for raw HTML, since no empty line stands between it and the tag above; it is "
                "counted all the same. Put an empty line below the tag.",
                box.mark_column,
            )


def _doubled(reading: Reading, first: int, end: int) -> Iterator[Problem]:
    for line in reading.doubled:
        if first <= line < end:
            yield _say(
                line,
                "doubled-box",
                "warning",
                "This task has two boxes; the first one counts. Remove one of them.",
            )


def _boxes_elsewhere(reading: Reading, boxes: Container[int], numbers: range) -> Iterator[Problem]:
    """Lines that look like tasks and are none; `boxes` are the lines that are."""
    blocks, lines = reading.blocks, reading.lines
    for number in numbers:
        line = lines[number]
        if "[" not in line or blocks.kinds[number] in (CODE, HTML):
            continue
        if number in boxes:
            if "· [" in line or "- [" in line[8:]:
                continue
        elif wide := _WIDE_BOX.match(line):
            yield _say(
                number,
                "malformed-box",
                "warning",
                f"{wide[1]} is no box: one character, or one space, belongs between the brackets. Write [ ] or [x].",
                wide.start(1),
            )
        elif blocks.kinds[number] <= TEXT + 1 and _BARE_BOX.match(line):
            if number and number - 1 not in boxes and _LISTING.match(lines[number - 1][:2000]):
                continue  # goes on with boxes in a row that only the line was too short for
            yield _say(
                number,
                "box-without-bullet",
                "warning",
                "This box is no list item, so it is no task. Put “- ” before it.",
            )
        elif blocks.kinds[number] == ITEM and len(_INLINE_BOXES.findall(line[:2000])) > 1:
            yield _say(
                number,
                "several-boxes",
                "information",
                "Several boxes on one line: they are not counted. Give each its own list item.",
            )


def _tasks(tasks: Sequence[Task], reading: Reading, dialect: Dialect, path: str) -> Iterator[Problem]:
    first: dict[str, Task] = {}
    by_key = {task.key: task for task in tasks}
    for task in tasks:
        if task.id is None or task.withdrawn:
            pass
        elif (earlier := first.setdefault(task.id, task)) is not task:
            yield _say(
                task.line,
                "duplicate-id",
                # Many files count anew below each heading, and mean it.
                "warning" if task.heading_path == earlier.heading_path else "information",
                f"Line {earlier.line + 1} has the id {task.id} too, so that it names neither: this task is known as {task.key}. "
                "Where that is not meant, number one of them anew.",
            )
        yield from _of_task(task, dialect, path)
        parent = by_key.get(task.parent or "")
        if (
            parent is not None
            and parent.status == "done"
            and not parent.withdrawn
            and task.status != "done"
            and not task.criterion
            and not task.withdrawn
            and not task.optional
            # By its number alone a task of another section is no part of this one.
            and task.heading_path[: len(parent.heading_path)] == parent.heading_path
        ):
            yield _say(
                task.line,
                "open-below-done",
                "information",
                f"This task is not done, but its parent on line {parent.line + 1} is marked done.",
            )
    if tasks and any(task.mark_column is not None for task in tasks):
        for heading in reading.blocks.headings:
            if _HEADING_BOX.match(heading.text):
                yield _say(
                    heading.line,
                    "heading-box",
                    "information",
                    "The box in this heading is not counted, since the file has tasks in lists. Make it a list item to count it.",
                )


def _of_task(task: Task, dialect: Dialect, path: str) -> Iterator[Problem]:
    column = task.mark_column
    if column is None:
        in_table = "|" in task.body and task.end_line == task.line + 1 and task.body.count("\n") == 0
        code, what = ("table-task", "table row") if in_table else ("heading-task", "heading")
        yield _say(
            task.line,
            code,
            "information",
            f"This task is a {what}, not a list item with a box: it can be run, but its status is yours to write.",
        )
    elif not is_writable(task.mark, column):
        read = "it counts as not done" if task.status == "unknown" else f"it is read as “{task.status}”"
        yield _say(
            task.line,
            "unwritable-mark",
            "information",
            f"The mark [{task.mark}] is no plain character: {read}, and is never written. Use [ ] or [x].",
            column,
        )
    elif task.status == "unknown" and not task.withdrawn:
        queued = dialect == "kiro" and task.mark == "~"
        what = "is what Kiro gives a task that is queued" if queued else f"has no fixed meaning in {dialect} files"
        yield _say(
            task.line,
            "unknown-mark",
            "information",
            f"The mark [{task.mark}] {what}: the task counts as not done. A legend in the "
            f"file, such as `[{task.mark}] in progress`, `[x] done`, gives it {'another meaning' if queued else 'one'}.",
            column,
        )
    elif task.mark == "X" and in_spec_workflow(path):
        yield _say(
            task.line,
            "lost-mark",
            "warning",
            "spec-workflow does not see a task marked [X]: write [x].",
            column,
        )
