"""From a reading to the tasks of a file: what its boxes mean together, in the whole file's light.

A `Draft` keeps everything that was found on the way, so that the next version of the text can go on from it
(`incremental.py`). Whatever one box says by itself is found in reading.py and details.py.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final

from kiro_lsp.spec import graph, outline
from kiro_lsp.spec.blocks import CODE, CONTINUATION, Blocks
from kiro_lsp.spec.details import dependencies_of, files_of, read_metadata, requirements_of
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
serials: Final = count(1)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file's lines (with their ends), its blocks and its tasks: what features read of one text.

    Whoever keeps something made of each task can tell what is still good: where `base` is the `serial` it was made for, all
    tasks but those at the `touched` indices are the same objects, in the same places.
    """

    lines: Sequence[str]
    blocks: Blocks
    task_list: TaskList
    serial: int = field(default_factory=serials.__next__, compare=False)
    base: int = field(default=0, compare=False)
    touched: tuple[int, ...] = field(default=(), compare=False)


@dataclass(slots=True)
class Draft:
    """Everything found in one version of a text. Never changed once it is made."""

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
    needs: graph.Needs
    waves: tuple[tuple[str, ...], ...]
    structural: Sequence[Problem]
    """Problems of the file's structure and its waves."""
    parsed: Parsed
    may_go_on: bool
    """Whether the tasks are the boxes one by one, so that an edited text can go on from here."""


def drafted(lines: Sequence[str], path: str) -> Draft:
    """The draft of a whole text."""
    if lines and lines[0].startswith("\ufeff"):
        draft = drafted([*([lines[0][1:]] if len(lines[0]) > 1 else []), *lines[1:]], path)
        draft.parsed = Parsed(lines, draft.parsed.blocks, _moved(draft.parsed.task_list))
        draft.may_go_on = False
        return draft
    scanned = scan_marked(lines)
    reading = Reading(lines, scanned.blocks)
    reading.read()
    metadata: list[Mapping[str, str]] = [
        read_metadata(reading.detail_lines(number)) for number in range(len(reading.boxes))
    ]
    return assembled(path, scanned, reading, metadata, ())


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
    earlier: Sequence[Task | None],
    *,
    before: Draft | None = None,
) -> Draft:
    """The draft from a reading. `earlier`: for each box its task in the version `before`, if the box itself did not change."""
    lines, blocks, titles = reading.lines, reading.blocks, reading.titles
    sections = outline.Sections(blocks.headings)
    waves, wave_problems = graph.waves_of(lines, blocks)
    legend = _legend(reading)
    dialect = detect(path, _signs(reading, metadata, sections, waves=bool(waves)))
    parents = outline.parents_of([title.id for title in titles], reading.parents)
    draft = Draft(
        path,
        scanned,
        reading,
        metadata,
        keys_for((title.id, title.title) for title in titles),
        parents,
        outline.depths_of(parents),
        _criteria(reading, parents),
        sections,
        legend,
        dict.fromkeys(title.id for title in titles if title.id is not None),
        {},
        waves,
        [*wave_problems, *of_file(reading)],
        Parsed(lines, blocks, TaskList(dialect, (), ())),
        may_go_on=False,
    )
    _finish(draft, dialect, earlier, before)
    return draft


def _finish(draft: Draft, dialect: Dialect, earlier: Sequence[Task | None], before: Draft | None) -> None:
    """Make the tasks of a draft, and their problems."""
    reading, lines, blocks = draft.reading, draft.reading.lines, draft.reading.blocks
    alike = before is not None and _means_the_same(before, draft, dialect)
    tasks = [
        task_at(draft, number, dialect, earlier[number] if earlier else None, alike=alike)
        for number in range(len(reading.boxes))
    ]
    draft.may_go_on = any(not task.criterion and not task.withdrawn for task in tasks) and not any(
        is_legend_heading(heading.text) for heading in blocks.headings
    )
    extra: list[Task] = []
    if not tasks:
        extra = heading_boxes(lines, blocks, dialect, draft.legend)
    if not extra and all(task.criterion for task in tasks):
        extra = heading_tasks(lines, blocks, tasks)
        if not extra and not tasks:
            extra = table_tasks(lines, blocks)
    if extra:
        tasks, dialect = _with_fallback(tasks, extra, dialect, draft.path, draft.sections)
    elif tasks and all(task.criterion or task.withdrawn for task in tasks):
        # Nothing else to do in this file: its criteria are its tasks.
        tasks = [replace(task, criterion=False) for task in tasks]
    if not tasks and not is_blank(lines):
        draft.structural = [*draft.structural, Problem(0, 0, "no-tasks", "information", _NO_TASKS)]
    known = {task.id: None for task in tasks if task.id is not None}
    draft.needs = graph.needs_of(known, lines, blocks, {task.line for task in tasks})
    if draft.needs:
        tasks = [graph.with_needs(task, draft.needs) for task in tasks]
    problems = problems_of(draft, tasks, dialect)
    task_list = TaskList(dialect, tuple(tasks), problems, draft.waves, draft.legend)
    draft.parsed = Parsed(lines, blocks, task_list)


def _means_the_same(before: Draft, draft: Draft, dialect: Dialect) -> bool:
    """Whether marks mean what they meant, and ids in the words of a task what they were, in the version before."""
    return (
        dialect == before.parsed.task_list.dialect
        and draft.legend == before.legend
        and list(draft.known) == list(before.known)
        and not before.needs
    )


def problems_of(draft: Draft, tasks: Sequence[Task], dialect: Dialect) -> tuple[Problem, ...]:
    """All problems, in the order of their places."""
    problems = [*draft.structural, *of_tasks(tasks, draft.reading, dialect, draft.path)]
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
        keys=frozenset(key.lower() for found in metadata for key in found),
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
