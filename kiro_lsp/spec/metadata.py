"""Metadata below a task: `_Key: value_`, `**Key**: value` or `Key: value` with a key from a closed list, in any language.

Keys are kept as they are written; what their values refer to is found in details.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from kiro_lsp.spec.patterns import pattern
from kiro_lsp.spec.titles import ID

_KEY: Final = r"[^\W\d_](?:[^_*:：`|\[\]\r\n]|_(?=\w)){0,39}"
_BULLET: Final = pattern(r"(?:[-*+]|\d{1,3}[.)])[ \t]+")
_ITALIC: Final = pattern(rf"_({_KEY}?)\s{{0,4}}[:：]")
_SIMPLE: Final = pattern(r"_([A-Z][a-z]+): ([^_\n]*[^\s_])_\Z")
"""The entry that is by far the most frequent; what it finds is what the general way finds."""
_ITALIC_INNER: Final = pattern(rf"(?<![\w_])_({_KEY}?)\s{{0,4}}[:：]")
_BOLD: Final = pattern(
    rf"(?:\*\*|__)_?({_KEY}?)_?\s{{0,4}}(?:[:：]\s{{0,4}}(?:\*\*|__)|(?:\*\*|__)\s{{0,4}}[:：])(.*)$", re.DOTALL
)
_BOLD_LINE: Final = pattern(rf"\*\*({_KEY}?)[:：](.*?)\*\*", re.DOTALL)
_PLAIN_KEYS: Final = (
    r"files?|file\(s\)|files? to (?:modify|create|change)|target files?|creates|modifies"
    r"|purpose|leverage|requirements?|prompt|note|notes|verification|verify"
    r"|tests?|test files?|dependencies|depends(?: on)?|dependency|blocked by|blocked|status|completion|acceptance(?: criteria)?"
    r"|success(?: criteria)?|role|restrictions|context|instructions|ref|priority|estimate[d]?|effort|parallel"
    r"|文件|目标文件|檔案|目的|需求|依赖|复用|参考|验收标准|验证|完成标准|ファイル|要件|依存|完了条件|完了|検証|파일|목적|요구사항|의존성"
    r"|файлы?|цель|требования|зависимости|arquivos?|archivos?|requisitos|depende de|dependências|dependencias|dateien|fichiers?"
)
_PLAIN: Final = pattern(rf"({_PLAIN_KEYS})\s{{0,4}}[:：](.*)$", re.IGNORECASE | re.DOTALL)
_CLOSING: Final = pattern(r"(?<=[^\s_])_+(?![^\W_])")
_STARRED: Final = pattern(rf"\*({_KEY}?)(?:[:：]\*|\*\s{{0,4}}[:：])(.*)$", re.DOTALL)
AGENT_COMMENT: Final = pattern(r"<!--[ \t]*agent[ \t]*:[ \t]*([\w.-]{1,64})[ \t]*-->", re.IGNORECASE)
"""By whom a task is to be done, in a form that no reader of the file sees."""
_LABELLED: Final = pattern(r"[A-Z][a-z]+(?: [a-z]+)?:[ \t]")
_ENCLOSED: Final = pattern(r"(?<![\w`*])_([^\W\d_a-z][^_*:：`|\[\]\r\n]{0,39})[:：]([^_`\r\n]*[^_`\s])_(?![\w`])")
_VALIDATING: Final = pattern(
    r"(?<=[\s(（])(Validates)[:：](?:\*\*)?[ \t]{0,4}"
    r"(Requirements?[ \t]{1,4}\d[\w.]*(?:[ \t]{0,3}(?:[,&–—~-]|and)[ \t]{0,3}\d[\w.]*)*)"
)
_DEPENDING: Final = pattern(
    rf"(?:\*\*|__)?(Depends on|Blocked by)[ \t]+((?:tasks?[ \t]+)?{ID}(?![\w-])[^*_.;()（）\r\n]*)", re.IGNORECASE
)
"""The same as a sentence, which begins with an id and has no colon."""
_GOES_ON: Final = (",", "，", "、", ";", "；")
"""What a value ends with whose list goes on in the next line."""


def read_metadata(lines: Sequence[str]) -> dict[str, str]:
    """Key → value of the metadata in body lines (without the lines of code blocks and comments).

    A repeated key keeps all its values, one a line. A key with nothing behind it takes the deeper bullets below it.
    """
    found: dict[str, list[str]] = {}
    inside_prompt: dict[str, str] = {}
    count = len(lines)
    at = 0
    while at < count:
        line = lines[at]
        at += 1
        if ":" not in line and "：" not in line and " on " not in line and " by " not in line:
            continue
        text = line.strip()
        bullet = _BULLET.match(text)
        if bullet is not None:
            text = text[bullet.end() :]
        if (simple := _SIMPLE.match(text)) and simple[1] != "Prompt":
            found.setdefault(simple[1], []).append(simple[2].strip())
            continue
        if text.startswith("_") and not text.startswith("__") and _ITALIC.match(text):
            text, at = _joined(text, lines, at)
            (key, value), *more = _italics(text)
            found.setdefault(key, []).append(value)
            if key.lower() == "prompt":
                inside_prompt.update(more)
            else:
                for key, value in more:
                    found.setdefault(key, []).append(value)
            continue
        pair = _pair(text)
        for key, value in entries_inside(text):
            if pair is None or key != pair[0]:
                found.setdefault(key, []).append(value)
        if pair is not None:
            value, at = _whole(pair[1], line, lines, at)
            found.setdefault(pair[0], []).append(value)
    metadata = {key: "\n".join(value for value in values if value) for key, values in found.items()}
    if not inside_prompt:
        return metadata
    present = {key.lower() for key in metadata}
    return metadata | {key: value for key, value in inside_prompt.items() if key.lower() not in present}


def entries_inside(text: str) -> Iterator[tuple[str, str]]:
    """Entries that stand behind other words of a line: `… _Requirements: 1.1_`, `… - Validates: Requirements 1.1`."""
    if ":" not in text and "：" not in text:
        return
    if "_" in text:
        for match in _ENCLOSED.finditer(text):
            yield match[1].strip(), match[2].strip()
    if "Validates" in text:
        for match in _VALIDATING.finditer(text):
            yield match[1], match[2].strip()


def begins_metadata(text: str) -> bool:
    """Whether a continuation line is metadata of its own and not more of a wrapped title."""
    text = text.strip()
    if text.startswith("_"):
        return _ITALIC.match(text) is not None
    if text.startswith("**"):
        return _BOLD.match(text) is not None
    return _LABELLED.match(text) is not None or (not text.isascii() and _PLAIN.match(text) is not None)


def _pair(text: str) -> tuple[str, str] | None:
    if text.startswith(("**", "__")):
        match = _BOLD.match(text) or _BOLD_LINE.match(text) or _DEPENDING.match(text)
    elif text.startswith("*"):
        match = _STARRED.match(text)
    else:
        match = _PLAIN.match(text) or _DEPENDING.match(text)
    return (match[1].strip(), match[2].strip()) if match is not None else None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _below(line: str, lines: Sequence[str], at: int) -> tuple[str, int]:
    """The deeper lines below a key that has no value of its own, without their bullets; and where they end."""
    values = []
    while at < len(lines) and lines[at].strip() and _indent(lines[at]) > _indent(line):
        values.append(_BULLET.sub("", lines[at].strip(), count=1))
        at += 1
    return "\n".join(values), at


def _whole(value: str, line: str, lines: Sequence[str], at: int) -> tuple[str, int]:
    """A value with the lines that belong to it; and where they end."""
    if not value:
        return _below(line, lines, at)
    return _continued(value, lines, at) if value.endswith(_GOES_ON) else (value, at)


def _continued(value: str, lines: Sequence[str], at: int) -> tuple[str, int]:
    """A list of values with the further lines that it goes on in, each behind a comma; and where they end."""
    while at < len(lines) and value.endswith(_GOES_ON):
        more = lines[at].strip()
        if not more or _BULLET.match(more) or begins_metadata(more) or _pair(more) is not None:
            break
        value, at = f"{value} {more}", at + 1
    return value, at


def _joined(text: str, lines: Sequence[str], at: int) -> tuple[str, int]:
    """An italic entry with the further lines that it needs to come to its closing underscore."""
    if _CLOSING.search(text):
        return text, at
    joined, end = [text], at
    while end < len(lines):
        more = lines[end].strip()
        if not more or _BULLET.match(more) or begins_metadata(more):
            break
        joined.append(more)
        end += 1
        if more.endswith("_"):
            break
    return "\n".join(joined), end


def _italics(text: str) -> Iterable[tuple[str, str]]:
    """(key, value) of every `_Key: value_` in a text that begins with one."""
    first = _ITALIC.match(text)
    if first is None:
        return
    if first[1].strip().lower() == "prompt":
        value = _closed(text[first.end() :])
        yield first[1].strip(), value
        inner = list(_ITALIC_INNER.finditer(text, first.end()))
        for number, start in enumerate(inner):
            end = inner[number + 1].start() if number + 1 < len(inner) else len(text)
            tail = text[start.end() : end]
            closing = _CLOSING.search(tail)
            yield start[1].strip(), (tail[: closing.start()] if closing else tail.partition("|")[0]).strip()
        return
    starts = [first, *_ITALIC_INNER.finditer(text, first.end())]
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        yield start[1].strip(), _closed(text[start.end() : end])


def _closed(value: str) -> str:
    """A value up to its last closing underscore; what stands behind that is no part of it."""
    end = None
    for closing in _CLOSING.finditer(value):
        end = closing.start()
    if end is None:
        return value.strip().removesuffix("_").strip()
    return value[:end].strip()
