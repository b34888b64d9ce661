"""What a client asks of every feature, and what it may rely on in the answers: ranges inside the documents that they are about.

Written from the protocol's text; lines are cut and units counted here, sharing nothing with the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from random import Random
from typing import Any, Final

Place = dict[str, int]

AT_A_PLACE: Final = (
    "textDocument/completion",
    "textDocument/definition",
    "textDocument/documentHighlight",
    "textDocument/hover",
    "textDocument/onTypeFormatting",
    "textDocument/prepareRename",
    "textDocument/references",
    "textDocument/rename",
)
OF_A_RANGE: Final = ("textDocument/codeAction", "textDocument/inlayHint", "textDocument/semanticTokens/range")
OF_THE_WHOLE: Final = (
    "textDocument/codeLens",
    "textDocument/diagnostic",
    "textDocument/documentLink",
    "textDocument/documentSymbol",
    "textDocument/foldingRange",
    "textDocument/semanticTokens/full",
    "textDocument/semanticTokens/full/delta",
)
OF_PLACES: Final = ("textDocument/selectionRange",)
RESOLVED: Final = {
    "codeAction/resolve": "textDocument/codeAction",
    "codeLens/resolve": "textDocument/codeLens",
    "completionItem/resolve": "textDocument/completion",
}
ELSEWHERE: Final = ("workspace/symbol",)
ASKED: Final = frozenset((*AT_A_PLACE, *OF_A_RANGE, *OF_THE_WHOLE, *OF_PLACES, *RESOLVED, *ELSEWHERE))

_TYPING: Final = {"ch": "\n", "options": {"tabSize": 2, "insertSpaces": True}, "newName": "77"}
_CONTEXT: Final = {"context": {"diagnostics": [], "triggerKind": 1, "includeDeclaration": True}}
_CODECS: Final = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}
_TOKEN_TYPES: Final = 5


class Text:
    """A document in lines and units as the client counts them."""

    def __init__(self, text: str, encoding: str) -> None:
        self.text, self.encoding = text, encoding

    @cached_property
    def lines(self) -> list[str]:
        return re.split(r"\r\n|\n|\r", self.text)

    def units(self, text: str) -> int:
        codec, width = _CODECS[self.encoding]
        return len(text) if text.isascii() else len(text.encode(codec, "surrogatepass")) // width

    def place(self, line: int, column: int) -> Place:
        """Of a column in characters."""
        return {"line": line, "character": self.units(self.lines[line][:column])}

    def has(self, place: Mapping[str, int]) -> bool:
        """Whether a position lies in the document and at a character."""
        line, character = place["line"], place["character"]
        if not 0 <= line < len(self.lines) or character < 0:
            return False
        text = self.lines[line]
        if text.isascii():
            return character <= len(text)
        return character in {0, *accumulate(map(self.units, text))}

    @property
    def end(self) -> Place:
        return self.place(len(self.lines) - 1, len(self.lines[-1]))

    def some_places(self, random: Random, count: int) -> list[Place]:
        """Places anywhere, at ids and numbers, and the end."""
        found = [self.end]
        for _ in range(count):
            line = random.randrange(len(self.lines))
            text = self.lines[line][:2000]
            ids = [match.start() for match in re.finditer(r"\d+(?:\.\d+)*|`\S", text)]
            found += [self.place(line, random.randint(0, len(text))), self.place(line, random.choice(ids or [0]))]
        return found


def questions(method: str, uri: str, text: Text, places: Sequence[Place], random: Random) -> Iterator[dict[str, Any]]:
    """The parameters that a method is asked with. Raises KeyError for a method that nobody knows here."""
    about: dict[str, Any] = {"textDocument": {"uri": uri}, **_CONTEXT}
    if method in AT_A_PLACE:
        for place in places:
            yield {**about, **_TYPING, "position": place}
    elif method in OF_A_RANGE:
        one, other = sorted((random.choice(places), random.choice(places)), key=_key)
        yield {**about, "range": {"start": one, "end": other}}
        yield {**about, "range": {"start": {"line": 0, "character": 0}, "end": text.end}}
    elif method in OF_PLACES:
        yield {**about, "positions": list(places)}
    elif method in OF_THE_WHOLE:
        yield {**about, "previousResultId": "none of yours"}
    else:
        raise KeyError(method)


def _key(place: Mapping[str, int]) -> tuple[int, int]:
    return place["line"], place["character"]


def check(method: str, params: Mapping[str, Any], answer: Any, text_of: Callable[[str], Text]) -> None:
    """Raises AssertionError for an answer that no client could use."""
    uri = params["textDocument"]["uri"] if "textDocument" in params else ""
    for where, range_ in ranges(answer, uri):
        text = text_of(where)
        assert text.has(range_["start"]), (method, where, range_)
        assert text.has(range_["end"]), (method, where, range_)
        assert _key(range_["start"]) <= _key(range_["end"]), (method, range_)
    for edits in _edits(answer):
        ordered = sorted(edits, key=lambda edit: (_key(edit["range"]["start"]), _key(edit["range"]["end"])))
        for one, other in pairwise(ordered):
            assert _key(one["range"]["end"]) <= _key(other["range"]["start"]), (method, one, other)
    special = _SPECIAL.get(method)
    if special is not None and answer is not None:
        special(answer, params, text_of(uri))


def ranges(answer: Any, uri: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(document, range) of every range in an answer about a document."""
    if isinstance(answer, list):
        for item in answer:
            yield from ranges(item, uri)
    if not isinstance(answer, Mapping):
        return
    named = answer.get("uri") or (answer.get("textDocument") or {}).get("uri") or uri
    for name, value in answer.items():
        if name in ("data", "arguments", "command"):
            continue
        here = answer["targetUri"] if name in ("targetRange", "targetSelectionRange") else named
        if name == "changes":
            for changed, edits in value.items():
                yield from ranges(edits, changed)
        elif isinstance(value, Mapping) and value.keys() == {"start", "end"}:
            yield here, value
        else:
            yield from ranges(value, here)


def _edits(answer: Any) -> Iterator[list[dict[str, Any]]]:
    """Every list of edits of one document."""
    if isinstance(answer, list):
        if answer and all(isinstance(item, dict) and "newText" in item for item in answer):
            yield answer
        else:
            for item in answer:
                yield from _edits(item)
    elif isinstance(answer, Mapping):
        for name, value in answer.items():
            if name != "textEdit":
                yield from _edits(value)


def _holds(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> bool:
    return _key(outer["start"]) <= _key(inner["start"]) and _key(inner["end"]) <= _key(outer["end"])


def _at(place: Mapping[str, int]) -> dict[str, Any]:
    return {"start": place, "end": place}


# What single methods promise beyond that


def _symbols(answer: list[Any], _params: Any, _text: Text) -> None:
    for symbol in answer:
        assert symbol["name"].strip(), "no editor takes a symbol without a name"
        if "selectionRange" in symbol:
            assert _holds(symbol["range"], symbol["selectionRange"]), symbol
            children = symbol.get("children", [])
            assert all(_holds(symbol["range"], child["range"]) for child in children), symbol
            _symbols(children, None, _text)


def _folds(answer: list[Any], _params: Any, text: Text) -> None:
    for fold in answer:
        assert 0 <= fold["startLine"] < fold["endLine"] < len(text.lines), fold


def _selections(answer: list[Any], params: Mapping[str, Any], _text: Text) -> None:
    assert len(answer) in (0, len(params["positions"])), "none for a document that is not of a spec"
    for chain, place in zip(answer, params["positions"], strict=False):
        inner = _at(place)
        one = chain
        while one is not None:
            assert _holds(one["range"], inner), (chain, place)
            assert one["range"] != inner or inner == _at(place), "a step that selects nothing more"
            inner, one = one["range"], one.get("parent")


def token_places(data: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    """(line, start, length, type) of tokens as they are encoded."""
    line = column = 0
    for at in range(0, len(data), 5):
        down, right, length, kind, _modifiers = data[at : at + 5]
        line, column = line + down, right if down else column + right
        yield line, column, length, kind


def _tokens(answer: Mapping[str, Any], _params: Any, text: Text) -> None:
    data = answer["data"] if "data" in answer else [number for edit in answer["edits"] for number in edit["data"]]
    assert len(data) % 5 == 0
    assert all(isinstance(number, int) and number >= 0 for number in data)
    before = (0, 0)
    for line, start, length, kind in token_places(data):
        assert (line, start) >= before, "a token begins inside another, or above it"
        assert length > 0
        assert kind < _TOKEN_TYPES
        assert text.has({"line": line, "character": start}), (line, start)
        assert text.has({"line": line, "character": start + length}), (line, start, length)
        before = (line, start + length)


def _hints(answer: list[Any], params: Mapping[str, Any], text: Text) -> None:
    for hint in answer:
        assert text.has(hint["position"]), hint
        assert _holds(params["range"], _at(hint["position"])), hint


def _lenses(answer: list[Any], _params: Any, _text: Text) -> None:
    for lens in answer:
        assert lens["range"]["start"]["line"] == lens["range"]["end"]["line"]
        assert "data" in lens or (lens["command"]["title"] and lens["command"]["command"]), lens


def _completions(answer: Mapping[str, Any], params: Mapping[str, Any], _text: Text) -> None:
    for item in answer["items"]:
        range_ = item["textEdit"]["range"]
        assert range_["start"]["line"] == range_["end"]["line"]
        assert _holds(range_, _at(params["position"])), item


def _around(answer: Any, params: Mapping[str, Any], _text: Text) -> None:
    assert _holds(answer["range"], _at(params["position"])), answer


def _origin(answer: list[Any], params: Mapping[str, Any], _text: Text) -> None:
    for link in answer:
        origin = link.get("originSelectionRange")
        assert origin is None or _holds(origin, _at(params["position"])), link


def _highlights(answer: list[Any], params: Mapping[str, Any], _text: Text) -> None:
    assert not answer or any(_holds(one["range"], _at(params["position"])) for one in answer), answer


_SPECIAL: Final[Mapping[str, Callable[[Any, Any, Text], None]]] = {
    "textDocument/codeLens": _lenses,
    "textDocument/completion": _completions,
    "textDocument/definition": _origin,
    "textDocument/documentHighlight": _highlights,
    "textDocument/documentSymbol": _symbols,
    "textDocument/foldingRange": _folds,
    "textDocument/inlayHint": _hints,
    "textDocument/prepareRename": _around,
    "textDocument/selectionRange": _selections,
    "textDocument/semanticTokens/full": _tokens,
    "textDocument/semanticTokens/full/delta": _tokens,
    "textDocument/semanticTokens/range": _tokens,
}
