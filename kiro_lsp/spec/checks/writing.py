"""Rules about the text itself: prompts that never end, and characters that nobody sees."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from kiro_lsp.spec import unicode
from kiro_lsp.spec.blocks import CODE, HTML
from kiro_lsp.spec.checks.rule import Finding, Fix, fix, rule
from kiro_lsp.spec.editing.edits import replace as replaced
from kiro_lsp.spec.facts import Facts

_PROMPT: Final = re.compile(r"[ \t>]*(?:[-*+][ \t]+)?_Prompt[ \t]*[:：](?P<text>.*)", re.IGNORECASE | re.DOTALL)
_ENDED: Final = re.compile(r"(?<=[^\s_])_+(?![^\W_])")
_NEXT: Final = re.compile(r"[ \t]*(?:(?:[-*+]|\d{1,3}[.)])[ \t]+|_[^\W\d_][^_:：]{0,38}[:：]|\*\*|#)")

_NO_CONTROL: Final = bytes({*range(32, 127), *range(128, 256), *b"\t\r\n"})
"""Every byte but those of control characters."""


@rule("malformed-prompt", "warning")
def malformed_prompt(facts: Facts) -> Iterator[Finding]:
    """A `_Prompt: …_` is empty, or has no underscore at its end."""
    lines, kinds = facts.lines, facts.blocks.kinds
    for number, line in enumerate(lines):
        if "rompt" not in line or kinds[number] in (CODE, HTML) or (match := _PROMPT.match(line)) is None:
            continue
        start = line.index("_")
        if not match["text"].strip(" \t\r\n_"):
            if number + 1 >= len(lines) or not lines[number + 1].strip() or _NEXT.match(lines[number + 1]):
                yield Finding(number, start, "This prompt is empty. Write what the agent is told, or remove the line.")
        elif not _is_ended(facts, number, match["text"]):
            yield Finding(
                number,
                start,
                "This prompt has no underscore at its end, so other tools do not find it. Write “_” behind it.",
            )


def _is_ended(facts: Facts, number: int, text: str) -> bool:
    """Whether a closing underscore stands in the prompt's first line or in one of those that go on with it."""
    while not _ENDED.search(text):
        number += 1
        if number >= len(facts.lines):
            return False
        text = facts.lines[number]
        if not text.strip() or _NEXT.match(text):
            return False
        if text.strip() == "_":
            return True
    return True


@fix("malformed-prompt")
def end_prompt(facts: Facts, finding: Finding) -> Iterable[Fix]:
    """An underscore at the end of a prompt of one line."""
    line = facts.lines[finding.line]
    after = facts.lines[finding.line + 1] if finding.line + 1 < len(facts.lines) else ""
    if "no underscore" in finding.message and (not after.strip() or _NEXT.match(after)):
        end = len(line.rstrip())
        yield Fix("End the prompt with “_”", (replaced(finding.line, end, end, "_"),))


@rule("invisible-characters", "warning")
def invisible_characters(facts: Facts) -> Iterator[Finding]:
    """Characters that nobody sees and a model reads: bidirectional controls, tags, zero-width and others."""
    controlled = "".join(facts.lines).encode("utf-8", "surrogatepass").translate(None, _NO_CONTROL)
    for number, line in enumerate(facts.lines):
        if not controlled and line.isascii():
            continue
        # Behind a line end, so that only the file's own byte order mark is one.
        for found in unicode.scan(f"\n{line}" if number else line):
            message = f"{found.message[:1].upper()}{found.message[1:]}. An agent reads what you do not see: remove it."
            yield Finding(number, found.column, message, found.column + found.length)


@fix("invisible-characters")
def remove_characters(_facts: Facts, finding: Finding) -> Iterable[Fix]:
    """Without them."""
    if finding.end_column is not None:
        yield Fix("Remove what is invisible here", (replaced(finding.line, finding.column, finding.end_column, ""),))
