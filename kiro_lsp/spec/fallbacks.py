"""Tasks that are no list items: boxes in headings, `### Task 1.1: …` headings, tables with a status column.

Used only in a file whose list items are no tasks. Such tasks can be run; their status cannot be written, since no single
character stands for it (`unwritable-mark`). Each comes with a problem code, so that nobody takes them for boxes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from kiro_lsp.spec.blocks import BLANK, CONTINUATION, HEADING, ITEM, TEXT, Blocks, Heading
from kiro_lsp.spec.details import dependencies_of, files_of, requirements_of
from kiro_lsp.spec.dialects import status_of
from kiro_lsp.spec.metadata import read_metadata
from kiro_lsp.spec.model import Dialect, Task, TaskStatus
from kiro_lsp.spec.patterns import pattern
from kiro_lsp.spec.reading import dedented
from kiro_lsp.spec.titles import Title, read_title, settle

_BOX: Final = pattern(r"(?:[-*+][ \t]+)?\[([^\r\n\]\w]\ufe0f?|[xX]|)\](?![(\[:])")
_TASK_HEADING: Final = pattern(
    r"(?:\*\*|~~|`|\[|[^\w\s#*~`\[]{1,6}\s{0,3}){0,4}"
    r"(?:(?:sub-?)?task|tarea|tarefa|aufgabe|t[âa]che|задача|任务|任務|タスク|작업)(?:\s{0,3}#?|-)\d+(?:\.\d+)*[A-Za-z]?\b"
    r"|(?:\*\*|~~|`|\[){0,3}T\d{1,4}[A-Za-z]?(?:\.\d+)*\b",
    re.IGNORECASE,
)
_NUMBERED_HEADING: Final = pattern(r"\d+(?:\.\d+){1,3}\.?[ \t]")
_STATUS_ENTRY: Final = pattern(
    r"[ \t]*(?:[-*+][ \t]+)?(?:\*\*|__)Status(?:[:：](?:\*\*|__)|(?:\*\*|__)[:：])", re.IGNORECASE
)
_DONE: Final = pattern(r"[✅✓✔☑]|\b(?:COMPLETED?|DONE|FINISHED)\b|已完成|完了")
_STARTED: Final = pattern(r"[🔄🚧⏳🟡]|\b(?:IN[ -]PROGRESS|WIP|STARTED|PARTIAL)\b|进行中|進行中")
_BLOCKED: Final = pattern(r"[⛔🚫]|\bBLOCKED\b|阻塞")
_TAIL: Final = pattern(
    r"(?:[\s\-–—:]{0,8}(?:[✅✓✔☑🔄🚧⏳🟡⛔🚫❌]\ufe0f?"
    r"|\(?\b(?:COMPLETED?|DONE|FINISHED|IN[ -]PROGRESS|WIP|BLOCKED)\b\)?|(?<=\s)`?\[[ xX]\]`?))+\s{0,8}\Z"
)
_BOX_AT_END: Final = pattern(r"(?<=[\s`])\[([ xX])\]`?\s*\Z")
_ID_HEADER: Final = pattern(
    r"(?:id|task[ _-]?id|#|no\.?|nr\.?|order|step|task|编号|序号|任务|番号|タスク|번호)\Z", re.IGNORECASE
)
_STATUS_HEADER: Final = pattern(
    r"(?:status|state|estado|stato|statut|done\??|完成|状态|狀態|状態|進捗|상태|статус|✓|✅|)\Z", re.IGNORECASE
)
_STATUS_WORDS: Final = pattern(
    r"(?P<done>[✅✓✔☑]|\b(?:done|complete[d]?|finished|yes|closed|merged)\b|已完成|完成|完了|완료|готово|выполнено"
    r"|conclu[ií]d[ao]|hecho|erledigt|gotowe|zrobione|\[[xX]\])"
    r"|(?P<progress>[🔄🚧🟡]|\b(?:in[ -]progress|doing|wip|started|ongoing)\b|进行中|進行中|진행|em andamento|en curso|w toku"
    r"|\[[-~/]\])"
    r"|(?P<blocked>[⛔🚫]|\bblocked\b|阻塞|\[!\])"
    r"|(?P<open>⬜|⏳|\b(?:open|todo|to do|pending|planned|not started|no|backlog)\b|待|未|대기"
    r"|pendente|pendiente|offen|do zrobienia|\[ ?\]|^-?$)",
    re.IGNORECASE,
)
_TITLE_HEADER: Final = pattern(
    r"(?:task|title|name|description|summary|what|item|任务|描述|标题|内容|タスク|내용|作业|tarefa|tarea|aufgabe|задача)",
    re.IGNORECASE,
)
_RULE: Final = pattern(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\Z")
_LONGEST_ROW: Final = 2000
_ROW_ID: Final = pattern(
    r"[*`~\[ ]*(T\d{1,4}[A-Za-z]?|\d+(?:\.\d+)*[A-Za-z]?|[A-Za-z]{1,10}-?\d+(?:\.\d+)*)[*`~\] .]*\Z"
)


def heading_boxes(
    lines: Sequence[str], blocks: Blocks, dialect: Dialect, legend: Mapping[str, TaskStatus | None]
) -> list[Task]:
    """`### [x] 1.1 Title` and `### - [ ] Title`: a heading that holds a box."""
    found = []
    for heading in blocks.headings:
        box = _BOX.match(heading.text)
        if box is not None:
            found.append((heading, box[1], heading.text[box.end() :]))
    titles = settle([read_title(rest) for _, _, rest in found])
    ends = _ends(blocks, [heading for heading, _, _ in found], len(lines))
    return [
        _task(lines, blocks, heading.line, end, title, mark=mark, status=status_of(dialect, mark, legend))
        for (heading, mark, _), title, end in zip(found, titles, ends, strict=True)
    ]


def heading_tasks(lines: Sequence[str], blocks: Blocks, criteria: Sequence[Task]) -> list[Task]:
    """`### Task 1.1: Title ✅`, `### T001: Title` and `### 1.1 Title` above `**Status**: …`: a heading that is a task."""
    headings = [
        heading for heading in blocks.headings if _TASK_HEADING.match(heading.text) or _has_status(lines, heading)
    ]
    if not headings:
        return []
    criterion_lines = frozenset(task.line for task in criteria)
    ends = _ends(blocks, headings, len(lines))
    tasks = []
    for heading, end in zip(headings, ends, strict=True):
        text = heading.text
        title = settle([read_title(_without_status(text))])[0]
        if title.id is None:
            title = settle([read_title(_without_status(text.lstrip("*~`[ ✅✓✔☑❌⬜🔄🚧")))])[0]
        if title.id is not None:
            task = _task(lines, blocks, heading.line, end, title, status=_heading_status(text), skip=criterion_lines)
            stated = next((value for key, value in task.metadata.items() if _STATUS_HEADER.match(key)), "")
            if task.status == "open" and stated:
                task = replace(task, status=_stated_status(stated))
            tasks.append(task)
    return tasks


def _has_status(lines: Sequence[str], heading: Heading) -> bool:
    """Whether a numbered heading stands directly above an entry that tells its status."""
    if _NUMBERED_HEADING.match(heading.text) is None:
        return False
    following = (line for line in lines[heading.line + 1 : heading.line + 4] if line.strip())
    return _STATUS_ENTRY.match(next(following, "")) is not None


def _without_status(text: str) -> str:
    """A heading without the words and signs at its end that tell its status."""
    return text[:-80] + _TAIL.sub("", text[-80:])


def _heading_status(text: str) -> TaskStatus:
    box = _BOX_AT_END.search(text)
    if box is not None:
        return "open" if box[1] == " " else "done"
    if _DONE.search(text):
        return "done"
    if _STARTED.search(text):
        return "in-progress"
    return "blocked" if _BLOCKED.search(text) else "open"


def _ends(blocks: Blocks, headings: Sequence[Heading], count: int) -> list[int]:
    """Where the section of each heading ends: at the next heading of its level or above, or the next task."""
    chosen = {heading.line for heading in headings}
    ends: list[int] = []
    after = [count] * 7  # The first heading of each level behind the current one; at 0 the first task.
    for heading in reversed(blocks.headings):
        if heading.line in chosen:
            ends.append(min(after[: heading.level + 1]))
            after[0] = heading.line
        after[heading.level] = heading.line
    return ends[::-1]


def table_tasks(lines: Sequence[str], blocks: Blocks) -> list[Task]:
    """Rows of the tables that have a column of ids and a column of statuses."""
    tasks: list[Task] = []
    for header, rows in _tables(lines, blocks):
        columns = _columns(_cells(lines[header]))
        if columns is None:
            continue
        for row in rows:
            task = _row_task(lines, row, _cells(lines[row]), columns)
            if task is not None:
                tasks.append(task)
    seen: set[str | None] = set()
    unique = []
    for task in tasks:
        if task.id not in seen:
            unique.append(task)
        seen.add(task.id)
    return unique


def _tables(lines: Sequence[str], blocks: Blocks) -> Iterator[tuple[int, range]]:
    """(header line, lines of its rows) of every table outside code."""
    kinds = blocks.kinds
    for number in range(1, len(lines)):
        line = lines[number].strip() if len(lines[number]) < _LONGEST_ROW else ""
        if (
            "|" in line
            and "-" in line
            and kinds[number] in (TEXT, CONTINUATION)
            and _RULE.match(line)
            and "|" in lines[number - 1]
        ):
            end = number + 1
            while end < len(lines) and "|" in lines[end] and kinds[end] in (TEXT, CONTINUATION):
                end += 1
            yield number - 1, range(number + 1, end)


def _cells(line: str) -> list[str]:
    text = line.strip().removeprefix("|")
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", text.removesuffix("|"))]


def _columns(header: Sequence[str]) -> tuple[int, int, int] | None:
    """(id, title, status) columns by their headings; None if there is no id or no status column."""
    names = [name.strip("*` ") for name in header]
    status = next((at for at, name in enumerate(names) if name and _STATUS_HEADER.match(name)), None)
    identifier = next((at for at, name in enumerate(names) if _ID_HEADER.match(name)), None)
    if status is None or identifier is None or status == identifier:
        return None
    others = [at for at in range(len(names)) if at not in (status, identifier)]
    if not others:
        return None
    title = next((at for at in others if _TITLE_HEADER.search(names[at])), others[0])
    return identifier, title, status


def _stated_status(text: str) -> TaskStatus:
    """The status that a cell or a `Status:` line names in words or signs."""
    word = _STATUS_WORDS.search(text.strip("*` "))
    if word is None:
        return "unknown"
    return "done" if word["done"] else "in-progress" if word["progress"] else "blocked" if word["blocked"] else "open"


def _row_task(lines: Sequence[str], row: int, cells: Sequence[str], columns: tuple[int, int, int]) -> Task | None:
    identifier, title, status = columns
    if len(cells) <= max(columns):
        return None
    match = _ROW_ID.match(cells[identifier])
    if match is None:
        return None
    state = _stated_status(cells[status])
    named = read_title(cells[title])
    text = named.plain
    return Task(
        key=match[1],
        id=match[1],
        title=text,
        status=state,
        mark="",
        line=row,
        mark_column=None,
        end_line=row + 1,
        depth=0,
        parallel=named.parallel,
        story=named.story,
        requirements=requirements_of(text, {}),
        files=files_of(text, {}),
        body=lines[row].strip(),
        withdrawn=named.withdrawn,
    )


def _task(
    lines: Sequence[str],
    blocks: Blocks,
    line: int,
    end: int,
    title: Title,
    *,
    status: TaskStatus,
    mark: str = "",
    skip: frozenset[int] = frozenset(),
) -> Task:
    """A task whose body is the section below its heading, the criteria in it left out."""
    kinds = blocks.kinds
    own = [number for number in range(line + 1, end) if number not in skip]
    while own and (kinds[own[-1]] == BLANK or not lines[own[-1]].strip(" \t\r\n-*_")):
        own.pop()
    metadata = read_metadata(
        [lines[number] for number in own if kinds[number] in (TEXT, CONTINUATION, ITEM, BLANK, HEADING)]
    )
    return Task(
        key=title.id or "",
        id=title.id,
        title=title.title,
        status=status,
        mark=mark,
        line=line,
        mark_column=None,
        end_line=own[-1] + 1 if own else line + 1,
        depth=0,
        optional=title.optional,
        parallel=title.parallel,
        story=title.story,
        requirements=requirements_of(title.title, metadata),
        depends_on=dependencies_of(title.id, title.title, metadata, {}),
        files=files_of(title.title, metadata),
        metadata=metadata,
        body=dedented([lines[number] for number in own]),
        withdrawn=title.withdrawn,
    )
