"""Rules about requirements: what tasks refer to, and what no task covers. Silent where no document defines any."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from kiro_lsp.spec.checks.rule import Finding, Related, family_of, is_work, of_task, rule
from kiro_lsp.spec.facts import Facts
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.references import CODE, REQUIREMENT_NOUNS, keys_of, means_all, parts_of, pieces_of, sortable
from kiro_lsp.spec.requirements import Requirement

_BINDING: Final = frozenset({"requirements.md", "bugfix.md", "spec.md"})
_CODED_RANGE: Final = re.compile(
    rf"(?<![\w.-])({CODE})\s{{0,2}}(?:[-–—~〜]|\.\.|\bto\b|\bthrough\b)\s{{0,2}}({CODE})(?!\w)"
)
_PLAIN: Final = re.compile(r"(?:[A-Z]{1,5}-?)?\d+(?:\.\d+)*\Z")


def _entries(facts: Facts) -> dict[str, Requirement]:
    """What the binding documents define, by normal form."""
    return {
        key: entry
        for key, entry in facts.requirements.entries.items()
        if entry.path.rpartition("/")[2].lower() in _BINDING
    }


def _prefix(key: str) -> str | None:
    found = sortable(key)
    return found[0] if found is not None else None


def _known(ref: str, entries: Mapping[str, Requirement], owners: Mapping[str, int]) -> bool:
    """Whether a document defines an id, or defines it so far that a criterion without a number of its own may be meant."""
    for key in keys_of(ref):
        if key in entries or key in owners:
            return True
        owner = key.rpartition(".")[0]
        if owner in entries and not owners.get(owner):
            return True
    return False


@rule("unknown-requirement", "warning")
def unknown_requirement(facts: Facts) -> Iterator[Finding]:
    """A task refers to a requirement that the spec's documents do not define."""
    entries = _entries(facts)
    if len(entries) < 2:
        return
    owners: dict[str, int] = {}
    """Requirement → how many criteria of it are numbered."""
    for key in entries:
        if "." in key:
            owners[key.rpartition(".")[0]] = owners.get(key.rpartition(".")[0], 0) + 1
    prefixes = {_prefix(key) for key in entries}
    judged: dict[tuple[str, ...], tuple[int, list[str]]] = {}
    """What a task refers to → (how many ids of it are defined, those that are not)."""
    wrong: list[tuple[Task, str]] = []
    right = 0
    for task in family_of(facts).tasks:
        if not task.requirements:
            continue
        known = judged.get(task.requirements)
        if known is None:
            names = [name for ref in task.requirements for name in _ids(ref)]
            missing = [name for name in names if not _known(name, entries, owners)]
            kept = [name for name in missing if any(_prefix(key) in prefixes for key in keys_of(name)[:1])]
            known = judged[task.requirements] = (len(names) - len(missing), kept)
        right += known[0]
        wrong.extend((task, name) for name in known[1])
    if right >= 3 * len(wrong):
        for task, name in wrong:
            message = _unknown(name, entries, owners)
            yield of_task(facts, task, message, *_nearest(name, entries), text=name)


def _ids(ref: str) -> Iterator[str]:
    """The ids of a reference that stand for themselves; both ends of a range."""
    if means_all(ref) or (not _PLAIN.match(ref.strip()) and not any(sign in ref for sign in "-–~,")):
        return
    for piece in pieces_of(ref):
        for part in parts_of(piece):
            for name in part if isinstance(part, tuple) else (part,):
                if _PLAIN.match(name):
                    yield name


def _unknown(name: str, entries: Mapping[str, Requirement], owners: Mapping[str, int]) -> str:
    owner = next((key.rpartition(".")[0] for key in keys_of(name) if key.rpartition(".")[0] in entries), "")
    if owner and owners.get(owner):
        return f"Requirement {name} does not exist: requirement {entries[owner].ref} has {owners[owner]} numbered criteria."
    document = next(iter(entries.values())).path.rpartition("/")[2]
    return f"Requirement {name} does not exist: {document} does not define it."


def _nearest(name: str, entries: Mapping[str, Requirement]) -> Iterator[Related]:
    owner = next((entries[above] for key in keys_of(name) if (above := key.rpartition(".")[0]) in entries), None)
    if owner is not None:
        yield Related(owner.path, owner.line, f"Requirement {owner.ref}")


@rule("uncovered-requirement", "information")
def uncovered_requirement(facts: Facts) -> Iterator[Finding]:
    """No task refers to a requirement, in a spec whose tasks refer to most of them."""
    tops = {key: entry for key, entry in _entries(facts).items() if not entry.owner}
    if not tops:
        return
    tasks = [task for task in family_of(facts).tasks if task.requirements]
    refs = dict.fromkeys(ref for task in tasks for ref in task.requirements)
    if len(tasks) < 3 or any(means_all(ref) for ref in refs):
        return
    hits, _ = facts.requirements.resolve(refs)
    covered = {hit.owner or hit.ref for hit in hits} | {hit.ref for hit in hits}
    covered |= {ref.rpartition(".")[0] for ref in covered if "." in ref}
    kinds: dict[str, tuple[list[Requirement], list[Requirement]]] = {}
    for key, entry in tops.items():
        prefix = _prefix(key)
        if prefix is not None and "." not in key:
            kinds.setdefault(prefix, ([], []))[entry.ref not in covered].append(entry)
    for in_tasks, others in kinds.values():
        if others and len(in_tasks) >= 2 and len(others) * 3 <= len(in_tasks):
            left = _without_mentioned(facts, others)
            if left:
                yield _uncovered(facts, left)


def _without_mentioned(facts: Facts, entries: list[Requirement]) -> list[Requirement]:
    """The requirements that the file speaks of nowhere: neither a title or a body of a task, nor a table of what covers what."""
    text = "".join(facts.lines)
    titles = " ".join(task.title for task in family_of(facts).tasks if is_work(task))
    spans = [f"{match[1]}-{match[2]}" for match in _CODED_RANGE.finditer(text)]
    inside = {hit.ref for hit in facts.requirements.resolve(spans)[0]}
    left = []
    for entry in entries:
        itself = rf"{re.escape(entry.ref)}(?![\w.])"
        numbered = entry.ref[:1].isdigit()
        where = titles if numbered else text
        worded = rf"(?:{REQUIREMENT_NOUNS})[*_]{{0,2}}\s{{0,2}}[:：#№]?\s{{0,2}}{itself}"
        is_named = re.search(rf"(?<![\w.]){itself}", where) is not None
        if is_named or entry.ref in inside or (numbered and re.search(worded, text, re.IGNORECASE)):
            continue
        left.append(entry)
    return left


def _uncovered(facts: Facts, left: list[Requirement]) -> Finding:
    names = ", ".join(entry.ref for entry in left[:8]) + (f" and {len(left) - 8} more" if len(left) > 8 else "")
    related = tuple(Related(entry.path, entry.line, f"{entry.ref}: {entry.title}"[:200]) for entry in left[:10])
    what = "requirement" if len(left) == 1 else "requirements"
    heading = next((heading.line for heading in facts.blocks.headings), 0)
    return Finding(heading, 0, f"No task refers to {what} {names}.", None, related)
