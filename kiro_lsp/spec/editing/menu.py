"""What can be done to a task file at a selection: what is offered is found cheaply, what it changes only when it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.editing import numbering, renumber, splitting, status
from kiro_lsp.spec.editing.edits import Refused, TextEdit
from kiro_lsp.spec.editing.renumber import Change
from kiro_lsp.spec.marks import is_writable, mark_for
from kiro_lsp.spec.model import Problem, Task, TaskStatus

REWRITE: Final = "refactor.rewrite"
ADD_IDS: Final = "source.kiroLsp.addIds"
RENUMBER: Final = "source.kiroLsp.renumber"
_WORDS: Final[Mapping[TaskStatus, str]] = {"open": "open", "in-progress": "in progress", "done": "done"}
_TITLE: Final = 50


@dataclass(frozen=True, slots=True)
class Offer:
    """Something that can be done; `lines` are those of the tasks that it is about."""

    name: str
    """What it is, for `carried_out`: `status done`, `cascade open`, `optional`, `renumber level` …"""
    title: str
    kind: str
    lines: tuple[int, ...] = ()


def offers(parsed: Parsed, path: str, around: Sequence[Task], kinds: Sequence[str]) -> list[Offer]:
    """What is offered for these tasks, of the kinds that are asked for."""
    found: list[Offer] = []
    if REWRITE in kinds:
        found += _rewrites(parsed, path, [task for task in around if task.mark_column is not None])
    if ADD_IDS in kinds and (lacking := len(numbering.without_id(parsed.task_list))):
        found.append(Offer("add ids", f"Give {_tasks(lacking)} without an id the next one", ADD_IDS))
    if RENUMBER in kinds and renumber.all_in_order(parsed.task_list):
        found.append(Offer("renumber all", "Renumber all tasks in order", RENUMBER))
    return found


def _rewrites(parsed: Parsed, path: str, around: Sequence[Task]) -> Iterator[Offer]:
    if not around:
        return
    lines, task_list = tuple(task.line for task in around), parsed.task_list
    what = f"“{_short(around[0])}”" if len(around) == 1 else _tasks(len(around))
    for wanted in status.WRITTEN:
        if mark_for(task_list, wanted, path) and any(_may_become(task, wanted) for task in around):
            yield Offer(f"status {wanted}", f"Mark {what} as {_WORDS[wanted]}", REWRITE, lines)
    if len(around) > 1:
        return
    task = around[0]
    below = status.below(task_list, task)
    for wanted in ("done", "open"):
        changed = sum(_may_become(other, wanted) for other in below)
        if changed:
            yield Offer(f"cascade {wanted}", f"Mark {what} and {changed} below it as {wanted}", REWRITE, lines)
    if status.takes_stars(task_list) and not task.criterion:
        wanted_star = not task.optional
        if status.made_optional(parsed, [task], optional=wanted_star):
            name = "optional" if wanted_star else "required"
            yield Offer(name, f"Make {what} {name}", REWRITE, lines)
    if len(splitting.steps_of(parsed, task)) >= splitting.FEWEST and task.status != "done":
        yield Offer("split", f"Make sub-tasks of the steps of {what}", REWRITE, lines)
    if task.id is None and any(task is other for other in numbering.without_id(task_list)):
        yield Offer("add id", f"Give {what} the next id", REWRITE, lines)
    level = renumber.level_of(task_list, task)
    if level is not None and renumber.all_in_order(task_list) and renumber.in_order(task_list, [level]):
        yield Offer("renumber level", f"Renumber {_row(level)} in order", REWRITE, lines)


def settling(parsed: Parsed, code: str, line: int) -> list[Offer]:
    """What settles a finding that needs more than its own line: ids that are out of order or used twice."""
    task = next((task for task in parsed.task_list.tasks if task.line == line), None)
    if task is None or code not in ("duplicate-id", "id-order"):
        return []
    level = renumber.level_of(parsed.task_list, task)
    new = renumber.in_order(parsed.task_list, [level]) if level is not None else {}
    tasks = parsed.task_list.tasks
    apart = len({new.get(other.key, other.id) for other in tasks}) - len({other.id for other in tasks})
    if level is not None and new and apart >= (code == "duplicate-id"):
        return [Offer("renumber level", f"Renumber {_row(level)} in order", "quickfix", (line,))]
    if code != "duplicate-id" or task.id is None:
        return []
    if (following := _next_of(parsed, task)) is not None:
        return [Offer("next id", f"Change this id to {following}", "quickfix", (line,))]
    if level is not None and (new := numbering.behind_all(parsed.task_list, level)):
        first, last = (new.get(other.key, other.id) for other in (level.tasks[0], level.tasks[-1]))
        return [Offer("renumber behind", f"Renumber {_row(level)} as {first} … {last}", "quickfix", (line,))]
    return []


def _next_of(parsed: Parsed, task: Task) -> str | None:
    """The next id that a task can have where it stands, None where its row would be out of order with each."""
    task_list = parsed.task_list
    level = renumber.level_of(task_list, task)
    new = numbering.following(task_list, task.id or "")
    for identifier in (new, numbering.following(task_list, task.id or "", [new])):
        if identifier != task.id and (level is None or numbering.is_in_order(level, task, identifier)):
            return identifier
    return None


def _row(level: renumber.Level) -> str:
    return f"{level.tasks[0].id} … {level.tasks[-1].id}" if len(level.tasks) > 1 else str(level.tasks[0].id)


def _may_become(task: Task, wanted: TaskStatus) -> bool:
    return task.status != wanted and is_writable(task.mark, task.mark_column)


def _short(task: Task) -> str:
    name = f"{task.id} {task.title}".strip() if task.id is not None else task.title
    return name if len(name) <= _TITLE else name[: _TITLE - 1] + "…"


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"


def carried_out(
    parsed: Parsed, path: str, offer: Offer, documents: Mapping[str, str], *, read_as: str = ""
) -> Change | Refused:
    """What an offer changes. `read_as`: the path that the file was parsed under, if that is not `path`."""
    wanted = set(offer.lines)
    tasks = [task for task in parsed.task_list.tasks if task.line in wanted]
    verb, _, rest = offer.name.partition(" ")
    make = _MAKERS.get(verb)
    if make is None or (wanted and not tasks):
        return Refused("There is no such change, or its task is gone.")
    return make(_Asked(parsed, path, read_as or path, documents, rest), tasks)


@dataclass(frozen=True, slots=True)
class _Asked:
    parsed: Parsed
    path: str
    read_as: str
    documents: Mapping[str, str]
    what: str


def _alone(found: tuple[TextEdit, ...] | Problem | Refused) -> Change | Refused:
    if isinstance(found, Problem):
        return Refused(found.message)
    return found if isinstance(found, Refused) else Change(found, {})


def _status(asked: _Asked, tasks: Sequence[Task]) -> Change | Refused:
    wanted = next((status_ for status_ in status.WRITTEN if status_ == asked.what), None)
    if wanted is None:
        return Refused("There is no such status.")
    changing = [task for task in tasks if is_writable(task.mark, task.mark_column)]
    return _alone(status.with_status(asked.parsed, asked.path, changing, wanted))


def _cascade(asked: _Asked, tasks: Sequence[Task]) -> Change | Refused:
    family = [other for task in tasks for other in (task, *status.below(asked.parsed.task_list, task))]
    return _status(asked, list({task.key: task for task in family}.values()))


def _optional(asked: _Asked, tasks: Sequence[Task]) -> Change | Refused:
    return _alone(status.made_optional(asked.parsed, tasks, optional=True))


def _required(asked: _Asked, tasks: Sequence[Task]) -> Change | Refused:
    return _alone(status.made_optional(asked.parsed, tasks, optional=False))


def _split(asked: _Asked, tasks: Sequence[Task]) -> Change | Refused:
    return _alone(splitting.split(asked.parsed, asked.read_as, tasks[0]))


def _add(asked: _Asked, tasks: Sequence[Task]) -> Change | Refused:
    lacking = numbering.without_id(asked.parsed.task_list) if asked.what == "ids" else tasks
    return _alone(numbering.with_ids(asked.parsed, asked.read_as, lacking))


def _renumber(asked: _Asked, tasks: Sequence[Task]) -> Change | Refused:
    task_list = asked.parsed.task_list
    rows = renumber.levels(task_list)
    if asked.what in ("level", "behind"):
        rows = [row for row in rows if tasks and any(task is tasks[0] for task in row.tasks)]
    new = numbering.behind_all(task_list, rows[0]) if asked.what == "behind" else renumber.in_order(task_list, rows)
    return renumber.change_of(asked.parsed, asked.read_as, new, asked.documents)


def _next_id(asked: _Asked, tasks: Sequence[Task]) -> Change | Refused:
    new = _next_of(asked.parsed, tasks[0])
    if new is None:
        return Refused("There is no next id.")
    ids = renumber.extended(asked.parsed.task_list, tasks[0], new)
    return renumber.change_of(asked.parsed, asked.read_as, ids, asked.documents)


_MAKERS: Final[Mapping[str, Callable[[_Asked, Sequence[Task]], Change | Refused]]] = {
    "status": _status,
    "cascade": _cascade,
    "optional": _optional,
    "required": _required,
    "split": _split,
    "add": _add,
    "renumber": _renumber,
    "next": _next_id,
}
