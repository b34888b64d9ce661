"""Which agents there are, whether each can be used now and why, and the executor that reaches it.

Behind each everyday name stand ways in the order of preference (ways.py); the first that is available is in use. A protocol
is one module of this package: type "anthropic-api" is `anthropic.py` with the class `AnthropicExecutor`. Listing starts
nothing, imports no SDK and opens no connection; what is on this machine comes in as `Found`, from whoever may look
(detection.py).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from kiro_lsp.errors import ExecutorError, RunRefused
from kiro_lsp.events import Way
from kiro_lsp.executors.detection import NOTHING, Found, Places, Server
from kiro_lsp.executors.packages import lacking
from kiro_lsp.executors.protocol import AgentInfo, Executor, WayInfo
from kiro_lsp.executors.ways import PROGRAMS, address_of, can_cap, key_of, moved_to, names_in, ways_of
from kiro_lsp.executors.ways import TRIAL as TRIAL  # noqa: PLC0414  # these belong to what a registry answers
from kiro_lsp.executors.ways import environ_of as environ_of  # noqa: PLC0414
from kiro_lsp.executors.ways import known_builtins as known_builtins  # noqa: PLC0414
from kiro_lsp.executors.ways import label_of as label_of  # noqa: PLC0414
from kiro_lsp.executors.ways import settings_for as settings_for  # noqa: PLC0414
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import AgentSettings, Secrets, Settings, Sources, load_settings
from kiro_lsp.settings.providers import DEFAULT_ENDPOINTS
from kiro_lsp.settings.values import is_loopback, origin

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


def agents(settings: Settings, secrets: Secrets, found: Found = NOTHING) -> list[AgentInfo]:
    """Every known agent in the order of recommendation, available or not, with the reason.

    What `found` does not tell was not looked at: a server is then taken to be there, a program not to be.
    """
    return [_info(ways_of(name, settings), secrets, found) for name in names_in(settings)]


def places(settings: Settings, secrets: Secrets) -> Places:
    """What would have to be looked at to know which ways are open here."""
    ways = [way for name in names_in(settings) for way in ways_of(name, settings)]
    commands = (way.command for way in ways if way.enabled and way.type in PROGRAMS)
    servers = (_server_place(way, secrets) for way in ways if way.enabled or _awaits_model(way, settings))
    files = (name for way in ways if way.enabled and way.type in PROGRAMS for name in way.login_files or ())
    return Places(frozenset(filter(None, commands)), frozenset(filter(None, servers)), frozenset(files))


def recommended(known: Sequence[AgentInfo], settings: Settings) -> AgentInfo | None:
    """The agent of a plain click: Kiro where `coder_mode` says so, else the configured default if it is available, else the
    first available real one.

    A recording is taken only when it is the configured default: nothing pretends to work.
    """
    if settings.kiro.coder_mode == "kiro":
        return next((info for info in known if info.type == "kiro" and info.available), None)
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
    chosen = settings_for(agent.name, settings, model=agent.model, kind=agent.type)
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
    chosen = settings_for(info.name, loaded.settings, model=model, kind=info.type)
    return create(
        replace(info, model=chosen.model or ""),
        loaded.settings,
        environ=environ_of(chosen, given, loaded.secrets),
    )


def warm_module(agent: AgentInfo) -> Path | None:
    """The worker program that is worth starting before the first run, None when the agent needs none. Imports nothing."""
    script = Path(__file__).with_name(f"{_MODULE.get(agent.type, agent.type)}_worker.py")
    return script if script.is_file() else None


def _info(ways: Sequence[AgentSettings], secrets: Secrets, found: Found) -> AgentInfo:
    """An agent by the first of its ways that is available; where none is, by its own, the last."""
    states = [_state(way, secrets, found) for way in ways]
    used = next((number for number, (available, _reason) in enumerate(states) if available), len(ways) - 1)
    listed = tuple(
        WayInfo(
            way.type or "unknown",
            _WAY.get(way.type or "", "api"),
            way.command if way.type in PROGRAMS else None,
            state[0],
            state[1]
            if can_cap(way)
            else f"{state[1]}; not capped: it is paid by use, and its spending cannot be limited",
            _version(way, secrets, found),
            number == used and state[0],
            login=way.login if way.type in PROGRAMS and way.billing != "metered" else None,
            key=way.api_key_env,
        )
        for number, (way, state) in enumerate(zip(ways, states, strict=True))
    )
    agent, way = ways[used], listed[used]
    return AgentInfo(
        name=agent.name,
        label=agent.label or agent.name,
        type=way.type,
        way=way.way,
        model=agent.model or "",
        billing=agent.billing or "metered",
        available=way.available,
        reason=way.reason,
        version=way.version,
        ways=listed,
        traces=() if way.way == "replay" else (*found.traces.get(agent.name, ()), *found.traces.get("", ())),
        capped=can_cap(agent),
    )


def _version(agent: AgentSettings, secrets: Secrets, found: Found) -> str | None:
    if agent.type in PROGRAMS:
        program = found.programs.get(agent.command or "")
        return program.version if program is not None else None
    server = _server(agent, secrets, found)
    return server.version if server is not None else None


def _state(agent: AgentSettings, secrets: Secrets, found: Found) -> tuple[bool, str]:
    """Whether a way can be used, and why. What it is made of may still be on its way to this machine."""
    available, reason = _availability(agent, secrets, found)
    lacks = lacking(agent.type) if available else None
    return (available, reason) if lacks is None else (False, lacks)


def _availability(agent: AgentSettings, secrets: Secrets, found: Found) -> tuple[bool, str]:
    if not agent.enabled:
        return False, _switched_off(agent, secrets, found)
    if agent.type is None:
        return False, f"agents.{agent.name}.type is not set"
    if agent.type in PROGRAMS:
        return _program_state(agent, found)
    if not _spoken(agent.type):
        return False, _unsupported(agent.type)
    if agent.type == "replay":
        return _recording(agent)
    if agent.type == "ollama" and not agent.model:
        server = _server(agent, secrets, found)
        there = _models_at(agent, secrets, server) or "; `ollama list` shows the models that are there"
        return False, f"agents.{agent.name}.model is not set{there}"
    available, reason = _key_state(agent, secrets)
    return _server_state(agent, secrets, found, reason) if available else (available, reason)


def _key_state(agent: AgentSettings, secrets: Secrets) -> tuple[bool, str]:
    if agent.api_key_env is None:
        return True, "needs no key"
    lookup = key_of(agent, secrets, moved_to(agent, secrets))
    if lookup.refused is not None:
        return False, lookup.refused
    if lookup.secret is None and _on_this_machine(agent, secrets):
        return True, "needs no key: its address is on this machine"
    if lookup.secret is None:
        return False, f"no key: {agent.api_key_env} was not found; looked in {', '.join(lookup.looked)}"
    if agent.api_key is not None:
        return True, "key in your own configuration"
    return True, f"key found: {lookup.name}"


def _program_state(agent: AgentSettings, found: Found) -> tuple[bool, str]:
    """Whether a program can be used. That it can be found is said also while this version cannot speak with it."""
    kind, command = agent.type or "", agent.command
    program = found.programs.get(command or "")
    if command is None and kind == "mcp" and agent.endpoint is not None and _spoken(kind):
        return True, f"a tool of the MCP server at {agent.endpoint}"
    if command is None and agent.server is not None:
        where = f"there is no server {agent.server!r} in [mcp.servers], or it is switched off"
    elif command is None:
        where = f"agents.{agent.name}.command is not set"
    elif program is None:
        where = f"{command} was not looked for"
    elif program.path is None:
        where = f"{command} is not on the PATH"
    else:
        where = " ".join(filter(None, (command, program.version, "is at", program.path)))
    if not _spoken(kind):
        return False, f"{_unsupported(kind)}; {where}"
    if program is None or program.path is None:
        return False, where
    if agent.billing != "metered" and _is_logged_out(agent, found):
        how = f"run `{shlex.join(agent.login)}`" if agent.login else f"log in with {command}"
        return False, f"{where}, but you are not logged in to it: {how}"
    return True, where


def _is_logged_out(agent: AgentSettings, found: Found) -> bool:
    """Whether none of the files is there that a login leaves. Where that was not looked at, nobody knows."""
    seen = [found.files.get(name) for name in agent.login_files or ()]
    return bool(seen) and not any(there is not False for there in seen)


def _switched_off(agent: AgentSettings, secrets: Secrets, found: Found) -> str:
    off = f"switched off (agents.{agent.name}.enabled = false)"
    return f"{off}{_models_at(agent, secrets, _server(agent, secrets, found))}"


def _awaits_model(agent: AgentSettings, settings: Settings) -> bool:
    """Whether an agent is off only because nobody named a model: worth telling which ones there are."""
    return agent.type == "ollama" and agent.name not in settings.agents


def _models_at(agent: AgentSettings, secrets: Secrets, server: Server | None) -> str:
    if server is None or not server.answers or not server.models:
        return ""
    shown = ", ".join(server.models[:3]) + (f" and {len(server.models) - 3} more" if len(server.models) > 3 else "")
    return f"; a server at {address_of(agent, secrets)} has {shown}: name one in agents.{agent.name}.model"


def _server_state(agent: AgentSettings, secrets: Secrets, found: Found, reason: str) -> tuple[bool, str]:
    """What the server itself says. One elsewhere may be behind a proxy: that it was not reached decides nothing."""
    server, url = _server(agent, secrets, found), address_of(agent, secrets)
    where = origin(url)
    if server is None or where is None:
        return True, reason
    if not server.answers:
        return not is_loopback(where[1]), f"{url}: {server.said}" if is_loopback(
            where[1]
        ) else f"{reason}; {server.said}"
    if agent.type == "ollama" and server.models is not None and not _has_model(server.models, agent.model or ""):
        there = ", ".join(server.models[:3]) or "none"
        return False, f"the server at {url} has no model {agent.model}; there are: {there}"
    return True, f"{reason}; a server answers at {url}"


def _has_model(models: Sequence[str], wanted: str) -> bool:
    return wanted in models or f"{wanted}:latest" in models


def _server(agent: AgentSettings, secrets: Secrets, found: Found) -> Server | None:
    place = _server_place(agent, secrets)
    return found.servers.get(place) if place is not None else None


def _server_place(agent: AgentSettings, secrets: Secrets) -> tuple[str, str] | None:
    """The server of the person's own that an agent calls, as a place to look at. A provider's own address is none."""
    if agent.type not in ("ollama", "openai-api"):
        return None
    url = address_of(agent, secrets)
    where = origin(url)
    if where is None or where == origin(DEFAULT_ENDPOINTS["openai-api"]):
        return None
    if where[0] != "https" and not is_loopback(where[1]) and agent.type != "ollama":
        return None
    return agent.type, url


def _on_this_machine(agent: AgentSettings, secrets: Secrets) -> bool:
    """Whether an agent's address is a local server that may need no key, as those that speak like OpenAI do."""
    where = origin(address_of(agent, secrets))
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
    return f"not supported yet: this version of kiro-lsp does not speak {kind!r}"
