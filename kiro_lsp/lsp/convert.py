"""Between the domain and the protocol: URIs, positions, edits, problems. The only place that knows UTF-16. No logic.

A file URI of Windows (`file:///c%3A/x`) and one with a host (`file://host/share`) are read by rules of their own, which are
pure and tested everywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from kiro_lsp.lsp.documents import Encoding, offset_in, units_in
from kiro_lsp.spec.lines import split_lines

if TYPE_CHECKING:
    from kiro_lsp.changes.resources import FileOperation, Resource

_SEVERITY = {"error": 1, "warning": 2, "information": 3, "hint": 4}
_DRIVE = re.compile(r"^/([A-Za-z]):(?=/|$)")


def path_of(uri: str, *, windows: bool = os.name == "nt") -> PurePath | None:
    """The path of a `file:` URI, None for any other scheme or one that is no path (NUL, a foreign host on POSIX)."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # "file://[x": what stands for a host is none
        return None
    if parts.scheme != "file" or not parts.path.startswith("/"):
        return None
    path = unquote(parts.path, errors="surrogateescape")
    if "\0" in path or not path:
        return None
    if windows:
        if parts.netloc and parts.netloc != "localhost":
            return PureWindowsPath(f"//{parts.netloc}{path}")
        return PureWindowsPath(_DRIVE.sub(lambda match: f"{match[1].upper()}:", path))
    if parts.netloc and parts.netloc != "localhost":
        return None
    return PurePosixPath(path)


def file_of(uri: str) -> Path | None:
    """The path of a `file:` URI on this system, without `.` and `..`."""
    pure = path_of(uri)
    return None if pure is None else Path(os.path.normpath(pure))


def uri_of(path: PurePath) -> str:
    """The `file:` URI of an absolute path."""
    if isinstance(path, PureWindowsPath):
        return path.as_uri()
    return "file://" + quote(os.fsencode(str(path)), safe="/~!$&'()*+,;=:@-._")


def line_range(first: int, after: int) -> dict[str, Any]:
    """Whole lines, 0-based and half-open."""
    return {"start": {"line": first, "character": 0}, "end": {"line": after, "character": 0}}


def range_in(lines: Sequence[str], line: int, start: int, end: int, encoding: Encoding) -> dict[str, Any]:
    """A range inside one line, from character offsets."""
    text = lines[line] if line < len(lines) else ""
    return {
        "start": {"line": line, "character": units_in(text, start, encoding)},
        "end": {"line": line, "character": units_in(text, end, encoding)},
    }


def span_in(lines: Sequence[str], start: tuple[int, int], end: tuple[int, int], encoding: Encoding) -> dict[str, Any]:
    """A range over lines, from (line, character offset) pairs."""
    return {"start": _position(lines, *start, encoding), "end": _position(lines, *end, encoding)}


def point_in(lines: Sequence[str], wire: Mapping[str, Any], encoding: Encoding) -> tuple[int, int]:
    """(line, character offset) of a position; behind the end of a line or of the text it is that end.

    Raises KeyError or TypeError for what is no position.
    """
    line, units = wire["line"], wire["character"]
    if not isinstance(line, int) or not isinstance(units, int) or line < 0 or units < 0:
        raise TypeError("not a position")
    return line, offset_in(lines[line], units, encoding) if line < len(lines) else 0


def text_edits(old: str, new: str, encoding: Encoding) -> list[dict[str, Any]]:
    """The smallest edits from one text to another, in the agreed units."""
    from kiro_lsp.changes.textedits import minimal_edits

    lines = split_lines(old)
    edits = []
    for edit in minimal_edits(old, new):
        start, end = (
            _position(lines, edit.start_line, edit.start_col, encoding),
            _position(lines, edit.end_line, edit.end_col, encoding),
        )
        edits.append({"range": {"start": start, "end": end}, "newText": edit.new_text})
    return edits


def document_changes(operation: FileOperation, root: PurePath, encoding: Encoding) -> list[dict[str, Any]]:
    """A creation, rename or deletion for `documentChanges`, then the edits; nothing goes over what is there already."""
    changes = [_resource_operation(operation.resource, root)]
    if operation.old != operation.new:
        document = {"uri": _uri_below(root, operation.path), "version": None}
        changes.append({"textDocument": document, "edits": text_edits(operation.old, operation.new, encoding)})
    return changes


def _resource_operation(resource: Resource, root: PurePath) -> dict[str, Any]:
    from kiro_lsp.changes.resources import CreateFile, RenameFile

    uri = _uri_below(root, resource.path)
    if isinstance(resource, RenameFile):
        options = {"overwrite": False, "ignoreIfExists": False}
        return {"kind": "rename", "oldUri": uri, "newUri": _uri_below(root, resource.to), "options": options}
    if isinstance(resource, CreateFile):
        return {"kind": "create", "uri": uri, "options": {"overwrite": False, "ignoreIfExists": False}}
    return {"kind": "delete", "uri": uri, "options": {"recursive": False, "ignoreIfNotExists": False}}


def _uri_below(root: PurePath, path: str) -> str:
    return uri_of(root.joinpath(*path.split("/")))


def _position(lines: Sequence[str], line: int, column: int, encoding: Encoding) -> dict[str, int]:
    text = lines[line] if line < len(lines) else ""
    return {"line": line, "character": units_in(text, column, encoding)}


def diagnostic(problem: Any, lines: Sequence[str], encoding: Encoding) -> dict[str, Any]:
    """A Problem or SettingProblem (line, column, end_column, code, severity, message) as the protocol's Diagnostic."""
    text = lines[problem.line].rstrip("\r\n") if problem.line < len(lines) else ""
    end = problem.end_column if problem.end_column is not None else max(len(text), problem.column)
    return {
        "range": range_in(lines, problem.line, problem.column, end, encoding),
        "severity": _SEVERITY[problem.severity],
        "code": problem.code,
        "source": "kiro-lsp",
        "message": problem.message,
    }


def workspace_edit(
    files: Mapping[str, tuple[int | None, list[dict[str, Any]]]], *, document_changes: bool
) -> dict[str, Any]:
    """A plain WorkspaceEdit: URI → (version, edits). Without documentChanges the versions are left out."""
    if not document_changes:
        return {"changes": {uri: edits for uri, (_version, edits) in files.items()}}
    return {
        "documentChanges": [
            {"textDocument": {"uri": uri, "version": version}, "edits": edits}
            for uri, (version, edits) in files.items()
        ]
    }
