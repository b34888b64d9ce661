"""What Enter does behind a task: the next empty task of the same row, in the way this file writes tasks. Never takes words away."""

from __future__ import annotations

import re
from typing import Final

from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.blocks import CODE, FRONT_MATTER, HTML
from kiro_lsp.spec.editing.edits import TextEdit, replace, without_end
from kiro_lsp.spec.editing.numbering import following, writing_of
from kiro_lsp.spec.editing.places import title_column
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.titles import ID

_ITEM: Final = re.compile(r"(?P<lead>[ \t]*)(?P<bullet>[-*+]|\d{1,9}[.)])(?P<gap>[ \t]+)\[[^\]\r\n]{0,2}\]")
_WRAPPED_ID: Final = rf"(?:\*\*|__|`|\[)?(?:{ID})?(?:\*\*|__|`|\])?[.:：、)）]?(?:\*\*|__)?"
_EMPTY: Final = re.compile(rf"[ \t]*(?:[-*+]|\d{{1,9}}[.)])[ \t]+\[ ?\](?:[ \t]+{_WRAPPED_ID})?[ \t]*")
_TYPED: Final = re.compile(r"[ \t]*(?:[-*+][ \t]*(?:\[ ?\][ \t]*)?)?")


def continued(parsed: Parsed, line: int) -> tuple[TextEdit, ...]:
    """The edits after Enter brought the cursor to `line` of the text as it is now; none where nothing is to be done.

    Behind a task with a title: its bullet, an open box and the next id. Behind an empty task: that one goes, with the new line,
    as in any editor's lists.
    """
    if not 0 < line <= len(parsed.lines) or parsed.blocks.kinds[line - 1] in (CODE, HTML, FRONT_MATTER):
        return ()
    above = without_end(parsed.lines[line - 1])
    here = without_end(parsed.lines[line]) if line < len(parsed.lines) else ""
    if _TYPED.fullmatch(here) is None:
        return ()
    if not here.strip() and _EMPTY.fullmatch(above) is not None:
        return (TextEdit((line - 1, 0), (line, len(here)), ""),)
    item = _ITEM.match(above)
    task = next((task for task in parsed.task_list.tasks if task.line == line - 1), None)
    if item is None or task is None or task.mark_column is None or not _has_title(above, task):
        return ()
    if _goes_on(parsed, line, task):
        return ()
    bullet = item["bullet"]
    if bullet[0].isdigit():
        bullet = f"{int(bullet[:-1]) + 1}{bullet[-1]}"
    new = f"{item['lead']}{bullet}{item['gap']}[ ] {_next(parsed, task)}"
    return () if new.rstrip() == here.rstrip() else (replace(line, 0, len(here), new),)


def _has_title(line: str, task: Task) -> bool:
    start = title_column(line, task)
    return start is not None and bool(task.title.strip()) and bool(line[start:].strip())


def _goes_on(parsed: Parsed, line: int, task: Task) -> bool:
    """Whether details of the task, or sub-tasks, follow: a task between them would take them for its own."""
    column = task.mark_column or 0
    for number in range(line + 1, len(parsed.lines)):
        text = without_end(parsed.lines[number])
        if text.strip():
            depth = len(text) - len(text.lstrip())
            lead = len(parsed.lines[task.line]) - len(parsed.lines[task.line].lstrip())
            return depth > lead and parsed.blocks.owners[number] >= 0 and column > 0
    return False


def _next(parsed: Parsed, task: Task) -> str:
    if task.id is None:
        return ""
    identifier = following(parsed.task_list, task.id)
    return writing_of(parsed, identifier).of(identifier) if identifier != task.id else ""
