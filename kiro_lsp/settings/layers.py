"""One layer of configuration read into candidates: which setting, which value, and where it stands.

A fault is a SettingProblem at its line and the value is left out; nothing here decides between layers.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kiro_lsp.settings.bypasses import NEVER_FROM_PROJECT
from kiro_lsp.settings.definitions import BY_KEY, DEFINITIONS, SECTIONS, Definition
from kiro_lsp.settings.model import Layer, SettingProblem, Severity
from kiro_lsp.settings.toml_lines import KeyPath, Place, key_places, unfinished_place
from kiro_lsp.settings.values import Wrong, coerce, coerce_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,199}")
_NAMED = (("agents",), ("mcp", "servers"), ("prices",))
"""Tables whose keys are names that people choose."""
_TABLES = {tuple(section.split(".")[:depth]) for section in SECTIONS for depth in range(1, section.count(".") + 2)}
_NOWHERE = Place(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A usable value of a setting in one layer. `name` fills the NAME of the key, "" if it has none."""

    definition: Definition
    name: str
    value: Any
    layer: Layer
    path: str
    place: Place = _NOWHERE

    @property
    def key(self) -> str:
        return self.definition.key.replace("NAME", self.name)

    def problem(self, code: str, message: str, severity: Severity = "warning") -> SettingProblem:
        return _problem(self.path, self.place, code, message, severity)


@dataclass(slots=True)
class LayerValues:
    candidates: list[Candidate] = field(default_factory=list)
    problems: list[SettingProblem] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    """Section with NAME → the names that have a table, even an empty one."""


def read_toml(text: str, path: str, layer: Layer, *, elsewhere: str) -> LayerValues:
    """A TOML layer. Malformed text gives one problem and no value. `elsewhere` names the person's own configuration."""
    import tomli  # the start of the program does not pay for it

    found = LayerValues()
    text = text.removeprefix("\ufeff")
    try:
        data = tomli.loads(text, parse_float=Decimal)
    except tomli.TOMLDecodeError as error:
        found.problems.append(_syntax_problem(error, text, path))
        return found
    except (RecursionError, ValueError) as error:
        found.problems.append(_problem(path, _NOWHERE, "toml-syntax", f"This file cannot be read: {error}", "error"))
        return found
    _Walk(found, path, layer, key_places(text.replace("\r\n", "\n")), elsewhere).table(data, (), ())
    return found


def read_client(values: Mapping[str, object], layer: Layer, *, elsewhere: str) -> LayerValues:
    """The editor's settings for `kiroLsp`: the same tree, also in camelCase; the client's own are passed over."""
    found = LayerValues()
    data = _client_tree(values)
    _Walk(found, CLIENT_PATH, layer, {}, elsewhere).table(data, (), ())
    return found


CLIENT_PATH = "editor settings (kiroLsp)"
_CLIENT_OWN = frozenset(
    {
        "path",
        "interpreter",
        "import_strategy",
        "args",
        "trace",
        "show_notifications",
        "log_level",
        "trust",
        "command",
        "env",
    }
)
_KIRO_KEYS = frozenset(definition.field for definition in DEFINITIONS if definition.section == "kiro") | {"cost"}


def read_environ(environ: Mapping[str, str]) -> LayerValues:
    """Settings that environment variables override. An empty variable counts as unset."""
    found = LayerValues()
    for definition in DEFINITIONS:
        if definition.variable is not None and environ.get(definition.variable, "").strip():
            _add_text(
                found,
                definition,
                environ[definition.variable],
                "environment",
                f"environment variable {definition.variable}",
            )
    return found


def read_dotenv(values: Iterable[tuple[str, str, int]], path: str) -> LayerValues:
    """The two settings that a project's `.env` may hold, from (name, value, line)."""
    found = LayerValues()
    by_variable = {definition.variable: definition for definition in DEFINITIONS if definition.variable}
    for name, value, line in values:
        if value.strip():
            _add_text(found, by_variable[name], value, "dotenv", path, place=Place(line, 0, len(name)))
    return found


def _add_text(
    found: LayerValues, definition: Definition, text: str, layer: Layer, path: str, *, place: Place = _NOWHERE
) -> None:
    value = coerce_text(definition, text)
    if isinstance(value, Wrong):
        found.problems.append(_problem(path, place, value.code, f"{value.message}: it is ignored."))
    else:
        found.candidates.append(Candidate(definition, "", value, layer, path, place))


@dataclass(slots=True)
class _Walk:
    found: LayerValues
    path: str
    layer: Layer
    places: Mapping[KeyPath, Place]
    elsewhere: str

    def table(self, table: Mapping[str, Any], path: KeyPath, pattern: KeyPath) -> None:
        """`path` as written, `pattern` the same with NAME for the names that people choose."""
        for key, value in table.items():
            if value is None:
                continue
            here, shape = (*path, key), self._shape(pattern, key)
            definition = BY_KEY.get(".".join(shape))
            if definition is not None:
                self._leaf(definition, here, value)
            elif shape in _TABLES:
                self._section(value, here, shape)
            else:
                self._unknown(here, value)

    def _shape(self, pattern: KeyPath, key: str) -> KeyPath:
        return (*pattern, "NAME") if pattern in _NAMED else (*pattern, key)

    def _section(self, value: object, here: KeyPath, shape: KeyPath) -> None:
        if not isinstance(value, Mapping):
            message = f"{_dotted(here)} must be a table, like [{_dotted(here)}]: it is ignored."
            self._report(here, "setting-type", message)
        elif shape[-1] == "NAME" and not (_MODEL if shape[0] == "prices" else _NAME).fullmatch(here[-1]):
            self._report(
                here, "setting-range", f"{here[-1][:80]!r} cannot be a name: use letters, digits, '-', '_' and '.'."
            )
        else:
            if shape[-1] == "NAME":
                self.found.names.setdefault(".".join(shape), []).append(here[-1])
            self.table(value, here, shape)

    def _leaf(self, definition: Definition, here: KeyPath, raw: object) -> None:
        value = coerce(definition, raw)
        if isinstance(value, Wrong):
            self._report(here, value.code, f"{value.message}: it is ignored.")
            return
        name = here[-2] if "NAME" in definition.key else ""
        place = self.places.get(here, _NOWHERE)
        self.found.candidates.append(Candidate(definition, name, value, self.layer, self.path, place))

    def _unknown(self, here: KeyPath, value: object) -> None:
        if self.layer != "user" and any(part.lower() in NEVER_FROM_PROJECT for part in here):
            self._report(here, "not-from-project", refusal(_dotted(here), self.path, self.elsewhere))
            return
        close = difflib.get_close_matches(here[-1], self._siblings(here), 1, 0.7)
        hint = f" Did you mean {close[0]}?" if close else ""
        if here[0] == "prices" and isinstance(value, Mapping):
            hint = f' A name with dots is put in quotes: [prices."{".".join(here[1:])}"].'
        what = "table" if isinstance(value, Mapping) else "setting"
        self._report(here, "unknown-setting", f"Unknown {what} {_dotted(here)}: it is ignored.{hint}")

    def _siblings(self, here: KeyPath) -> list[str]:
        shape: KeyPath = ()
        for key in here[:-1]:
            shape = self._shape(shape, key)
        known = [key.split(".") for key in (*BY_KEY, *SECTIONS)]
        return [parts[len(shape)] for parts in known if len(parts) > len(shape) and tuple(parts[: len(shape)]) == shape]

    def _report(self, here: KeyPath, code: str, message: str) -> None:
        place = next(
            (self.places[here[:end]] for end in range(len(here), 0, -1) if here[:end] in self.places), _NOWHERE
        )
        self.found.problems.append(_problem(self.path, place, code, message))


def refusal(key: str, path: str, elsewhere: str) -> str:
    """The sentence for a class X value: file, key and where it belongs."""
    own = f"If you want it, put it into your own configuration, {elsewhere}."
    return f"{key} in {path} is ignored: a project may not set it. {own}"


def _problem(path: str, place: Place, code: str, message: str, severity: Severity = "warning") -> SettingProblem:
    return SettingProblem(path, place.line, place.column, code, severity, message, place.end_column)


def _syntax_problem(error: Any, text: str, path: str) -> SettingProblem:
    line, column = max(getattr(error, "lineno", 1) - 1, 0), max(getattr(error, "colno", 1) - 1, 0)
    lines = text.split("\n")
    if line >= len(lines) or not any(rest.strip() for rest in (lines[line][column:], *lines[line + 1 :])):
        # For what is never closed the parser names the end of the text; the opening is what must be found.
        place = unfinished_place(text.replace("\r\n", "\n"))
        if place is not None:
            line, column = place.line, place.column
    line = min(line, len(lines) - 1)
    reason = getattr(error, "msg", None) or str(error)
    message = f"This file is not valid TOML ({reason}): all of it is ignored and the defaults are used."
    return SettingProblem(path, line, min(column, len(lines[line])), "toml-syntax", "error", message)


def _dotted(path: KeyPath) -> str:
    return ".".join(key if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key) else repr(key[:80]) for key in path)


def _client_tree(values: Mapping[str, object]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        name = _snake(key)
        if name in _KIRO_KEYS:
            kiro = tree.setdefault("kiro", {})
            kiro[name] = _client_table(value, 1) if name == "cost" else value
        elif name == "kiro":
            # initializationOptions.kiro lists the protocol's extensions; only a table is a setting.
            if isinstance(value, Mapping):
                tree["kiro"] = {**_client_table(value, 2), **tree.get("kiro", {})}
        elif name in ("agents", "prices"):
            tree[name] = _named(value)
        elif name == "mcp" and isinstance(value, Mapping):
            tree[name] = {_snake(inner): _named(item) for inner, item in value.items()}
        elif name == "diagnostics" and isinstance(value, Mapping):
            tree[name] = {_snake(code).replace("_", "-"): level for code, level in value.items()}
        elif name not in _CLIENT_OWN:
            tree[name] = _client_table(value, 1)
    return tree


def _named(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {name: _client_table(table, 1) for name, table in value.items()}


def _client_table(value: object, depth: int) -> Any:
    """Keys of a table in snake_case, `depth` levels down; tables of variables below keep their names."""
    if not isinstance(value, Mapping) or depth == 0:
        return value
    return {_snake(key): _client_table(item, depth - 1) for key, item in value.items()}


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", str(key)).lower()


def walk_names(layers: Iterable[LayerValues], section: str) -> Iterator[str]:
    """Every name with a table in any layer, each once, in order."""
    seen = {name: None for layer in layers for name in layer.names.get(section, ())}
    yield from seen
