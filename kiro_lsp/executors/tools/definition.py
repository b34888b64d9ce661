"""The values that describe a tool: its parameters, its JSON schema, what it returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from kiro_lsp.executors.protocol import RunContext
    from kiro_lsp.executors.tools.arguments import Arguments

ToolKind = Literal["read", "edit", "delete", "move", "search", "execute", "think", "fetch", "other"]
"""ACP's words for what a tool call does."""

ParameterType = Literal["text", "file", "folder", "integer", "boolean", "strings"]
"""`file` and `folder` are paths: they reach the tool as their one root-relative spelling (a folder may be "", the
root).
"""


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: ParameterType
    description: str
    required: bool = True
    minimum: int | None = None
    maximum: int | None = None
    example: str = ""
    """JSON of a good value; shown to a model that sent a wrong one."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the value."""
        if self.type == "strings":
            return {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": self.description}
        schema: dict[str, Any] = {"type": "string", "description": self.description}
        if self.type in ("integer", "boolean"):
            schema["type"] = self.type
        if self.minimum is not None:
            schema["minimum"] = self.minimum
        if self.maximum is not None:
            schema["maximum"] = self.maximum
        return schema


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What goes back to the model, and for the event stream the one path it was about."""

    text: str
    is_error: bool = False
    path: str | None = None
    kind: ToolKind = "other"


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    kind: ToolKind
    phase: str
    """The word of the `phase` event while it runs."""
    description: str
    parameters: tuple[Parameter, ...]
    execute: Callable[[Arguments, RunContext], Awaitable[ToolResult]]
    """Called with checked arguments only."""
    title: Callable[[Mapping[str, object]], str]
    """A line for a person from the arguments as the model sent them: any value may be missing or of a wrong type."""
    writes: bool = False
    """It stages a change of its path, so guarded paths are refused."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments, the same bytes in every call."""
        return {
            "type": "object",
            "properties": {parameter.name: parameter.schema for parameter in self.parameters},
            "required": [parameter.name for parameter in self.parameters if parameter.required],
            "additionalProperties": False,
        }


@dataclass(frozen=True, slots=True)
class ForeignTool:
    """A tool of somebody else's: its words and its schema are theirs, and it checks its own arguments."""

    name: str
    description: str
    schema: Mapping[str, Any]
    title: Callable[[Mapping[str, object]], str]
    call: Callable[[Mapping[str, object]], Awaitable[ToolResult]]
    kind: ToolKind = "other"
    phase: str = "running"
