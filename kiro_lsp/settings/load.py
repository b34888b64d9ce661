"""From the texts of every layer to the settings in force.

Weakest first: defaults, the person's own configuration, what they set in the editor for themselves, the editor's settings,
the project's `kiro.toml` and `.env`, the environment. The editor's settings may come out of files of the workspace, so they get
the rights of a project, unless the client says that they do not; what is never taken from a project is not taken from it either.
What a project may set is decided by the trust class; what it may not is reported with its place and where it belongs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any, cast

from kiro_lsp.settings import redact
from kiro_lsp.settings.bypasses import BYPASS_FLAGS, BYPASS_VALUES, BYPASS_VARIABLES
from kiro_lsp.settings.definitions import DEFINITIONS, SECTIONS, Definition
from kiro_lsp.settings.dotenv import ALLOWED_SETTINGS, Entry, parse_dotenv
from kiro_lsp.settings.layers import (
    Candidate,
    LayerValues,
    read_client,
    read_dotenv,
    read_environ,
    read_toml,
    refusal,
    walk_names,
)
from kiro_lsp.settings.model import (
    AgentSettings,
    Layer,
    LoadedSettings,
    McpServerSettings,
    PriceSettings,
    SettingProblem,
    Settings,
    Sources,
    TrustValue,
)
from kiro_lsp.settings.models import successor
from kiro_lsp.settings.providers import STANDARD_KEYS
from kiro_lsp.settings.secret import Secret, Secrets

_PROJECT_LAYERS: tuple[Layer, ...] = ("client", "project", "dotenv")
"""Layers with a project's rights, weakest first."""

_MODEL_FIELDS = ("model", "classifier_model", "retry_model")


def load_settings(sources: Sources, *, trusted: bool) -> LoadedSettings:
    """The settings in force, what is wrong with their sources, and what a grant of trust would cover.

    Without trust the project's class T values have no effect; they are listed and part of the digest all the same.
    """
    layers, entries = _read(sources, trusted=trusted)
    resolution = _Resolution(sources, trusted=trusted)
    resolution.problems.extend(problem for layer in layers.values() for problem in layer.problems)
    candidates: dict[tuple[str, str], dict[Layer, Candidate]] = {}
    for layer in layers.values():
        for candidate in layer.candidates:
            candidates.setdefault((candidate.definition.key, candidate.name), {})[candidate.layer] = candidate
    effective: dict[tuple[str, str], Candidate] = {}
    for (key, name), by_layer in candidates.items():
        chosen = resolution.resolve(by_layer)
        if chosen is not None:
            effective[key, name] = chosen
    settings = _build(effective, list(layers.values()), resolution.problems)
    values = tuple(sorted(resolution.trust_values, key=lambda value: (value.key, value.source)))
    return LoadedSettings(
        settings=settings,
        problems=tuple(sorted(resolution.problems, key=lambda p: (p.path, p.line, p.column, p.code))),
        trust_values=values,
        digest=_digest(sources.root, resolution.covered),
        secrets=Secrets(
            environ=sources.environ, dotenv={entry.name: entry.value for entry in entries}, agents=settings.agents
        ),
    )


def _read(sources: Sources, *, trusted: bool) -> tuple[dict[Layer, LayerValues], tuple[Entry, ...]]:
    elsewhere = sources.user_path
    layers: dict[Layer, LayerValues] = {}
    if sources.user_toml is not None and sources.user_refusal is None:
        layers["user"] = read_toml(sources.user_toml, sources.user_path, "user", elsewhere=elsewhere)
    if sources.editor:
        layers["editor"] = read_client(sources.editor, "editor", elsewhere=elsewhere)
    if sources.client:
        layers["client"] = read_client(sources.client, "client", elsewhere=elsewhere)
    if sources.project_toml is not None:
        layers["project"] = read_toml(sources.project_toml, sources.project_path, "project", elsewhere=elsewhere)
    entries: tuple[Entry, ...] = ()
    if sources.dotenv is not None and trusted:
        entries = parse_dotenv(sources.dotenv)
        allowed = [(e.name, e.value, e.line) for e in entries if e.name in ALLOWED_SETTINGS]
        layers["dotenv"] = read_dotenv(allowed, sources.dotenv_path)
    layers["environment"] = read_environ(sources.environ)
    return layers, entries


@dataclass(slots=True)
class _Resolution:
    sources: Sources
    trusted: bool
    problems: list[SettingProblem] = field(default_factory=list)
    trust_values: list[TrustValue] = field(default_factory=list)
    covered: list[tuple[str, str, str]] = field(default_factory=list)
    """(key, layer, canonical JSON) of every class T value: what the digest is made of."""

    def __post_init__(self) -> None:
        if self.sources.user_refusal is not None:
            refused = SettingProblem(
                self.sources.user_path, 0, 0, "user-config-refused", "error", self.sources.user_refusal
            )
            self.problems.append(refused)

    def resolve(self, by_layer: Mapping[Layer, Candidate]) -> Candidate | None:
        """The candidate in force for one key, None when its default is."""
        definition = next(iter(by_layer.values())).definition
        chosen = by_layer.get("user")
        own = by_layer.get("editor")
        if own is not None and self._usable(own):
            chosen = own
        for layer in _PROJECT_LAYERS:
            candidate = by_layer.get(layer)
            if candidate is None or not self._usable(candidate):
                continue
            chosen = self._project_choice(definition, chosen, candidate)
        return by_layer.get("environment", chosen)

    def _usable(self, candidate: Candidate) -> bool:
        """Class X, whatever the key: literal keys and arguments that skip an agent's own questions."""
        message = None
        if candidate.definition.trust == "X":
            message = refusal(candidate.key, candidate.path, self.sources.user_path)
        elif any(redact.looks_like_key(text) for text in _texts_in(candidate.value)):
            message = (
                f"{candidate.key} in {candidate.path} is ignored: it holds what looks like a key. "
                f"Put the key into an environment variable and name that in api_key_env."
            )
        elif candidate.definition.field in ("args", "env", "command") and (flag := _bypass(candidate.value)):
            message = (
                f"{candidate.key} in {candidate.path} is ignored: a project may not make an agent skip its questions "
                f"({flag}). If you want it, put it into your own configuration, {self.sources.user_path}."
            )
        if message is not None:
            self.problems.append(candidate.problem("not-from-project", message))
        return message is None

    def _project_choice(
        self, definition: Definition, current: Candidate | None, candidate: Candidate
    ) -> Candidate | None:
        if definition.trust == "N":
            return self._narrower(definition, current, candidate)
        if definition.trust == "T" and not _needs_no_trust(candidate):
            before = current.value if current is not None else definition.default
            if candidate.value == before:
                return current
            if candidate.layer != "dotenv":
                self._cover(candidate)
            return candidate if self.trusted else current
        return candidate

    def _narrower(self, definition: Definition, current: Candidate | None, candidate: Candidate) -> Candidate | None:
        before = current.value if current is not None else definition.default
        if candidate.value == before:
            return current
        narrower = (
            candidate.value < before if definition.narrow == "min" else candidate.value is (definition.narrow == "true")
        )
        if narrower:
            return candidate
        message = (
            f"{candidate.key} = {_shown(candidate.value)} in {candidate.path} is ignored: a project may only make it "
            f"stricter, {_shown(before)} stays. To change that, use your own configuration, {self.sources.user_path}."
        )
        # A template's .env says KIRO_ENABLED=true in every project; that is no attempt at anything.
        if candidate.layer != "dotenv":
            self.problems.append(candidate.problem("only-narrows", message))
        return current

    def _cover(self, candidate: Candidate) -> None:
        plain = _plain(candidate.value)
        self.covered.append((candidate.key, candidate.layer, json.dumps(plain, sort_keys=True, ensure_ascii=True)))
        self.trust_values.append(TrustValue(candidate.key, _shown(candidate.value), candidate.path))


def _needs_no_trust(candidate: Candidate) -> bool:
    return candidate.definition.field == "api_key_env" and candidate.value in STANDARD_KEYS


def _bypass(value: object) -> str | None:
    """The argument or variable by which an agent would skip its own questions."""
    if isinstance(value, Mapping):
        return next((name for name in value if any(part in name.upper() for part in BYPASS_VARIABLES)), None)
    words = value.split() if isinstance(value, str) else cast("Sequence[str]", value)
    for argument in words:
        for word in argument.replace("=", " ").split():
            if word.lower() in BYPASS_FLAGS or word.lower().strip("\"'") in BYPASS_VALUES:
                return word
    return None


def _texts_in(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.items() for text in item]
    if isinstance(value, tuple):
        return [text for item in value for text in _texts_in(item)]
    return []


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value


def _shown(value: Any) -> str:
    """A value as a person reads it before giving trust: whole, on one line, with every odd character escaped."""
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, Decimal):
        return f"${value}"
    return json.dumps(_plain(value), ensure_ascii=True)


def _digest(root: str, covered: Sequence[tuple[str, str, str]]) -> str:
    text = json.dumps({"root": root, "values": sorted(covered)}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _build(
    effective: Mapping[tuple[str, str], Candidate], layers: Sequence[LayerValues], problems: list[SettingProblem]
) -> Settings:
    for (key, name), candidate in list(effective.items()):
        new = successor(candidate.value) if candidate.definition.field in _MODEL_FIELDS else None
        if new is not None and new != candidate.value:
            message = (
                f"The model {candidate.value} has been retired by its provider: {new} is used. Change {candidate.key}."
            )
            problems.append(candidate.problem("retired-model", message))
            cast("dict[tuple[str, str], Candidate]", effective)[key, name] = dataclasses.replace(candidate, value=new)

    def section(prefix: str, name: str = "") -> dict[str, Any]:
        found = {}
        for definition in DEFINITIONS:
            if definition.section == prefix and (definition.key, name) in effective:
                found[definition.field] = effective[definition.key, name].value
        return found

    def origins(prefix: str, name: str) -> Mapping[str, Layer]:
        chosen = {
            d.field: effective[d.key, name].layer
            for d in DEFINITIONS
            if d.section == prefix and (d.key, name) in effective
        }
        return MappingProxyType(chosen)

    agents = {
        name: AgentSettings(name=name, **section("agents.NAME", name), origins=origins("agents.NAME", name))
        for name in walk_names(layers, "agents.NAME")
    }
    servers = {
        name: McpServerSettings(name=name, **section("mcp.servers.NAME", name))
        for name in walk_names(layers, "mcp.servers.NAME")
    }
    flat = {prefix: kind(**section(prefix)) for prefix, kind in SECTIONS.items() if "NAME" not in prefix}
    return Settings(
        kiro=flat["kiro"],
        agents=MappingProxyType(agents),
        execution=flat["execution"],
        safety=flat["safety"],
        cost=flat["kiro.cost"],
        prices=_prices(effective, problems),
        routing=flat["routing"],
        mcp_servers=MappingProxyType(servers),
        diagnostics=flat["diagnostics"],
    )


def _prices(
    effective: Mapping[tuple[str, str], Candidate], problems: list[SettingProblem]
) -> Mapping[str, PriceSettings]:
    """A price that says half of what is needed would charge too little for the rest: it is not used at all."""
    tables: dict[str, dict[str, Candidate]] = {}
    for (_key, name), candidate in effective.items():
        if candidate.definition.section == "prices.NAME":
            tables.setdefault(name, {})[candidate.definition.field] = candidate
    found = {}
    for name, table in tables.items():
        missing = [needed for needed in ("input", "output") if needed not in table]
        if missing:
            message = f"prices.{name} says nothing of {missing[0]}: it is ignored. Give both input and output."
            problems.append(next(iter(table.values())).problem("setting-missing", message))
        else:
            found[name] = PriceSettings(**{field: candidate.value for field, candidate in table.items()})
    return MappingProxyType(found)
