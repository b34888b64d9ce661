"""What there is to say of the place under the pointer: of a task, or of a requirement that a file names or defines.

Whatever comes from files stands in the answer as
text: escaped, or in a fence that is longer than any run of backticks in it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final, NamedTuple

from kiro_lsp.budget import about, dollars, estimated, from_nano
from kiro_lsp.spec.editing.renaming import Target
from kiro_lsp.spec.editing.requirement_ids import entry_of, requirement_target
from kiro_lsp.spec.facts import AgentFact, Facts, RunFact
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.navigation.targets import tasks_by_requirement
from kiro_lsp.spec.order import Order, order_of
from kiro_lsp.spec.requirements import Requirement, RequirementIndex
from kiro_lsp.spec.selection import analyse
from kiro_lsp.spec.unicode import visible

_ITEMS: Final = 8
"""How many requirements, dependencies and covering tasks are named; of the others how many they are."""
_INLINE: Final = 200
_TEXT: Final = 600
"""Characters of a requirement's text."""
_LINES: Final = 12
_LONGEST_LINE: Final = 20_000
"""In a longer line no ids are looked for."""
_SIGNS: Final = re.compile(r"[\\`*_\[\]<>#&|~!$]")


class Hover(NamedTuple):
    """An answer and the words that it is about: a part of one line, in characters."""

    text: str
    line: int
    start: int
    end: int


class Hovers:
    """The answers for one task file and the documents beside it. What an answer needs is found when one needs it."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    @cached_property
    def order(self) -> Order:
        return order_of(self.facts.tasks)

    @cached_property
    def by_id(self) -> Mapping[str, Task]:
        """The first task with each id."""
        return {task.id: task for task in reversed(self.facts.tasks.tasks) if task.id is not None}

    @cached_property
    def defined(self) -> Mapping[str, tuple[list[int], list[Requirement]]]:
        return _defined(self.facts.requirements)

    @cached_property
    def covering(self) -> Mapping[tuple[str, int], list[Task]]:
        return tasks_by_requirement(self.facts.tasks.tasks, self.facts.requirements)

    def in_tasks(self, line: int, column: int, *, markdown: bool) -> Hover | None:
        """The answer for a place of the task file; None where there is nothing to say."""
        text = _line(self.facts.lines, line)
        if not text.strip():
            return None
        target, entry = self._named(line, column)
        if target is not None and entry is not None:
            return Hover(self._of_requirement(entry, _Writer(markdown)), line, target.start, target.end)
        tasks = self.facts.tasks.tasks
        at = bisect_right(self.facts.parsed.rows.lines, line) - 1
        if at < 0 or not line < max(tasks[at].end_line, tasks[at].line + 1):
            return None
        return Hover(self._of_task(tasks[at], _Writer(markdown)), line, *_words(text))

    def takes_all(self, line: int, column: int) -> bool:
        """Whether the answer for a place of the task file speaks of tasks all over it: that of a requirement does."""
        return self._named(line, column)[1] is not None

    def _named(self, line: int, column: int) -> tuple[Target | None, Requirement | None]:
        """The requirement that is named at a place of the task file."""
        index = self.facts.requirements
        if len(_line(self.facts.lines, line)) > _LONGEST_LINE:
            return None, None
        target = requirement_target(self.facts.lines, index, self.facts.path, line, column, tasks=True)
        return target, entry_of(index, target.name) if target is not None else None

    def in_document(self, path: str, lines: Sequence[str], line: int, *, markdown: bool) -> Hover | None:
        """The same for a line of a document that defines requirements: where one begins, or goes on as a criterion."""
        text = _line(lines, line)
        starts, entries = self.defined.get(path, ([], []))
        at = bisect_right(starts, line) - 1
        if at < 0 or not text.strip():
            return None
        entry = entries[at]
        goes_on = entry.text.count("\n") if entry.owner else 0
        if line > entry.line + goes_on:
            return None
        return Hover(self._of_requirement(entry, _Writer(markdown)), line, *_words(text))

    # Of a task

    def _of_task(self, task: Task, out: _Writer) -> str:
        optional = ", optional" if task.optional else ""
        state = "dropped" if task.withdrawn else task.status + optional
        name = out.strong(f"{task.id} {task.title}".strip() if task.id else task.title)
        out.paragraph(f"{name} — {out.plain(state)}")
        why = self.order.why_not_yet(task)
        if why:
            out.paragraph(f"Not yet: {out.plain(why)}")
        if task.status != "done" and not task.criterion and not task.withdrawn:
            self._kind(task, out)
            self._agent(task, out)
        out.items("Depends on", (self._dependency(name, out) for name in task.depends_on), len(task.depends_on))
        run = self.facts.runs.get(task.key)
        if run is not None:
            out.paragraph(f"Last run: {out.plain(_run(run))}")
        self._requirements(task, out)
        return out.text

    def _kind(self, task: Task, out: _Writer) -> None:
        found = analyse(task)
        guess = ", a guess" if found.is_guess else ""
        out.paragraph(f"Kind of work: {out.plain(f'{found.kind}{guess} ({found.reasons[0]}), {found.complexity}')}")

    def _agent(self, task: Task, out: _Writer) -> None:
        chosen = self.facts.chosen_for(task) if self.facts.chosen_for is not None else None
        if chosen is not None and chosen.available:
            by = ", ".join(filter(None, (f"{chosen.label} by {chosen.way}", chosen.model)))
            out.paragraph(f"Agent: {out.plain(by)}")
            out.paragraph(f"Why: {out.plain(chosen.reason)}")
            self._estimate(task, chosen, out)
            return
        if chosen is not None:
            out.paragraph(f"Agent: {out.plain(chosen.reason)}")
            return
        agent = next((agent for agent in self.facts.agents if agent.recommended), None)
        if agent is not None:
            state = "available" if agent.available else "not available"
            reason = f" ({agent.reason})" if agent.reason else ""
            out.paragraph(f"Agent: {out.plain(f'{agent.label}, {state}{reason}')}")
        elif self.facts.agents:
            out.paragraph("Agent: none is available")

    def _estimate(self, task: Task, chosen: AgentFact, out: _Writer) -> None:
        """What it may cost, before; a guess from the size of the documents and the kind of the task."""
        if chosen.price is None:
            return
        size = sum(len(text) for text in self.facts.documents.values()) + len(task.body)
        nano = chosen.price(estimated(size, analyse(task).complexity))
        guess = f"the price of {chosen.model} is not known" if nano is None else f"{about(from_nano(nano))}, a guess"
        out.paragraph(f"Estimate: {out.plain(f'{guess}; at most {chosen.ceiling}')}")

    def _dependency(self, name: str, out: _Writer) -> str:
        task = self.by_id.get(name)
        return out.plain(f"{name}: no such task" if task is None else _titled(task))

    def _requirements(self, task: Task, out: _Writer) -> None:
        found, missing = self.facts.requirements.resolve(task.requirements)
        for entry in found[:_ITEMS]:
            out.paragraph(out.strong(_heading(entry)))
            out.quoted(entry.text)
        if len(found) > _ITEMS:
            out.paragraph(f"and {len(found) - _ITEMS} more requirements")
        if missing and self.facts.requirements.entries:
            out.paragraph(f"Not defined: {out.plain(', '.join(missing[:_ITEMS]))}")

    # Of a requirement

    def _of_requirement(self, entry: Requirement, out: _Writer) -> str:
        out.paragraph(out.strong(_heading(entry)))
        out.quoted(entry.text)
        tasks = self.covering.get((entry.path, entry.line), ())
        out.items("Covered by", (out.plain(_titled(task)) for task in tasks), len(tasks))
        if not tasks:
            out.paragraph("No task refers to it.")
        return out.text


class _Writer:
    """Markdown, or the same as plain text."""

    def __init__(self, markdown: bool) -> None:
        self.markdown = markdown
        self.parts: list[str] = []

    @property
    def text(self) -> str:
        return "\n\n".join(self.parts)

    def plain(self, text: str) -> str:
        """Words from a file inside a line."""
        return escaped(text) if self.markdown else _short(text)

    def strong(self, text: str) -> str:
        return f"**{escaped(text)}**" if self.markdown else _short(text)

    def paragraph(self, text: str) -> None:
        self.parts.append(text)

    def items(self, title: str, items: Iterable[str], count: int) -> None:
        """A list of what is finished text already; nothing where there is nothing."""
        shown = [item for item, _ in zip(items, range(_ITEMS), strict=False)]
        if shown:
            more = [f"- and {count - _ITEMS} more"] if count > _ITEMS else []
            gap = "\n\n" if self.markdown else "\n"
            self.parts.append(f"{title}:{gap}" + "\n".join([*(f"- {item}" for item in shown), *more]))

    def quoted(self, text: str) -> None:
        """Lines of a file, as they are, up to a bound."""
        bounded = _bounded(text)
        if bounded:
            self.parts.append(fenced(bounded) if self.markdown else bounded)


def escaped(text: str) -> str:
    """Words from a file as Markdown that shows them: one line, no markup, no links, no raw HTML."""
    return _SIGNS.sub(r"\\\g<0>", _short(text))


def fenced(text: str) -> str:
    """Lines from a file as a block that nothing in it can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _short(text: str) -> str:
    line = " ".join(visible(text[: 2 * _INLINE]).split())
    return line if len(line) <= _INLINE else f"{line[: _INLINE - 1]}…"


def _bounded(text: str) -> str:
    lines = re.split(r"\r\n|\r|\n", visible(text[: _TEXT + 1]))
    kept = "\n".join(line.rstrip() for line in lines[:_LINES]).strip("\n")
    return f"{kept}\n…" if len(text) > _TEXT or len(lines) > _LINES else kept


def _line(lines: Sequence[str], line: int) -> str:
    return lines[line].rstrip("\r\n") if 0 <= line < len(lines) else ""


def _words(text: str) -> tuple[int, int]:
    """The columns of a line without the blanks around it."""
    return len(text) - len(text.lstrip()), len(text.rstrip())


def _titled(task: Task) -> str:
    title = task.title if len(task.title) <= 80 else f"{task.title[:79]}…"
    return f"{task.id} {title} ({task.status})" if task.id else f"{title} ({task.status})"


def _heading(entry: Requirement) -> str:
    if entry.owner and entry.title:
        return f"{entry.ref} of {entry.title}"
    return entry.title if entry.ref in entry.title else f"{entry.ref} {entry.title}".strip()


def _run(run: RunFact) -> str:
    files = f", {run.files} {'file' if run.files == 1 else 'files'}" if run.files else ""
    used = run.used or ("cost unknown" if run.cost is None else dollars(run.cost) if run.cost != "0" else "")
    return f"{run.state}, {run.label}{used and f', {used}'}{files}"


def _defined(index: RequirementIndex) -> dict[str, tuple[list[int], list[Requirement]]]:
    """Path → the lines where requirements begin, ascending, and the requirements."""
    found: dict[str, dict[int, Requirement]] = {}
    for entry in (*index.entries.values(), *(entry for entry in index.names.values() if entry.named)):
        found.setdefault(entry.path, {}).setdefault(entry.line, entry)
    return {path: (sorted(at), [at[line] for line in sorted(at)]) for path, at in found.items()}
