"""What completion offers at a place of a task file: ids, marks, tags, metadata keys, requirements, dependencies, paths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiro_lsp.spec.dialects import is_withdrawn, status_of
from kiro_lsp.spec.editing.context import Context
from kiro_lsp.spec.editing.edits import without_end
from kiro_lsp.spec.editing.numbering import first_below, following, writing_of
from kiro_lsp.spec.editing.places import title_column
from kiro_lsp.spec.facts import Facts
from kiro_lsp.spec.marks import mark_for
from kiro_lsp.spec.model import Dialect, Task, TaskList

MOST: Final = 200
"""Candidates in one answer; with more the list says that it is not complete."""
_KEYS: Final[Mapping[Dialect, tuple[tuple[str, str], ...]]] = {
    "kiro": (
        ("_Requirements:_", "the requirements that the task serves"),
        ("_Depends:_", "tasks that must be done first"),
        ("_Boundary:_", "the component that the task keeps to"),
        ("**Validates: Requirements **", "the requirements that a property test checks"),
    ),
    "spec-workflow": (
        ("_Requirements:_", "the requirements that the task serves"),
        ("_Leverage:_", "code to build on"),
        ("_Prompt:_", "Role: … | Task: … | Restrictions: … | Success: …"),
        ("_DependsOn:_", "tasks that must be done first"),
        ("File:", "the file to work on"),
        ("Purpose:", "why"),
    ),
    "spec-kit": (("**Dependencies**:", "tasks that must be done first"), ("**Files**:", "files to work on")),
    "openspec": (("Depends on:", "tasks that must be done first"),),
    "checklist": (),
}
_USED_KEY: Final = re.compile(
    r"[ \t]+(?:[-*+][ \t]+)?(?:(?P<italic>_(?P<i>[^\W\d_][^_*:：`|\[\]\r\n]{1,30})[:：])"
    r"|(?P<bold>\*\*(?P<b>[^\W\d_][^_*:：`|\[\]\r\n]{1,30})\*\*[:：]))"
)
_STATUS_WORDS: Final = {"open": "open", "in-progress": "in progress", "done": "done", "blocked": "blocked"}


@dataclass(frozen=True, slots=True)
class Candidate:
    label: str
    kind: str
    """`id`, `mark`, `tag`, `key`, `requirement`, `task` or `path`."""
    new: str
    """What is written from the context's `start` to its `end`."""
    detail: str = ""
    name: str = ""
    """What `documentation` is found by; empty without any."""
    cursor: int | None = None
    """Where in `new` the cursor should stand, for clients that can put it there."""


@dataclass(frozen=True, slots=True)
class Candidates:
    items: tuple[Candidate, ...]
    incomplete: bool = False


def candidates(facts: Facts, context: Context, paths: Sequence[str] = ()) -> Candidates:
    """What fits a context. `paths`: root-relative paths of the project's files, where the context asks for them."""
    found: list[Candidate] = []
    for candidate in _of(facts, context, paths):
        if len(found) == MOST:
            return Candidates(tuple(found), incomplete=True)
        found.append(candidate)
    return Candidates(tuple(found))


def _of(facts: Facts, context: Context, paths: Sequence[str]) -> Iterator[Candidate]:
    if context.kind == "mark":
        return _marks(facts, context)
    if context.kind == "id":
        return _ids(facts, context)
    if context.kind == "task":
        return _new_tasks(facts, context)
    if context.kind == "tag":
        return _tags(facts, context)
    if context.kind == "key":
        return _keys(facts, context)
    if context.kind == "requirement":
        return _requirements(facts, context)
    if context.kind == "path":
        return _paths(context, paths)
    return _tasks(facts, context)


def _marks(facts: Facts, context: Context) -> Iterator[Candidate]:
    task_list, seen = facts.tasks, set()
    for status, words in _STATUS_WORDS.items():
        mark = mark_for(task_list, status, facts.path)  # type: ignore[arg-type]
        means = status_of(task_list.dialect, mark, task_list.legend)
        if (
            mark
            and mark not in seen
            and means == status
            and not is_withdrawn(task_list.dialect, mark, task_list.legend)
        ):
            seen.add(mark)
            closing = "" if "]" in without_end(facts.lines[context.line])[context.end :] else "] "
            yield Candidate(f"[{mark}] {words}", "mark", mark + closing, words)


def _ids(facts: Facts, context: Context) -> Iterator[Candidate]:
    for identifier, detail in next_ids(facts, context):
        written = writing_of(facts.parsed, identifier).of(identifier)
        line = without_end(facts.lines[context.line])
        whole = line[context.end : context.end + 1] in ("", " ", "\t")
        new = (written if not line[context.end :].strip() else written.rstrip()) if whole else identifier
        yield Candidate(identifier, "id", new, detail)


def next_ids(facts: Facts, context: Context) -> list[tuple[str, str]]:
    """(id, why) for a task in the context's line, the likeliest first."""
    own = next((task for task in facts.tasks.tasks if task.line == context.line), None)
    others = tuple(task for task in facts.tasks.tasks if task is not own and task.id is not None)
    above = [task for task in others if task.line < context.line and not task.criterion]
    line = facts.lines[context.line] if context.line < len(facts.lines) else ""
    lead = _lead(line)
    near = next((task for task in reversed(above) if _lead(facts.lines[task.line]) <= lead), None)
    task_list = _without(facts, own)
    found: dict[str, str] = {}
    if near is None:
        if not others:
            first = "T001" if facts.tasks.dialect == "spec-kit" else "1"
            return [(first, "the first task")]
        return [(following(task_list, others[-1].id or ""), "the next task")]
    if _lead(facts.lines[near.line]) < lead:
        below = first_below(task_list, near)
        if below is not None:
            found[below] = f"the next sub-task of {near.id}"
    found.setdefault(following(task_list, near.id or ""), f"after {near.id}")
    if _lead(facts.lines[near.line]) == lead and (below := first_below(task_list, near)) is not None:
        flat = any(task.depth > 0 and _lead(facts.lines[task.line]) == lead for task in others)
        if flat:
            found.setdefault(below, f"the first sub-task of {near.id}")
    parent = next((task for task in above if task.key == near.parent), None)
    if parent is not None and parent.id is not None and _lead(facts.lines[parent.line]) == lead:
        found.setdefault(following(task_list, parent.id), f"after {parent.id}")
    return list(found.items())


def _without(facts: Facts, own: Task | None) -> TaskList:
    if own is None:
        return facts.tasks
    return replace(facts.tasks, tasks=tuple(task for task in facts.tasks.tasks if task is not own))


def _lead(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _new_tasks(facts: Facts, context: Context) -> Iterator[Candidate]:
    if not facts.tasks.tasks:
        return
    last = next((task for task in reversed(facts.tasks.tasks) if task.line < context.line), None)
    bullet = facts.lines[last.line].lstrip()[:1] if last is not None else "-"
    bullet = bullet if bullet in ("-", "*", "+") else "-"
    if context.typed.strip() and context.typed.strip() != bullet:
        bullet = context.typed.strip()
    ids = next_ids(facts, context) if any(task.id for task in facts.tasks.tasks) else [("", "a task")]
    for identifier, detail in ids:
        written = writing_of(facts.parsed, identifier).of(identifier) if identifier else ""
        yield Candidate(f"{bullet} [ ] {written}".rstrip(), "id", f"{bullet} [ ] {written}", detail)


def _tags(facts: Facts, context: Context) -> Iterator[Candidate]:
    """Tags stand behind the id, before the title."""
    line = without_end(facts.lines[context.line])
    between = line[: context.start]
    task = next((task for task in facts.tasks.tasks if task.line == context.line), None)
    start = title_column(line, task) if task is not None else None
    if start is None or re.fullmatch(r"[\W_]*[\w.\-]*[\W_]*(?:[\[(][\w ]+[\])][ \t]*)*", between[start:]) is None:
        return
    tags: dict[str, str] = {}
    if facts.tasks.dialect == "spec-kit":
        tags["[P]"] = "may run beside others"
        stories = Counter(task.story for task in facts.tasks.tasks if task.story)
        for entry in facts.requirements.entries.values():
            if (story := re.match(r"User Story (\d+)$", entry.ref)) is not None:
                tags[f"[US{story[1]}]"] = entry.title
        for name in sorted(stories, key=lambda name: int(name[2:])):
            tags.setdefault(f"[{name}]", f"{stories[name]} tasks")
    elif facts.tasks.dialect == "kiro" and any(task.parallel for task in facts.tasks.tasks):
        tags["(P)"] = "may run beside others"
    present = {tag for tag in tags if tag in line[: context.start] or tag in line[context.end :]}
    ending = "" if line[context.end : context.end + 1] == " " else " "
    for tag, detail in tags.items():
        if tag not in present and (tag[0] == context.typed[:1]):
            yield Candidate(tag, "tag", tag + ending, detail, tag if tag.startswith("[US") else "")


def _keys(facts: Facts, context: Context) -> Iterator[Candidate]:
    """Keys that this file uses in the way it writes them, then those of its dialect."""
    have = {key.casefold() for key in context.task.metadata} if context.task is not None else set()
    used: Counter[str] = Counter()
    for line in facts.lines:
        if (match := _USED_KEY.match(line)) is not None:
            used[f"_{match['i']}:_" if match["i"] else f"**{match['b']}**:"] += 1
    known = dict(_KEYS[facts.tasks.dialect])
    names = {_name(form) for form in used}
    forms = [form for form, count in used.most_common(30) if count > 1 or form in known]
    forms += [form for form in known if form not in forms and _name(form) not in names]
    for form in forms:
        if _name(form) in have or not _fits(form, context.typed):
            continue
        new, cursor = (form, len(form) - 2) if form.startswith("**Validates") else _written(form)
        yield Candidate(form.strip("_* :"), "key", new, known.get(form, f"used {used[form]} times here"), "", cursor)


def _name(form: str) -> str:
    return form.strip("_* :").partition(":")[0].casefold()


def _fits(form: str, typed: str) -> bool:
    return not typed or form.startswith(typed) or form.strip("_*").casefold().startswith(typed.strip("_*").casefold())


def _written(form: str) -> tuple[str, int]:
    if form.startswith("_"):
        new = form[:-1] + " _"
        return new, len(new) - 1
    return form + " ", len(form) + 1


def _requirements(facts: Facts, context: Context) -> Iterator[Candidate]:
    line = without_end(facts.lines[context.line])
    before, after = line[: context.start], line[context.end :]
    if context.kind == "wave":  # the others of its own wave, not all of a graph on one line
        before, after = before.rpartition("[")[2], after.partition("]")[0]
    listed = set(re.findall(r"[\w.\-]+", f"{before} {after}"))
    for entry in facts.requirements.entries.values():
        ref = re.sub(r"^User Story (\d+)$", r"US\1", entry.ref)
        if ref not in listed and ref.casefold().startswith(context.typed.casefold()):
            first = next((text.strip() for text in entry.text.split("\n") if text.strip()), "")
            yield Candidate(ref, "requirement", ref, (first if entry.owner else entry.title)[:120], ref)


def _tasks(facts: Facts, context: Context) -> Iterator[Candidate]:
    """Other tasks; in waves those first that are in none yet."""
    line = without_end(facts.lines[context.line])
    before, after = line[: context.start], line[context.end :]
    if context.kind == "wave":  # the others of its own wave, not all of a graph on one line
        before, after = before.rpartition("[")[2], after.partition("]")[0]
    listed = set(re.findall(r"[\w.\-]+", f"{before} {after}"))
    own = context.task.key if context.task is not None else ""
    waved = {member for wave in facts.tasks.waves for member in wave}
    tasks = sorted(facts.tasks.tasks, key=lambda task: context.kind == "wave" and task.id in waved)
    seen: set[str] = set()
    for task in tasks:
        if task.id is None or task.key == own or task.id in listed or task.id in seen or task.withdrawn:
            continue
        if task.id.casefold().startswith(context.typed.casefold()):
            seen.add(task.id)
            yield Candidate(task.id, "task", task.id, task.title[:120], task.id)


def _paths(context: Context, paths: Sequence[str]) -> Iterator[Candidate]:
    """Paths that begin with what is typed, folder by folder; else those whose name does."""
    typed = context.typed.removeprefix("./")
    head = typed.rpartition("/")[0]
    prefix = f"{head}/" if head else ""
    folders: dict[str, None] = {}
    files: list[str] = []
    for path in paths:
        if path.startswith(typed):
            rest = path[len(prefix) :]
            if "/" in rest:
                folders[prefix + rest.partition("/")[0] + "/"] = None
            else:
                files.append(path)
    for folder in folders:
        yield Candidate(folder, "folder", folder)
    for path in files:
        yield Candidate(path, "path", path)
    if typed and "/" not in typed:
        low = typed.casefold()
        for path in paths:
            if path.rpartition("/")[2].casefold().startswith(low) and path not in files:
                yield Candidate(path, "path", path)


def documentation(facts: Facts, kind: str, name: str) -> str:
    """More about a candidate, as plain text: a requirement's words, a task's state."""
    if kind in ("requirement", "tag"):
        found, _ = facts.requirements.resolve([name.strip("[]")])
        return "\n\n".join(f"{entry.ref} {entry.title}\n{entry.text}"[:2000] for entry in found[:3])
    if kind == "task":
        task = next((task for task in facts.tasks.tasks if task.id == name), None)
        if task is not None:
            needs = f"\nDepends on {', '.join(task.depends_on)}" if task.depends_on else ""
            return f"{task.id} {task.title}\n{task.status}, line {task.line + 1}{needs}"
    return ""
