"""What the Messages API says in its own way: types of errors in a stream, and two cases that it answers with 400."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kiro_lsp.executors.provider_failures import Manner

_TYPES: Final[Mapping[str, int]] = {
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def _status_of(status: int, type_: str, said: str) -> int:
    lowered = said.lower()
    if status == 400 and ("credit balance" in lowered or "usage limit" in lowered):
        return 402
    if status == 400 and ("prompt is too long" in lowered or "context window" in lowered or "context limit" in lowered):
        return 413
    return status or _TYPES.get(type_, 0)


MANNER: Final = Manner(_status_of)
