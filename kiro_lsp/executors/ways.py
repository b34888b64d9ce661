"""The ways behind every agent's everyday name, with their settings filled in: what there is to try, not whether it works.

A built-in agent is one TOML file in `agents/`, found by its place; `[agents.NAME]` of the settings overrides it field by
field or adds one. Its ways stand in the order of preference: the tables `[[ways]]` of the file, and last what the file itself
describes. Which keys and addresses go with a way is decided here, so that a program which the person is logged in to never
gets a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import tomli

from kiro_lsp.events import Billing
from kiro_lsp.executors.protocol import Home, Needs
from kiro_lsp.settings import TYPE_KEYS, AgentSettings, KeyLookup, Secrets, Settings
from kiro_lsp.settings.model import NetworkKind
from kiro_lsp.settings.models import MODELS, successor
from kiro_lsp.settings.providers import DEFAULT_ENDPOINTS, STANDARD_KEYS
from kiro_lsp.settings.values import server_address

TRIAL = "trial"
"""The model of the built-in recording: it shows the way and does not do the task, so it never ticks one."""

_PROVIDER: Mapping[str, str] = {"anthropic-api": "anthropic", "openai-api": "openai", "google-api": "google"}
_BEGINNINGS: Mapping[str, tuple[str, ...]] = {
    "anthropic-api": ("claude-",),
    "openai-api": ("gpt-", "chatgpt-", "codex-", "o1", "o3", "o4"),
    "google-api": ("gemini-",),
}
"""How the names of a provider's own models begin."""
PROGRAMS = frozenset({"acp", "mcp", "cli", "kiro"})
"""Types that are programs of somebody else, which the person may be logged in to."""
OLLAMA_PORT = 11434
ANY_HOST: Final = "*"
"""Among the hosts of an MCP server: everything."""
_LINES: Final = ("stream", "sandbox_args", "copy_args", "model_args", "resume_args", "copy_env")
"""What is said of a program that is run for one answer: the format of its output, and its arguments."""
_METER: Final = ("meter", "base_url_env", "base_url_args")
_PLACE: Final = (
    "login",
    "login_files",
    "continue_command",
    "network",
    "hosts",
    "homes",
    "guarded",
    "sandbox_mode",
    *_LINES,
    *_METER,
)
"""What is said of a program's login, and of the place that it works in."""


@dataclass(frozen=True, slots=True)
class Builtin:
    """One file of `agents/`."""

    settings: AgentSettings
    order: int
    """Lower is recommended first."""
    endpoint_env: str | None = None
    """Variable of the launch environment that moves the endpoint."""
    ways: tuple[AgentSettings, ...] = ()
    """Ways that are preferred to the file's own, the best first."""


def settings_for(name: str, settings: Settings, *, model: str | None = None, kind: str | None = None) -> AgentSettings:
    """An agent's settings for one of its ways, with everything that is left open filled in.

    `kind` is the way's type; None is the agent's own, which is the last of its ways.
    """
    ways = ways_of(name, settings, model=model)
    return next((way for way in ways if way.type == kind), ways[-1])


def ways_of(name: str, settings: Settings, *, model: str | None = None) -> tuple[AgentSettings, ...]:
    """The ways behind a name, the best first. Who configured a type wants exactly that one."""
    given = settings.agents.get(name)
    builtin = known_builtins().get(name)
    if given is None:
        own = builtin.settings if builtin else AgentSettings(name)
    else:
        known = (builtin.settings, *builtin.ways) if builtin is not None else ()
        base = next((way for way in known if given.type in (None, way.type)), None)
        own = given if base is None else _filled(given, base)
    own = _with_server(own, settings)
    others: tuple[AgentSettings, ...] = ()
    if builtin is not None and (given is None or given.type is None):
        base = given or AgentSettings(name, enabled=builtin.settings.enabled)
        others = tuple(_adjusted(way, base, own.label) for way in builtin.ways)
    return *(_completed(way, model) for way in others), _completed(own, model)


def needs_of(agent: AgentSettings) -> Needs:
    """What an agent's program needs of the place that it works in."""
    hosts = agent.hosts or ()
    homes = agent.homes or ()
    guarded = {
        home: tuple(path.removeprefix(f"{home}/") for path in agent.guarded or () if path.startswith(f"{home}/"))
        for home in homes
    }
    return Needs(
        network=agent.network or ("hosts" if hosts else "open"),
        hosts=hosts,
        homes=tuple(Home(home, guarded[home]) for home in homes),
    )


def provider_of(model: str) -> str | None:
    """The type of agent that a model's name belongs to, None where it does not show it; gateways write `vendor/model`."""
    name = model.casefold()
    return next((kind for kind, beginnings in _BEGINNINGS.items() if name.startswith(beginnings)), None)


def environ_of(agent: AgentSettings, environ: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    """What an executor may look up: its own key, and its endpoint where the launch environment moves it. Nothing else.

    A program that the person is logged in to gets no key: with one, it would charge by use.
    """
    found: dict[str, str] = {}
    if _gets_no_key(agent):
        return found
    moved = _endpoint_variable(agent)
    if moved and environ.get(moved) and "endpoint" not in agent.origins:
        found[moved] = environ[moved]
    # A key that is not bound to the address is not handed over, whoever asks.
    secret = key_of(agent, secrets, found.get(moved or "")).secret
    if agent.api_key_env and secret is not None:
        found[agent.api_key_env] = secret.reveal()
    return found


@cache
def known_builtins() -> Mapping[str, Builtin]:
    """The agents that ship with the program, by name."""
    found: dict[str, Builtin] = {}
    for entry in resources.files(__package__).joinpath("agents").iterdir():
        if entry.name.endswith(".toml"):
            name = entry.name.removesuffix(".toml")
            values = tomli.loads(entry.read_text("utf-8"))
            order, endpoint_env = values.pop("order", 500), values.pop("endpoint_env", None)
            shared: dict[str, Any] = {key: values[key] for key in (*_PLACE, "env") if key in values}
            ways = tuple(_described(name, {**shared, **way}) for way in values.pop("ways", ()))
            found[name] = Builtin(_described(name, values), order, endpoint_env, ways)
    return found


def label_of(name: str) -> str:
    """What people call an agent, also one that is not configured any more."""
    builtin = known_builtins().get(name)
    return (builtin.settings.label if builtin else None) or name.capitalize()


def names_in(settings: Settings) -> list[str]:
    return sorted({*known_builtins(), *settings.agents}, key=lambda name: (_builtin_order(name), name))


def can_cap(agent: AgentSettings) -> bool:
    """Whether a cap in dollars can be kept for an agent: it is not metered, its requests are made by us, or its program can be
    led through the metering proxy.
    """
    return (
        agent.billing != "metered"
        or agent.type not in PROGRAMS
        or (agent.meter is not None and (agent.base_url_env is not None or bool(agent.base_url_args)))
    )


def _gets_no_key(agent: AgentSettings) -> bool:
    return agent.type in PROGRAMS and agent.billing != "metered"


def address_of(agent: AgentSettings, secrets: Secrets) -> str:
    """The base address that an agent calls, as its executor finds it."""
    moved = moved_to(agent, secrets)
    address = agent.endpoint if "endpoint" in agent.origins else moved or agent.endpoint
    address = address or DEFAULT_ENDPOINTS.get(agent.type or "", "")
    return server_address(address, OLLAMA_PORT) if agent.type == "ollama" else address.rstrip("/")


def key_of(agent: AgentSettings, secrets: Secrets, endpoint: str | None) -> KeyLookup:
    """The key of an agent. Where nobody chose a variable, each standard one of its type is looked at."""
    standard = "api_key_env" not in agent.origins and agent.api_key_env in TYPE_KEYS.get(agent.type or "", ())
    return secrets.for_agent(replace(agent, api_key_env=None) if standard else agent, endpoint)


def _filled(given: AgentSettings, base: AgentSettings) -> AgentSettings:
    """What is configured, and from the built-in agent what that leaves open."""
    fields = ("type", "label", "billing", "api_key_env", "model", "endpoint", "command", "args", *_PLACE)
    filled: dict[str, Any] = {name: getattr(base, name) for name in fields if getattr(given, name) is None}
    return replace(given, **filled, env={**base.env, **given.env})


def _with_server(agent: AgentSettings, settings: Settings) -> AgentSettings:
    """An agent that is a tool of a configured MCP server, with how that server is reached."""
    server = settings.mcp_servers.get(agent.server or "")
    if agent.type != "mcp" or server is None or not server.enabled:
        return agent
    hosts = agent.hosts or tuple(host for host in server.hosts if host != ANY_HOST)
    reached: NetworkKind = "open" if ANY_HOST in server.hosts else "hosts" if hosts else "none"
    return replace(
        agent,
        command=server.command,
        args=server.args,
        env={**server.env, **agent.env},
        endpoint=server.url,
        hosts=hosts,
        network=agent.network or reached,
    )


def _adjusted(way: AgentSettings, given: AgentSettings, label: str | None) -> AgentSettings:
    """A preferred way of a built-in agent, with what is configured for the agent as a whole."""
    place = {name: value for name in _PLACE if (value := getattr(given, name)) is not None}
    env = {**way.env, **given.env}
    return replace(way, enabled=given.enabled, label=label, env=env, origins=given.origins, **place)


def _described(name: str, values: Mapping[str, Any]) -> AgentSettings:
    more = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return AgentSettings(name, **{**values, **more})


def _builtin_order(name: str) -> int:
    builtin = known_builtins().get(name)
    return builtin.order if builtin else 500


def _completed(agent: AgentSettings, model: str | None) -> AgentSettings:
    """With the defaults of its type: key variable, model (retired names replaced), billing, label."""
    kind = agent.type or ""
    chosen = model or agent.model or (MODELS[_PROVIDER[kind]].default if kind in _PROVIDER else "")
    if kind == "replay":
        chosen = Path(agent.recording).name if agent.recording else TRIAL
    billing: Billing = agent.billing or (
        "metered" if kind in _PROVIDER else "local" if kind in ("ollama", "replay") else "subscription"
    )
    complete = replace(
        agent,
        model=successor(chosen) or chosen,
        billing=billing,
        label=agent.label or label_of(agent.name),
        api_key_env=agent.api_key_env or next(iter(TYPE_KEYS.get(kind, ())), None),
    )
    if not _gets_no_key(complete):
        return complete
    # Whoever pays by subscription would silently pay by use if the program found a key.
    env = {name: value for name, value in agent.env.items() if name not in STANDARD_KEYS}
    return replace(complete, api_key_env=None, api_key=None, env=env)


def _endpoint_variable(agent: AgentSettings) -> str | None:
    """The variable of the launch environment that moves the endpoint of agents of this type."""
    known = (builtin.endpoint_env for builtin in known_builtins().values() if builtin.settings.type == agent.type)
    return next((name for name in known if name), None)


def moved_to(agent: AgentSettings, secrets: Secrets) -> str | None:
    """The address that the launch environment names for an agent."""
    variable = _endpoint_variable(agent)
    address = secrets.lookup(variable)[0] if variable else None
    return address.reveal() if address is not None else None
