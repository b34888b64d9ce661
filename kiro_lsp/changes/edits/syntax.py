"""A check after the edit: whether files that parsed before still do. A warning, never a reason to refuse.

Only Python, whose parser is at hand, and only files of a size that is parsed at once.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable

from kiro_lsp.changes.model import FileChange

_LARGEST = 300_000
"""Bytes; about a tenth of a second."""


def broken(changes: Iterable[FileChange]) -> tuple[str, ...]:
    """One sentence for every Python file that parsed before the change and does not after it."""
    found = []
    for change in changes:
        path = change.to or change.path
        if not path.endswith((".py", ".pyi")) or change.base is None or change.proposed is None:
            continue
        if max(len(change.base), len(change.proposed)) <= _LARGEST and _fault(change.base) is None:
            fault = _fault(change.proposed)
            if fault is not None:
                found.append(f"{path} parsed before this change and does not any more: {fault}.")
    return tuple(found)


def _fault(data: bytes) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(data)
    except SyntaxError as error:
        return f"{error.msg} (line {error.lineno})"
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error) or type(error).__name__
    return None
