"""Secrets that cannot be printed by accident, where they were looked for, and where they may be sent.

A Secret shows nothing in repr, str, format, copies or pickles; only `reveal()` gives the value. Finding secrets in text
that is about to leave the process is `redact.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from kiro_lsp.settings.model import AgentSettings
    from kiro_lsp.settings.redact import Redactor

_HIDDEN = "[secret]"
_NO_AGENTS: Mapping[str, AgentSettings] = MappingProxyType({})


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


@dataclass(frozen=True, slots=True)
class KeyLookup:
    """The outcome of looking for an agent's key."""

    secret: Secret | None
    name: str
    """The variable that held it, or the first one that was looked for."""
    looked: tuple[str, ...]
    """Every place, in the order of looking, as a person reads it."""
    refused: str | None = None
    """Why a key that exists is not used: it is not bound to the host."""


class Secrets:
    """Keys by variable name: from the environment, the trusted project's `.env` and the person's own configuration."""

    __slots__ = ("_agents", "_dotenv", "_environ")

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        dotenv: Mapping[str, str] | None = None,
        agents: Mapping[str, AgentSettings] = _NO_AGENTS,
    ) -> None:
        self._environ = {name: Secret(value) for name, value in (environ or {}).items()}
        self._dotenv = {name: Secret(value) for name, value in (dotenv or {}).items()}
        self._agents = agents

    def lookup(self, name: str) -> tuple[Secret | None, tuple[str, ...]]:
        """The secret of a variable, and the places that were looked at, in order. Of `.env` only known names count."""
        from kiro_lsp.settings.dotenv import ALLOWED_KEYS

        looked = [f"environment variable {name}"]
        found = self._environ.get(name)
        if not _given(found) and name in ALLOWED_KEYS:
            looked.append(f"{name} in the project's .env" + ("" if self._dotenv else " (none, or not trusted)"))
            found = self._dotenv.get(name)
        return (found if _given(found) else None), tuple(looked)

    def for_agent(self, agent: AgentSettings, endpoint: str | None = None) -> KeyLookup:
        """The key of an agent, if it may go to where the agent lives.

        `endpoint` is the address of the launch environment, which is called when no layer of settings names one. A key
        goes to the hosts of its own provider, to hosts that the person's own configuration or environment names, and
        to this machine; to others only a key that the project itself brought in its `.env`.
        """
        from kiro_lsp.settings.providers import TYPE_KEYS

        if agent.api_key:
            refused = self._refusal("api_key", agent, endpoint)
            return KeyLookup(
                None if refused else agent.api_key, "api_key", ("api_key in your own configuration",), refused
            )
        names = (agent.api_key_env,) if agent.api_key_env else TYPE_KEYS.get(agent.type or "", ())
        looked: list[str] = []
        for name in names:
            secret, places = self.lookup(name)
            looked.extend(places)
            if secret is not None:
                refused = None if self._from_project(name) else self._refusal(name, agent, endpoint)
                return KeyLookup(None if refused else secret, name, tuple(looked), refused)
        return KeyLookup(None, names[0] if names else "", tuple(looked))

    def _from_project(self, name: str) -> bool:
        return not _given(self._environ.get(name)) and _given(self._dotenv.get(name))

    def _refusal(self, name: str, agent: AgentSettings, endpoint: str | None) -> str | None:
        from kiro_lsp.settings.providers import DEFAULT_ENDPOINTS, STANDARD_KEYS
        from kiro_lsp.settings.values import is_loopback, origin

        # An address that some layer set wins over the launch environment; a built-in one does not.
        own, moved = agent.endpoint, endpoint
        url = (own or moved) if "endpoint" in agent.origins else (moved or own)
        url = url or DEFAULT_ENDPOINTS.get(agent.type or "")
        if url is None:
            return None
        where = origin(url)
        if where is None:
            return f"{url!r} is not an address that a key can be sent to."
        if is_loopback(where[1]):
            return None
        if where[0] != "https":
            return f"{name} is not sent to {url}: without https others on the way could read it."
        bound = [origin(host) for host in STANDARD_KEYS.get(name, ())]
        projects_own = agent.endpoint is not None and agent.origins.get("endpoint") in ("project", "client")
        if projects_own:
            if where in bound:
                return None
            return (
                f"{name} is not sent to {where[1]}: that address comes from the project. "
                f"If you want it, set endpoint of [agents.{agent.name}] in your own configuration."
            )
        names_key = agent.origins.get("api_key_env") in ("project", "client")
        if names_key and bound and where not in bound and agent.endpoint is None:
            return f"{name} is not sent to {where[1]}: it is another provider's key."
        return None

    def values(self) -> tuple[str, ...]:
        """Every text that must not be shown: keys and what else looks like one in the environment and in `.env`."""
        from kiro_lsp.settings import redact

        found = [agent.api_key.reveal() for agent in self._agents.values() if agent.api_key]
        for variables, strict in ((self._environ, False), (self._dotenv, True)):
            for name, secret in variables.items():
                value = secret.reveal()
                password = redact.url_password(value)
                if password:
                    found.append(password)
                if redact.is_secret(name, value, strict=strict) or self._names_key(name):
                    found.append(value)
        return tuple(dict.fromkeys(found))

    def redactor(self) -> Redactor:
        """A redactor that knows every secret of this process and project."""
        from kiro_lsp.settings.redact import Redactor

        return Redactor(self.values())

    def _names_key(self, name: str) -> bool:
        return any(agent.api_key_env == name for agent in self._agents.values())

    def __repr__(self) -> str:
        return f"Secrets({len(self._environ) + len(self._dotenv)} hidden)"


def _given(secret: Secret | None) -> bool:
    return secret is not None and bool(secret.reveal().strip())
