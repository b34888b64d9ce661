"""What the parser noticed, as a careful reader says it: once for each cause, and not where the file itself explains it.

The parser has a problem for every line. But that seventy tasks are headings has one reason, and the author of a file knows what
a section means that counts anew from 1.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from kiro_lsp.spec.checks.ids import place_of
from kiro_lsp.spec.checks.rule import Family, Finding, Related, at_task, family_of, name_of, title_column
from kiro_lsp.spec.facts import Facts
from kiro_lsp.spec.front_matter import front_matter_end
from kiro_lsp.spec.model import Problem, Task
from kiro_lsp.spec.oddities import OF_ONE_KIND
from kiro_lsp.spec.patterns import pattern
from kiro_lsp.spec.reading import CRITERIA

_Said = Callable[[Facts, Sequence[Problem]], Iterable[Finding]]
_SET_ASIDE: Final = pattern(
    r"\b(?:OPTIONAL|SKIPPED|DEFERRED|POSTPONED|CANCELL?ED|WITHDRAWN|REMOVED|OBSOLETE|N/A|OUT OF SCOPE)\b"
    r"|\((?i:optional|skipped|deferred|postponed|cancell?ed|not needed)\b|可选|跳过|推迟|取り下げ|見送り|延期"
)
"""Words by which a title says that the task is not waited for."""
_HALF_DONE: Final = pattern(
    r"\b(?:PARTIAL(?:LY)?|PARTLY|DEFERRED|SKIPPED|BLOCKED|OPTIONAL|POSTPONED|IN[ -]PROGRESS|WIP|CANCELL?ED|OBSOLETE"
    r"|NOT MET|NOT DONE)\b"
    r"|\*\*(?i:partial|partly|deferred|skipped|blocked|postponed|in progress)\b|部分完成|进行中|進行中|取り下げ|見送り|延期|跳过"
)
"""Words by which an item says itself what its mark means."""
_LABEL_OF_CHECKS: Final = pattern(
    r"[ \t]*(?:[-*+][ \t]+)?[*_]{0,3}(?:validat|verif|accept|checks?\b|DoD\b|definition of done|验收|検証)[^\[]{0,40}[:：]",
    re.IGNORECASE,
)
_NOT_NOW: Final = pattern(r"\bdo(?:n['’]t| not) (?:pick|start|begin|work on|implement)\b", re.IGNORECASE)
_BOX_IN_HEADING: Final = pattern(r"[ \t]*#{1,6}[ \t]+(?:[-*+][ \t]+)?\[")
_WORK_PACKAGE: Final = pattern(r"(?:work_package_id|subtasks)[ \t]*:")
"""spec-kitty: the prompt of a work package describes tasks whose boxes are in the tasks.md above it."""
_SAYS_WHY_NONE: Final = frozenset({"several-boxes", "box-without-bullet", "malformed-box"})
_OPENING: Final = 6
"""Lines from a heading in which a section says what it is."""
_PAIRS_ENOUGH: Final = 4
_OWN_WORDS: Final = 6
"""From so many words on a title is not said again of something else, as `1. Write tests` is."""
_NAMED: Final = 3
"""Sub-tasks that a message names."""


def noticed(facts: Facts, only: str | None = None) -> Iterator[Finding]:
    """What is said of the problems that parsing found, or of those with one code; with their codes and severities."""
    by_code: dict[str, list[Problem]] = {}
    for problem in facts.tasks.problems:
        if only in (None, problem.code):
            by_code.setdefault(problem.code, []).append(problem)
    for code, problems in by_code.items():
        yield from _SAID.get(code, _each)(facts, problems)


def _said(problem: Problem, message: str = "") -> Finding:
    return Finding(
        problem.line,
        problem.column,
        message or problem.message,
        problem.end_column,
        code=problem.code,
        severity=problem.severity,
    )


def _number(number: int, problems: Sequence[Problem]) -> str:
    """How many there are; the parser stops telling of one kind at some."""
    return str(number) if len(problems) < OF_ONE_KIND else f"at least {number}"


def _each(_facts: Facts, problems: Sequence[Problem]) -> Iterator[Finding]:
    return map(_said, problems)


def _no_tasks(facts: Facts, problems: Sequence[Problem]) -> Iterator[Finding]:
    """Not beside what says already why there are none."""
    if not any(problem.code in _SAYS_WHY_NONE for problem in facts.tasks.problems):
        yield from map(_said, problems)


# Tasks that are no list items


def _no_items(facts: Facts, problems: Sequence[Problem]) -> Iterator[Finding]:
    """Headings, or rows of tables: all of a file at once."""
    if _is_work_package(facts):
        return
    first = problems[0]
    tasks = [task for task in facts.tasks.tasks if task.mark_column is None]
    if len(tasks) == 1:
        yield _said(first)
        return
    where = "rows of a table, not list items with a box"
    if first.code == "heading-task":
        boxed = _BOX_IN_HEADING.match(facts.lines[first.line])
        where = "headings, with boxes that are in no list" if boxed else "headings, not list items with a box"
    left = sum(task.status != "done" and not task.withdrawn for task in tasks)
    run = "they can be run, but their status is"
    if left < len(tasks):
        those = "the 1 that is" if left == 1 else f"the {left} that are"
        run = f"{those} not marked done can be run, but the status of each is" if left else "their status is"
    yield _said(first, f"{len(tasks)} tasks of this file, from here on, are {where}: {run} yours to write.")


def _is_work_package(facts: Facts) -> bool:
    return any(_WORK_PACKAGE.match(line) for line in facts.lines[: front_matter_end(facts.lines)])


# Boxes


def _folded(facts: Facts, problems: Sequence[Problem]) -> Iterator[Finding]:
    """One for each block of raw HTML: an empty line mends it for all boxes in it."""
    lines = [box.line for box in facts.blocks.boxes if box.folded]
    by_line = {problem.line: problem for problem in problems}
    for block in _unbroken(lines, facts.lines):
        problem = by_line.get(block[0])
        if problem is not None:
            message = (
                f"Markdown takes this box and {len(block) - 1} more for raw HTML, since no empty line stands between them and the "
                "tag above; they are counted all the same. Put an empty line below the tag."
            )
            yield _said(problem, message if len(block) > 1 else "")


def _unbroken(numbers: Sequence[int], lines: Sequence[str]) -> Iterator[list[int]]:
    """Lines by their numbers, in groups between which there is an empty line."""
    group: list[int] = []
    for number in numbers:
        if group and not all(line.strip() for line in lines[group[-1] : number]):
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def _bare(facts: Facts, problems: Sequence[Problem]) -> Iterator[Finding]:
    """One for boxes on lines in a row, which one fix makes list items; none for ideas that nobody shall take up."""
    meant = [problem for problem in problems if not _is_for_later(facts, problem.line)]
    for _, group in groupby(enumerate(meant), lambda one: one[1].line - one[0]):
        first, *more = [problem for _, problem in group]
        message = (
            f"This box and {len(more)} more right below are no list items, so they are no tasks. Put “- ” before each."
        )
        yield _said(first, message if more else "")


def _is_for_later(facts: Facts, number: int) -> bool:
    """Whether the heading above a line, or the text right below it, says that nobody shall take up what follows."""
    at = bisect_left(facts.blocks.headings, number, key=lambda heading: heading.line) - 1
    first = facts.blocks.headings[at].line if at >= 0 else 0
    return any(_NOT_NOW.search(line) for line in facts.lines[first : min(first + _OPENING, number)])


def _several(facts: Facts, problems: Sequence[Problem]) -> Iterator[Finding]:
    """Once for a file, and not for the checks behind a label, which are nobody's tasks."""
    meant = [problem for problem in problems if not _LABEL_OF_CHECKS.match(facts.lines[problem.line])]
    if meant:
        lines = _number(len(meant), problems)
        message = (
            f"{lines} lines from here on have several boxes: they are not counted. Give each box its own list item."
        )
        yield _said(meant[0], message if len(meant) > 1 else "")


def _in_headings(_facts: Facts, problems: Sequence[Problem]) -> Iterator[Finding]:
    message = (
        f"The boxes in headings, {_number(len(problems), problems)} from here on, are not counted, since the file has tasks in "
        "lists. Make list items of them to count them."
    )
    yield _said(problems[0], message if len(problems) > 1 else "")


# Marks


def _unknown_marks(facts: Facts, problems: Sequence[Problem]) -> Iterator[Finding]:
    """Nothing for the mark that Kiro itself gives a queued task, nor where words beside a mark somewhere say what it means."""
    marked = list(_with_tasks(family_of(facts), problems))
    known = {task.mark for _, task in marked if _HALF_DONE.search(task.title) or _HALF_DONE.search(task.body)}
    if facts.tasks.dialect == "kiro":
        known.add("~")
    return _once_a_mark(facts, [problem for problem, task in marked if task.mark not in known])


def _once_a_mark(facts: Facts, problems: Sequence[Problem]) -> Iterator[Finding]:
    """The first place of each mark, with how many more there are."""
    marks = Counter(task.mark for task in facts.tasks.tasks)
    seen: set[str] = set()
    for problem, task in _with_tasks(family_of(facts), problems):
        if task.mark not in seen:
            more = marks[task.mark] - 1
            boxes = "1 more box" if more == 1 else f"{more} more boxes"
            yield _said(problem, f"{problem.message} It stands in {boxes} below." if more else "")
        seen.add(task.mark)


# Ids


def _repeated(facts: Facts, problems: Sequence[Problem]) -> Iterator[Finding]:
    """A section that counts anew is said once; so is a file in which every task stands twice."""
    family = family_of(facts)
    meant: list[tuple[Problem, Task, Task]] = []
    for problem, task in _with_tasks(family, problems):
        first = family.by_id[task.id or ""]
        if not _is_of_first(facts, task, first):
            meant.append((problem, task, first))
    if meant and _all_twice(family):
        problem, task, first = meant[0]
        message = (
            "Tasks of this file stand in it twice, one right below the other: an id names neither of the two, so they are known as "
            f"{first.key} and {task.key}. Where that is not meant, number one of them anew."
        )
        yield replace(_said(problem, message), severity="information", related=(_first_of(first),))
        return
    anew: dict[tuple[str, ...], list[Finding]] = {}
    for problem, task, first in meant:
        finding = replace(_said(problem), related=(_first_of(first),))
        if _is_the_same(task, first):
            marked = ", where it is marked done" if first.status == "done" != task.status else ""
            message = f"The same task stands on line {first.line + 1}{marked}. Remove one of the two."
            yield replace(finding, message=message, severity="warning")
        elif problem.severity == "information":
            anew.setdefault(task.heading_path, []).append(finding)
        else:
            yield finding
    for finding, *more in anew.values():
        others = f" The same holds for {_number(len(more), problems)} more of this section." if more else ""
        yield replace(finding, message=finding.message + others)


def _with_tasks(family: Family, problems: Iterable[Problem]) -> Iterator[tuple[Problem, Task]]:
    return ((problem, task) for problem in problems if (task := family.by_line.get(problem.line)) is not None)


def _is_the_same(task: Task, other: Task) -> bool:
    """Whether two tasks say the same, but for signs and letter case, or are about the same file.

    Not where a section that counts anew may say it of its own work.
    """
    words, others = (re.findall(r"\w+", one.title.casefold()) for one in (task, other))
    counts_on = not (task.id or "").replace(".", "").isdigit()
    if counts_on and task.files and task.files[:1] == other.files[:1]:
        return True
    return len(words) >= (2 if counts_on else _OWN_WORDS) and words == others


def _first_of(task: Task) -> Related:
    return at_task(task, f"The first task {task.id}")


def _is_of_first(facts: Facts, task: Task, first: Task) -> bool:
    """Whether an item with an id that was there already is no second task.

    It says when the first one is done, or its number stands without the point that the file's numbers have.
    """
    if any(map(CRITERIA.search, task.heading_path)) and not any(map(CRITERIA.search, first.heading_path)):
        return True
    number = task.id or ""
    return number.isdigit() and _has_point(facts, first, number) and not _has_point(facts, task, number)


def _has_point(facts: Facts, task: Task, number: str) -> bool:
    """Whether a point or a bracket stands behind the number."""
    behind = title_column(facts, task) + len(number)
    return facts.lines[task.line][behind : behind + 1] in (".", ")")


def _all_twice(family: Family) -> bool:
    """Whether nearly all ids come twice, next to each other, as in a file in two languages."""
    places = {task.key: number for number, task in enumerate(family.tasks)}
    pairs = [
        tasks
        for tasks in family.repeated.values()
        if len(tasks) == 2 and places[tasks[1].key] - places[tasks[0].key] == 1
    ]
    return len(pairs) >= _PAIRS_ENOUGH and len(pairs) * 5 >= len(family.by_id) * 4


# Marks that contradict each other


def _open_below_done(facts: Facts, problems: Sequence[Problem]) -> Iterator[Finding]:
    """Once for each task that is marked done, and not for what its author left out on purpose."""
    family = family_of(facts)
    below: dict[str, list[tuple[Problem, Task]]] = {}
    for problem, task in _with_tasks(family, problems):
        parent = family.by_key[task.parent or ""]
        left_out = _SET_ASIDE.search(task.title) or _needs_withdrawn(family, task)
        if task.status in ("open", "in-progress") and not left_out and _extends(task, parent):
            below.setdefault(parent.key, []).append((problem, task))
    for key, found in below.items():
        parent, (problem, task) = family.by_key[key], found[0]
        name = name_of(parent)
        message = (
            f"{name[:1].upper()}{name[1:]} on line {parent.line + 1} is marked done, but this sub-task of it is not."
        )
        others = _named([task for _, task in found[1:]], problems)
        related = at_task(parent, "It is marked done")
        yield replace(_said(problem, f"{message}{others}"), key=task.key, related=(related,))


def _named(others: Sequence[Task], problems: Sequence[Problem]) -> str:
    """A sentence about the tasks that are not done either, "" without any."""
    names = [name_of(task) for task in others[:_NAMED]]
    if all(task.id for task in others) and len(others) > 1:
        names = [f"tasks {others[0].id}", *(task.id or "" for task in others[1:_NAMED])]
    if len(others) > _NAMED:
        names.append(f"{_number(len(others) - _NAMED, problems)} more")
    if len(names) < 2:
        return f" Nor is {names[0]}." if names else ""
    return f" Nor are {', '.join(names[:-1])} and {names[-1]}."


def _needs_withdrawn(family: Family, task: Task) -> bool:
    """Whether a task waits for one that will never be done."""
    needed = (family.by_id[name] for name in task.depends_on if name in family.by_id)
    return any(one.withdrawn or any(outer.withdrawn for outer in family.inside(one)) for one in needed)


def _extends(task: Task, parent: Task) -> bool:
    """False where both have numbers and the task's belongs to another parent: `id-parent` says that."""
    own, above = place_of(task.id), place_of(parent.id)
    if own is None or above is None or own[0] or above[0] or len(own[1]) == 1:
        return True
    return own[1][: len(above[1])] == above[1]


_SAID: Final[Mapping[str, _Said]] = {
    "box-without-bullet": _bare,
    "details-box": _folded,
    "duplicate-id": _repeated,
    "heading-box": _in_headings,
    "heading-task": _no_items,
    "no-tasks": _no_tasks,
    "open-below-done": _open_below_done,
    "several-boxes": _several,
    "table-task": _no_items,
    "unknown-mark": _unknown_marks,
    "unwritable-mark": _once_a_mark,
}
