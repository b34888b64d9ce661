"""What a metering proxy must know of each provider's API: which requests cost money, how much at most, and what they did cost.

Pure: bytes and values in, values out. A request that cannot be bounded is refused, since a cap that guesses is none.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

import orjson

from kiro_lsp.budget import Usage
from kiro_lsp.executors.counting import anthropic_usage, count, google_usage, openai_usage
from kiro_lsp.executors.provider import FRAME_TOKENS

Kind = Literal["metered", "free", "unknown"]

LINKED_TOKENS: Final = 20_000
"""For each picture or document that a request only names: its bytes say nothing."""
_LINKED: Final = re.compile(rb'"(?:image_url|file_id|file_url|fileUri|fileData|document_url)"|"type":"(?:url|file)"')


_AT_PROVIDER: Final = re.compile(
    r"(?:web_search|web_fetch|code_execution|tool_search|mcp|advisor|file_search|code_interpreter|image_generation|"
    r"googleSearch|googleMaps|urlContext|codeExecution|fileSearch|enterpriseWebSearch)"
)
"""Tools that run at the provider: what they read is paid for too, and nobody can say before how much that is."""


class CannotBound(Exception):
    """A request whose cost has no bound that can be known; the message is for the program."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A refusal in the provider's own form."""

    status: int
    body: bytes


@dataclass(slots=True)
class Conversations:
    """What earlier requests of the run have counted, so that only what is new in the next is bounded by its bytes."""

    _known: list[tuple[frozenset[bytes], int]] = field(default_factory=list)

    def at_most(self, pieces: Sequence[bytes]) -> int:
        """Input tokens of a request made of such pieces: as counted for an earlier one, and a token for each new byte."""
        sizes = {_digest(piece): len(piece) for piece in pieces}
        bounds = [sum(map(len, pieces))]
        bounds += [tokens + sum(size for key, size in sizes.items() if key not in held) for held, tokens in self._known]
        linked = sum(len(_LINKED.findall(piece)) for piece in pieces)
        return min(bounds) + FRAME_TOKENS + LINKED_TOKENS * linked

    def counted(self, pieces: Sequence[bytes], usage: Usage) -> None:
        self._known = [*self._known[-31:], (frozenset(map(_digest, pieces)), usage.input_tokens)]


class Wire(ABC):
    """One provider's API. `begin` of the path is whatever stands before what is matched here."""

    metered: re.Pattern[str]
    free: re.Pattern[str]

    def kind(self, method: str, target: str) -> Kind:
        path = unquote(urlsplit(target).path)
        if method in ("GET", "HEAD", "OPTIONS"):
            return "free"
        if method == "POST" and self.metered.search(path):
            return "metered"
        return "free" if method == "POST" and self.free.search(path) else "unknown"

    def model(self, target: str, body: Mapping[str, Any]) -> str:  # noqa: ARG002
        return str(body.get("model", ""))

    @abstractmethod
    def bounded(self, target: str, body: dict[str, Any], most: int) -> int:
        """Tokens of the answer at most. Puts the bound into the body where it has none; raises CannotBound."""

    @abstractmethod
    def pieces(self, body: Mapping[str, Any]) -> list[bytes]:
        """The parts of a request that its input tokens come from. Marks for the cache are no part of them."""

    def kept_an_hour(self, body: Mapping[str, Any]) -> bool:  # noqa: ARG002
        return False

    @abstractmethod
    def report(self, *, for_an_hour: bool) -> Report: ...

    @abstractmethod
    def refusal(self, status: int, message: str, *, budget: bool) -> Answer: ...


class Report(ABC):
    """Reads an answer as it passes, and knows at its end what it has used."""

    def __init__(self) -> None:
        self._rest = b""
        self._whole: list[bytes] = []
        self._events = False

    def feed(self, data: bytes, *, events: bool) -> None:
        self._events = events
        if not events:
            self._whole.append(data)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)

    def used(self) -> Usage | None:
        """None where the answer did not come to its end, or did not say."""
        if self._events:
            self._line(self._rest)
        else:
            value = _parsed(b"".join(self._whole))
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    self.add(each, whole=True)
        return self.counted()

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:") and isinstance(value := _parsed(line[5:]), dict):
            self.add(value, whole=False)

    @abstractmethod
    def add(self, value: Mapping[str, Any], *, whole: bool) -> None: ...

    @abstractmethod
    def counted(self) -> Usage | None: ...


class Anthropic(Wire):
    metered = re.compile(r"/v1/messages/?$")
    free = re.compile(r"/v1/messages/count_tokens/?$")

    def bounded(self, target: str, body: dict[str, Any], most: int) -> int:  # noqa: ARG002
        """Every request must name a bound, so programs name the model's largest: that alone could pass a usual cap."""
        body.pop("speed", None)  # a dearer rate than the list's
        _keep_tools(body, lambda tool: str(tool.get("type", "")))
        thought = count(_dict(body.get("thinking")).get("budget_tokens")) or 0
        tokens = body["max_tokens"] = max(min(count(body.get("max_tokens")) or most, most), thought + 1)
        return tokens

    def pieces(self, body: Mapping[str, Any]) -> list[bytes]:
        return [*_each(body, "system"), *_each(body, "tools"), *_each(body, "messages")]

    def kept_an_hour(self, body: Mapping[str, Any]) -> bool:
        return b'"ttl":"1h"' in orjson.dumps(body)

    def report(self, *, for_an_hour: bool) -> Report:
        return _AnthropicReport(for_an_hour)

    def refusal(self, status: int, message: str, *, budget: bool) -> Answer:
        kind = "billing_error" if budget else "invalid_request_error"
        return Answer(
            status if not budget else 402, _body({"type": "error", "error": {"type": kind, "message": message}})
        )


class _AnthropicReport(Report):
    def __init__(self, for_an_hour: bool) -> None:
        super().__init__()
        self._for_an_hour = for_an_hour
        self._counts: dict[str, int] = {}
        self._ended = False

    def add(self, value: Mapping[str, Any], *, whole: bool) -> None:
        self._ended = self._ended or whole or value.get("type") == "message_delta"
        for usage in (value.get("usage"), _dict(value.get("message")).get("usage")):
            for counts in (_dict(usage), _dict(_dict(usage).get("cache_creation"))):
                for name, given in counts.items():
                    if (number := count(given)) is not None:
                        self._counts[name] = max(number, self._counts.get(name, 0))

    def counted(self) -> Usage | None:
        return anthropic_usage(self._counts, for_an_hour=self._for_an_hour) if self._ended else None


class OpenAi(Wire):
    """The Responses API and Chat Completions."""

    metered = re.compile(r"/(?:responses(?:/compact)?|chat/completions)/?$")
    free = re.compile(r"/responses/input_tokens/?$")

    def bounded(self, target: str, body: dict[str, Any], most: int) -> int:
        for name in ("previous_response_id", "conversation", "prompt", "background"):
            if body.get(name):
                raise CannotBound(f"{name} is not supported with a cost cap: what it stands for has no known size.")
        body.pop("service_tier", None)  # others have other prices
        _keep_tools(body, lambda tool: str(tool.get("type", "")))
        path = urlsplit(target).path.rstrip("/")
        if path.endswith("/compact"):
            return most
        if path.endswith("/responses"):
            tokens = count(body.get("max_output_tokens"))
            if tokens is None:
                body["max_output_tokens"] = tokens = most
            return tokens
        if body.get("stream"):
            body["stream_options"] = {**_dict(body.get("stream_options")), "include_usage": True}
        given = [number for name in _CHAT_LIMITS if (number := count(body.get(name))) is not None]
        if not given:
            body[_CHAT_LIMITS[0]] = most
        return max(given or [most]) * max(count(body.get("n")) or 1, 1)

    def pieces(self, body: Mapping[str, Any]) -> list[bytes]:
        return [piece for name in ("instructions", "tools", "input", "messages") for piece in _each(body, name)]

    def report(self, *, for_an_hour: bool) -> Report:  # noqa: ARG002
        return _OpenAiReport()

    def refusal(self, status: int, message: str, *, budget: bool) -> Answer:
        code = "insufficient_quota" if budget else None
        error = {"message": message, "type": code or "invalid_request_error", "param": None, "code": code}
        return Answer(status if not budget else 429, _body({"error": error}))


_CHAT_LIMITS: Final = ("max_completion_tokens", "max_tokens")


class _OpenAiReport(Report):
    def __init__(self) -> None:
        super().__init__()
        self._usage: Usage | None = None

    def add(self, value: Mapping[str, Any], *, whole: bool) -> None:  # noqa: ARG002  # usage comes at the end only
        for usage in (_dict(value.get("usage")), _dict(_dict(value.get("response")).get("usage"))):
            for before, after in (("input_tokens", "output_tokens"), ("prompt_tokens", "completion_tokens")):
                found = openai_usage(usage, before, after, usage.get(f"{before}_details"))
                self._usage = found or self._usage

    def counted(self) -> Usage | None:
        return self._usage


class Google(Wire):
    metered = re.compile(r"/models/[^/]+:(?:generateContent|streamGenerateContent)$")
    free = re.compile(r"/models/[^/]+:countTokens$")

    def model(self, target: str, body: Mapping[str, Any]) -> str:  # noqa: ARG002
        return unquote(urlsplit(target).path).rpartition("/models/")[2].partition(":")[0]

    def bounded(self, target: str, body: dict[str, Any], most: int) -> int:  # noqa: ARG002
        if body.get("cachedContent"):
            raise CannotBound("cachedContent is not supported with a cost cap: what it stands for has no known size.")
        _keep_tools(body, lambda tool: next(iter(tool), ""))
        config = body["generationConfig"] = dict(_dict(body.get("generationConfig")))
        tokens = count(config.get("maxOutputTokens"))
        if tokens is None:
            config["maxOutputTokens"] = tokens = most
        return tokens * max(count(config.get("candidateCount")) or 1, 1)

    def pieces(self, body: Mapping[str, Any]) -> list[bytes]:
        return [piece for name in ("systemInstruction", "tools", "contents") for piece in _each(body, name)]

    def report(self, *, for_an_hour: bool) -> Report:  # noqa: ARG002
        return _GoogleReport()

    def refusal(self, status: int, message: str, *, budget: bool) -> Answer:
        code, word = (403, "PERMISSION_DENIED") if budget else (status, "INVALID_ARGUMENT")
        return Answer(code, _body({"error": {"code": code, "message": message, "status": word}}))


class _GoogleReport(Report):
    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, int] = {}
        self._ended = False

    def add(self, value: Mapping[str, Any], *, whole: bool) -> None:
        candidates = value.get("candidates")
        listed = candidates if isinstance(candidates, list) else []
        self._ended = self._ended or whole or any(_dict(each).get("finishReason") for each in listed)
        self._ended = self._ended or "promptFeedback" in value
        for name, given in _dict(value.get("usageMetadata")).items():
            if (number := count(given)) is not None:
                plain = re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
                self._counts[plain] = max(number, self._counts.get(plain, 0))

    def counted(self) -> Usage | None:
        return google_usage(self._counts) if self._ended else None


WIRES: Final[Mapping[str, Wire]] = {"anthropic": Anthropic(), "openai": OpenAi(), "google": Google()}


def _keep_tools(body: dict[str, Any], kind: Callable[[Mapping[str, Any]], str]) -> None:
    """Take the tools out of a request that run at the provider."""
    tools = body.get("tools")
    if isinstance(tools, list):
        kept = [tool for tool in tools if not isinstance(tool, dict) or not _AT_PROVIDER.match(kind(tool))]
        if len(kept) < len(tools):
            body["tools"] = kept


def _each(body: Mapping[str, Any], name: str) -> Iterator[bytes]:
    value = body.get(name)
    for part in value if isinstance(value, list) else [] if value is None else [value]:
        yield orjson.dumps(_unmarked(part), option=orjson.OPT_SORT_KEYS)


def _unmarked(value: Any) -> Any:
    """Without marks for the cache, which move from request to request and are no text."""
    if isinstance(value, dict):
        return {key: _unmarked(each) for key, each in value.items() if key != "cache_control"}
    return [_unmarked(each) for each in value] if isinstance(value, list) else value


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def _body(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value)


def _digest(piece: bytes) -> bytes:
    return hashlib.sha256(piece).digest()
