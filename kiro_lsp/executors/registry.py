"""Which agents there are, whether each can be used now and why, and the executor that reaches it.

A built-in agent is one TOML file in `agents/`, found by its place; `[agents.NAME]` of the settings overrides it field by
field or adds one. A protocol is one module of this package: type "anthropic-api" is `anthropic.py` with the class
`AnthropicExecutor`. Listing starts nothing, imports no SDK and opens no connection.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

import tomli

from kiro_lsp.errors import ExecutorError, RunRefused
from kiro_lsp.events import Billing, Way
from kiro_lsp.executors.protocol import AgentInfo, Executor
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import TYPE_KEYS, AgentSettings, KeyLookup, Secrets, Settings, Sources, load_settings
from kiro_lsp.settings.models import MODELS, successor
from kiro_lsp.settings.values import is_loopback, origin

TRIAL = "trial"
"""The model of the built-in recording: it shows the way and does not do the task, so it never ticks one."""

_MODULE: Mapping[str, str] = {
    "anthropic-api": "anthropic",
    "openai-api": "openai",
    "google-api": "google",
    "ollama": "ollama",
    "acp": "acp",
    "mcp": "mcp",
    "cli": "command",
    "kiro": "kiro",
    "replay": "replay",
}
_WAY: Mapping[str, Way] = {
    "anthropic-api": "api",
    "openai-api": "api",
    "google-api": "api",
    "ollama": "api",
    "acp": "acp",
    "mcp": "mcp",
    "cli": "cli",
    "kiro": "acp",
    "replay": "replay",
}
_PROVIDER: Mapping[str, str] = {"anthropic-api": "anthropic", "openai-api": "openai", "google-api": "google"}


@dataclass(frozen=True, slots=True)
class Builtin:
    """One file of `agents/`."""

    settings: AgentSettings
    order: int
    """Lower is recommended first."""
    endpoint_env: str | None = None
    """Variable of the launch environment that moves the endpoint."""


def agents(settings: Settings, secrets: Secrets) -> list[AgentInfo]:
    """Every known agent in the order of recommendation, available or not, with the reason."""
    names = {*known_builtins(), *settings.agents}
    listed = sorted(names, key=lambda name: (_builtin_order(name), name))
    return [_info(settings_for(name, settings), secrets) for name in listed]


def recommended(known: Sequence[AgentInfo], settings: Settings) -> AgentInfo | None:
    """The agent of a plain click: the configured default if it is available, else the first available real one.

    A recording is taken only when it is the configured default: nothing pretends to work.
    """
    default = settings.kiro.default_agent
    if default != "auto":
        chosen = next((info for info in known if info.name == default), None)
        return chosen if chosen is not None and chosen.available else None
    return next((info for info in known if info.available and info.way != "replay"), None)


def named(known: Sequence[AgentInfo], name: str) -> AgentInfo:
    """The agent that a person means: by name, label or type. Raises RunRefused with those that exist."""
    wanted = name.casefold()
    for info in known:
        if wanted in (info.name.casefold(), info.label.casefold(), info.type.casefold()):
            return info
    raise RunRefused(
        f"There is no agent {name!r}.", code="no-agent", hint=f"Known agents: {', '.join(info.name for info in known)}."
    )


def create(
    agent: AgentInfo,
    settings: Settings,
    workers: WorkerPool | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> Executor:
    """The executor for an agent. Call it after trust.

    `workers` keeps provider processes warm between runs; `environ` is where the key is looked up for requests that bring no
    environment of their own. Raises ExecutorError for a type that this version cannot speak.
    """
    module_name = _MODULE.get(agent.type, agent.type)
    class_name = _class_name(module_name)
    where = f"{__package__}.{module_name}"
    try:
        module = importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name != where:
            raise ExecutorError(
                "agent", f"{agent.label} needs the package {error.name!r}.", hint="Reinstall kiro-lsp."
            ) from error
        raise ExecutorError("agent", _unsupported(agent.type), hint="Pick another agent.") from error
    executor = getattr(module, class_name, None)
    if executor is None:
        raise ExecutorError("internal", f"{module.__file__} has no class {class_name}.")
    chosen = settings_for(agent.name, settings, model=agent.model)
    return cast("Executor", executor(chosen, workers, environ))


def agent_named(name: str, *, model: str | None = None, environ: Mapping[str, str] | None = None) -> Executor:
    """An executor by its agent's name, for planners that have no project settings: keys come from the environment only.

        result = await agent_named("claude").execute(ExecutorRequest(root_dir=root, ticket_markdown=text), LocalRun(root))

    Raises RunRefused for an unknown agent, or one that is not available here, with the reason.
    """
    given = os.environ if environ is None else environ
    loaded = load_settings(Sources(environ=given), trusted=False)
    info = named(agents(loaded.settings, loaded.secrets), name)
    if not info.available:
        raise RunRefused(f"{info.label} is not available: {info.reason}", code="no-agent", hint="Pick another agent.")
    chosen = settings_for(info.name, loaded.settings, model=model)
    return create(
        replace(info, model=chosen.model or ""),
        loaded.settings,
        environ=environ_of(chosen, given, loaded.secrets),
    )


def warm_module(agent: AgentInfo) -> Path | None:
    """The worker program that is worth starting before the first run, None when the agent needs none. Imports nothing."""
    script = Path(__file__).with_name(f"{_MODULE.get(agent.type, agent.type)}_worker.py")
    return script if script.is_file() else None


def settings_for(name: str, settings: Settings, *, model: str | None = None) -> AgentSettings:
    """An agent's settings with everything the built-in one of that name leaves open filled in."""
    given = settings.agents.get(name)
    builtin = known_builtins().get(name)
    if given is None:
        merged = builtin.settings if builtin else AgentSettings(name)
    elif builtin is None or given.type not in (None, builtin.settings.type):
        merged = given
    else:
        base = builtin.settings
        filled: dict[str, Any] = {
            field: getattr(base, field)
            for field in ("type", "label", "billing", "api_key_env", "model", "endpoint", "command", "args")
            if getattr(given, field) is None
        }
        merged = replace(given, **filled)
    return _completed(merged, model)


def environ_of(agent: AgentSettings, environ: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    """What an executor may look up: its own key, and its endpoint where the launch environment moves it. Nothing else."""
    found: dict[str, str] = {}
    moved = _endpoint_variable(agent)
    if moved and environ.get(moved) and "endpoint" not in agent.origins:
        found[moved] = environ[moved]
    # A key that is not bound to the address is not handed over, whoever asks.
    secret = _key(agent, secrets, found.get(moved or "")).secret
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
            if "args" in values:
                values["args"] = tuple(values["args"])
            found[name] = Builtin(AgentSettings(name, **values), order, endpoint_env)
    return found


def label_of(name: str) -> str:
    """What people call an agent, also one that is not configured any more."""
    builtin = known_builtins().get(name)
    return (builtin.settings.label if builtin else None) or name.capitalize()


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
    return replace(
        agent,
        model=successor(chosen) or chosen,
        billing=billing,
        label=agent.label or label_of(agent.name),
        api_key_env=agent.api_key_env or next(iter(TYPE_KEYS.get(kind, ())), None),
    )


def _info(agent: AgentSettings, secrets: Secrets) -> AgentInfo:
    available, reason = _availability(agent, secrets)
    return AgentInfo(
        name=agent.name,
        label=agent.label or agent.name,
        type=agent.type or "unknown",
        way=_WAY.get(agent.type or "", "api"),
        model=agent.model or "",
        billing=agent.billing or "metered",
        available=available,
        reason=reason,
    )


def _availability(agent: AgentSettings, secrets: Secrets) -> tuple[bool, str]:
    if not agent.enabled:
        return False, f"switched off (agents.{agent.name}.enabled = false)"
    if agent.type is None:
        return False, f"agents.{agent.name}.type is not set"
    if not _spoken(agent.type):
        return False, _unsupported(agent.type)
    if agent.type == "replay":
        return _recording(agent)
    if agent.type == "ollama" and not agent.model:
        return False, f"agents.{agent.name}.model is not set; `ollama list` shows the models that are there"
    if agent.api_key_env is None:
        return True, "needs no key"
    lookup = _key(agent, secrets, _moved_to(agent, secrets))
    if lookup.refused is not None:
        return False, lookup.refused
    if lookup.secret is None and _on_this_machine(agent, secrets):
        return True, "needs no key: its address is on this machine"
    if lookup.secret is None:
        return False, f"no key: {agent.api_key_env} was not found; looked in {', '.join(lookup.looked)}"
    if agent.api_key is not None:
        return True, "key in your own configuration"
    return True, f"key found: {lookup.name}"


def _key(agent: AgentSettings, secrets: Secrets, endpoint: str | None) -> KeyLookup:
    """The key of an agent. Where nobody chose a variable, each standard one of its type is looked at."""
    standard = "api_key_env" not in agent.origins and agent.api_key_env in TYPE_KEYS.get(agent.type or "", ())
    return secrets.for_agent(replace(agent, api_key_env=None) if standard else agent, endpoint)


def _endpoint_variable(agent: AgentSettings) -> str | None:
    """The variable of the launch environment that moves the endpoint of agents of this type."""
    known = (builtin.endpoint_env for builtin in known_builtins().values() if builtin.settings.type == agent.type)
    return next((name for name in known if name), None)


def _moved_to(agent: AgentSettings, secrets: Secrets) -> str | None:
    """The address that the launch environment names for an agent."""
    variable = _endpoint_variable(agent)
    address = secrets.lookup(variable)[0] if variable else None
    return address.reveal() if address is not None else None


def _on_this_machine(agent: AgentSettings, secrets: Secrets) -> bool:
    """Whether an agent's address is a local server that may need no key, as those that speak like OpenAI do."""
    moved = _moved_to(agent, secrets)
    address = agent.endpoint if "endpoint" in agent.origins else moved or agent.endpoint
    where = origin(address or "")
    return agent.type == "openai-api" and where is not None and is_loopback(where[1])


def _spoken(kind: str) -> bool:
    """Whether this version has a module for a type."""
    return importlib.util.find_spec(f"{__package__}.{_MODULE.get(kind, kind)}") is not None


def _class_name(module_name: str) -> str:
    return f"{module_name.capitalize()}Executor"


def _recording(agent: AgentSettings) -> tuple[bool, str]:
    if agent.recording is None:
        return True, "a built-in recording that shows the way; it does not do the task"
    if not Path(agent.recording).is_file():
        return False, f"there is no recording {agent.recording}"
    return True, f"plays back {agent.recording}"


def _unsupported(kind: str) -> str:
    return f"this version of kiro-lsp cannot speak {kind!r} yet"
