"""From a draft to its tasks and their problems: made when somebody asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from kiro_lsp.spec import graph, outline
from kiro_lsp.spec.assemble import Draft, rows_of, some_to_do
from kiro_lsp.spec.details import dependencies_of, files_of, requirements_of
from kiro_lsp.spec.dialects import Signs, detect, is_withdrawn, status_of
from kiro_lsp.spec.fallbacks import heading_boxes, heading_tasks, table_tasks
from kiro_lsp.spec.keys import keys_for
from kiro_lsp.spec.model import Dialect, Problem, Task, TaskList
from kiro_lsp.spec.oddities import is_blank, of_file, of_tasks

if TYPE_CHECKING:
    from kiro_lsp.spec.assemble import Legend

_NO_TASKS: Final = (
    "No list item with a box was found in this file, so nothing in it is counted or run. A task is written like "
    "“- [ ] 1. Set up the project”."
)


class Finished(NamedTuple):
    """What is made of a draft when its tasks are asked for."""

    task_list: TaskList
    needs: graph.Needs
    structural: Sequence[Problem]
    """Problems of the file's structure and its waves."""


class Earlier(NamedTuple):
    """What the tasks of a version can be made from: those of the version before, and what stood around them."""

    tasks: Sequence[Task | None]
    """For each box its task, if the box itself did not change."""
    dialect: Dialect
    legend: Legend
    known: Mapping[str, None]
    needs: graph.Needs


def behind_mark(whole: Finished) -> Finished:
    """What was finished of a text without its byte order mark, for the text with it."""
    return whole._replace(task_list=_moved(whole.task_list))


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


def take_fallback(draft: Draft) -> None:
    """Where nothing in lists is to be done, what the rows are depends on tasks in headings and tables: made at once."""
    task_list = draft.whole().task_list
    draft.dialect = task_list.dialect
    draft.rows = rows_of(task_list.tasks)


def finished(draft: Draft) -> Finished:
    """The tasks of a draft, and their problems."""
    reading, lines, blocks, dialect = draft.reading, draft.reading.lines, draft.reading.blocks, draft.dialect
    earlier = draft.earlier
    alike = earlier is not None and _means_the_same(earlier, draft)
    tasks = [
        task_at(draft, number, dialect, earlier.tasks[number] if earlier is not None else None, alike=alike)
        for number in range(len(reading.boxes))
    ]
    extra: list[Task] = []
    if not tasks:
        extra = heading_boxes(lines, blocks, dialect, draft.legend)
    if not extra and all(task.criterion for task in tasks):
        extra = heading_tasks(lines, blocks, tasks)
        if not extra and not tasks:
            extra = table_tasks(lines, blocks)
    if extra:
        tasks, dialect = _with_fallback(tasks, extra, dialect, draft.path, draft.sections)
    elif tasks and not some_to_do(draft.rows):
        # Nothing else to do in this file: its criteria are its tasks.
        tasks = [replace(task, criterion=False) for task in tasks]
    structural = structural_of(draft)
    if not tasks and not is_blank(lines):
        structural.append(Problem(0, 0, "no-tasks", "information", _NO_TASKS))
    known = {task.id: None for task in tasks if task.id is not None}
    needs = graph.needs_of(known, lines, blocks, {task.line for task in tasks})
    if needs:
        tasks = [graph.with_needs(task, needs) for task in tasks]
    problems = problems_of(draft, structural, tasks, dialect)
    return Finished(TaskList(dialect, tuple(tasks), problems, draft.waves, draft.legend), needs, structural)


def _means_the_same(earlier: Earlier, draft: Draft) -> bool:
    """Whether marks mean what they meant, and ids in the words of a task what they were, in the version before."""
    return (
        draft.dialect == earlier.dialect
        and draft.legend == earlier.legend
        and list(draft.known) == list(earlier.known)
        and not earlier.needs
    )


def structural_of(draft: Draft) -> list[Problem]:
    """Problems of the file's structure and its waves."""
    return [*draft.wave_problems, *of_file(draft.reading)]


def problems_of(
    draft: Draft, structural: Sequence[Problem], tasks: Sequence[Task], dialect: Dialect
) -> tuple[Problem, ...]:
    """All problems, in the order of their places."""
    problems = [*structural, *of_tasks(tasks, draft.reading, dialect, draft.path)]
    problems.sort(key=lambda problem: (problem.line, problem.column, problem.code))
    return tuple(problems)


def task_at(draft: Draft, number: int, dialect: Dialect, earlier: Task | None, *, alike: bool = False) -> Task:
    """The task of a box, without what the file says about it elsewhere (`graph.with_needs`).

    `earlier` is the task of the same box, with the same title and body, in the version before: what it says by itself is taken
    from there, and if nothing else changed it is the task. `alike`: marks and ids mean what they meant there.
    """
    reading, legend = draft.reading, draft.legend
    box, title, meta = reading.boxes[number], reading.titles[number], draft.metadata[number]
    parent_key = draft.keys[draft.parents[number]] if draft.parents[number] >= 0 else None
    path = draft.sections.path(box.line)
    if earlier is None:
        end_line, body = reading.end_line(number), reading.body(number)
        requirements, files = requirements_of(title.title, meta), files_of(title.title, meta)
        parallel = title.parallel or _says_parallel(meta)
    else:
        end_line, body = earlier.end_line + box.line - earlier.line, earlier.body
        requirements, files, parallel = earlier.requirements, earlier.files, earlier.parallel
    if earlier is not None and alike:
        depends_on, status, withdrawn = earlier.depends_on, earlier.status, earlier.withdrawn
        part = (draft.keys[number], parent_key, draft.depths[number], draft.criteria[number])
        if _stands(earlier, box.line, path, part):
            return earlier
    else:
        depends_on = dependencies_of(title.id, title.title, meta, draft.known)
        status = status_of(dialect, box.mark, legend)
        withdrawn = title.withdrawn or is_withdrawn(dialect, box.mark, legend)
    return Task(
        draft.keys[number],
        title.id,
        title.title,
        status,
        box.mark,
        box.line,
        box.mark_column,
        end_line,
        draft.depths[number],
        reading.optional[number],
        parallel,
        title.story,
        path[-1] if path else None,
        path,
        parent_key,
        requirements,
        depends_on,
        files,
        meta,
        body,
        draft.criteria[number],
        withdrawn,
    )


def _says_parallel(meta: Mapping[str, str]) -> bool:
    return any(key.lower() in ("parallelkey", "parallel key") for key in meta)


def _stands(task: Task, line: int, path: tuple[str, ...], part: tuple[str, str | None, int, bool]) -> bool:
    """Whether a task stands where it stood, and plays the same part (key, parent, depth, criterion)."""
    return (
        task.line == line and (task.key, task.parent, task.depth, task.criterion) == part and task.heading_path == path
    )


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
