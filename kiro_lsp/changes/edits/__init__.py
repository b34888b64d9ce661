"""Edits as models send them: read in any format, placed exactly or refused with the reason.

`read_answer` turns text into an `Answer`, `apply_answer` turns that into changes of files, all or none. Pure: files come
as a mapping from root-relative path to bytes, and nothing is written.
"""

from __future__ import annotations

from kiro_lsp.changes.edits.apply import apply_answer
from kiro_lsp.changes.edits.formats import format_names, read_answer
from kiro_lsp.changes.edits.stream import AnswerReader

__all__ = ["AnswerReader", "apply_answer", "format_names", "read_answer"]
