"""Edits as models send them: read in any format, placed exactly or refused with the reason.

`read_answer` turns text into an `Answer`, `apply_answer` turns that into changes of files, all or none. Pure: files come
as a mapping from root-relative path to bytes, and nothing is written.
"""

from __future__ import annotations

from kiro_lsp.changes.edits.answer import Answer
from kiro_lsp.changes.edits.apply import apply_answer

__all__ = ["apply_answer", "read_answer"]


def read_answer(text: str, format: str = "auto", *, file: str | None = None) -> Answer:
    """The edits of an answer. `format` is one of the contract's names; `file` is meant where the answer names none."""
    from kiro_lsp.changes.edits import formats

    return formats.read_answer(text, format, file=file)  # type: ignore[attr-defined,no-any-return]
