"""The lenses of a task file as the bytes that are sent, task by task, so that an edit costs what it touched.

What stands above a task with which nothing is going on depends on its line, its selector and what the project offers; it is
filled into a template. Tasks with a run are few, and their lenses show seconds: they are made anew each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson

from kiro_lsp.engine.engine import LiveRun
from kiro_lsp.lsp.endpoint import Raw, dumped
from kiro_lsp.lsp.lenses import Lens, Offer, lenses_of, to_wire
from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.model import Task

_BLOCK: Final = 128
_CHOSEN_AT_MOST: Final = 500
"""Tasks of a file for which an agent is chosen before they are asked for; each takes about a tenth of a millisecond."""
_LINE: Final = 987654321
_SELECTOR: Final = "\u2063selector\u2063"
"""Stand for the line and the selector while a template is made; no file has so many lines, no id such characters."""


@dataclass(frozen=True, slots=True)
class Style:
    """What all lenses of one file share."""

    uri: str
    number: int
    """Names the document in lenses that are resolved later."""
    offer: Offer
    complete: bool
    """With commands; else only with what `resolve` needs."""


@dataclass(slots=True)
class LensBytes:
    """Of one version of a document; `carried` makes that of the next."""

    style: Style
    parsed: Parsed
    _pieces: list[bytes]
    """One a task, as if it had no run; empty where nothing stands above it."""
    _joined: list[bytes]
    """The pieces of every `_BLOCK` tasks as one."""
    _template: tuple[bytes, ...]
    _by_agent: dict[str, tuple[bytes, ...]]
    """Templates for the agents that tasks were given; empty where there is nothing to choose."""
    _repeated: frozenset[str]
    """Ids of more than one task."""

    @classmethod
    def made(cls, parsed: Parsed, style: Style) -> LensBytes:
        repeated = frozenset(
            identifier
            for identifier, carriers in Counter(task.id for task in parsed.task_list.tasks).items()
            if identifier is not None and carriers > 1
        )
        found = cls(style, parsed, [], [], _template(_plain(style)), {}, repeated)
        found._pieces = [found._piece(task) for task in parsed.task_list.tasks]
        found._joined = [_joined(found._pieces, start) for start in range(0, len(found._pieces), _BLOCK)]
        return found

    def carried(self, parsed: Parsed, style: Style) -> LensBytes:
        """The same for another version; only what changed is made again."""
        if style != self.style:
            return LensBytes.made(parsed, style)
        if parsed.serial == self.parsed.serial:
            return self
        if parsed.base != self.parsed.serial:
            return LensBytes.made(parsed, style)
        pieces = list(self._pieces)
        for number in parsed.touched:
            pieces[number] = self._piece(parsed.task_list.tasks[number])
        changed = [number for number in parsed.touched if pieces[number] != self._pieces[number]]
        return replace(self, parsed=parsed, _pieces=pieces, _joined=_joined_again(self._joined, pieces, changed))

    def wire(self, runs: Mapping[str, LiveRun], now: datetime) -> Raw:
        """The answer: lenses of all tasks, those of tasks with a run as they are at this moment."""
        joined = self._joined
        if runs:
            pieces, changed = list(self._pieces), []
            for number, task in enumerate(self.parsed.task_list.tasks):
                if task.key in runs:
                    about = {"uri": self.style.uri, "task": self._selector(task)}
                    pieces[number] = dumped(to_wire(lenses_of(task, runs[task.key], about, self.style.offer, now)))[
                        1:-1
                    ]
                    changed.append(number)
            joined = _joined_again(joined, pieces, changed)
        parts = [b"["]
        for block in filter(None, joined):
            parts += (block, b",")
        parts[max(1, len(parts) - 1) :] = [b"]"]
        return Raw(*parts)

    def _piece(self, task: Task) -> bytes:
        if not self._template or task.criterion or task.withdrawn or task.status in ("done", "blocked"):
            return b""
        selector, line = dumped(self._selector(task)), b"%d" % task.line
        template = self._template_of(task)
        return b"".join([line if part == b"L" else selector if part == b"S" else part for part in template])

    def _template_of(self, task: Task) -> tuple[bytes, ...]:
        """Lenses that are resolved later carry no name yet; of very long files only the recommended agent is named."""
        offer = self.style.offer
        if offer.settings is None or not self.style.complete or len(self.parsed.task_list.tasks) > _CHOSEN_AT_MOST:
            return self._template
        agent = offer.agent_for(task)
        name = agent.name if agent is not None else ""
        if name not in self._by_agent:
            plain = _plain(self.style)
            self._by_agent[name] = _template(replace(plain, offer=replace(plain.offer, recommended=agent)))
        return self._by_agent[name]

    def _selector(self, task: Task) -> str:
        """As `tasks.selectors` has it."""
        return f"{task.key}~1" if task.key in self._repeated else task.key


def _joined(pieces: Sequence[bytes], start: int) -> bytes:
    return b",".join(filter(None, pieces[start : start + _BLOCK]))


def _joined_again(joined: Sequence[bytes], pieces: Sequence[bytes], changed: Sequence[int]) -> list[bytes]:
    found = list(joined)
    for block in {number // _BLOCK for number in changed}:
        found[block] = _joined(pieces, block * _BLOCK)
    return found


def _plain(style: Style) -> Style:
    """Without a choice by task."""
    return replace(style, offer=replace(style.offer, settings=None))


def _template(style: Style) -> tuple[bytes, ...]:
    """The lenses of an open task as fixed bytes, with `L` for the line and `S` for the quoted selector between them."""
    task = Task(_SELECTOR, None, "", "open", " ", _LINE, 3, _LINE + 1, 0)
    found = lenses_of(task, None, {"uri": style.uri, "task": _SELECTOR}, style.offer, datetime.min)
    wire = to_wire(found) if style.complete else [_unresolved(style, lens, at) for at, lens in enumerate(found)]
    parts: list[bytes] = []
    for between in dumped(wire)[1:-1].split(orjson.dumps(_SELECTOR)):
        for piece in between.split(b"%d" % _LINE):
            parts += [piece, b"L"]
        parts[-1] = b"S"
    return tuple(parts[:-1]) if found else ()


def _unresolved(style: Style, lens: Lens, at: int) -> dict[str, Any]:
    return {"range": to_wire([lens])[0]["range"], "data": [style.number, _SELECTOR, at]}


def resolved(style: Style, parsed: Parsed, data: Sequence[Any], now: datetime) -> dict[str, Any] | None:
    """The lens that `data` stands for, None when its task is gone or has no such lens any more."""
    _number, selector, at = data
    # Not by `find`, which would take a number for a line: only the very task that was meant.
    task = next((task for task in parsed.task_list.tasks if selector in (task.key, f"{task.key}~1")), None)
    if task is None:
        return None
    found = lenses_of(task, None, {"uri": style.uri, "task": selector}, style.offer, now)
    return to_wire(found)[at] if at < len(found) else None
