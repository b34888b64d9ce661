"""From the indentation an answer quoted to the one the file has."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLANKS = " \t\f\v\u00a0\u3000"


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip(_BLANKS))]


class Indents:
    """Learnt from matched lines: (number of the old line, as sent, as in the file), in order."""

    def __init__(self, pairs: Sequence[tuple[int, str, str]]) -> None:
        self._pairs = [(number, indent_of(sent), indent_of(found)) for number, sent, found in pairs]
        self._sent_unit = _unit([sent for _number, sent, _found in self._pairs])
        self._file_unit = _unit([found for _number, _sent, found in self._pairs])

    @property
    def identical(self) -> bool:
        return all(sent == found for _number, sent, found in self._pairs)

    def of(self, line: str, after: int) -> str:
        """A new line, which follows old line `after` of the edit, with the indentation it has in the file's terms."""
        sent = indent_of(line)
        if sent == line:
            return line
        return self._mapped(sent, after) + line[len(sent) :]

    def _mapped(self, sent: str, after: int) -> str:
        by_distance = sorted(self._pairs, key=lambda pair: abs(pair[0] - after - 0.5))
        for _number, quoted, found in by_distance:
            if quoted == sent:
                return found
        deeper = [pair for pair in by_distance if sent.startswith(pair[1])]
        if deeper:
            _number, quoted, found = max(deeper, key=lambda pair: len(pair[1]))
            return found + self._converted(sent[len(quoted) :])
        shallower = [pair for pair in by_distance if pair[1].startswith(sent)]
        if shallower:
            _number, quoted, found = min(shallower, key=lambda pair: len(pair[1]))
            surplus = self._converted(quoted[len(sent) :])
            return found.removesuffix(surplus) if found.endswith(surplus) else found[: max(0, len(found) - len(surplus))]
        return self._converted(sent)

    def _converted(self, blanks: str) -> str:
        """Further indentation, in tabs where the file has tabs, in blanks where it has blanks."""
        if self._sent_unit == self._file_unit or not self._sent_unit or not self._file_unit:
            return blanks
        depth, rest = divmod(len(blanks), len(self._sent_unit))
        if blanks != self._sent_unit * depth + blanks[len(blanks) - rest :] or set(self._sent_unit) == set(self._file_unit):
            return blanks
        return self._file_unit * depth + (" " * rest if rest else "")


def _unit(indents: Sequence[str]) -> str:
    """One step of indentation: a tab, or as many blanks as divide all of them; "" when there is none."""
    filled = [indent for indent in indents if indent]
    if not filled:
        return ""
    if all(set(indent) == {"\t"} for indent in filled):
        return "\t"
    if all(set(indent) == {" "} for indent in filled):
        return " " * math.gcd(*map(len, filled))
    return ""
