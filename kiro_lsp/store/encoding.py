"""Values as text in a row and back. Half a surrogate pair, which models and editors do send, must not stop a run."""

from __future__ import annotations

import json
from typing import Any

import orjson

from kiro_lsp.errors import StoreError

LARGEST = 2**53
"""Counts and amounts are cut here: a nonsense number from outside must not break every sum that it is part of."""


def dump(value: Any) -> str:
    """JSON. Whatever Python strings hold survives, also lone surrogates, which orjson and SQLite refuse."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, separators=(",", ":"))


def load(text: str) -> Any:
    """What `dump` wrote. Raises StoreError when it is no JSON any more."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text)
    except ValueError as error:
        raise StoreError(f"A stored value is damaged: {error}.", hint="`kiro-lsp doctor` says more.") from error


def shown(text: str) -> str:
    """A text for people, with what is not Unicode written out: `\\ud83d`. Not for paths, which must stay exact."""
    return text.encode("utf-8", "backslashreplace").decode()


def count(number: int) -> int:
    return max(0, min(number, LARGEST))
