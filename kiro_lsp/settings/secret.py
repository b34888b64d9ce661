"""Secrets that cannot be printed by accident, and where they were looked for.

A Secret shows nothing in repr, str, format, copies or pickles; only `reveal()` gives the value. Finding secrets in text
that is about to leave the process is `redact.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn

_HIDDEN = "[secret]"


class Secret:
    """A value that stays out of logs: every way to print it shows `[secret]`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that sends it to its provider."""
        return self._value

    def __repr__(self) -> str:
        return _HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _HIDDEN

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _memo: object) -> Secret:
        return self


class Secrets:
    """Keys by variable name, from the environment, the project's `.env` and the person's own configuration."""

    __slots__ = ("_environ", "_environ_names", "_known")

    def __init__(self, environ: Mapping[str, str] | None = None, known: Iterable[str] = ()) -> None:
        self._environ = {name: Secret(value) for name, value in (environ or {}).items()}
        self._environ_names = tuple(self._environ)
        self._known = tuple(known)

    def lookup(self, name: str) -> tuple[Secret | None, tuple[str, ...]]:
        """The secret of a variable, and the places that were looked at, in order."""
        found = self._environ.get(name)
        return (found if found else None), (f"environment variable {name}",)

    def __repr__(self) -> str:
        return f"Secrets({len(self._environ)} hidden)"
