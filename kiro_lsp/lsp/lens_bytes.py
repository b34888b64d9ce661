"""The lenses of a task file as the bytes that are sent, task by task, so that an edit costs what it touched.

What stands above a task with which nothing is going on depends on its line, its selector and what the project offers; it is
filled into a template. Tasks with a run are few, and their lenses show seconds: they are made anew each time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson

from kiro_lsp.engine.engine import LiveRun
from kiro_lsp.lsp.endpoint import Raw, dumped, dumped_each
from kiro_lsp.lsp.lens_templates import (
    CHOSEN_AT_MOST,
    LINE,
    NUMBER,
    SELECTOR,
    URI,
    Filler,
    Template,
    has_lenses,
    pieces,
    repeated,
    selector,
)
from kiro_lsp.lsp.lenses import Lens, Offer, lenses_of, to_wire
from kiro_lsp.spec.assemble import Parsed, Rows
from kiro_lsp.spec.keys import keys_for
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.skim import Skimmed

_BLOCK: Final = 128
_NONE: Final[Mapping[str, Lens]] = {}
_LINE: Final = 987654321
_NUMBER: Final = 987654322
_SELECTOR: Final = "\u2063selector\u2063"
_URI: Final = "\u2063uri\u2063"
"""Stand for what goes into the gaps while a template is made; no file has so many lines, no id such characters."""


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
        return self.offer.settings is not None and self.complete and tasks <= CHOSEN_AT_MOST


@dataclass(slots=True)
class LensBytes:
    """Of one version of a document; `carried` makes that of the next."""

    style: Style
    parsed: Parsed
    _pieces: list[bytes]
    """One a task, as if it had no run; empty where nothing stands above it."""
    _joined: list[bytes]
    """The pieces of every `_BLOCK` tasks as one."""
    _filler: Filler
    _by_agent: dict[str, Filler]
    """Those for the agents that tasks were given; empty where there is nothing to choose."""
    _repeated: frozenset[str]
    """Ids of more than one task."""

    @classmethod
    def made(cls, parsed: Parsed, style: Style) -> LensBytes:
        rows, own = parsed.rows, _alike(style)
        found = cls(style, parsed, [], [], own, {}, repeated(rows.ids))
        if style.chooses(len(rows.keys)):
            selectors = dumped_each([selector(key, found._repeated) for key in rows.keys])
            found._pieces = [found._piece(number, each) for number, each in enumerate(selectors)]
        else:
            found._pieces = pieces(rows, own, dumped_each)
        found._joined = [_joined(found._pieces, start) for start in range(0, len(rows.keys), _BLOCK)]
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
            new._pieces[number] = new._piece(number, dumped(selector(parsed.rows.keys[number], self._repeated)))
        changed = [number for number in parsed.touched if new._pieces[number] != self._pieces[number]]
        new._joined = _joined_again(self._joined, new._pieces, changed)
        return new

    def wire(self, runs: Mapping[str, LiveRun], now: datetime, waits: Mapping[str, Lens] = _NONE) -> Raw:
        """The answer: lenses of all tasks, those of tasks with a run as they are at this moment; `waits` as `waiting` has it."""
        joined = self._joined
        if runs or waits:
            made, changed = list(self._pieces), []
            tasks = self.parsed.task_list.tasks
            for number, key in enumerate(self.parsed.rows.keys):
                if key in waits and key not in runs and made[number]:
                    made[number] += b"," + dumped(to_wire([waits[key]]))[1:-1]
                    changed.append(number)
                if key in runs:
                    about = {"uri": self.style.uri, "task": selector(key, self._repeated)}
                    found = lenses_of(tasks[number], runs[key], about, self.style.offer, now)
                    made[number] = dumped(to_wire(found))[1:-1]
                    changed.append(number)
            joined = _joined_again(joined, made, changed)
        parts = [b"["]
        for block in filter(None, joined):
            parts += (block, b",")
        parts[max(1, len(parts) - 1) :] = [b"]"]
        return Raw(*parts)

    def _piece(self, number: int, named: bytes) -> bytes:
        rows = self.parsed.rows
        if not has_lenses(rows, number):
            return b""
        filler = self._filler_of(number) if self.style.chooses(len(rows.keys)) else self._filler
        return filler.filled(rows.lines[number], named) if filler.text else b""

    def _filler_of(self, number: int) -> Filler:
        style = self.style
        agent = style.offer.agent_for(self.parsed.task_list.tasks[number])
        name = agent.name if agent is not None else ""
        if name not in self._by_agent:
            chosen = replace(style, offer=replace(style.offer, settings=None, recommended=agent))
            self._by_agent[name] = template(chosen).of(dumped(style.uri), style.number)
        return self._by_agent[name]


def of_skimmed(found: Skimmed, style: Style) -> Raw:
    """The same answer for a file of which no more is known, if that is simple, no task has a run and none an agent of its own."""
    lines, ids, titles, statuses, parents = found.rows
    never = [False] * len(lines)
    rows = Rows(lines, keys_for(zip(ids, titles, strict=True)), ids, titles, statuses, parents, never, never)
    return Raw(b"[", b",".join(filter(None, pieces(rows, _alike(style), dumped_each))), b"]")


def _alike(style: Style) -> Filler:
    """For tasks that are all given the same agent."""
    plain = replace(style, offer=replace(style.offer, settings=None))
    return template(plain).of(dumped(style.uri), style.number)


def _joined(pieces: Sequence[bytes], start: int) -> bytes:
    return b",".join(filter(None, pieces[start : start + _BLOCK]))


def _joined_again(joined: Sequence[bytes], pieces: Sequence[bytes], changed: Sequence[int]) -> list[bytes]:
    found = list(joined)
    for block in {number // _BLOCK for number in changed}:
        found[block] = _joined(pieces, block * _BLOCK)
    return found


def template(style: Style) -> Template:
    """What stands above an open task, for any document: its name in `style` counts for nothing."""
    task = Task(_SELECTOR, None, "", "open", " ", _LINE, 3, _LINE + 1, 0)
    found = lenses_of(task, None, {"uri": _URI, "task": _SELECTOR}, style.offer, datetime.min)
    if not found:
        return Template(())
    wire = to_wire(found) if style.complete else [_unresolved(lens, at) for at, lens in enumerate(found)]
    gaps = {b"%d" % _LINE: LINE, orjson.dumps(_SELECTOR): SELECTOR, orjson.dumps(_URI): URI, b"%d" % _NUMBER: NUMBER}
    cut = re.split(b"(%b)" % b"|".join(map(re.escape, gaps)), dumped(wire)[1:-1])
    return Template(tuple(gaps.get(part, part) for part in cut))


def _unresolved(lens: Lens, at: int) -> dict[str, Any]:
    return {"range": to_wire([lens])[0]["range"], "data": [_NUMBER, _SELECTOR, at]}


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
