"""Texts to edit, as they occur: code with repeated indentation and blank lines, prose, every line end, no final one."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.support.renderings import lines_of

ENDS = ("\n", "\r\n", "\r")

_FORMS = (
    "def step_{}(self):",
    "    value_{} = compute(self)",
    "    if ready_{}:",
    "        return '{}'",
    "        raise ValueError('é {} 😀')",
    "\tcase {}:",
    "# “no” – {}… and\u00a0meant",
    "  - item {}\u2028with an odd separator",
    "{}\x0cbehind a form feed",
    "    total += {}  ",
    "}} // {}",
    "-- a comment of SQL {}",
    "++ {} counts up",
    "@@ {} is a decorator of nothing",
    "a\u0301ccent {}",
)
"""One text for each number: no two lines of a text are equal, whatever is folded for comparing them."""


@dataclass(frozen=True, slots=True)
class Change:
    """A text and what an edit makes of it; both without a byte order mark."""

    before: str
    after: str
    end: str


def line(number: int) -> str:
    return _FORMS[number % len(_FORMS)].format(f"{number:05d}")


@st.composite
def bodies(draw: st.DrawFn, least: int = 0, most: int = 30, blank_lines: bool = True) -> list[str]:
    """Lines that differ from one another, with or without blank ones between them."""
    count = draw(st.integers(least, most))
    first = draw(st.integers(0, 400))
    blanks = draw(st.sets(st.integers(1, max(1, count - 1)), max_size=count // 3 if blank_lines else 0))
    found: list[str] = []
    for index in range(count):
        if index in blanks and found and found[-1]:
            found.append("")
        found.append(line(first + index))
    return found


@st.composite
def changes(
    draw: st.DrawFn, least: int = 0, most: int = 30, keeps_last_end: bool = False, blank_lines: bool = True
) -> Change:
    """A text of different lines and some edits of it; always another text, with one kind of line end."""
    old = draw(bodies(least, most, blank_lines))
    new = list(old)
    fresh = 1000
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(new)))
        kind = draw(st.sampled_from(["insert", "replace", "delete"]))
        span = draw(st.integers(1, 4)) if kind != "insert" else 0
        count = draw(st.integers(1, 3)) if kind != "delete" else 0
        if kind != "insert" and at + span > len(new):
            kind, span, count = "insert", 0, 1
        new[at : at + span] = [line(number) for number in range(fresh, fresh + count)]
        fresh += count
    end = draw(st.sampled_from(ENDS))
    ended = draw(st.booleans())
    ended_after = ended if keeps_last_end else draw(st.booleans())
    while new and not new[-1] and not ended_after:
        # A blank last line without an end is none.
        new.pop()
    if new == old and (ended_after == ended or not new):
        new.append(line(fresh))
    before = _joined(old, end, ended)
    # Nothing but the file says which line ends it has.
    end = end if end in before else "\n"
    return Change(before, _joined(new, end, ended_after), end)


def _joined(lines: list[str], end: str, ended: bool) -> str:
    text = end.join(lines)
    return text + end if ended and lines else text


@st.composite
def repetitive(draw: st.DrawFn) -> Change:
    """Few different lines, many times: most places have a twin."""
    words = draw(st.lists(st.sampled_from(["a", "b", "    return x", "}", "", "    pass"]), min_size=1, max_size=24))
    new = list(words)
    at = draw(st.integers(0, len(new)))
    new[at : at + draw(st.integers(0, 3))] = draw(st.lists(st.sampled_from(["a", "}", "", "new"]), max_size=3))
    if new == words:
        new.append("new")
    end = draw(st.sampled_from(ENDS))
    ended = draw(st.booleans()) or not new or not new[-1] or not words[-1]
    before = _joined(words, end, ended)
    end = end if end in before else "\n"
    return Change(before, _joined(new, end, ended), end)


@st.composite
def mixed_ends(draw: st.DrawFn, text: str) -> str:
    """The same lines, each with an end of its own; the last one as it was."""
    lines = lines_of(text)
    ended = text.endswith(("\n", "\r"))
    rows = []
    for number, row in enumerate(lines):
        last = number == len(lines) - 1
        end = "" if last and not ended else draw(st.sampled_from(ENDS))
        # A lone carriage return before an empty line that ends in a line feed would be one end, not two.
        if end == "\n" and not row and rows and rows[-1].endswith("\r"):
            end = "\r\n"
        rows.append(row + end)
    return "".join(rows)
