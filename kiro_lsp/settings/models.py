"""Model names: the default of each provider, and the successor of names that no longer answer.

A name is retired here only when its provider has announced an end of service that has passed; names that still answer
are left alone, however old. Prices are the budget's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProviderModels:
    """`default` for ordinary work, `cheap` for simple tasks."""

    default: str
    cheap: str


MODELS: dict[str, ProviderModels] = {
    "anthropic": ProviderModels("claude-sonnet-5-5", "claude-haiku-5-5"),
    "openai": ProviderModels("gpt-6.1-sol", "gpt-6-luna"),
    "google": ProviderModels("gemini-3.8-flash", "gemini-3.5-flash-lite"),
}

_SUCCESSORS: tuple[tuple[str, str], ...] = (
    (r"claude-(v1|1|2|instant)([.-].*)?", "claude-sonnet-5-5"),
    (r"claude-3(-\d)?-opus(-.*)?", "claude-opus-5-5"),
    (r"claude-3(-\d)?-haiku(-.*)?", "claude-haiku-5-5"),
    (r"claude-3(-\d)?-sonnet(-.*)?", "claude-sonnet-5-5"),
    (r"claude-(sonnet-4|4-sonnet)(-0|-2025\d{4})?", "claude-sonnet-5-5"),
    (r"claude-(opus-4|4-opus)(-0|-2025\d{4})?", "claude-opus-5-5"),
    (r"claude-mythos-preview", "claude-mythos-5-2"),
    (r"gpt-4(-32k)?(-\d{4})?", "gpt-6.1-sol"),
    (r"gpt-4-(turbo|vision)(-.*)?", "gpt-6.1-sol"),
    (r"gpt-4-(1106|0125)-(preview|vision-preview)", "gpt-6.1-sol"),
    (r"gpt-3\.5(-.*)?", "gpt-6-luna"),
    (r"(text|code)-davinci-\d+", "gpt-6-luna"),
    (r"gemini-(1\.0|1\.5|2\.0)-pro(-.*)?|gemini-pro(-vision)?", "gemini-3.1-pro-preview"),
    (r"gemini-(1\.5|2\.0)-flash(?!-lite)(-.*)?", "gemini-3.8-flash"),
    (r"gemini-2\.0-flash-lite(-.*)?", "gemini-3.5-flash-lite"),
)
_RETIRED = tuple((re.compile(pattern), new) for pattern, new in _SUCCESSORS)


def successor(model: str) -> str | None:
    """The model to use instead of a retired name, None for a name that may still answer.

    A provider prefix as gateways write it (`anthropic/claude-sonnet-4`) is kept.
    """
    prefix, slash, name = model.rpartition("/")
    for pattern, new in _RETIRED:
        if pattern.fullmatch(name.lower()):
            return f"{prefix}{slash}{new}"
    return None
