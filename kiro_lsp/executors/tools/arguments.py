"""Checking what a model sent against a tool's parameters, with messages a model can act on."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kiro_lsp.executors.tools.definition import Parameter, Tool

_WORDS = {
    "text": "a string",
    "file": "a path as a string",
    "folder": "a path as a string",
    "integer": "a whole number",
    "boolean": "true or false",
    "strings": "a list of strings",
}


class BadArguments(Exception):
    """The arguments do not fit the tool; the message is for the model."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """Checked arguments. An optional one that was not given is its stated default."""

    values: Mapping[str, Any]

    def text(self, name: str, default: str = "") -> str:
        return str(self.values.get(name, default))

    def integer(self, name: str) -> int | None:
        value: int | None = self.values.get(name)
        return value

    def flag(self, name: str) -> bool:
        return self.values.get(name, False) is True

    def strings(self, name: str) -> tuple[str, ...]:
        return tuple(self.values.get(name, ()))


def checked(tool: Tool, args: object) -> dict[str, Any]:
    """The arguments by name, optional ones that are null left out.

    Raises BadArguments that names every problem at once: a model that has to find them one by one pays for each.
    """
    if not isinstance(args, Mapping):
        raise BadArguments(f"The arguments of {tool.name} must be a JSON object, not {_name_of(args)}. {_usage(tool)}")
    known = {parameter.name: parameter for parameter in tool.parameters}
    problems = [_unknown(name, known) for name in args if name not in known]
    values: dict[str, Any] = {}
    for parameter in tool.parameters:
        value = args.get(parameter.name)
        if value is None:
            if parameter.required:
                problems.append(f"{parameter.name} is missing")
            continue
        problem, values[parameter.name] = _fitted(parameter, value)
        if problem:
            problems.append(problem)
    if problems:
        raise BadArguments(f"{tool.name} was not carried out: {'; '.join(problems)}. {_usage(tool)}")
    return values


def _fitted(parameter: Parameter, value: object) -> tuple[str | None, object]:
    """(problem, value): JSON has one kind of number, so 3.0 is a whole one."""
    if parameter.type == "integer":
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            return _wrong(parameter, value), None
        return _outside(parameter, value), value
    if parameter.type == "boolean":
        return (None, value) if isinstance(value, bool) else (_wrong(parameter, value), None)
    if parameter.type == "strings":
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return _wrong(parameter, value), None
        return (None if value else f"{parameter.name} must not be empty"), value
    return (None, value) if isinstance(value, str) else (_wrong(parameter, value), None)


def _wrong(parameter: Parameter, value: object) -> str:
    example = f", for example {parameter.example}" if parameter.example else ""
    return f"{parameter.name} must be {_WORDS[parameter.type]}{example}, not {_name_of(value)}"


def _outside(parameter: Parameter, value: int) -> str | None:
    if parameter.minimum is not None and value < parameter.minimum:
        return f"{parameter.name} must be at least {parameter.minimum}, not {value}"
    if parameter.maximum is not None and value > parameter.maximum:
        return f"{parameter.name} must be at most {parameter.maximum}, not {value}"
    return None


def _unknown(name: object, known: Mapping[str, Parameter]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"there is no argument {str(name)!r}" + (f" (did you mean {close[0]!r}?)" if close else "")


def _usage(tool: Tool) -> str:
    required = [parameter.name for parameter in tool.parameters if parameter.required]
    optional = [parameter.name for parameter in tool.parameters if not parameter.required]
    parts = [f"Required: {', '.join(required) or 'nothing'}."]
    if optional:
        parts.append(f"Optional: {', '.join(optional)}.")
    return " ".join(parts)


def _name_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"
