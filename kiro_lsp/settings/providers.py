"""The providers that are known by name: where their keys are looked for, where they may go, and their addresses."""

from __future__ import annotations

STANDARD_KEYS: dict[str, tuple[str, ...]] = {
    "ANTHROPIC_API_KEY": ("https://api.anthropic.com",),
    "ANTHROPIC_AUTH_TOKEN": ("https://api.anthropic.com",),
    "OPENAI_API_KEY": ("https://api.openai.com",),
    "GOOGLE_API_KEY": ("https://generativelanguage.googleapis.com",),
    "GEMINI_API_KEY": ("https://generativelanguage.googleapis.com",),
    "OPENROUTER_API_KEY": ("https://openrouter.ai",),
    "MISTRAL_API_KEY": ("https://api.mistral.ai",),
    "DEEPSEEK_API_KEY": ("https://api.deepseek.com",),
    "GROQ_API_KEY": ("https://api.groq.com",),
    "XAI_API_KEY": ("https://api.x.ai",),
    "KIRO_API_KEY": (),
}
"""Providers' own variable names and the hosts that such a key may go to without being named in your configuration."""

DEFAULT_ENDPOINTS: dict[str, str] = {
    "anthropic-api": "https://api.anthropic.com",
    "openai-api": "https://api.openai.com/v1",
    "google-api": "https://generativelanguage.googleapis.com",
    "ollama": "http://localhost:11434",
}
TYPE_KEYS: dict[str, tuple[str, ...]] = {
    "anthropic-api": ("ANTHROPIC_API_KEY",),
    "openai-api": ("OPENAI_API_KEY",),
    "google-api": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
"""Where an agent of a type looks for its key when `api_key_env` is not set."""
