"""What a file says about order outside its tasks: Kiro's waves, and dependencies in prose, arrows and graphs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from kiro_lsp.spec.blocks import CODE, HTML, Blocks, Fence
from kiro_lsp.spec.details import ids_in
from kiro_lsp.spec.patterns import pattern

_RELATION: Final = pattern(
    r"(?P<first>→|⇒|⟶|-{1,3}>|=>|\bbefore\b|\bblocks\b|\bprecedes\b)|(?P<needs>\bdepends?\s+on\b|\brequires\b|\bblocked\s+by\b|\bafter\b|←|依赖(?:于)?)",
    re.IGNORECASE,
)
_WORDS: Final = pattern(r"[^\W\d_]{2,}")
_IDS_ONLY: Final = pattern(
    r"(?:\b(?:tasks?|and|or|all|then)\b|[\s,;&+|∥()\[\]*`:.\-–]|任务|タスク|作业)*", re.IGNORECASE
)
_LONGEST_LINE: Final = 2000
_LABEL: Final = pattern(r"[\[({][^\[\](){}]*[\])}]")

Needs = Mapping[str, Mapping[str, None]]
if TYPE_CHECKING:
    from kiro_lsp.spec.model import Problem, Task

    Waves = tuple[tuple[tuple[str, ...], ...], list[Problem]]


def waves_of(lines: Sequence[str], blocks: Blocks) -> Waves:
    """Waves of task ids from a JSON fence with "waves", first to last, and what is wrong with it."""
    for fence in blocks.fences:
        body = "".join(lines[fence.start + 1 : fence.end - 1 if fence.closed else fence.end])
        if '"waves"' not in body or fence.info.split(" ")[0].lower() not in ("json", "jsonc", "json5", ""):
            continue
        import json

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
    from kiro_lsp.spec.model import Problem

    return Problem(
        fence.start,
        0,
        "waves",
        "warning",
        f"The task dependency graph in this code block is not used: {reason}. Tasks keep the order of the file.",
    )


def needs_of(known: Mapping[str, object], lines: Sequence[str], blocks: Blocks, boxes: set[int]) -> Needs:
    """What lines outside tasks say: `T001 → T002`, `T001 blocks T002-T012`, mermaid edges. Task id → ids that it needs.

    `known`: the ids of the file, `boxes`: the lines of its tasks.
    """
    needs: dict[str, dict[str, None]] = {}
    if known:
        for line in _prose(lines, blocks, boxes):
            for identifier, needed in relations(line, known):
                needs.setdefault(identifier, {})[needed] = None
    return needs


def with_needs(task: Task, needs: Needs) -> Task:
    """The task with what the file says about it elsewhere."""
    if task.id is None or task.id not in needs:
        return task
    from dataclasses import replace

    return replace(task, depends_on=tuple(dict.fromkeys((*task.depends_on, *needs[task.id]))))


def is_prose(kind: int, owner: int, line: str) -> bool:
    """Whether a line may relate tasks to each other, given its kind and owner: one outside tasks and code."""
    return kind not in (CODE, HTML) and owner < 0 and len(line) < _LONGEST_LINE


def _prose(lines: Sequence[str], blocks: Blocks, boxes: set[int]) -> Iterator[str]:
    """Lines that may relate tasks to each other: outside tasks and code, and inside mermaid graphs."""
    kinds, owners = blocks.kinds, blocks.owners
    for number, line in enumerate(lines):
        if is_prose(kinds[number], owners[number], line) and number not in boxes:
            yield line
    for fence in blocks.fences:
        if fence.info.lower().startswith("mermaid"):
            for line in lines[fence.start + 1 : fence.end]:
                if len(line) < _LONGEST_LINE:
                    yield _LABEL.sub(" ", line)


def relations(line: str, known: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    """(task, what it needs) pairs of a line in which ids and relation words alternate."""
    found = list(_RELATION.finditer(line))
    if not found:
        return
    parts = [line[start:end] for start, end in sides_of(line)]
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


def sides_of(line: str) -> list[tuple[int, int]]:
    """Where the words around the relation words of a line stand."""
    edges = [0, *(edge for match in _RELATION.finditer(line) for edge in match.span()), len(line)]
    return [(edges[at], edges[at + 1]) for at in range(0, len(edges), 2)]


def _only_ids(text: str, ids: Sequence[str]) -> bool:
    """Whether a text is nothing but these ids and what joins them: prose about a task is no relation."""
    for identifier in sorted(ids, key=len, reverse=True):
        text = text.replace(identifier, " ")
    return _IDS_ONLY.fullmatch(text.strip()) is not None and not any(
        word.lower() not in ("task", "tasks", "and", "or", "all", "then")
        for word in _WORDS.findall(text)
        if word.isascii()
    )
