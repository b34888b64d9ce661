"""From the indentation an answer quoted to the one the file has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_BLANKS = " \t\f\v\u00a0\u3000"
_USUAL = 4
"""Blanks for a tab when neither file nor answer say it."""


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip(_BLANKS))]


class Indents:
    """Learnt from matched lines: (number of the old line, as sent, as in the file), in order.

    `file` are all lines of the file, `sent` all lines of the edit: they say what a step of indentation is where the
    matched lines do not.
    """

    def __init__(self, pairs: Sequence[tuple[int, str, str]], file: Iterable[str], sent: Iterable[str]) -> None:
        self._pairs = [(number, indent_of(one), indent_of(found)) for number, one, found in pairs]
        self._exchange = _Exchange.learnt([(one, found) for _number, one, found in self._pairs], file, sent)

    @property
    def identical(self) -> bool:
        return all(sent == found for _number, sent, found in self._pairs)

    def of(self, line: str, beside: float) -> str:
        """A new line with the indentation it has in the file's terms. `beside` is the number of the old line that it
        replaces, or a number between those of the old lines around it.
        """
        sent = indent_of(line)
        if sent == line:
            return line
        return self._mapped(sent, beside) + line[len(sent) :]

    def _mapped(self, sent: str, beside: float) -> str:
        by_distance = sorted(self._pairs, key=lambda pair: abs(pair[0] - beside))
        for _number, quoted, found in by_distance:
            if quoted == sent:
                return found
        exchange = self._exchange
        if exchange.explains_all:
            return exchange.of(sent)
        deeper = [pair for pair in by_distance if sent.startswith(pair[1])]
        if deeper:
            _number, quoted, found = max(deeper, key=lambda pair: len(pair[1]))
            return found + exchange.of(sent[len(quoted) :])
        shallower = [pair for pair in by_distance if pair[1].startswith(sent)]
        if shallower:
            _number, quoted, found = min(shallower, key=lambda pair: len(pair[1]))
            surplus = exchange.of(quoted[len(sent) :])
            return (
                found.removesuffix(surplus) if found.endswith(surplus) else found[: max(0, len(found) - len(surplus))]
            )
        return exchange.of(sent)


class _Exchange:
    """Tabs for blanks, or blanks for tabs; nothing at all where answer and file indent alike."""

    def __init__(self, width: int, *, to_blanks: bool, explains_all: bool) -> None:
        self._width, self._to_blanks = width, to_blanks
        self.explains_all = explains_all

    @classmethod
    def learnt(cls, pairs: Sequence[tuple[str, str]], file: Iterable[str], sent: Iterable[str]) -> _Exchange:
        file_blanks, file_tabs = _indentation(file)
        sent_blanks, sent_tabs = _indentation(sent)
        if file_tabs and not file_blanks and sent_blanks and not sent_tabs:
            to_blanks, likely = False, math.gcd(*sent_blanks)
        elif file_blanks and sent_tabs and not sent_blanks:
            to_blanks, likely = True, _step(file_blanks)
        else:
            to_blanks, likely = any("\t" in one and "\t" not in found for one, found in pairs), _USUAL
        widths = [
            len(blanks) // len(tabs)
            for one, found in pairs
            for tabs, blanks in ((one, found) if to_blanks else (found, one),)
            if tabs and not tabs.strip("\t") and blanks and not blanks.strip(" ") and len(blanks) % len(tabs) == 0
        ]
        exchanged = any(("\t" in one) != ("\t" in found) for one, found in pairs)
        file_has_tabs_only, answer_has_tabs = bool(file_tabs) and not file_blanks, sent_tabs > 0
        if not exchanged and file_has_tabs_only == answer_has_tabs:
            return cls(0, to_blanks=to_blanks, explains_all=False)
        for width in dict.fromkeys([*widths, likely]):
            exchange = cls(width, to_blanks=to_blanks, explains_all=True)
            if width and all(exchange.of(one) == found for one, found in pairs):
                return exchange
        return cls(widths[0] if widths else 0, to_blanks=to_blanks, explains_all=False)

    def of(self, blanks: str) -> str:
        if not self._width:
            return blanks
        if self._to_blanks:
            return blanks.replace("\t", " " * self._width)
        if blanks.strip(" "):
            return blanks
        depth, rest = divmod(len(blanks), self._width)
        return "\t" * depth + " " * rest


def _indentation(lines: Iterable[str]) -> tuple[list[int], int]:
    """The widths of indentations that are all blanks, and how many begin with a tab."""
    blanks: list[int] = []
    tabs = 0
    for line in lines:
        indent = indent_of(line)
        if indent == line or not indent:
            continue
        if indent[0] == "\t":
            tabs += 1
        elif not indent.strip(" "):
            blanks.append(len(indent))
    return blanks, tabs


def _step(widths: Sequence[int]) -> int:
    """One step of indentation: the smallest width that most others are a multiple of."""
    for width in sorted(set(widths)):
        if width > 1 and sum(other % width == 0 for other in widths) * 4 >= len(widths) * 3:
            return width
    return _USUAL
