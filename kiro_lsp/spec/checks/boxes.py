"""Fixes for what the parser itself notices about boxes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import count, takewhile
from typing import Final

from kiro_lsp.spec.checks.rule import Finding, Fix, fix
from kiro_lsp.spec.editing.edits import replace as replaced
from kiro_lsp.spec.facts import Facts

_BOX: Final = re.compile(r"\[[ \t]*([xX]?)[ \t]*\]")
_DOUBLED: Final = re.compile(r"(\[[ xX]\])([ \t]+[-*+][ \t]+(\[[ xX]\]))")
_END: Final = re.compile(r"\r\n|\n|\r")


@fix("malformed-box")
def box_of_one(facts: Facts, finding: Finding) -> Iterable[Fix]:
    """One character between the brackets."""
    match = _BOX.match(facts.lines[finding.line], finding.column)
    if match is not None:
        box = f"[{match[1] or ' '}]"
        yield Fix(f"Write {box}", (replaced(finding.line, match.start(), match.end(), box),))


@fix("box-without-bullet")
def bullet_before(facts: Facts, finding: Finding) -> Iterable[Fix]:
    """A bullet before the box, and before those right below."""
    bare = {problem.line for problem in facts.tasks.problems if problem.code == finding.code}
    edits = []
    for number in takewhile(bare.__contains__, count(finding.line)):
        line = facts.lines[number]
        column = len(line) - len(line.lstrip(" \t"))
        edits.append(replaced(number, column, column, "- "))
    yield Fix("Make it a list item" if len(edits) == 1 else f"Make them {len(edits)} list items", tuple(edits))


@fix("lost-mark")
def small_x(facts: Facts, finding: Finding) -> Iterable[Fix]:
    """The mark that spec-workflow reads."""
    if facts.lines[finding.line][finding.column : finding.column + 1] == "X":
        yield Fix("Write [x]", (replaced(finding.line, finding.column, finding.column + 1, "x"),))


@fix("doubled-box")
def one_box(facts: Facts, finding: Finding) -> Iterable[Fix]:
    """Without the second box, where both say the same."""
    match = _DOUBLED.search(facts.lines[finding.line])
    if match is not None and match[1].lower() == match[3].lower():
        yield Fix("Remove the second box", (replaced(finding.line, match.start(2), match.end(2), ""),))


@fix("details-box")
def line_below_tag(facts: Facts, finding: Finding) -> Iterable[Fix]:
    """An empty line below the tag, which ends the raw HTML."""
    number = finding.line
    while number and facts.lines[number - 1].strip() and not facts.lines[number - 1].lstrip().startswith("<"):
        number -= 1
    if number and facts.lines[number - 1].lstrip().startswith("<"):
        end = _END.search(facts.lines[number - 1])
        yield Fix("Put an empty line below the tag", (replaced(number, 0, 0, end[0] if end else "\n"),))
