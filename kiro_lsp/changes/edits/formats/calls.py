"""Tool calls written as JSON: exact replacement, several of them, insertion at a line, and whole files.

The names of arguments are those of Anthropic's text editor tool, of Claude Code, opencode, Gemini CLI, continue and
Cline. Calls may be one object, a list, one object a line, or wrapped as a provider sends them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kiro_lsp.changes.edits.answer import Edit, FileEdit, FormatProblem, InsertEdit, StringEdit
from kiro_lsp.changes.edits.formats.reading import Reading, Region

NAME = "str-replace"
NAMES = ("str-replace", "multi-edit", "insert-line")
ORDER = 40

_PATH = ("path", "file_path", "filePath", "filepath", "file", "filename", "target_file")
_OLD = ("old_str", "old_string", "oldString", "old_text", "oldText", "search", "old")
_NEW = ("new_str", "new_string", "newString", "new_text", "newText", "replace", "replacement", "new")
_EVERY = ("replace_all", "replaceAll", "allow_multiple", "allowMultiple")
_COUNT = ("expected_replacements", "expectedReplacements", "count")
_LINE = ("insert_line", "insertLine")
_TEXT = ("insert_text", "insertText")
_CONTENT = ("file_text", "content", "contents")
_WRAPPERS = ("input", "arguments", "args", "parameters", "function", "tool_input")
_LISTS = ("tool_calls", "calls", "tools", "content", "choices", "message", "messages", "delta")
_DECODER = json.JSONDecoder(strict=False)
"""Models forget to escape line ends in strings."""
_KNOWN = re.compile(
    r"\"(?:old_?(?:str|string|text)|new_?(?:str|string|text)|insert_(?:line|text)|file_text|replace_all)\"\s*:", re.I
)
_CARRIES = re.compile(r"^(?:\*\*\* Begin Patch|--- \S.*\n\+\+\+ \S|<{5,9} SEARCH|diff --git )", re.M)
ENDS = re.compile(r".*[}\]]")
_DEEPEST = 200
"""Brackets before the first other character; real calls have two or three, and a decoder recurses."""


def begins(region: Region, at: int) -> bool:
    line = region.lines[at].lstrip()
    return line.startswith(("{", "[")) and (at == region.first or region.blank_before(at) or line.startswith('{"'))


def read(region: Region, at: int) -> Reading | None:
    """One JSON value and the calls in it; a value that is none of ours is passed over."""
    text = "\n".join(region.lines[at : region.end])
    lead = len(text) - len(text.lstrip())
    if text[lead : lead + _DEEPEST].strip("[{ \n\t") == "" and len(text) - lead > _DEEPEST:
        return [], [], at + 1
    try:
        value, end = _DECODER.raw_decode(text, lead)
    except (ValueError, RecursionError) as error:
        if not region.closed:
            return None
        if region.wanted in NAMES or _is_broken_call(text, error):
            # The rest of a call that was cut off would be lost beside those that are whole.
            return (
                [],
                [FormatProblem(f"Line {at + 1} of the answer begins no JSON that can be read: {error}.", at + 1)],
                region.end,
            )
        return [], [], at + 1
    found: list[FileEdit] = []
    problems: list[FormatProblem] = []
    for call in _calls(value):
        for one in _by_file(call):
            edit = _edit(one, at + 1)
            if isinstance(edit, FormatProblem):
                problems.append(edit)
            elif edit is not None:
                found.append(edit)
    if not found and not problems and (inner := _text_inside(value)) is not None:
        from kiro_lsp.changes.edits.formats import read_answer

        answer = read_answer(inner, file=region.default)
        found += answer.files
        problems += answer.problems
    if not found and not problems and region.wanted in NAMES:
        problems.append(
            FormatProblem(
                f"The JSON at line {at + 1} of the answer is no edit: it has no path and no old text.", at + 1
            )
        )
    return found, problems, at + text.count("\n", 0, end) + 1


def _is_broken_call(text: str, error: Exception) -> bool:
    """Whether what cannot be decoded was a call: it has one's keys before the fault, or a path and then nothing more."""
    at = error.pos if isinstance(error, json.JSONDecodeError) else 0
    if _KNOWN.search(text, 0, at) is not None:
        return True
    return '"path"' in text[:at] and text.rstrip().count("\n", at) == 0


def answer_inside(text: str) -> str | None:
    """The answer that a text of JSON carries ({"input": "*** Begin Patch…"} and the like); None when it carries none."""
    try:
        return _text_inside(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _text_inside(value: object) -> str | None:
    """An answer in another format that a JSON value carries: {"patch": "--- a/…"}, {"cmd": ["apply_patch", "…"]}."""
    return next((text for text in _strings(value, 0) if _CARRIES.search(text)), None)


def _strings(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < 5 and isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner, depth + 1)
    elif depth < 5 and isinstance(value, list):
        for inner in value:
            yield from _strings(inner, depth + 1)


def _calls(value: object, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The argument objects in a value, through lists and the wrappers of providers."""
    if depth > 5:
        return
    if isinstance(value, list):
        for inner in value:
            yield from _calls(inner, depth + 1)
    elif isinstance(value, str) and depth:
        try:
            yield from _calls(json.loads(value), depth + 1)
        except (ValueError, RecursionError):
            return
    elif isinstance(value, Mapping):
        listed = next((value[key] for key in _LISTS if isinstance(value.get(key), Mapping | list)), None)
        wrapped = next((value[key] for key in _WRAPPERS if isinstance(value.get(key), Mapping | str)), None)
        if wrapped is not None and _first(value, _PATH) is None:
            yield from _calls(wrapped, depth + 1)
        elif listed is not None and _first(value, _PATH) is None:
            yield from _calls(listed, depth + 1)
        else:
            yield value


def _by_file(call: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A call whose edits name their files one by one, as calls of one file each."""
    several = call.get("edits", call.get("replacements"))
    if _first(call, _PATH) is not None or not isinstance(several, list) or not several:
        return [call]
    if not all(isinstance(one, Mapping) and _first(one, _PATH) is not None for one in several):
        return [call]
    return several


def _edit(call: Mapping[str, Any], line: int) -> FileEdit | FormatProblem | None:
    """What one call asks for; None for one that changes nothing, such as a view."""
    path = _first(call, _PATH)
    names = (path,) if isinstance(path, str) and path else ()
    if call.get("command") == "view":
        return None
    content = _first(call, _CONTENT)
    if isinstance(content, str) and _first(call, _OLD) is None:
        return FileEdit(names, "whole", content=content, format=NAME, answer_line=line) if names else None
    if _first(call, _LINE) is not None:
        return _insertion(call, names, line)
    several = call.get("edits", call.get("replacements"))
    wanted = several if isinstance(several, list) else [call]
    if several is None and _first(call, _OLD) is None:
        return None
    edits: list[Edit] = []
    for one in wanted:
        edit = _replacement(one, line)
        if edit is None:
            return FormatProblem(
                f"The call at line {line} of the answer needs an old and a new text, both strings.", line, names
            )
        edits.append(edit)
    if not edits:
        return FormatProblem(f"The call at line {line} of the answer has no edits.", line, names)
    return FileEdit(names, "edit", tuple(edits), format="multi-edit" if several is not None else NAME, answer_line=line)


def _replacement(call: object, line: int) -> StringEdit | None:
    if not isinstance(call, Mapping):
        return None
    old, new = _first(call, _OLD), _first(call, _NEW)
    if not isinstance(old, str) or not isinstance(new, str):
        # A call without new text deletes, as in Anthropic's tool; one without old text says nothing.
        if not isinstance(old, str) or new is not None:
            return None
        new = ""
    every = any(call.get(key) in (True, "true", "True") for key in _EVERY)
    count = _first(call, _COUNT)
    expected = count if isinstance(count, int) and not isinstance(count, bool) and count > 1 else None
    return StringEdit(old, new, every or expected is not None, expected, line)


def _insertion(call: Mapping[str, Any], names: tuple[str, ...], line: int) -> FileEdit | FormatProblem:
    """After a line, as Anthropic's tool counts; before one, as Cline's does, which has neither command nor insert_text."""
    number, text = _first(call, _LINE), _first(call, _TEXT)
    anthropic = "command" in call or text is not None
    text = text if text is not None else _first(call, _NEW)
    if not isinstance(number, int) or isinstance(number, bool) or not isinstance(text, str):
        return FormatProblem(f"The insertion at line {line} of the answer needs a line number and a text.", line, names)
    after = number if anthropic else number - 1
    if after < 0:
        return FormatProblem(
            f"The insertion at line {line} of the answer names line {number}: lines count from 1.", line, names
        )
    return FileEdit(names, "edit", (InsertEdit(after, text, line),), format="insert-line", answer_line=line)


def _first(call: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((call[name] for name in names if name in call), None)
