"""Texts made from the table of settings: the commented `kiro.toml` of `init`, and the reference in the docs."""

from __future__ import annotations

import textwrap

from kiro_lsp.settings.definitions import DEFINITIONS, SECTION_DOCS, SECTIONS, Definition, shown_default
from kiro_lsp.settings.providers import STANDARD_KEYS

_EXAMPLE_NAMES = {"agents.NAME": "agents.claude", "mcp.servers.NAME": "mcp.servers.files"}
_HEAD = """\
# kiro-lsp: how tasks are run in this project.
#
# Every line that is commented out shows its default, or an example where there is none. Your own configuration (see
# `kiro-lsp doctor` for its place) comes first: this file can make limits stricter but not looser, and what is marked
# "asks" has no effect until the person who opens the project has seen and trusted it. Keys never belong here: put them
# into the environment, and name the variable in api_key_env.
"""
_MARKS = {"T": "asks", "N": "may only be stricter", "S": ""}
_CLASSES = {
    "X": "never",
    "T": "when trusted",
    "N": "only stricter",
    "S": "yes",
}
_KINDS = {
    "bool": "true or false",
    "int": "whole number",
    "money": "US dollars",
    "text": "text",
    "choice": "choice",
    "argv": "list, or one line",
    "argv-list": "list of commands",
    "text-list": "list of texts",
    "text-map": "table of texts",
    "url": "address",
    "variable": "variable name",
    "secret": "text",
}


def init_config_text() -> str:
    """The commented `.spec-workflow/kiro.toml` that `kiro-lsp init` writes: every key a project may hold."""
    parts = [_HEAD]
    for section in SECTIONS:
        if all(definition.trust == "X" for definition in DEFINITIONS if definition.section == section):
            continue
        lines = [f"# {line}" for line in textwrap.wrap(SECTION_DOCS[section], 116)]
        # An empty table would define a server that cannot start.
        optional = section == "mcp.servers.NAME"
        lines.append(f"{'# ' if optional else ''}[{_EXAMPLE_NAMES.get(section, section)}]")
        for definition in DEFINITIONS:
            if definition.section == section and definition.trust != "X":
                lines.extend(_config_lines(definition))
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def settings_reference() -> str:
    """The Markdown tables of docs/configuration.md, one per section."""
    parts = []
    for section in SECTIONS:
        rows = [
            f"### `[{section}]`",
            "",
            SECTION_DOCS[section],
            "",
            "| key | value | default | a project may set it | what it does |",
            "| --- | --- | --- | --- | --- |",
        ]
        rows.extend(_row(definition) for definition in DEFINITIONS if definition.section == section)
        parts.append("\n".join(rows))
    variables = [f"`{item.variable}` (`{item.key}`)" for item in DEFINITIONS if item.variable]
    keys = ", ".join(f"`{name}`" for name in STANDARD_KEYS)
    parts.append(f"Environment variables that override a setting: {', '.join(variables)}.")
    parts.append(f"Names that `.env` may hold: {keys}, `KIRO_ENABLED`, `KIRO_DEFAULT_AGENT`.")
    return "\n\n".join(parts) + "\n"


def _config_lines(definition: Definition) -> list[str]:
    value = shown_default(definition)
    # An empty list or text says nothing about the form of the value.
    if value in ("", "[]") and definition.example:
        value = definition.example
    marks = [mark for mark in (_range(definition), _MARKS[definition.trust]) if mark]
    doc = definition.doc + (f" ({'; '.join(marks)})" if marks else "")
    name = definition.key.rpartition(".")[2]
    return ["", *(f"# {line}" for line in textwrap.wrap(doc, 116)), f"# {name} = {value}"]


def _row(definition: Definition) -> str:
    kind = ", ".join(f"`{choice}`" for choice in definition.choices) or _KINDS[definition.kind]
    span = _range(definition) if definition.kind in ("int", "money") else ""
    default = shown_default(definition)
    cells = [
        f"`{definition.key.rpartition('.')[2]}`",
        f"{kind}, {span}" if span else kind,
        f"`{default}`" if default else "",
        _CLASSES[definition.trust],
        definition.doc,
    ]
    return "| " + " | ".join(cells) + " |"


def _range(definition: Definition) -> str:
    if definition.choices:
        return ", ".join(f'"{choice}"' for choice in definition.choices)
    if definition.kind in ("int", "money") and definition.minimum is not None:
        return f"{definition.minimum} to {definition.maximum}"
    return ""
