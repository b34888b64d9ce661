"""Rules about the files that tasks name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from kiro_lsp.spec.checks.rule import Finding, family_of, is_work, of_task, rule
from kiro_lsp.spec.details import FILE_KEYS, paths_in
from kiro_lsp.spec.facts import Facts
from kiro_lsp.spec.model import Task

_CHANGES: Final = re.compile(
    r"\W*(?:update|modify|edit|refactor|extend|fix|change|remove|delete|rename|rewrite|patch|adjust|migrate)\b",
    re.IGNORECASE,
)
_MAKES: Final = re.compile(
    r"\b(?:create|add|new|write|generate|introduce|scaffold|extract|move|split|copy|into|rename|to)\b|新|建|作成|추가|создать|criar|crear",
    re.IGNORECASE,
)
_MODIFIED_KEYS: Final = re.compile(r"(?:modified files?|files? to (?:modify|change)|affected files?)\Z", re.IGNORECASE)
_NO_PLAIN_PATH: Final = re.compile(r"[*{}\[\]<>$~]|\.\.\.|^\.\./|^/|^[A-Za-z]:")


def paths_wanted(facts: Facts) -> frozenset[str]:
    """The paths whose existence the rules here ask for, and the folders that they begin with."""
    found = {path for task in facts.tasks.tasks if _is_change(task) for path in task.files if _is_plain(path)}
    return frozenset(found | {path.removeprefix("./").partition("/")[0] for path in found})


def _is_change(task: Task) -> bool:
    if task.status != "open" or not task.files or not is_work(task):
        return False
    changes, makes = _words_of(task.title)
    return not makes and (changes or any(_MODIFIED_KEYS.match(key) for key in task.metadata))


@lru_cache(maxsize=1 << 16)
def _words_of(title: str) -> tuple[bool, bool]:
    """(whether a title begins with a word for changing something, whether it speaks of making something)."""
    return _CHANGES.match(title) is not None, _MAKES.search(title) is not None


def _is_plain(path: str) -> bool:
    return "/" in path and "." in path.rpartition("/")[2] and not _NO_PLAIN_PATH.search(path)


@rule("missing-file", "information")
def missing_file(facts: Facts) -> Iterator[Finding]:
    """A task says that it changes a file that is not there, and no task before it names that file."""
    if not facts.existing:
        return
    roots = {path.partition("/")[0] for path, there in facts.existing.items() if there}
    earlier: set[str] = set()
    for task in family_of(facts).tasks:
        if _is_change(task):
            for path in _changed(task):
                there = facts.existing.get(path)
                if there is False and path not in earlier and path.removeprefix("./").partition("/")[0] in roots:
                    yield of_task(facts, task, f"This task changes {path}, which does not exist.", text=path)
        earlier.update(task.files)


def _changed(task: Task) -> list[str]:
    """The files that a task surely changes: those behind a key that says so, else the only one that its title names."""
    listed = [
        path
        for key, value in task.metadata.items()
        if _MODIFIED_KEYS.match(key)
        for path in paths_in(value, listed=True)
    ]
    if listed or not _words_of(task.title)[0]:
        return [path for path in listed if _is_plain(path)]
    named = paths_in(task.title)
    others = any(FILE_KEYS.match(key) for key in task.metadata)
    return [path for path in named if _is_plain(path)] if len(named) == 1 and not others else []
