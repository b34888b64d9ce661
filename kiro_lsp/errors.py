"""The exception tree: every failure a person can meet, drawn once.

    KiroError
    ├── UsageError            the call itself is wrong (exit code 2)
    ├── UnknownTask           no such task; says which exist
    ├── AmbiguousTask         several tasks answer to the selector; carries candidates
    ├── UnreadableFile        a file is missing, binary, too large or not UTF-8
    ├── SettingsError         a setting has no usable value
    ├── Untrusted             the project asks for something it was not trusted with
    ├── PathRefused           a path leaves the root, or is protected
    ├── UnknownRun            no such run; says which exist
    ├── RunRefused            a run, review or undo is not possible in this state
    │   └── StaleRevision     the review has moved on since it was looked at
    ├── Conflict              a file changed since it was read; nothing was written
    ├── StoreError            the state directory cannot be read or written
    └── ExecutorError         an agent failed; `kind` is one of `ERROR_KINDS`
        └── BudgetExceeded    the cap would be passed

A message says what happened and where; `hint` says what to do next. Nothing here imports anything else of the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ErrorKind = Literal[
    "auth",
    "payment",
    "rate-limit",
    "overloaded",
    "network",
    "timeout",
    "refusal",
    "max-tokens",
    "budget",
    "loop",
    "agent",
    "edit",
    "internal",
]
ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)


class KiroError(Exception):
    """A failure with a message for a person.

    `code` is a short stable word for programs, `hint` the next step (may be empty).
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip() if self.hint else self.message


class UsageError(KiroError):
    code = "usage"


class UnknownTask(KiroError):
    code = "unknown-task"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One task that a selector could mean. `line` is 1-based, as people count."""

    key: str
    line: int
    title: str


class AmbiguousTask(KiroError):
    code = "ambiguous-task"

    def __init__(self, message: str, candidates: tuple[Candidate, ...], *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.candidates = candidates


class UnreadableFile(KiroError):
    code = "unreadable-file"


class SettingsError(KiroError):
    code = "settings"


class Untrusted(KiroError):
    """The project is not trusted. `digest` is what `trust --yes DIGEST` expects."""

    code = "untrusted"

    def __init__(self, message: str, *, digest: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.digest = digest


class PathRefused(KiroError):
    code = "path"


class UnknownRun(KiroError):
    code = "unknown-run"


class RunRefused(KiroError):
    code = "refused"

    def __init__(self, message: str, *, code: str = "refused", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class StaleRevision(RunRefused):
    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, code="stale-revision", hint=hint)


class Conflict(KiroError):
    """`files` are root-relative POSIX paths that are not what the run was computed on."""

    code = "conflict"

    def __init__(self, message: str, files: tuple[str, ...], *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.files = files


class StoreError(KiroError):
    code = "store"


class ExecutorError(KiroError):
    """An agent failed in a way that has a name; `kind` goes into the `error` event."""

    def __init__(self, kind: ErrorKind, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind: ErrorKind = kind
        self.code = kind


class BudgetExceeded(ExecutorError):
    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__("budget", message, hint=hint)
