"""The tasks of an edited text from those of the text before.

Three ways, each exactly as the whole text would be read, the cheapest that is sure to be right is taken:

- *within*: the edit changed what some tasks say, and nothing that other tasks depend on (ids, headings, legends, labels, order):
  only those tasks are made again;
- *around*: the blocks are scanned from above the edit to where nothing changes any more, and what the boxes outside say
  by themselves is kept; what the boxes mean together is found again;
- *all*: the whole text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kiro_lsp.spec import graph
from kiro_lsp.spec.assemble import (
    Draft,
    Rows,
    assembled,
    drafted,
    legend_candidates,
    some_to_do,
)
from kiro_lsp.spec.blocks import Box
from kiro_lsp.spec.dialects import is_legend_heading, is_withdrawn, status_of
from kiro_lsp.spec.finishing import Earlier, Finished, problems_of, structural_of, task_at
from kiro_lsp.spec.lines import Edit, spliced
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.oddities import of_lines, of_task
from kiro_lsp.spec.reading import Reading
from kiro_lsp.spec.rescan import Region, Scanned, rescan
from kiro_lsp.spec.titles import DOUBTFUL, Title, settle, without_id


def within(old: Draft, lines: Sequence[str], edit: Edit) -> Draft | None:
    """The draft of an edited text when only what some tasks say changed; None when that is not sure."""
    return _Update(old, lines, edit).within()


def beyond(old: Draft, lines: Sequence[str], edit: Edit) -> Draft:
    """The draft of an edited text for which `within` gave none."""
    return _Update(old, lines, edit).around() or drafted(lines, old.path)


def updated(old: Draft, lines: Sequence[str], edit: Edit) -> Draft:
    """The draft of an edited text: `lines` are all of its lines, `edit` says which of them are not as they were."""
    update = _Update(old, lines, edit)
    return update.within() or update.around() or drafted(lines, old.path)


class _Update:
    def __init__(self, old: Draft, lines: Sequence[str], edit: Edit) -> None:
        self.old, self.lines, self.edit = old, lines, edit
        self.found: tuple[Scanned, Region] | None = None
        if old.may_go_on and not (lines and lines[0].startswith("\ufeff")):
            self.found = rescan(old.scanned, len(old.reading.lines), lines, edit)

    # Both ways

    def _affected(self, scanned: Scanned, region: Region) -> list[int]:
        """Boxes whose own words may have changed: those taken again, and those above that own lines there."""
        owners = scanned.blocks.owners[region.first : region.end]
        owners += self.old.scanned.blocks.owners[region.first : region.old_end]
        above = {owner for owner in owners if 0 <= owner < region.box}
        return [*sorted(above), *range(region.box, region.box_end)]

    def _reading(self, scanned: Scanned, region: Region, affected: Sequence[int]) -> Reading:
        """The reading of the new text; of boxes that are not affected it is the old one, moved."""
        old, moved, blocks = self.old.reading, self.edit.moved, scanned.blocks
        box, box_end, old_end = region.box, region.box_end, region.old_box_end
        new = Reading(self.lines, blocks)
        new.boxes = blocks.boxes
        read = [new.title_at(number, new.boxes[number]) for number in range(box, box_end)]
        again = new.doubled
        new.raw = spliced(old.raw, box, old_end, [title for title, _, _ in read])
        new.optional = spliced(old.optional, box, old_end, [optional for _, _, optional in read])
        new.title_ends = spliced(old.title_ends, box, old_end, [end for _, end, _ in read])
        new.own_lines = spliced(old.own_lines, box, old_end, [[] for _ in read])
        if moved:
            new.title_ends[box_end:] = [end + moved for end in new.title_ends[box_end:]]
            new.own_lines[box_end:] = [
                [line + moved for line in own] if own else own for own in new.own_lines[box_end:]
            ]
        for number in affected:
            new.own_lines[number] = self._own_lines(new, region, number)
        above = [line for line in old.doubled if line < region.first]
        new.doubled = [*above, *again, *(line + moved for line in old.doubled if line >= region.old_end)]
        return new

    def _own_lines(self, new: Reading, region: Region, number: int) -> list[int]:
        """The lines of a box: above the region as they were, in it as they are, and below it as they were, moved."""
        old, owners, begin = self.old.reading.own_lines, new.blocks.owners, new.title_ends[number]
        found = [line for line in old[number] if line < region.first] if number < region.base else []
        found += [line for line in range(max(region.first, begin), region.end) if owners[line] == number]
        if number in region.open_boxes:
            before = number if number < region.base else number - region.boxes_moved
            found += [line + self.edit.moved for line in old[before] if line >= region.old_end]
        return found

    # What boxes mean together is found again

    def around(self) -> Draft | None:
        if self.found is None:
            return None
        scanned, region = self.found
        if any(is_legend_heading(heading.text) for heading in scanned.blocks.headings):
            return None
        affected = self._affected(scanned, region)
        reading = self._reading(scanned, region, affected)
        reading.parents = [box.parent for box in reading.boxes]
        reading.titles = settle(reading.raw)
        metadata = self._metadata(reading, region, affected)
        return assembled(self.old.path, scanned, reading, metadata, self._earlier(reading, region, affected))

    def _earlier(self, reading: Reading, region: Region, affected: Sequence[int]) -> Earlier | None:
        """The tasks of the boxes that did not change; None where the old ones were never made."""
        old = self.old
        if old.finished is None:
            return None
        tasks, titles = old.task_list.tasks, old.reading.titles
        earlier: list[Task | None] = [*tasks[: region.box], *([None] * (region.box_end - region.box))]
        earlier += tasks[region.old_box_end :]
        before = [*titles[: region.box], *reading.titles[region.box : region.box_end], *titles[region.old_box_end :]]
        for number in affected:
            earlier[number] = None
        for number, title in enumerate(reading.titles):
            if title is not before[number] and title != before[number]:
                earlier[number] = None
        return Earlier(earlier, old.dialect, old.legend, old.known, old.finished.needs)

    def _metadata(self, reading: Reading, region: Region, affected: Sequence[int]) -> list[Mapping[str, str]]:
        blank: list[Mapping[str, str]] = [{}] * (region.box_end - region.box)
        found = spliced(self.old.metadata, region.box, region.old_box_end, blank)
        for number in affected:
            found[number] = reading.metadata(number)
        return found

    # Only some tasks are made again

    def within(self) -> Draft | None:
        if self.found is None or self.edit.moved:
            return None
        scanned, region = self.found
        if not self._same_frame(scanned, region):
            return None
        affected = self._edited(scanned, region)
        reading = self._edited_reading(scanned, region, affected)
        metadata = self.old.metadata.copy()
        for number in affected:
            metadata[number] = reading.metadata(number)
        titles = self._settled(reading, affected)
        if titles is None:
            return None
        reading.titles, reading.parents = titles, self.old.reading.parents
        if not all(self._same_part(reading, metadata, number) for number in affected):
            return None
        if not (self._same_labels(reading, region) and self._same_prose(reading, region)):
            return None
        reading.labelled = self.old.reading.labelled
        return self._with_tasks(scanned, region, reading, metadata, affected)

    def _same_frame(self, scanned: Scanned, region: Region) -> bool:
        """Whether headings, fences and the nesting of boxes are as they were, and no graph was edited."""
        new, old = scanned.blocks, self.old.scanned.blocks
        if region.boxes_moved or (new.headings, new.fences) != (old.headings, old.fences):
            return False
        if new.unclosed_html != old.unclosed_html:
            return False
        pairs = zip(new.boxes[region.box : region.box_end], old.boxes[region.box : region.box_end], strict=True)
        return all(_same_place(box, before) for box, before in pairs) and not self._graph_edited(scanned)

    def _graph_edited(self, scanned: Scanned) -> bool:
        edit = self.edit
        for fence in scanned.blocks.fences:
            if fence.start < edit.new_end and edit.start < fence.end:
                body = "".join((*self.lines[fence.start : fence.end], *self.old.reading.lines[fence.start : fence.end]))
                if '"waves"' in body or fence.info.lower().startswith("mermaid"):
                    return True
        return False

    def _edited(self, scanned: Scanned, region: Region) -> list[int]:
        """The boxes that the edited lines belong to, and those to which other lines belong now, or count as something else."""
        new, old, edit = scanned.blocks, self.old.scanned.blocks, self.edit
        found: set[int] = set()
        for line in range(region.first, region.end):
            before, now = old.owners[line], new.owners[line]
            if edit.start <= line < edit.new_end or before != now or old.kinds[line] != new.kinds[line]:
                found |= {before, now}
        return sorted(found - {-1})

    def _edited_reading(self, scanned: Scanned, region: Region, affected: Sequence[int]) -> Reading:
        """The reading of a text with the same boxes in the same places; only the affected ones are read again."""
        old, blocks = self.old.reading, scanned.blocks
        new = Reading(self.lines, blocks)
        new.boxes, new.raw, new.optional = blocks.boxes, old.raw.copy(), old.optional.copy()
        new.title_ends, new.own_lines = old.title_ends.copy(), old.own_lines.copy()
        for number in affected:
            if number >= region.box:
                found = new.title_at(number, blocks.boxes[number])
                new.raw[number], new.title_ends[number], new.optional[number] = found
            new.own_lines[number] = self._own_lines(new, region, number)
        again = {blocks.boxes[number].line for number in affected if number >= region.box}
        new.doubled = sorted([*new.doubled, *(line for line in old.doubled if line not in again)])
        return new

    def _settled(self, reading: Reading, affected: Sequence[int]) -> list[Title] | None:
        """Titles after `settle`, which decides the doubtful ids as before if ids and doubts are as before."""
        old, titles = self.old.reading, self.old.reading.titles.copy()
        for number in affected:
            title, before = reading.raw[number], old.raw[number]
            if (title.id, title.certainty) != (before.id, before.certainty):
                return None
            refused = title.certainty == DOUBTFUL and titles[number].certainty != DOUBTFUL
            titles[number] = without_id(title) if refused else title
        return titles

    def _same_part(self, reading: Reading, metadata: list[Mapping[str, str]], number: int) -> bool:
        """Whether a box plays the part in the whole that it played: its key, its tags, the names of its metadata."""
        old = self.old
        title, before = reading.titles[number], old.reading.titles[number]
        return (
            (title.id, title.parallel, title.story) == (before.id, before.parallel, before.story)
            and (title.id is not None or title.title == before.title)
            and reading.optional[number] == old.reading.optional[number]
            and {key.lower() for key in metadata[number]} == {key.lower() for key in old.metadata[number]}
        )

    def _same_labels(self, reading: Reading, region: Region) -> bool:
        """Whether labels announce criteria for the same boxes as before."""
        old = self.old.reading
        labelled = previous = 0
        if region.box:
            labelled, previous = old.labelled[region.box - 1], old.boxes[region.box - 1].line + 1
        before = labelled = bool(labelled)
        for number in range(region.box, region.box_end):
            line = reading.boxes[number].line
            labelled, before = (
                reading.label_state(labelled, previous, line),
                old.label_state(before, previous, line),
            )
            if labelled != before:
                return False
            previous = line + 1
        end = max(previous, region.end)
        return reading.label_state(labelled, previous, end) == old.label_state(before, previous, end)

    def _same_prose(self, reading: Reading, region: Region) -> bool:
        """Whether the lines outside tasks say the same about order, and about what marks mean."""
        old, first, end = self.old.reading, region.first, region.end
        boxes = {box.line for box in reading.boxes[region.box : region.box_end]}
        if legend_candidates(reading, first, end, boxes) != legend_candidates(old, first, end, boxes):
            return False
        return self._relations(reading, first, end) == self._relations(old, first, end)

    def _relations(self, reading: Reading, first: int, end: int) -> list[tuple[str, str]]:
        kinds, owners, lines = reading.blocks.kinds, reading.blocks.owners, reading.lines
        return [
            pair
            for number in range(first, end)
            if graph.is_prose(kinds[number], owners[number], lines[number])
            for pair in graph.relations(lines[number], self.old.known)
        ]

    def _with_tasks(
        self,
        scanned: Scanned,
        region: Region,
        reading: Reading,
        metadata: list[Mapping[str, str]],
        affected: Sequence[int],
    ) -> Draft | None:
        """The old draft with those tasks made again; they are not made where the others never were."""
        old = self.old
        rows = self._rows(reading, affected)
        if not self._still_goes_on(rows, affected):
            return None
        new = old.edited(scanned, reading, metadata, rows)
        new.touched = tuple(affected)
        if old.finished is not None:
            new.finished, new.touched = self._finished(new, old.finished, region, affected)
        return new

    def _rows(self, reading: Reading, affected: Sequence[int]) -> Rows:
        old, dialect, legend = self.old.rows, self.old.dialect, self.old.legend
        titles, statuses, withdrawn = list(old.titles), list(old.statuses), list(old.withdrawn)
        for number in affected:
            mark, title = reading.boxes[number].mark, reading.titles[number]
            titles[number] = title.title
            statuses[number] = status_of(dialect, mark, legend)
            withdrawn[number] = title.withdrawn or is_withdrawn(dialect, mark, legend)
        return old._replace(titles=titles, statuses=statuses, withdrawn=withdrawn)

    def _finished(
        self, new: Draft, old: Finished, region: Region, affected: Sequence[int]
    ) -> tuple[Finished, tuple[int, ...]]:
        """(the tasks and problems of the new text, which tasks are not as they were)."""
        before = old.task_list.tasks
        tasks = list(before)
        for number in affected:
            task = graph.with_needs(task_at(new, number, new.dialect, None), old.needs)
            if task != before[number]:
                tasks[number] = task
        changed = tuple(number for number in affected if tasks[number] is not before[number])
        structural, problems = old.structural, old.task_list.problems
        if not self._same_structure(new.reading, region):
            structural = structural_of(new)
            problems = problems_of(new, structural, tasks, new.dialect)
        elif not all(self._same_standing(before[number], tasks[number]) for number in changed):
            problems = problems_of(new, structural, tasks, new.dialect)
        task_list = replace(old.task_list, tasks=tuple(tasks), problems=problems)
        return Finished(task_list, old.needs, structural), changed

    def _still_goes_on(self, rows: Rows, affected: Sequence[int]) -> bool:
        before = self.old.rows.withdrawn
        return all(rows.withdrawn[number] <= before[number] for number in affected) or some_to_do(rows)

    def _same_structure(self, reading: Reading, region: Region) -> bool:
        """Whether the structure has the same problems: those of the edited lines, and boxes that something unclosed hides."""
        blocks, old = reading.blocks, self.old.reading
        hidden = [fence.start for fence in blocks.fences if not fence.closed]
        hidden += [] if blocks.unclosed_html is None else [blocks.unclosed_html]
        if any(start < self.edit.new_end for start in hidden):
            return False
        return of_lines(reading, region.first, region.end) == of_lines(old, region.first, region.end)

    def _same_standing(self, before: Task, task: Task) -> bool:
        """Whether a task has the same problems, and gives its sub-tasks the same."""
        dialect, path = self.old.dialect, self.old.path
        return (task.status, task.withdrawn) == (before.status, before.withdrawn) and of_task(
            task, dialect, path
        ) == of_task(before, dialect, path)


def _same_place(box: Box, before: Box) -> bool:
    return (box.line, box.depth, box.parent, box.folded) == (before.line, before.depth, before.parent, before.folded)
