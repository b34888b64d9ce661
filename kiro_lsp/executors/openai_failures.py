"""What OpenAI and those who speak like it say in their own way: codes that mean more than the status they come with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kiro_lsp.executors.provider_failures import Manner

_CODES: Final[Mapping[str, int]] = {
    "insufficient_quota": 402,
    "billing_hard_limit_reached": 402,
    "billing_not_active": 402,
    "context_length_exceeded": 413,
    "exceed_context_size_error": 413,
    "string_above_max_length": 413,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "rate_limit_exceeded": 429,
    "slow_down": 429,
    "server_is_overloaded": 503,
    "server_error": 500,
}
_TOO_LONG: Final = ("maximum context length", "context window", "context length")


def _status_of(status: int, code: str, said: str) -> int:
    if status in (0, 400, 402, 404, 429) and code in _CODES:
        return _CODES[code]
    if status == 400 and any(words in said.lower() for words in _TOO_LONG):
        return 413
    return int(code) if not status and code.isdecimal() and len(code) == 3 else status


MANNER: Final = Manner(_status_of)
