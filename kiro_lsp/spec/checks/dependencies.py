"""Rules about what tasks need, and what may run side by side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from kiro_lsp.spec.checks.ids import place_of
from kiro_lsp.spec.checks.rule import Family, Finding, Related, at_task, family_of, is_work, of_task, rule
from kiro_lsp.spec.details import DEPENDENCY_KEYS, FILE_KEYS, paths_in
from kiro_lsp.spec.facts import Facts
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.order import is_checkpoint, order_of

_COMMENT: Final = re.compile(r"[(（][^()（）]*[)）]")
_NOTHING_ELSE: Final = re.compile(
    r"(?:\b(?:tasks?|and|or|depends on|depends|after|blocked by|needs|requires)\b|[A-Z]{0,4}-?\d+(?:\.\d+)*[A-Za-z]?"
    r"|[\s,;&+:*_`\[\](){}.、，；–—~-]|任务|タスク|依赖|依存)*",
    re.IGNORECASE,
)
_GROUP: Final = re.compile(r"[(（\[]((?:depends?|after|blocked by|requires|needs)[^()（）\[\]]*)[)）\]]", re.IGNORECASE)
_RANGE_ID: Final = re.compile(r"([A-Za-z-]*)(\d+)-(?:[A-Za-z-]*)(\d+)\Z")


@rule("unknown-dependency", "warning")
def unknown_dependency(facts: Facts) -> Iterator[Finding]:
    """A task depends on an id that no task of the file has."""
    family = family_of(facts)
    wrong = [task for task in family.tasks if not all(name in family.by_id for name in task.depends_on)]
    kinds = _kinds(family) if wrong else set()
    headed = _in_headings(facts) if wrong else set()
    ranges = [match for identifier in (family.by_id if wrong else ()) if (match := _RANGE_ID.match(identifier))]
    for task in wrong:
        said = _plain_lists(task)
        for name in task.depends_on:
            place = place_of(name)
            if name in family.by_id or name in headed or place is None or (place[0], len(place[1])) not in kinds:
                continue
            if not any(name in text for text in said):
                continue
            if not any(name.startswith(match[1]) and _in_range(place[1], match) for match in ranges):
                yield of_task(
                    facts, task, f"No task of this file has the id {name}, which this task depends on.", text=name
                )


def _in_headings(facts: Facts) -> set[str]:
    """Words of the file's headings: it may have some of its tasks as headings and others as boxes."""
    return {word.strip(".:*") for line in facts.lines if line.startswith("#") for word in line.split()}


def _kinds(family: Family) -> set[tuple[str, int]]:
    """(letters, how many numbers) of the ids of a file, those that at least three tasks share."""
    count: dict[tuple[str, int], int] = {}
    for identifier in family.by_id:
        place = place_of(identifier)
        if place is not None:
            kind = (place[0], len(place[1]))
            count[kind] = count.get(kind, 0) + 1
    return {kind for kind, tasks in count.items() if tasks >= 3}


def _plain_lists(task: Task) -> list[str]:
    """Where a task lists dependencies by ids and says nothing else: with words between, an id may be of another file."""
    texts = [_COMMENT.sub(" ", value) for key, value in task.metadata.items() if DEPENDENCY_KEYS.match(key)]
    texts += [match[1] for match in _GROUP.finditer(task.title)]
    return [text for text in texts if _NOTHING_ELSE.fullmatch(text)]


def _in_range(numbers: tuple[int, ...], match: re.Match[str]) -> bool:
    return len(numbers) == 1 and int(match[2]) <= numbers[0] <= int(match[3])


@rule("dependency-cycle", "warning")
def dependency_cycle(facts: Facts) -> Iterator[Finding]:
    """Tasks depend on each other in a ring."""
    family = family_of(facts)
    if _all_point_back(family):
        return
    for ring in order_of(facts.tasks).cycles:
        tasks = [family.by_key[key] for key in ring]
        names = " → ".join(task.id or task.key for task in (*tasks, tasks[0]))
        related = [at_task(task, f"{task.id or task.key} is part of the ring") for task in tasks[1:11]]
        message = f"These tasks depend on each other in a ring, each on the next: {names}. One of these dependencies has to go."
        if len(message) > 400:
            message = f"{len(tasks)} tasks depend on each other in a ring, beginning here. One of these dependencies has to go."
        yield of_task(facts, tasks[0], message, *related)


def _all_point_back(family: Family) -> bool:
    """Whether every dependency is on a task that ends above the one that has it, so that there can be no ring."""
    if not any(task.depends_on for task in family.tasks):
        return True
    if family.repeated:
        return False
    index = {task.key: number for number, task in enumerate(family.tasks)}
    ends = list(range(len(family.tasks)))
    for number in range(len(family.tasks) - 1, -1, -1):
        parent = index.get(family.tasks[number].parent or "", -1)
        if parent > number:
            return False
        if parent >= 0:
            ends[parent] = max(ends[parent], ends[number])
    return all(
        ends[index[needed.key]] < number
        for number, task in enumerate(family.tasks)
        for name in task.depends_on
        if (needed := family.by_id.get(name)) is not None
    )


_NO_CHANGE: Final = re.compile(
    r"\W*(?:verify|run|review|check|read|test that|ensure|confirm|validate|manually|execute|inspect|audit|compare|document how)\b",
    re.IGNORECASE,
)
_PATTERN: Final = re.compile(r"[*{}\[\]<>$]")


@rule("same-file", "warning")
def same_file(facts: Facts) -> Iterator[Finding]:
    """Two tasks that are marked parallel work on the same file."""
    family = family_of(facts)
    first: dict[tuple[tuple[str, ...], str | None, str], Task] = {}
    tasks = [task for task in family.tasks if task.parallel and task.status != "done" and is_work(task)]
    named = Counter(path for task in tasks for path in task.files)
    for task in tasks:
        for path in _target(task) if any(named[path] > 1 for path in task.files) else ():
            other = first.setdefault((task.heading_path, task.parent, path), task)
            if other is task or task.id in other.depends_on or other.id in task.depends_on:
                continue
            message = (
                f"This task and {other.id or 'another'} on line {other.line + 1} are both marked parallel, and both work on "
                f"{path}. They are run one after the other; take the mark off all but one."
            )
            yield of_task(facts, task, message, at_task(other, f"Names {path} too"), text=path)


def _target(task: Task) -> list[str]:
    """The files that a task surely works on: those behind `File:`, or the only one that its title names."""
    if not task.files or _NO_CHANGE.match(task.title):
        return []
    found: Sequence[str] = [
        path for key, value in task.metadata.items() if FILE_KEYS.match(key) for path in paths_in(value, listed=True)
    ]
    if not found:  # then all of them stand in the title
        found = task.files if len(task.files) == 1 else ()
    return [path for path in found if "/" in path and not _PATTERN.search(path) and "." in path.rpartition("/")[2]]


@rule("waves-unknown", "warning")
def waves_unknown(facts: Facts) -> Iterator[Finding]:
    """The task dependency graph names a task that the file does not have."""
    family = family_of(facts)
    for wave in facts.tasks.waves:
        for name in wave:
            if name not in family.by_id and f"{name}." not in family.by_id:
                yield _in_graph(
                    facts, f"The task dependency graph names {name}, and no task has this id.", f'"{name}"', name
                )


@rule("waves-missing", "information")
def waves_missing(facts: Facts) -> Iterator[Finding]:
    """The task dependency graph leaves out tasks that are to be done."""
    if not facts.tasks.waves:
        return
    family = family_of(facts)
    named = {name for wave in facts.tasks.waves for name in wave}
    left = [task for task in family.tasks if _belongs_into_graph(family, task) and task.id not in named]
    left = [task for task in left if not any(outer.id in named for outer in family.inside(task))]
    if left:
        names = ", ".join(task.id or "" for task in left[:8]) + (f" and {len(left) - 8} more" if len(left) > 8 else "")
        related = [at_task(task, f"{task.id} is in no wave") for task in left[:10]]
        message = f"The task dependency graph leaves out {names}: they come after what stands above them."
        yield _in_graph(facts, message, '"waves"', None, *related)


def _belongs_into_graph(family: Family, task: Task) -> bool:
    """A sub-task that is open and no checkpoint: Kiro leaves optional tasks and checkpoints out."""
    if task.id is None or not is_work(task) or task.optional or task.status == "done" or is_checkpoint(task):
        return False
    return not any(is_work(child) for child in family.children.get(task.key, ()))


def _in_graph(facts: Facts, message: str, text: str, key: str | None, *related: Related) -> Finding:
    """A finding at a text inside the graph's code block."""
    for fence in facts.blocks.fences:
        inside = range(fence.start, min(fence.end, len(facts.lines)))
        if any('"waves"' in facts.lines[number] for number in inside):
            for number in inside:
                at = facts.lines[number].find(text)
                if at >= 0:
                    return Finding(number, at, message, at + len(text), related, key)
            return Finding(fence.start, 0, message, None, related, key)
    return Finding(0, 0, message, None, related, key)
