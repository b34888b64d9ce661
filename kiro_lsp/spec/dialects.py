"""Which dialect a task file is written in, and what a mark means in it.

The path gives a prior and the content decides: `specs/` holds more Kiro-numbered files than spec-kit ones. A legend that
the file prints itself overrides what its dialect says about a mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from kiro_lsp.spec.patterns import pattern

if TYPE_CHECKING:
    from kiro_lsp.spec.model import Dialect, TaskStatus

_PRIORS: Final[tuple[tuple[re.Pattern[str], Dialect, int], ...]] = (
    (pattern(r"(?:^|/)\.(?:kiro|sce|windsurf)/(?:specs|bugs)/"), "kiro", 6),
    (pattern(r"(?:^|/)\.spec-workflow/(?:specs|archive)/"), "spec-workflow", 8),
    (pattern(r"(?:^|/)\.claude/specs/"), "spec-workflow", 5),
    (pattern(r"(?:^|/)openspec/changes/"), "openspec", 6),
    (pattern(r"(?:^|/)\.specify/(?:specs|features)/"), "spec-kit", 6),
    (pattern(r"(?:^|/)kitty-specs/"), "spec-kit", 6),
    (pattern(r"(?:^|/)specs/(?:\d{3,}|\d{8}-\d{6})-[^/]+/tasks\.md$"), "spec-kit", 2),
)
_SPEC_FOLDER: Final = pattern(
    r"(?:^|/)(?:\.kiro|\.sce|\.windsurf|\.spec-workflow|\.claude|\.specify|openspec|kitty-specs|specs)/"
)
_TASK_NAMES: Final = pattern(
    r"(?:^|/)(?:tasks|todos?|task[-_ ]?list)\.(?:md|markdown|mdx)$"
    r"|(?:^|/)kitty-specs/[^/]+/tasks/wp\d+[^/]*\.md$"
    r"|(?:^|/)(?:tickets?|backlog/(?:tasks|drafts))/[^/]+\.md$",
    re.IGNORECASE,
)
_NEVER: Final = pattern(
    r"(?:^|/)(?:node_modules|\.git)/|(?:^|/)(?:\.spec-workflow/(?:templates|user-templates)|\.specify/templates)/"
)

_COMMON: Final[dict[str, TaskStatus]] = {
    "": "open",
    " ": "open",
    "\u00a0": "open",
    "\u3000": "open",
    "x": "done",
    "X": "done",
    "✅": "done",
    "✓": "done",
    "✔": "done",
    "☑": "done",
    "√": "done",
}
_WILD: Final[dict[str, TaskStatus]] = {"/": "in-progress", ">": "in-progress", "!": "blocked"}
_MARKS: Final[dict[Dialect, dict[str, TaskStatus]]] = {
    "kiro": {**_COMMON, "-": "in-progress"},
    "spec-workflow": {**_COMMON, "-": "in-progress", "~": "blocked"},
    "spec-kit": {**_COMMON, **_WILD},
    "openspec": {**_COMMON},
    "checklist": {**_COMMON, **_WILD},
}
"""Marks without an entry are shown as they are: their status is unknown, which is never done.

`[~]` is queued in Kiro, partly done or dropped in spec-kit, in progress or skipped elsewhere; `[-]` is dropped in
spec-kit: neither can be mapped without a legend.
"""
_WITHDRAWN: Final[dict[Dialect, frozenset[str]]] = {"spec-kit": frozenset("-")}

_MEANINGS: Final[tuple[tuple[TaskStatus | None, re.Pattern[str]], ...]] = (
    (
        "open",
        pattern(
            r"not[ -]?(?:yet[ -])?(?:started|done|begun|begonnen)|un(?:started|done)|incomplete|pending|planned|to[ -]?do\b|open\b"
            r"|backlog|n[ãa]o iniciad|pendent|por hacer|pendiente|sin empezar|abierto|abert[ao]|a fazer|à faire|non commenc"
            r"|offen|nicht begonnen|未开始|未開始|待办|待辦|待处理|待開始|待开始|未着手|未完了|未完成"
            r"|대기|미완료|시작 전|할 일|не начат|ожида|открыт"
        ),
    ),
    (
        "done",
        pattern(
            r"done|complete|finished|conclu[ií]d|feit[ao]|pront[ao]|hech[ao]|completad|terminad|finalizad|termin[ée]|fait\b"
            r"|erledigt|fertig|abgeschlossen|已完成|完成|完了|済|완료|готов|выполнен|заверш|завершен"
        ),
    ),
    (
        "blocked",
        pattern(
            r"block|bloque|bloquead|blockiert|bloqu[ée]|gesperrt|阻塞|受阻|阻止|ブロック|차단|막힘|заблок|on hold|waiting"
        ),
    ),
    (
        "in-progress",
        pattern(
            r"in[ -]?progress|doing|started|ongoing|underway|active|wip\b|working|em andamento|em progresso|fazendo|en progreso"
            r"|en curso|en proceso|en cours|in arbeit|in bearbeitung|进行中|進行中|処理中|作業中|着手"
            r"|진행|в работе|в процессе|выполняется"
        ),
    ),
    (
        None,
        pattern(
            r"skip|drop|cancel|defer|deprecat|reject|won'?t|remov|obsolet|supersed|not needed|no longer"
            r"|adiad|descartad|omitid|übersprungen|verworfen|abandon"
            r"|跳过|取消|废弃|延期|スキップ|中止|보류|건너|취소|отмен|пропущ"
        ),
    ),
)
_LEGEND_ENTRY: Final = pattern(
    r"`?\[([^\r\n\]\w]|[xX]|)\ufe0f?\]`?[*_]*[ \t]*(?:[=:：|→–—-]+>?[ \t]*)?[*_(]*([^\r\n`\[\]|,;，；、]{2,60})"
)
_LEGEND_HEADING: Final = pattern(
    r"\b(?:legend|legenda|leyenda|l[ée]gende|status key|key to|estados)\b|图例|圖例|凡例|범례|легенда|标记说明|状态说明",
    re.IGNORECASE,
)
_FULL_ID: Final = pattern(r"T\d{2,4}[a-z]?\Z")


class Signs(NamedTuple):
    """What the content of a file shows about its dialect."""

    ids: Sequence[str]
    stories: int
    """Boxes with `[P]` or `[USn]`."""
    keys: frozenset[str]
    """Metadata keys of the file, in lower case."""
    waves: bool
    optional_stars: bool
    nested_numbers: bool
    """Some task `N` has a task `N.M`."""
    numbered_sections: int
    """Headings `N. Title` or `N Title` that boxes with ids `N.M` stand under."""


def has_nested(ids: Iterable[str]) -> bool:
    """Whether some id `N` has an id `N.M`."""
    known = {*ids}
    return any(identifier.rpartition(".")[0] in known for identifier in known)


def is_task_file(path: str) -> bool:
    """Whether a file with this path may be a task file at all. POSIX or Windows separators; case does not matter."""
    plain = path.replace("\\", "/")
    return _TASK_NAMES.search(plain) is not None and _NEVER.search(plain) is None


def path_prior(path: str) -> tuple[Dialect | None, int]:
    """The dialect that a path suggests, and how strongly."""
    plain = path.replace("\\", "/").lower()
    for expression, dialect, weight in _PRIORS:
        if expression.search(plain):
            return dialect, weight
    return None, 0


def detect(path: str, signs: Signs) -> Dialect:
    """The dialect of a file: what its path suggests, unless its content clearly says otherwise."""
    scores: dict[Dialect, float] = dict.fromkeys(("kiro", "spec-kit", "spec-workflow", "openspec"), 0.0)
    prior, weight = path_prior(path)
    if prior is not None:
        scores[prior] += weight
    identifiers = signs.ids
    if identifiers:
        begin = [identifier[0] for identifier in identifiers]
        full = sum(_FULL_ID.match(one) is not None for one in identifiers) / len(identifiers) if "T" in begin else 0.0
        numbered = sum(map(str.isdigit, begin)) / len(identifiers)
        if full >= 0.5:
            scores["spec-kit"] += 4
        if numbered >= 0.5:
            scores["kiro"] += 1.5 + (1.5 if _has_requirements(signs.keys) else 0) + (1.5 if signs.optional_stars else 0)
            scores["spec-workflow"] += 0.5
            dotted = len([1 for one in identifiers if "." in one]) / len(identifiers)
            if 0 < dotted < 1 and signs.nested_numbers:
                scores["kiro"] += 1
            if signs.numbered_sections >= max(1, 0.5 * len(identifiers)) and dotted >= 0.8:
                scores["openspec"] += 4
    if signs.stories:
        scores["spec-kit"] += 2.5 if signs.stories > 1 else 1
    if signs.keys & {"leverage", "prompt"}:
        scores["spec-workflow"] += 5 if {"leverage", "prompt"} <= signs.keys else 4
    if signs.waves:
        scores["kiro"] += 3
    best = max(scores, key=lambda dialect: scores[dialect])
    return best if scores[best] >= 2.5 or (prior is not None and scores[best] > 0) else "checklist"


def _has_requirements(keys: frozenset[str]) -> bool:
    return bool(
        keys
        & {
            "requirements",
            "requirement",
            "validates",
            "需求",
            "要件",
            "요구사항",
            "требования",
            "requisitos",
            "boundary",
        }
    )


def status_of(dialect: Dialect, mark: str, legend: Mapping[str, TaskStatus | None]) -> TaskStatus:
    """What a mark means in this dialect, the file's own legend first."""
    mark = mark.removesuffix("\ufe0f")
    if mark in legend:
        return legend[mark] or "unknown"
    return _MARKS[dialect].get(mark, "unknown")


def is_withdrawn(dialect: Dialect, mark: str, legend: Mapping[str, TaskStatus | None]) -> bool:
    """Whether the mark says that the task will not be done."""
    mark = mark.removesuffix("\ufe0f")
    if mark in legend:
        return legend[mark] is None
    return mark in _WITHDRAWN.get(dialect, frozenset())


def in_spec_workflow(path: str) -> bool:
    """Whether spec-workflow's own parser reads this file; it loses lines marked `[X]`."""
    return "/.spec-workflow/" in f"/{path}".replace("\\", "/").lower()


def legend_of(lines: Sequence[str]) -> dict[str, TaskStatus | None]:
    """The meaning of marks that these lines print; None for a mark that says "will not be done".

    A legend is a line, or a run of table rows or list items, that explains at least two marks in words we know.
    """
    found: dict[str, TaskStatus | None] = {}
    for line in lines:
        if "[" not in line:
            continue
        entries = _LEGEND_ENTRY.findall(line)
        meanings = [(mark or "", _meaning(words)) for mark, words in entries]
        found.update({mark: meaning for mark, meaning in meanings if meaning != ""})  # type: ignore[misc]
    return found if len(found) > 1 else {}


def _meaning(words: str) -> TaskStatus | str | None:
    """The status that the words name, None for withdrawn, "" for none of them."""
    low = words.strip().lower()
    for status, expression in _MEANINGS:
        if expression.match(low) or (len(low) <= 30 and expression.search(low)):
            return status
    return ""


def is_legend_heading(text: str) -> bool:
    return _LEGEND_HEADING.search(text) is not None


def explains_mark(title: str) -> bool:
    """Whether a title is nothing but the name of a status, as in the list of a legend."""
    return len(title) <= 40 and _meaning(title) != ""
