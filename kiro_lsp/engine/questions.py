"""The questions that every run may put to the person: their options, and which of them is meant by no, or by words alone."""

from __future__ import annotations

from typing import Final

from kiro_lsp.events import OptionKind
from kiro_lsp.executors.protocol import Question

Options = tuple[tuple[str, str, OptionKind], ...]

_ONCE: Final[Options] = (("once", "Allow once", "allow-once"), ("run", "Allow for this run", "allow-run"))
_DENY: Final[Options] = (("deny", "Deny", "deny"),)
COMMAND_OPTIONS: Final[Options] = (
    *_ONCE,
    ("always", "Always allow this exact command in this project", "allow-always"),
    *_DENY,
)
TOOL_OPTIONS: Final[Options] = (
    *_ONCE,
    ("always", "Always allow this tool, as it is described now, in this project", "allow-always"),
    *_DENY,
)


def deny_option(question: Question) -> str:
    """The id of the option that means no."""
    return next((identifier for identifier, _label, kind in question.options if kind == "deny"), "deny")


def meant_by_words(question: Question) -> str:
    """The option that an answer in words alone stands for."""
    said = next((identifier for identifier, _label, kind in question.options if kind != "deny"), "")
    return said if question.words else deny_option(question)
