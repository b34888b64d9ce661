"""The lenses of a task file as the bytes that are sent, task by task, so that an edit costs what it touched.

What stands above a task with which nothing is going on depends on its line, its selector and what the project offers; it is
filled into a template. Tasks with a run are few, and their lenses show seconds: they are made anew each time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

from kiro_lsp.engine.engine import LiveRun
from kiro_lsp.lsp.endpoint import Raw, dumped, dumped_each
from kiro_lsp.lsp.lenses import Lens, Offer, lenses_of, to_wire
from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.model import Task

_BLOCK: Final = 128
_CHOSEN_AT_MOST: Final = 500
"""Tasks of a file for which an agent is chosen before they are asked for; each takes about a tenth of a millisecond."""
_OVER: Final = frozenset({"done", "blocked"})
_NONE: Final[Mapping[str, Lens]] = {}
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

    def chooses(self, tasks: int) -> bool:
        """Whether each of so many tasks is given an agent of its own, for which it is looked at whole.

        Lenses that are resolved later carry no name yet; of very long files only the recommended agent is named.
        """
        return self.offer.settings is not None and self.complete and tasks <= _CHOSEN_AT_MOST


class Template(NamedTuple):
    """The lenses of a task nothing is going on with, as bytes with gaps for its line and its quoted selector."""

    text: bytes
    """For the operator %, empty where nothing stands above a task."""
    gaps: tuple[int, ...]
    """What goes into each gap: 0 the line, 1 the selector."""

    def filled(self, line: int, selector: bytes) -> bytes:
        parts = (b"%d" % line, selector)
        return self.text % tuple([parts[gap] for gap in self.gaps])


@dataclass(slots=True)
class LensBytes:
    """Of one version of a document; `carried` makes that of the next."""

    style: Style
    parsed: Parsed
    _pieces: list[bytes]
    """One a task, as if it had no run; empty where nothing stands above it."""
    _joined: list[bytes]
    """The pieces of every `_BLOCK` tasks as one."""
    _template: Template
    _by_agent: dict[str, Template]
    """Templates for the agents that tasks were given; empty where there is nothing to choose."""
    _repeated: frozenset[str]
    """Ids of more than one task."""

    @classmethod
    def made(cls, parsed: Parsed, style: Style) -> LensBytes:
        ids = parsed.rows.ids
        repeated: frozenset[str] = frozenset()
        if len(set(ids)) < len(ids):
            carriers = Counter(identifier for identifier in ids if identifier is not None)
            repeated = frozenset(identifier for identifier, count in carriers.items() if count > 1)
        found = cls(style, parsed, [], [], _template(_plain(style)), {}, repeated)
        selectors = dumped_each([found._selector(key) for key in parsed.rows.keys])
        found._pieces = [found._piece(number, selector) for number, selector in enumerate(selectors)]
        found._joined = [_joined(found._pieces, start) for start in range(0, len(ids), _BLOCK)]
        return found

    def carried(self, parsed: Parsed, style: Style) -> LensBytes:
        """The same for another version; only what changed is made again."""
        if style != self.style:
            return LensBytes.made(parsed, style)
        if parsed.serial == self.parsed.serial:
            return self
        if parsed.base != self.parsed.serial:
            return LensBytes.made(parsed, style)
        new = replace(self, parsed=parsed, _pieces=list(self._pieces))
        for number in parsed.touched:
            new._pieces[number] = new._piece(number, dumped(self._selector(parsed.rows.keys[number])))
        changed = [number for number in parsed.touched if new._pieces[number] != self._pieces[number]]
        new._joined = _joined_again(self._joined, new._pieces, changed)
        return new

    def wire(self, runs: Mapping[str, LiveRun], now: datetime, waits: Mapping[str, Lens] = _NONE) -> Raw:
        """The answer: lenses of all tasks, those of tasks with a run as they are at this moment; `waits` as `waiting` has it."""
        joined = self._joined
        if runs or waits:
            pieces, changed = list(self._pieces), []
            tasks = self.parsed.task_list.tasks
            for number, key in enumerate(self.parsed.rows.keys):
                if key in waits and key not in runs and pieces[number]:
                    pieces[number] += b"," + dumped(to_wire([waits[key]]))[1:-1]
                    changed.append(number)
                if key in runs:
                    about = {"uri": self.style.uri, "task": self._selector(key)}
                    found = lenses_of(tasks[number], runs[key], about, self.style.offer, now)
                    pieces[number] = dumped(to_wire(found))[1:-1]
                    changed.append(number)
            joined = _joined_again(joined, pieces, changed)
        parts = [b"["]
        for block in filter(None, joined):
            parts += (block, b",")
        parts[max(1, len(parts) - 1) :] = [b"]"]
        return Raw(*parts)

    def _piece(self, number: int, selector: bytes) -> bytes:
        rows = self.parsed.rows
        if rows.criteria[number] or rows.withdrawn[number] or rows.statuses[number] in _OVER:
            return b""
        template = self._template_of(number) if self.style.chooses(len(rows.keys)) else self._template
        return template.filled(rows.lines[number], selector) if template.text else b""

    def _template_of(self, number: int) -> Template:
        offer = self.style.offer
        agent = offer.agent_for(self.parsed.task_list.tasks[number])
        name = agent.name if agent is not None else ""
        if name not in self._by_agent:
            plain = _plain(self.style)
            self._by_agent[name] = _template(replace(plain, offer=replace(plain.offer, recommended=agent)))
        return self._by_agent[name]

    def _selector(self, key: str) -> str:
        """As `tasks.selectors` has it."""
        return f"{key}~1" if key in self._repeated else key


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


def _template(style: Style) -> Template:
    task = Task(_SELECTOR, None, "", "open", " ", _LINE, 3, _LINE + 1, 0)
    found = lenses_of(task, None, {"uri": style.uri, "task": _SELECTOR}, style.offer, datetime.min)
    if not found:
        return Template(b"", ())
    wire = to_wire(found) if style.complete else [_unresolved(style, lens, at) for at, lens in enumerate(found)]
    selector, line = orjson.dumps(_SELECTOR), b"%d" % _LINE
    text = dumped(wire)[1:-1].replace(b"%", b"%%")
    gaps = sorted([(at, 0) for at in _places(text, line)] + [(at, 1) for at in _places(text, selector)])
    return Template(text.replace(line, b"%b").replace(selector, b"%b"), tuple(gap for _at, gap in gaps))


def _places(text: bytes, part: bytes) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(part), text)]


def _unresolved(style: Style, lens: Lens, at: int) -> dict[str, Any]:
    return {"range": to_wire([lens])[0]["range"], "data": [style.number, _SELECTOR, at]}


def resolved(style: Style, parsed: Parsed, data: Sequence[Any], now: datetime) -> dict[str, Any] | None:
    """The lens that `data` stands for, None when its task is gone or has no such lens any more."""
    _number, selector, at = data
    # Not by `find`, which would take a number for a line: only the very task that was meant.
    keys = parsed.rows.keys
    number = next((number for number, key in enumerate(keys) if selector in (key, f"{key}~1")), None)
    if number is None:
        return None
    task = parsed.task_list.tasks[number]
    found = lenses_of(task, None, {"uri": style.uri, "task": selector}, style.offer, now)
    return to_wire(found)[at] if at < len(found) else None
