"""Tokens as each provider's API reports them, as `Usage`. What is left unsaid is unknown and never zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kiro_lsp.budget import Usage


def anthropic_usage(wire: Mapping[str, int], *, for_an_hour: bool) -> Usage | None:
    """Input tokens of this API exclude the cache; ours include it. What was written for how long may be left unsaid."""
    if "input_tokens" not in wire or "output_tokens" not in wire:
        return None
    read, written = wire.get("cache_read_input_tokens", 0), wire.get("cache_creation_input_tokens", 0)
    hour = min(wire.get("ephemeral_1h_input_tokens", written if for_an_hour else 0), written)
    return Usage(wire["input_tokens"] + read + written, wire["output_tokens"], read, written, hour)


def google_usage(wire: Mapping[str, int]) -> Usage | None:
    """Prompt tokens of this API include the cache; thoughts are output beside the answer's own tokens."""
    if "prompt_token_count" not in wire:
        return None
    given = wire["prompt_token_count"] + wire.get("tool_use_prompt_token_count", 0)
    if "candidates_token_count" in wire or "thoughts_token_count" in wire:
        output = wire.get("candidates_token_count", 0) + wire.get("thoughts_token_count", 0)
    elif wire.get("total_token_count", -1) >= given:
        output = wire["total_token_count"] - given  # a blocked or empty answer has no count of its own
    else:
        return None
    return Usage(given, output, min(wire.get("cached_content_token_count", 0), given))


def openai_usage(counts: Mapping[str, Any], input_name: str, output_name: str, details: object) -> Usage | None:
    """None where a count is missing or none at all. Both APIs count what was read from a cache as input."""
    given, answered = count(counts.get(input_name)), count(counts.get(output_name))
    if given is None or answered is None:
        return None
    more = details if isinstance(details, dict) else {}
    read, written = count(more.get("cached_tokens")) or 0, count(more.get("cache_write_tokens")) or 0
    return Usage(given, answered, min(read, given), min(written, given - min(read, given)))


def count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
