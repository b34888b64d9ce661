"""From a reading to the rows of a file: what its boxes mean together, in the whole file's light.

A `Draft` keeps everything that was found on the way, so that the next version of the text can go on from it
(`incremental.py`). What is shown of all tasks at once is found first (`Rows`); the tasks themselves are made when they are
asked for (`finishing.py`). Whatever one box says by itself is found in reading.py and details.py.

A server's first answer waits for this module: what it imports needs no dataclasses, whose making is slow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import count
from operator import or_
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from kiro_lsp.spec import graph, outline
from kiro_lsp.spec.blocks import CODE, CONTINUATION, Blocks, Box, Heading
from kiro_lsp.spec.dialects import Signs, detect, has_nested, is_legend_heading, is_withdrawn, legend_of, status_of
from kiro_lsp.spec.keys import keys_for
from kiro_lsp.spec.reading import Reading
from kiro_lsp.spec.rescan import Scanned, scan_marked

if TYPE_CHECKING:
    from kiro_lsp.spec.finishing import Earlier, Finished
    from kiro_lsp.spec.model import Dialect, Task, TaskList, TaskStatus

    Legend = Mapping[str, TaskStatus | None]

Value = TypeVar("Value")
_serials: Final = count(1)


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


def rows_of(tasks: Sequence[Task]) -> Rows:
    """The columns of tasks that were made already."""
    places = {task.key: number for number, task in enumerate(tasks)}
    return Rows(
        [task.line for task in tasks],
        [task.key for task in tasks],
        [task.id for task in tasks],
        [task.title for task in tasks],
        [task.status for task in tasks],
        [places.get(task.parent or "", -1) for task in tasks],
        [task.criterion for task in tasks],
        [task.withdrawn for task in tasks],
    )


class Parsed(ABC):
    """A file's lines (with their ends), its blocks and its tasks: what features read of one text. Never changed once made.

    Whoever keeps something made of each row can tell what is still good: where `base` is the `serial` it was made for, all
    rows but those at the `touched` indices are as they were, and in the same places; so are tasks, if they were made already.
    """

    def __init__(self, lines: Sequence[str], blocks: Blocks, rows: Rows, dialect: Dialect) -> None:
        self.lines, self.blocks, self.rows, self.dialect = lines, blocks, rows, dialect
        self.serial = next(_serials)
        self.base = 0
        self.touched: tuple[int, ...] = ()

    @property
    def headings(self) -> Sequence[Heading]:
        return self.blocks.headings

    @property
    @abstractmethod
    def task_list(self) -> TaskList:
        """The tasks and the problems. Takes longer than all the rest, once; any thread may ask."""


class Draft(Parsed):
    """Everything found in one version of a text, so that the next version can go on from it."""

    def __init__(
        self,
        path: str,
        scanned: Scanned,
        reading: Reading,
        metadata: list[Mapping[str, str]],
        rows: Rows,
        *,
        dialect: Dialect,
        legend: Legend,
        sections: outline.Sections,
        waves: graph.Waves,
    ) -> None:
        super().__init__(reading.lines, reading.blocks, rows, dialect)
        self.path, self.scanned, self.reading = path, scanned, reading
        self.metadata = metadata
        """Of every box; so are the four lists below."""
        self.keys, self.parents, self.criteria = rows.keys, rows.parents, rows.criteria
        self.depths: Sequence[int] = outline.depths_of(rows.parents)
        self.sections, self.legend = sections, legend
        self.known = dict.fromkeys(identifier for identifier in rows.ids if identifier is not None)
        """The ids of the file."""
        self.waves, self.wave_problems = waves
        self.may_go_on = False
        """Whether the tasks are the boxes one by one, so that an edited text can go on from here."""
        self.earlier: Earlier | None = None
        self.finished: Finished | None = None
        self._making = Lock()

    @property
    def task_list(self) -> TaskList:
        return self.whole().task_list

    def whole(self) -> Finished:
        """Tasks, problems, and what the file says about order outside its tasks; made once."""
        if self.finished is None:
            from kiro_lsp.spec.finishing import finished

            with self._making:
                if self.finished is None:
                    self.finished, self.earlier = finished(self), None
        return self.finished

    def edited(self, scanned: Scanned, reading: Reading, metadata: list[Mapping[str, str]], rows: Rows) -> Draft:
        """The draft of a text that differs in what some tasks say by themselves and in nothing else."""
        new = object.__new__(Draft)
        vars(new).update(vars(self))
        new.lines, new.blocks, new.rows = reading.lines, reading.blocks, rows
        new.scanned, new.reading, new.metadata = scanned, reading, metadata
        new.serial, new.base = next(_serials), self.serial
        new.earlier = new.finished = None
        new._making = Lock()
        return new


def drafted(lines: Sequence[str], path: str) -> Draft:
    """The draft of a whole text."""
    if lines and lines[0].startswith("\ufeff"):
        draft = drafted([*([lines[0][1:]] if len(lines[0]) > 1 else []), *lines[1:]], path)
        from kiro_lsp.spec.finishing import behind_mark

        draft.finished = behind_mark(draft.whole())
        draft.lines = lines
        draft.may_go_on = False
        return draft
    scanned = scan_marked(lines)
    reading = Reading(lines, scanned.blocks)
    reading.read()
    metadata = [reading.metadata(number) for number in range(len(reading.boxes))]
    return assembled(path, scanned, reading, metadata)


def assembled(
    path: str,
    scanned: Scanned,
    reading: Reading,
    metadata: list[Mapping[str, str]],
    earlier: Earlier | None = None,
) -> Draft:
    """The draft from a reading, its tasks not made yet; `earlier` saves what it can of making them."""
    blocks, titles = reading.blocks, reading.titles
    sections = outline.Sections(blocks.headings)
    waves = graph.waves_of(reading.lines, blocks)
    ids = [title.id for title in titles]
    parents = outline.parents_of(ids, reading.parents)
    legend = _legend(reading)
    dialect = detect(path, _signs(reading, metadata, sections, waves=bool(waves[0])))
    rows = Rows(
        [box.line for box in reading.boxes],
        keys_for((title.id, title.title) for title in titles),
        ids,
        [title.title for title in titles],
        _by_mark(reading.boxes, lambda mark: status_of(dialect, mark, legend)),
        parents,
        _criteria(reading, parents),
        _withdrawn(reading, dialect, legend),
    )
    draft = Draft(
        path, scanned, reading, metadata, rows, dialect=dialect, legend=legend, sections=sections, waves=waves
    )
    draft.earlier = earlier
    goes_on = some_to_do(rows)
    draft.may_go_on = goes_on and not any(is_legend_heading(heading.text) for heading in blocks.headings)
    if not goes_on:
        from kiro_lsp.spec.finishing import take_fallback

        take_fallback(draft)
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
    identifiers = [title.id for title in titles if title.id is not None]
    return Signs(
        ids=identifiers,
        nested_numbers=has_nested(identifiers),
        stories=sum(
            1
            for title in titles
            if title.story is not None or (title.parallel and title.id is not None and title.id[0] == "T")
        ),
        keys=frozenset(key.lower() for found in metadata if found for key in found),
        waves=waves,
        optional_stars=any(reading.optional),
        numbered_sections=sections.numbered(
            (box.line, title.id) for box, title in zip(reading.boxes, titles, strict=True)
        ),
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
