"""Writing a status back: which mark, where, and the one byte that changes. Pure: bytes in, bytes out.

Only a mark of one ASCII character is written over, and `[]` gains one. Anything else, an emoji, a heading, a table, is
refused with a problem, and the file stays as it is.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from kiro_lsp.spec.decoding import BOM
from kiro_lsp.spec.dialects import in_spec_workflow, status_of
from kiro_lsp.spec.lines import line_at, line_span
from kiro_lsp.spec.model import MarkEdit, Problem, Task, TaskList, TaskStatus

_CANDIDATES: Final[dict[TaskStatus, str]] = {
    "open": " ",
    "in-progress": "-/>~",
    "done": "xX",
    "blocked": "~!",
    "unknown": "",
}


def is_writable(mark: str, column: int | None) -> bool:
    """Whether a box can be ticked by changing one byte."""
    return column is not None and (mark == "" or (len(mark) == 1 and mark.isascii() and mark not in "\r\n"))


def mark_for(task_list: TaskList, status: TaskStatus, path: str) -> str:
    """The mark that says this status in this file, "" when the file and its dialect have none.

    For done it is the mark that the file uses most, else `X` in spec-kit files and `x` in others; never `X` where
    spec-workflow reads the file, whose parser loses such lines.
    """
    if status == "open":
        return " "
    used: Counter[str] = Counter(
        task.mark for task in task_list.tasks if task.status == status and len(task.mark) == 1 and task.mark.isascii()
    )
    if in_spec_workflow(path):
        used.pop("X", None)
    if status == "done":
        usual = "X" if task_list.dialect == "spec-kit" and not in_spec_workflow(path) else "x"
        if not used:
            means_done = [
                mark for mark in (usual, "x") if status_of(task_list.dialect, mark, task_list.legend) == "done"
            ]
            return next(iter(means_done), "")
        return max(used, key=lambda mark: (used[mark], mark == usual))
    if used:
        return used.most_common(1)[0][0]
    candidates: tuple[str, ...] = (*_CANDIDATES[status], *task_list.legend)
    for mark in candidates:
        if len(mark) == 1 and mark.isascii() and _written_for(task_list, mark) == status:
            return mark
    return ""


def _written_for(task_list: TaskList, mark: str) -> TaskStatus | None:
    """The status that we would write this mark for; some marks are understood but only written where a file uses them."""
    if mark not in task_list.legend and task_list.dialect not in ("kiro", "spec-workflow"):
        return None
    return status_of(task_list.dialect, mark, task_list.legend)


def mark_edit(task_list: TaskList, text: str, task: Task, status: TaskStatus, path: str) -> MarkEdit | Problem:
    """The edit that gives a task this status in `text`, which must be the text that was parsed.

    A task that has the status already keeps its mark: the edit then changes nothing. A Problem says why there is no edit:
    `unwritable-mark`, `no-mark` (this dialect has no mark for the status) or `stale` (the text is another one).
    """
    column = task.mark_column
    if column is None or not is_writable(task.mark, column):
        form = f"the mark [{task.mark}]" if column is not None else "a task without a box in a list"
        return Problem(
            task.line,
            column or 0,
            "unwritable-mark",
            "warning",
            f"The status of this task cannot be written: {form} is no mark of one plain character. Change the line by hand.",
        )
    end = column + len(task.mark)
    line = line_at(text, task.line)
    if line[column - 1 : end + 1] != f"[{task.mark}]":
        return Problem(
            task.line,
            0,
            "stale",
            "warning",
            "The text has changed since its tasks were read: nothing was written. Read the file again.",
        )
    if status == task.status:
        return MarkEdit(task.line, column, end, task.mark)
    mark = mark_for(task_list, status, path)
    if not mark:
        return Problem(
            task.line,
            column,
            "no-mark",
            "warning",
            f"There is no mark for “{status}” in a {task_list.dialect} file: nothing was written.",
        )
    return MarkEdit(task.line, column, end, mark)


def apply_mark(data: bytes, edit: MarkEdit) -> bytes:
    """The file with one mark changed: exactly one byte differs, or `[]` has gained one.

    `data` is the UTF-8 file, with or without a byte order mark, whose text the edit was made for. Raises ValueError when
    the edit does not point into a box of it.
    """
    head = len(BOM) if data.startswith(BOM) else 0
    begin, end = line_span(data[head:], edit.line)
    line = data[head + begin : head + end].decode()
    old = line[edit.start : edit.end]
    if (
        line[edit.start - 1 : edit.start] != "["
        or line[edit.end : edit.end + 1] != "]"
        or len(old) > 1
        or not old.isascii()
    ):
        raise ValueError(f"line {edit.line + 1} has no box at column {edit.start + 1}")
    if len(edit.new) > 1 or not edit.new.isascii() or (old and not edit.new):
        raise ValueError(f"{edit.new!r} is no mark of one plain character")
    at = head + begin + len(line[: edit.start].encode())
    return data[:at] + edit.new.encode() + data[at + len(old) :]
