"""From the indentation an answer quoted to the one the file has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

_BLANKS = " \t\f\v\u00a0\u3000"


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip(_BLANKS))]


class Indents:
    """Learnt from matched lines: (number of the old line, as sent, as in the file), in order."""

    def __init__(self, pairs: Sequence[tuple[int, str, str]]) -> None:
        self._pairs = [(number, indent_of(sent), indent_of(found)) for number, sent, found in pairs]
        self._width, self._to_blanks = _tab_width([(sent, found) for _number, sent, found in self._pairs])

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
        """Further indentation, in tabs where the file has tabs for the answer's blanks, and the other way round."""
        if self._width and blanks.strip("\t") == "" and self._to_blanks:
            return " " * (len(blanks) * self._width)
        if self._width and blanks.strip(" ") == "" and not self._to_blanks:
            depth, rest = divmod(len(blanks), self._width)
            return "\t" * depth + " " * rest
        return blanks


def _tab_width(pairs: Sequence[tuple[str, str]]) -> tuple[int, bool]:
    """How many blanks stand for a tab, and whether the file has the blanks; (0, False) when the pairs do not say."""
    widths: Counter[tuple[int, bool]] = Counter()
    for sent, found in pairs:
        for tabs, blanks, to_blanks in ((sent, found, True), (found, sent, False)):
            if tabs and blanks and tabs.strip("\t") == "" and blanks.strip(" ") == "" and len(blanks) % len(tabs) == 0:
                widths[len(blanks) // len(tabs), to_blanks] += 1
    return widths.most_common(1)[0][0] if widths else (0, False)
