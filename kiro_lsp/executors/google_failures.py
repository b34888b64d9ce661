"""What the Gemini API says in its own way: names in a stream, cases that it answers with 400, keys that belong to projects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kiro_lsp.executors.provider_failures import Manner

_NAMES: Final[Mapping[str, int]] = {
    "API_KEY_INVALID": 401,
    "UNAUTHENTICATED": 401,
    "FAILED_PRECONDITION": 402,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def _status_of(status: int, name: str, said: str) -> int:
    lowered = said.lower()
    if status == 400 and "token count" in lowered and "exceeds" in lowered:
        return 413
    if status == 400 and (name == "API_KEY_INVALID" or "api key not valid" in lowered):
        return 401
    if status == 400 and name == "FAILED_PRECONDITION":
        return 402
    return status or _NAMES.get(name, 0)


MANNER: Final = Manner(
    _status_of,
    {
        402: (
            "payment",
            "The account cannot use the API as it is",
            "Enable billing for the project of {key}, or check that the API is offered where you are, then retry.",
        ),
        403: (
            "auth",
            "The key of {label} has no right to do this",
            "Check the project that {key} belongs to, and that it may use {model}.",
        ),
        429: (
            "rate-limit",
            "The quota of the key in {key} is used up",
            "Wait as long as it says, then retry; lower execution.max_parallel if it happens often.",
        ),
    },
)
