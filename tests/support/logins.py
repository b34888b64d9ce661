"""A person's home folder in which an agent program from npm is logged in, and whose provider is a server of this machine.

    laid_out(home, "claude", server.url, key)      # before the program is started with that home

Nothing of it is in the project's configuration or in the environment: as with a person, the program finds it at home.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.support.anthropic_server import AnthropicServer
from tests.support.google_server import GoogleServer
from tests.support.openai_server import OpenaiServer
from tests.support.provider_server import ProviderServer

Json = dict[str, Any]

SERVERS: Final[Mapping[str, type[ProviderServer]]] = {
    "claude": AnthropicServer,
    "codex": OpenaiServer,
    "gemini": GoogleServer,
    "opencode": OpenaiServer,
}
MODELS: Final = {"codex": "gpt-6.1-sol", "gemini": "gemini-3.8-flash", "opencode": "local/served"}


def laid_out(home: Path, name: str, url: str, key: str) -> Mapping[str, str]:
    """Write what the program's own login leaves; returns the variables by which it finds the server."""
    return _LAID_OUT[name](home, url, key)


def host_of(url: str) -> str:
    return urlsplit(url).netloc


def _claude(home: Path, url: str, key: str) -> Mapping[str, str]:
    login = {
        "accessToken": key,
        "refreshToken": key,
        "expiresAt": 4102444800000,
        "scopes": ["user:inference", "user:profile"],
        "subscriptionType": "max",
    }
    _write(home / ".claude" / ".credentials.json", {"claudeAiOauth": login})
    _write(home / ".claude.json", {"hasCompletedOnboarding": True})
    return {"ANTHROPIC_BASE_URL": url, "CLAUDE_CODE_MAX_RETRIES": "1"}


def _codex(home: Path, url: str, key: str) -> Mapping[str, str]:
    _write(home / ".codex" / "auth.json", {"auth_mode": "apikey", "OPENAI_API_KEY": key})
    config = [
        f'model = "{MODELS["codex"]}"',
        'model_provider = "served"',
        "[model_providers.served]",
        'name = "served"',
        f'base_url = "{url}"',
        'wire_api = "responses"',
        "requires_openai_auth = true",
        "request_max_retries = 1",
        "stream_max_retries = 1",
    ]
    (home / ".codex" / "config.toml").write_text("\n".join(config) + "\n", "utf-8")
    return {}


def _gemini(home: Path, url: str, _key: str) -> Mapping[str, str]:
    """By key only: its login is with Google itself. The key comes from the environment."""
    settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "model": {"name": MODELS["gemini"]}}
    _write(home / ".gemini" / "settings.json", settings)
    return {"GOOGLE_GEMINI_BASE_URL": url}


def _opencode(home: Path, url: str, key: str) -> Mapping[str, str]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "local",
        "options": {"baseURL": url},
        "models": {"served": {"name": "served"}},
    }
    _write(
        home / ".config" / "opencode" / "opencode.json",
        {"$schema": "…", "provider": {"local": provider}, "model": MODELS["opencode"]},
    )
    _write(home / ".local" / "share" / "opencode" / "auth.json", {"local": {"type": "api", "key": key}})
    (home / ".local" / "state" / "opencode").mkdir(parents=True)
    return {"OPENCODE_DISABLE_MODELS_FETCH": "1"}


def _write(path: Path, value: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")
    path.chmod(0o600)


_LAID_OUT: Final[Mapping[str, Callable[[Path, str, str], Mapping[str, str]]]] = {
    "claude": _claude,
    "codex": _codex,
    "gemini": _gemini,
    "opencode": _opencode,
}
