"""The settings of the VS Code extension, made from the server's own table of settings.

What the server knows is written as VS Code wants it: `contributes.configuration`, the words of it (`package.nls.json`), what a
folder that is not trusted may not set, and the list of keys that the extension sends. Settings of the extension itself stand in
`client-vscode/package.json` by hand, in the section of that name, and are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from kiro_lsp.settings.definitions import DEFINITIONS, SECTION_DOCS, SECTIONS, Definition

SECTION: Final = "kiroLsp"
EXTENSION_TITLE: Final = "%settings.section.extension%"
"""The section of the settings that are the extension's own."""

_TITLES: Final = {
    "kiro": "General",
    "kiro.cost": "Cost",
    "execution": "Execution",
    "safety": "Safety",
    "agents.NAME": "Agents",
    "routing": "Which agent does what",
    "mcp.servers.NAME": "MCP servers",
    "diagnostics": "Diagnostics",
}
_OBJECTS: Final = {"agents.NAME": "agents", "mcp.servers.NAME": "mcp.servers", "diagnostics": "diagnostics"}
"""Sections that are one setting with an object: names that people choose, and the many codes."""
_NOTES: Final = {
    "T": "In the settings of a workspace it counts only once you trust the project.",
    "N": "The settings of a workspace can only make it stricter.",
    "S": "",
}
_OTHERWISE: Final = {
    "need no table; a table": "need no entry; an entry",
    "as an argument list or one line without": "as one line without",
    "each an argument list or one line": "each one line",
    "[mcp.servers]": "kiroLsp.mcp.servers",
}
_PROGRAM_KINDS: Final = {"argv", "argv-list"}
"""Kinds of settings that name a program; sections with names are of them as a whole."""
CHOICE_DOCS: Final[Mapping[str, Mapping[str, str]]] = {
    "kiro.lenses": {
        "recommended": "Above each task the recommended agent.",
        "all": "Above each task up to three agents.",
        "off": "No run lenses.",
    },
    "kiro.coder_mode": {
        "builtin": "The built-in executors: every agent that is available.",
        "kiro": "The Kiro CLI does every task.",
    },
}
"""What each choice means, for settings that are shown as a list to choose from."""


def keys() -> list[str]:
    """The keys below `kiroLsp` that the server knows, in their order."""
    return [key.removeprefix(f"{SECTION}.") for _, properties in _sections() for key in properties]


def manifest(old: Mapping[str, Any]) -> dict[str, Any]:
    """`package.json` with the settings of the server anew; those of the extension itself as they are."""
    sections = _sections()
    known = {key for _, properties in sections for key in properties}
    own = {key: schema for key, schema in _properties_of(old) if key not in known}
    configuration: list[dict[str, Any]] = [
        {"title": title, "order": number, "properties": properties}
        for number, (title, properties) in enumerate(sections, 1)
    ]
    if own:
        configuration.append({"title": EXTENSION_TITLE, "order": len(sections) + 1, "properties": own})
    new = dict(old)
    new["contributes"] = {**old["contributes"], "configuration": configuration}
    untrusted = old["capabilities"]["untrustedWorkspaces"]
    kept = [key for key in untrusted["restrictedConfigurations"] if key in own]
    new["capabilities"] = {
        **old["capabilities"],
        "untrustedWorkspaces": {**untrusted, "restrictedConfigurations": [*kept, *restricted()]},
    }
    return new


def words(old: Mapping[str, str]) -> dict[str, str]:
    """`package.nls.json` with the words of the server's settings anew; all others, and the order, as they are."""
    made = _made_words()
    kept = {key: text for key, text in old.items() if key in made or not key.startswith("settings.server-")}
    return kept | made


def restricted() -> list[str]:
    """Keys whose value counts for nothing where a folder of an editor that is not trusted sets it."""
    asked = {
        f"{SECTION}.{_OBJECTS[definition.section]}" if definition.section in _OBJECTS else _key(definition)
        for definition in DEFINITIONS
        if definition.trust == "T"
    }
    return [f"{SECTION}.{key}" for key in keys() if f"{SECTION}.{key}" in asked]


def typescript() -> str:
    """The module of the extension with the keys that are the server's."""
    lines = "".join(f"  '{key}',\n" for key in keys())
    return (
        "// Made by `python -m tools.settings_files` from kiro_lsp/settings/definitions.py.\n"
        f"export const SECTION = '{SECTION}';\n"
        "/** Settings below it that are the server's; all others are this extension's own. */\n"
        f"export const SERVER_SETTINGS = [\n{lines}] as const;\n"
    )


def _sections() -> list[tuple[str, dict[str, Any]]]:
    return [(f"%settings.server-section.{_name(section)}%", dict(_settings(section))) for section in _TITLES]


def _settings(section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    members = [definition for definition in DEFINITIONS if definition.section == section and definition.trust != "X"]
    if section in _OBJECTS:
        yield f"{SECTION}.{_OBJECTS[section]}", _object(section, members)
        return
    for number, definition in enumerate(members, 1):
        programs = definition.kind in _PROGRAM_KINDS
        yield (
            _key(definition),
            {
                **_schema(definition),
                "default": _default(definition),
                "scope": "machine-overridable" if programs else "window",
                "order": number,
                "markdownDescription": f"%{_word_key(definition)}%",
                **_enum_words(definition.key),
            },
        )


def _object(section: str, members: Iterable[Definition]) -> dict[str, Any]:
    properties = {
        _camel(definition.key.rpartition(".")[2]): {
            **_schema(definition),
            "markdownDescription": f"%{_word_key(definition)}%",
        }
        for definition in members
    }
    inner = {"type": "object", "additionalProperties": False, "properties": properties}
    named = section.endswith(".NAME")
    return {
        **({"type": "object", "additionalProperties": inner} if named else inner),
        "default": {},
        "scope": "machine-overridable" if named else "window",
        "order": 1,
        "markdownDescription": f"%settings.server-object.{_name(section)}%",
    }


def _schema(definition: Definition) -> dict[str, Any]:
    texts: dict[str, Any] = {"type": "string"}
    limits = {} if definition.maximum is None else {"minimum": definition.minimum, "maximum": definition.maximum}
    kinds: dict[str, dict[str, Any]] = {
        "bool": {"type": "boolean"},
        "int": {"type": "integer", **limits},
        "money": {"type": "number", **limits},
        "choice": {**texts, "enum": list(definition.choices)},
        "argv": texts,
        "argv-list": {"type": "array", "items": texts},
        "text-list": {"type": "array", "items": texts},
        "text-map": {"type": "object", "additionalProperties": texts},
    }
    return kinds.get(definition.kind, texts)


def _default(definition: Definition) -> object:
    default = definition.default
    if isinstance(default, Decimal):
        return int(default) if default == int(default) else float(default)
    if definition.kind == "argv":
        return " ".join(default)
    return list(default) if isinstance(default, tuple) else default


def _enum_words(section: str) -> dict[str, Any]:
    if section not in CHOICE_DOCS:
        return {}
    return {"enumDescriptions": [f"%{_choice_key(section, choice)}%" for choice in CHOICE_DOCS[section]]}


def _made_words() -> dict[str, str]:
    made = {f"settings.server-section.{_name(section)}": title for section, title in _TITLES.items()}
    made["settings.section.extension"] = "Extension"
    for section in _OBJECTS:
        made[f"settings.server-object.{_name(section)}"] = _as_json(SECTION_DOCS[section])
    for definition in DEFINITIONS:
        if definition.section in _TITLES and definition.trust != "X":
            note = "" if definition.section in _OBJECTS else _NOTES[definition.trust]
            made[_word_key(definition)] = f"{_as_json(definition.doc)} {note}".strip()
    for section, choices in CHOICE_DOCS.items():
        made.update({_choice_key(section, choice): doc for choice, doc in choices.items()})
    return made


def _as_json(doc: str) -> str:
    """Words about TOML as words about the editor's settings, whose lists hold one line for each."""
    for there, here in _OTHERWISE.items():
        doc = doc.replace(there, here)
    return doc


def _properties_of(package: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    configuration = package["contributes"]["configuration"]
    for section in configuration if isinstance(configuration, list) else [configuration]:
        yield from section["properties"].items()


def _key(definition: Definition) -> str:
    return f"{SECTION}.{_name(definition.key)}"


def _word_key(definition: Definition) -> str:
    return f"settings.server-{definition.key.replace('.NAME', '')}"


def _choice_key(section: str, choice: str) -> str:
    return f"settings.server-choice.{_name(section)}.{choice}"


def _name(key: str) -> str:
    """A key or section as the editor has it: without the `kiro` and the NAME, in camelCase."""
    plain = key.removesuffix(".NAME").removeprefix("kiro.") if key != "kiro" else "general"
    return ".".join(_camel(part) for part in plain.split("."))


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


assert set(_TITLES) == set(SECTIONS) - {"prices.NAME"}, "prices are the person's own configuration's alone"
