"""What a file says about order outside its tasks: Kiro's waves, and dependencies in prose, arrows and graphs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from kiro_lsp.spec.blocks import CODE, HTML, Blocks, Fence
from kiro_lsp.spec.details import ids_in
from kiro_lsp.spec.model import Problem, Task

_RELATION: Final = re.compile(
    r"(?P<first>→|⇒|⟶|-{1,3}>|=>|\bbefore\b|\bblocks\b|\bprecedes\b)|(?P<needs>\bdepends?\s+on\b|\brequires\b|\bblocked\s+by\b|\bafter\b|←|依赖(?:于)?)",
    re.IGNORECASE,
)
_WORDS: Final = re.compile(r"[^\W\d_]{2,}")
_IDS_ONLY: Final = re.compile(
    r"(?:\b(?:tasks?|and|or|all|then)\b|[\s,;&+|∥()\[\]*`:.\-–]|任务|タスク|作业)*", re.IGNORECASE
)
_LABEL: Final = re.compile(r"[\[({][^\[\](){}]*[\])}]")


def waves_of(lines: Sequence[str], blocks: Blocks) -> tuple[tuple[tuple[str, ...], ...], list[Problem]]:
    """Waves of task ids from a JSON fence with "waves", first to last, and what is wrong with it."""
    for fence in blocks.fences:
        body = "".join(lines[fence.start + 1 : fence.end - 1 if fence.closed else fence.end])
        if '"waves"' not in body or fence.info.split(" ")[0].lower() not in ("json", "jsonc", "json5", ""):
            continue
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            return (), [_bad_waves(fence, f"it is not JSON ({str(error)[:80]})")]
        waves = list(_waves(value))
        if not waves:
            return (), [_bad_waves(fence, 'it has no list of waves such as {"id": 0, "tasks": ["1.1"]}')]
        return tuple(waves), []
    return (), []


def _waves(value: object) -> Iterator[tuple[str, ...]]:
    entries = value.get("waves") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        return
    for entry in entries:
        tasks = entry.get("tasks") if isinstance(entry, dict) else entry
        if isinstance(tasks, list):
            yield tuple(str(task) for task in tasks if isinstance(task, (str, int, float)))


def _bad_waves(fence: Fence, reason: str) -> Problem:
    return Problem(
        fence.start,
        0,
        "waves",
        "warning",
        f"The task dependency graph in this code block is not used: {reason}. Tasks keep the order of the file.",
    )


def with_dependencies(tasks: list[Task], lines: Sequence[str], blocks: Blocks) -> list[Task]:
    """The tasks with what lines outside them say: `T001 → T002`, `T001 blocks T002-T012`, mermaid edges."""
    known = {task.id: None for task in tasks if task.id is not None}
    if not known:
        return tasks
    boxes = {task.line for task in tasks}
    needs: dict[str, dict[str, None]] = {}
    for line in _prose(lines, blocks, boxes):
        for identifier, needed in _relations(line, known):
            needs.setdefault(identifier, {})[needed] = None
    if not needs:
        return tasks
    return [
        replace(task, depends_on=tuple(dict.fromkeys((*task.depends_on, *needs[task.id]))))
        if task.id in needs
        else task
        for task in tasks
    ]


def _prose(lines: Sequence[str], blocks: Blocks, boxes: set[int]) -> Iterator[str]:
    """Lines that may relate tasks to each other: outside tasks and code, and inside mermaid graphs."""
    kinds, owners = blocks.kinds, blocks.owners
    for number, line in enumerate(lines):
        if kinds[number] not in (CODE, HTML) and owners[number] < 0 and number not in boxes and len(line) < 2000:
            yield line
    for fence in blocks.fences:
        if fence.info.lower().startswith("mermaid"):
            for line in lines[fence.start + 1 : fence.end]:
                if len(line) < 2000:
                    yield _LABEL.sub(" ", line)


def _relations(line: str, known: dict[str, None]) -> Iterable[tuple[str, str]]:
    """(task, what it needs) pairs of a line in which ids and relation words alternate."""
    found = list(_RELATION.finditer(line))
    if not found:
        return
    edges = [0, *(edge for match in found for edge in match.span()), len(line)]
    parts = [line[edges[at] : edges[at + 1]] for at in range(0, len(edges), 2)]
    sides = [ids_in(part.split("(")[0], known) for part in parts]
    for number, match in enumerate(found):
        left, right = sides[number], sides[number + 1]
        if not left or not right or not _only_ids(parts[number], left):
            continue
        later, earlier = (right, left) if match["first"] else (left, right)
        for identifier in later:
            for needed in earlier:
                if identifier != needed:
                    yield identifier, needed


def _only_ids(text: str, ids: Sequence[str]) -> bool:
    """Whether a text is nothing but these ids and what joins them: prose about a task is no relation."""
    for identifier in sorted(ids, key=len, reverse=True):
        text = text.replace(identifier, " ")
    return _IDS_ONLY.fullmatch(text.strip()) is not None and not any(
        word.lower() not in ("task", "tasks", "and", "or", "all", "then")
        for word in _WORDS.findall(text)
        if word.isascii()
    )
