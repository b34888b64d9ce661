"""From a reading to the tasks of a file: what its boxes mean together, in the whole file's light.

A `Draft` keeps everything that was found on the way, so that the next version of the text can go on from it
(`incremental.py`). What is shown of all tasks at once is found first (`Rows`), the
tasks themselves when they are asked for. Whatever one box says by itself is found in reading.py and details.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from operator import or_
from threading import Lock
from typing import Final, NamedTuple, TypeVar

from kiro_lsp.spec import graph, outline
from kiro_lsp.spec.blocks import CODE, CONTINUATION, Blocks, Box
from kiro_lsp.spec.details import dependencies_of, files_of, requirements_of
from kiro_lsp.spec.dialects import Signs, detect, is_legend_heading, is_withdrawn, legend_of, status_of
from kiro_lsp.spec.fallbacks import heading_boxes, heading_tasks, table_tasks
from kiro_lsp.spec.finding import keys_for
from kiro_lsp.spec.model import Dialect, Problem, Task, TaskList, TaskStatus
from kiro_lsp.spec.oddities import is_blank, of_file, of_tasks
from kiro_lsp.spec.reading import Reading
from kiro_lsp.spec.rescan import Scanned, scan_marked

_NO_TASKS: Final = (
    "No task was found in this file. A task is a list item with a box, such as “- [ ] 1. Set up the project”."
)
Legend = Mapping[str, TaskStatus | None]
Value = TypeVar("Value")
serials: Final = count(1)


class Rows(NamedTuple):
    """The tasks of a file column by column, in the order of their lines: as much of them as is shown of all at once.

    One entry a task in each. Everything else about a task costs more, and is made when somebody asks for it (`task_list`).
    """

    lines: Sequence[int]
    keys: Sequence[str]
    ids: Sequence[str | None]
    titles: Sequence[str]
    statuses: Sequence[TaskStatus]
    parents: Sequence[int]
    """Index of the task above, -1 without one."""
    criteria: Sequence[bool]
    withdrawn: Sequence[bool]


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


@dataclass(slots=True, eq=False)
class Parsed(ABC):
    """A file's lines (with their ends), its blocks and its tasks: what features read of one text. Never changed once made.

    Whoever keeps something made of each row can tell what is still good: where `base` is the `serial` it was made for, all
    rows but those at the `touched` indices are as they were, and in the same places; so are tasks, if they were made already.
    """

    lines: Sequence[str]
    blocks: Blocks
    rows: Rows
    dialect: Dialect
    serial: int = field(default_factory=serials.__next__, kw_only=True)
    base: int = field(default=0, kw_only=True)
    touched: tuple[int, ...] = field(default=(), kw_only=True)

    @property
    @abstractmethod
    def task_list(self) -> TaskList:
        """The tasks and the problems. Takes longer than all the rest, once; any thread may ask."""


@dataclass(slots=True, eq=False)
class Draft(Parsed):
    """Everything found in one version of a text, so that the next version can go on from it."""

    path: str
    scanned: Scanned
    reading: Reading
    metadata: list[Mapping[str, str]]
    """Of every box; so are the four lists below."""
    keys: Sequence[str]
    parents: Sequence[int]
    depths: Sequence[int]
    criteria: Sequence[bool]
    sections: outline.Sections
    legend: Legend
    known: Mapping[str, None]
    """The ids of the file."""
    waves: tuple[tuple[str, ...], ...]
    wave_problems: Sequence[Problem]
    may_go_on: bool = False
    """Whether the tasks are the boxes one by one, so that an edited text can go on from here."""
    earlier: Earlier | None = None
    finished: Finished | None = None
    making: Lock = field(default_factory=Lock)

    @property
    def task_list(self) -> TaskList:
        return self.whole().task_list

    def whole(self) -> Finished:
        """Tasks, problems, and what the file says about order outside its tasks; made once."""
        if self.finished is None:
            with self.making:
                if self.finished is None:
                    self.finished, self.earlier = _finished(self), None
        return self.finished


def drafted(lines: Sequence[str], path: str) -> Draft:
    """The draft of a whole text."""
    if lines and lines[0].startswith("\ufeff"):
        draft = drafted([*([lines[0][1:]] if len(lines[0]) > 1 else []), *lines[1:]], path)
        whole = draft.whole()
        draft.finished = whole._replace(task_list=_moved(whole.task_list))
        draft.lines = lines
        draft.may_go_on = False
        return draft
    scanned = scan_marked(lines)
    reading = Reading(lines, scanned.blocks)
    reading.read()
    metadata = [reading.metadata(number) for number in range(len(reading.boxes))]
    return assembled(path, scanned, reading, metadata)


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


def assembled(
    path: str,
    scanned: Scanned,
    reading: Reading,
    metadata: list[Mapping[str, str]],
    earlier: Earlier | None = None,
) -> Draft:
    """The draft from a reading, its tasks not made yet; `earlier` saves what it can of making them."""
    lines, blocks, titles = reading.lines, reading.blocks, reading.titles
    sections = outline.Sections(blocks.headings)
    waves, wave_problems = graph.waves_of(lines, blocks)
    ids = [title.id for title in titles]
    parents = outline.parents_of(ids, reading.parents)
    keys = keys_for((title.id, title.title) for title in titles)
    legend = _legend(reading)
    dialect = detect(path, _signs(reading, metadata, sections, waves=bool(waves)))
    criteria = _criteria(reading, parents)
    rows = Rows(
        [box.line for box in reading.boxes],
        keys,
        ids,
        [title.title for title in titles],
        _by_mark(reading.boxes, lambda mark: status_of(dialect, mark, legend)),
        parents,
        criteria,
        _withdrawn(reading, dialect, legend),
    )
    draft = Draft(
        lines,
        blocks,
        rows,
        dialect,
        path,
        scanned,
        reading,
        metadata,
        keys,
        parents,
        outline.depths_of(parents),
        criteria,
        sections,
        legend,
        dict.fromkeys(identifier for identifier in ids if identifier is not None),
        waves,
        wave_problems,
        earlier=earlier,
    )
    draft.may_go_on = some_to_do(rows) and not any(is_legend_heading(heading.text) for heading in blocks.headings)
    if not some_to_do(rows):
        _take_fallback(draft)
    return draft


def some_to_do(rows: Rows) -> bool:
    """Whether there is a task that is neither criterion nor withdrawn, without which boxes mean something else."""
    return not all(map(or_, rows.criteria, rows.withdrawn))


def _by_mark(boxes: Sequence[Box], meaning: Callable[[str], Value]) -> list[Value]:
    """What the mark of each box means; there are few marks and many boxes."""
    known = {mark: meaning(mark) for mark in {box.mark for box in boxes}}
    return [known[box.mark] for box in boxes]


def _withdrawn(reading: Reading, dialect: Dialect, legend: Legend) -> list[bool]:
    by_mark = _by_mark(reading.boxes, lambda mark: is_withdrawn(dialect, mark, legend))
    return [marked or title.withdrawn for marked, title in zip(by_mark, reading.titles, strict=True)]


def _take_fallback(draft: Draft) -> None:
    """Where nothing in lists is to be done, what the rows are depends on tasks in headings and tables: made at once."""
    task_list = draft.whole().task_list
    tasks, places = task_list.tasks, {task.key: number for number, task in enumerate(task_list.tasks)}
    draft.dialect = task_list.dialect
    draft.rows = Rows(
        [task.line for task in tasks],
        [task.key for task in tasks],
        [task.id for task in tasks],
        [task.title for task in tasks],
        [task.status for task in tasks],
        [places.get(task.parent or "", -1) for task in tasks],
        [task.criterion for task in tasks],
        [task.withdrawn for task in tasks],
    )


def _finished(draft: Draft) -> Finished:
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


def legend_candidates(reading: Reading, first: int, end: int, boxes: Container[int]) -> list[str]:
    """Lines that may explain marks, in prose, in a table, or in the list of a legend section; `boxes` are lines of tasks."""
    kinds, lines = reading.blocks.kinds, reading.lines
    return [
        line
        for number in range(first, end)
        if "[" in (line := lines[number])
        and number not in boxes
        and kinds[number] != CODE
        and (kinds[number] <= CONTINUATION or "`[" in line or number in reading.legend_lines)
    ]


def _legend(reading: Reading) -> dict[str, TaskStatus | None]:
    """The legend that the file prints."""
    boxes = {box.line for box in reading.boxes}
    return legend_of(legend_candidates(reading, 0, len(reading.lines), boxes))


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
        keys=frozenset(key.lower() for found in metadata if found for key in found),
        waves=waves,
        optional_stars=any(reading.optional),
        numbered_sections=sections.numbered(zip(reading.boxes, titles, strict=True)),
    )


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
