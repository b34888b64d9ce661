"""Task files: text in, tasks and problems out; statuses written back one byte at a time. The public face of parsing.

`parse` never fails: what is odd becomes a problem, with its place and what to do. Nothing here reads or writes a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiro_lsp.spec import graph, outline
from kiro_lsp.spec.blocks import CODE, CONTINUATION, Blocks, scan
from kiro_lsp.spec.decoding import Decoded, decode
from kiro_lsp.spec.details import dependencies_of, files_of, read_metadata, requirements_of
from kiro_lsp.spec.dialects import (
    Signs,
    detect,
    is_task_file,
    is_withdrawn,
    legend_of,
    status_of,
)
from kiro_lsp.spec.fallbacks import heading_boxes, heading_tasks, table_tasks
from kiro_lsp.spec.finding import anchor_of, find, keys_for, relocate, selector_of, selector_of_key, selectors
from kiro_lsp.spec.lines import split_lines
from kiro_lsp.spec.marks import apply_mark, mark_edit, mark_for
from kiro_lsp.spec.model import (
    Dialect,
    MarkEdit,
    Problem,
    Summary,
    Task,
    TaskAnchor,
    TaskList,
    TaskStatus,
)
from kiro_lsp.spec.oddities import of_file, of_tasks
from kiro_lsp.spec.reading import Reading

__all__ = [
    "Decoded",
    "Dialect",
    "MarkEdit",
    "Parsed",
    "Problem",
    "Summary",
    "Task",
    "TaskAnchor",
    "TaskList",
    "TaskStatus",
    "anchor_of",
    "apply_mark",
    "children",
    "decode",
    "find",
    "is_group",
    "is_runnable",
    "is_task_file",
    "mark_edit",
    "mark_for",
    "parse",
    "parsed",
    "relocate",
    "selector_of",
    "selector_of_key",
    "selectors",
    "split_lines",
    "summary",
    "tasks_json",
    "why_not_runnable",
]

_NO_TASKS: Final = (
    "No task was found in this file. A task is a list item with a box, such as “- [ ] 1. Set up the project”."
)
_STATES: Final[tuple[TaskStatus, ...]] = ("open", "in-progress", "done", "blocked", "unknown")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file's lines (with their ends), its blocks and its tasks: what features read of one text."""

    lines: Sequence[str]
    blocks: Blocks
    task_list: TaskList


def parse(text: str, path: str = "") -> TaskList:
    """The tasks of a file. `path` as given, POSIX or Windows; it only helps to tell the dialect. Never raises."""
    return parsed(text, path).task_list


def parsed(text: str, path: str = "") -> Parsed:
    """The same with lines and blocks. Behind a byte order mark the columns of the blocks' line 0 do not count it."""
    if text.startswith("\ufeff"):
        inner = parsed(text[1:], path)
        return Parsed(split_lines(text), inner.blocks, _moved(inner.task_list))
    lines = split_lines(text)
    reading = Reading(lines, scan(lines))
    return Parsed(lines, reading.blocks, _task_list(text, path, reading))


def _task_list(text: str, path: str, reading: Reading) -> TaskList:
    lines = reading.lines
    reading.read()
    sections = outline.Sections(reading.blocks.headings)
    metadata = [read_metadata(reading.detail_lines(number)) for number in range(len(reading.boxes))]
    waves, wave_problems = graph.waves_of(lines, reading.blocks)
    legend = _legend(reading)
    dialect = detect(path, _signs(reading, metadata, sections, waves=bool(waves)))
    tasks = _tasks(reading, metadata, sections, dialect, legend)
    problems = [*wave_problems, *of_file(text, reading)]
    extra: list[Task] = []
    if not tasks:
        extra = heading_boxes(lines, reading.blocks, dialect, legend)
    if not extra and all(task.criterion for task in tasks):
        extra = heading_tasks(lines, reading.blocks, tasks)
        if not extra and not tasks:
            extra = table_tasks(lines, reading.blocks)
    if extra:
        tasks, dialect = _with_fallback(tasks, extra, dialect, path, sections)
    elif tasks and all(task.criterion or task.withdrawn for task in tasks):
        # Nothing else to do in this file: its criteria are its tasks.
        tasks = [replace(task, criterion=False) for task in tasks]
    if not tasks and text.strip("\ufeff \t\r\n"):
        problems.append(Problem(0, 0, "no-tasks", "information", _NO_TASKS))
    tasks = graph.with_dependencies(tasks, lines, reading.blocks)
    problems.extend(of_tasks(tasks, reading, dialect, path))
    problems.sort(key=lambda problem: (problem.line, problem.column, problem.code))
    return TaskList(dialect, tuple(tasks), tuple(problems), waves, legend)


def _moved(task_list: TaskList) -> TaskList:
    """The same for a text that keeps its byte order mark, which an editor may hand over: columns of line 0 move by one."""
    tasks = [
        replace(task, mark_column=task.mark_column + 1) if task.line == 0 and task.mark_column is not None else task
        for task in task_list.tasks
    ]
    problems = [
        replace(problem, column=problem.column + 1) if problem.line == 0 and problem.column else problem
        for problem in task_list.problems
    ]
    return replace(task_list, tasks=tuple(tasks), problems=tuple(problems))


def _legend(reading: Reading) -> dict[str, TaskStatus | None]:
    """The legend that the file prints, in prose, in a table, or as the list of a legend section."""
    kinds = reading.blocks.kinds
    boxes = {box.line for box in reading.boxes}
    candidates = [
        line
        for number, line in enumerate(reading.lines)
        if "[" in line
        and number not in boxes
        and kinds[number] != CODE
        and (kinds[number] <= CONTINUATION or "`[" in line or number in reading.legend_lines)
    ]
    return legend_of(candidates)


def _signs(
    reading: Reading, metadata: Sequence[Mapping[str, str]], sections: outline.Sections, *, waves: bool
) -> Signs:
    titles = reading.titles
    identifiers = {title.id for title in titles if title.id is not None}
    return Signs(
        ids=[title.id for title in titles if title.id is not None],
        nested_numbers=any(identifier.rpartition(".")[0] in identifiers for identifier in identifiers),
        stories=sum(
            1
            for title in titles
            if title.story is not None or (title.parallel and title.id is not None and title.id[0] == "T")
        ),
        keys=frozenset(key.lower() for found in metadata for key in found),
        waves=waves,
        optional_stars=any(reading.optional),
        numbered_sections=sections.numbered(zip(reading.boxes, titles, strict=True)),
    )


def _tasks(
    reading: Reading,
    metadata: Sequence[Mapping[str, str]],
    sections: outline.Sections,
    dialect: Dialect,
    legend: Mapping[str, TaskStatus | None],
) -> list[Task]:
    titles = reading.titles
    keys = keys_for((title.id, title.title) for title in titles)
    parents = outline.parents_of([title.id for title in titles], reading.parents)
    depths = outline.depths_of(parents)
    criteria = _criteria(reading, parents)
    known = dict.fromkeys(title.id for title in titles if title.id is not None)
    tasks = []
    for number, (box, title) in enumerate(zip(reading.boxes, titles, strict=True)):
        meta = metadata[number]
        path = sections.path(box.line)
        tasks.append(
            Task(
                key=keys[number],
                id=title.id,
                title=title.title,
                status=status_of(dialect, box.mark, legend),
                mark=box.mark,
                line=box.line,
                mark_column=box.mark_column,
                end_line=reading.end_line(number),
                depth=depths[number],
                optional=reading.optional[number],
                parallel=title.parallel or any(key.lower() in ("parallelkey", "parallel key") for key in meta),
                story=title.story,
                section=path[-1] if path else None,
                heading_path=path,
                parent=keys[parents[number]] if parents[number] >= 0 else None,
                requirements=requirements_of(title.title, meta),
                depends_on=dependencies_of(title.id, title.title, meta, known),
                files=files_of(title.title, meta),
                metadata=meta,
                body=reading.body(number),
                criterion=criteria[number],
                withdrawn=title.withdrawn or is_withdrawn(dialect, box.mark, legend),
            )
        )
    return tasks


def _criteria(reading: Reading, parents: Sequence[int]) -> list[bool]:
    """Which boxes are acceptance criteria: without an id, and announced as such or inside a task that has one."""
    announced = reading.criteria_lines()
    found: list[bool] = []
    for number, title in enumerate(reading.titles):
        parent = parents[number]
        inside = parent >= 0 and (reading.titles[parent].id is not None or found[parent]) if parent < number else False
        found.append(title.id is None and (announced[number] or inside))
    return found


def _with_fallback(
    tasks: list[Task], extra: list[Task], dialect: Dialect, path: str, sections: outline.Sections
) -> tuple[list[Task], Dialect]:
    """Tasks that stand in headings or tables, joined with the criteria below them."""
    merged = sorted([*tasks, *extra], key=lambda task: task.line)
    keys = keys_for((task.id, task.title) for task in merged)
    old = {
        task.key: key for task, key in zip(merged, keys, strict=True) if task.mark_column is not None and task.criterion
    }
    owner: str | None = None
    owner_path: tuple[str, ...] = ()
    joined = []
    for task, key in zip(merged, keys, strict=True):
        where = sections.path(task.line)
        parent = old.get(task.parent or "")
        if not task.criterion:
            owner, owner_path = key, where
        elif parent is None and owner is not None and where[: len(owner_path)] == owner_path:
            parent = owner
        joined.append(replace(task, key=key, parent=parent, heading_path=where, section=where[-1] if where else None))
    identifiers = [task.id for task in joined if task.id is not None]
    stories = sum(1 for task in joined if task.story is not None or task.parallel)
    keys_used = frozenset(key.lower() for task in joined for key in task.metadata)
    detected = detect(
        path,
        Signs(
            identifiers,
            stories,
            keys_used,
            waves=False,
            optional_stars=False,
            nested_numbers=False,
            numbered_sections=0,
        ),
    )
    return joined, detected if dialect == "checklist" else dialect


def summary(task_list: TaskList) -> Summary:
    """Counts over every box that is a task or a criterion. In a file without boxes, over its tasks in headings or tables."""
    boxes: Sequence[Task] = [task for task in task_list.tasks if task.mark_column is not None] or task_list.tasks
    count = dict.fromkeys(_STATES, 0)
    for task in boxes:
        count[task.status] += 1
    return Summary(
        total=len(boxes),
        open=count["open"],
        in_progress=count["in-progress"],
        done=count["done"],
        blocked=count["blocked"],
        unknown=count["unknown"],
        optional=sum(task.optional for task in boxes),
        with_id=sum(task.id is not None for task in boxes),
    )


def children(task_list: TaskList, task: Task) -> tuple[Task, ...]:
    """The tasks and criteria directly below a task, in file order."""
    return tuple(other for other in task_list.tasks if other.parent == task.key)


def is_group(task_list: TaskList, task: Task) -> bool:
    """Whether a task has sub-tasks of its own that are still to be done: running it means running those."""
    return any(_is_open(child) for child in children(task_list, task))


def _is_open(task: Task) -> bool:
    return task.status != "done" and not task.criterion and not task.withdrawn


def is_runnable(task_list: TaskList, task: Task) -> bool:
    """Whether a run lens belongs on this task. Sub-tasks still open make it a group (`is_group`), which is runnable too."""
    return why_not_runnable(task_list, task) is None


def why_not_runnable(task_list: TaskList, task: Task) -> str | None:
    """Why a task cannot be run by itself, as a sentence; None if it can. A done task may be run again."""
    if task.criterion:
        parent = next((other for other in task_list.tasks if other.key == task.parent), None)
        owner = f" of task {parent.key}: run that" if parent is not None else ", not a task"
        return f"This is an acceptance criterion{owner}."
    if task.withdrawn:
        return "This task was withdrawn: it is struck through or marked as dropped."
    return None


def tasks_json(path: str, task_list: TaskList) -> dict[str, object]:
    """The object that `tasks --json` prints for one file. Lines and columns count from 1."""
    counts = summary(task_list)
    return {
        "path": path,
        "dialect": task_list.dialect,
        "tasks": [_task_json(task) for task in task_list.tasks],
        "problems": [_problem_json(problem) for problem in task_list.problems],
        "summary": {
            "total": counts.total,
            "open": counts.open,
            "inProgress": counts.in_progress,
            "done": counts.done,
            "blocked": counts.blocked,
            "unknown": counts.unknown,
            "optional": counts.optional,
            "withId": counts.with_id,
        },
    }


def _task_json(task: Task) -> dict[str, object]:
    return {
        "key": task.key,
        "id": task.id,
        "title": task.title,
        "status": task.status,
        "mark": task.mark,
        "line": task.line + 1,
        "depth": task.depth,
        "optional": task.optional,
        "parallel": task.parallel,
        "story": task.story,
        "section": task.section,
        "parent": task.parent,
        "requirements": list(task.requirements),
        "dependsOn": list(task.depends_on),
        "files": list(task.files),
        "metadata": dict(task.metadata),
        "body": task.body,
    }


def _problem_json(problem: Problem) -> dict[str, object]:
    return {
        "line": problem.line + 1,
        "column": problem.column + 1,
        "code": problem.code,
        "severity": problem.severity,
        "message": problem.message,
    }
