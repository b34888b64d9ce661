"""How providers find the beginning of a request in their cache, as their pages describe it, and servers that count so.

A token is four bytes of the request's parts in the order in which a provider reads them: tools, system text, messages.

- Claude: a part that ends at a mark is kept, from 1,024 tokens; a mark finds what was kept at most 20 parts before it.
- OpenAI from gpt-5.6: a part that ends at a mark is kept, and the last message of ours; found is only what ends where it was
  kept, from 1,024 tokens. Older models keep everything in steps of 128 tokens.
- Gemini: every beginning, from 4,096 tokens (3.5 Flash); nothing is said about steps.
- Servers for Chat Completions on one's own machine: every beginning in steps of 16 tokens, as vLLM.
- Ollama: what the model's one slot read last, until the model is loaded again, with another context for one. It reports none
  of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.anthropic_server import AnthropicServer
from tests.support.google_server import GoogleServer
from tests.support.ollama_server import OllamaServer
from tests.support.openai_server import OpenaiServer

Json = Mapping[str, Any]
_MARKS = ("cache_control", "prompt_cache_breakpoint")
_OUTPUT = 20


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a request as it is read. `ends` says whether a beginning may be kept that ends here: "mark", "message"."""

    data: bytes
    ends: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens of a request, of those found in the cache and of those written to it."""

    tokens: int
    read: int = 0
    written: int = 0


def _part(value: Any, ends: str = "") -> Part:
    """A part of JSON; what marks it is no part of it."""
    if isinstance(value, dict):
        ends = "mark" if any(name in value for name in _MARKS) else ends
        value = {name: inner for name, inner in value.items() if name not in _MARKS}
    return Part(json.dumps(value, ensure_ascii=False).encode(), ends)


class ByMarks:
    """Keeps and finds beginnings only where marks end."""

    def __init__(self, least: int, *, lookback: int | None = None, last_message: bool = False) -> None:
        self._least, self._lookback, self._last_message = least, lookback, last_message
        self._kept: set[bytes] = set()

    def count(self, parts: Sequence[Part]) -> Counted:
        digest, size = hashlib.sha256(), 0
        places: list[tuple[bytes, int]] = []
        for part in parts:
            digest.update(part.data)
            size += len(part.data)
            places.append((digest.digest(), size // 4))
        marked = [number for number, part in enumerate(parts) if part.ends == "mark"]
        messages = [number for number, part in enumerate(parts) if part.ends == "message"]
        keep = marked[-4:] if not self._last_message else marked[-3:] + messages[-1:]
        look = set(marked) | set(messages[-80:] if self._last_message else ())
        if self._lookback is not None:
            look = {number - back for number in marked for back in range(self._lookback + 1) if number >= back}
        found = (places[number][1] for number in look if places[number][0] in self._kept)
        read = max(found, default=0)
        new = [places[number] for number in keep if places[number][1] >= self._least]
        self._kept.update(place for place, _tokens in new)
        return Counted(size // 4, read, max(max((tokens for _place, tokens in new), default=0) - read, 0))


class Beginnings:
    """Keeps every beginning, in steps."""

    def __init__(self, least: int, step: int) -> None:
        self._least, self._step = least, step
        self._kept: set[bytes] = set()

    def count(self, parts: Sequence[Part]) -> Counted:
        data = b"".join(part.data for part in parts)
        digest, read, known = hashlib.sha256(), 0, True
        for end in range(self._step * 4, len(data) + 1, self._step * 4):
            digest.update(data[end - self._step * 4 : end])
            place = digest.digest()
            known = known and place in self._kept
            read = end // 4 if known else read
            self._kept.add(place)
        return Counted(len(data) // 4, read if read >= self._least else 0)


class OneSlot:
    """Finds what it has in common with the request before, unless the model was loaded anew between them."""

    def __init__(self) -> None:
        self._last, self._context = b"", 0
        self.loads = 0

    def count(self, parts: Sequence[Part], context: int) -> Counted:
        data = b"".join(part.data for part in parts)
        if context != self._context:
            self._last, self._context = b"", context
            self.loads += 1
        same = next((at for at, (one, other) in enumerate(zip(data, self._last, strict=False)) if one != other), None)
        read = min(len(data), len(self._last)) if same is None else same
        self._last = data
        return Counted(len(data) // 4, read // 4)


def anthropic_parts(request: Json) -> Iterator[Part]:
    yield from (_part(tool) for tool in request["tools"])
    yield from (_part(block) for block in request["system"])
    for message in request["messages"]:
        yield from (_part({"role": message["role"], **block}) for block in message["content"])


def openai_parts(request: Json) -> Iterator[Part]:
    yield from (_part(tool) for tool in request["tools"])
    yield _part(request.get("instructions", ""))
    for item in request.get("input", request.get("messages", ())):
        ours = item.get("role") in ("user", "tool") or item.get("type") == "function_call_output"
        content = item.get("content")
        if ours and isinstance(content, list):
            yield from (_part({"role": item["role"], **part}) for part in content[:-1])
            yield _part({"role": item["role"], **content[-1]}, "message")
        else:
            yield _part(item, "message" if ours else "")


def google_parts(request: Json) -> Iterator[Part]:
    yield _part(request["tools"])
    yield from (_part(part) for part in request["systemInstruction"]["parts"])
    for content in request["contents"]:
        yield from (_part({"role": content["role"], **part}) for part in content["parts"])


def ollama_parts(request: Json) -> Iterator[Part]:
    yield _part(request.get("tools", []))
    yield from (_part(message) for message in request["messages"])


class _Counting:
    """Mixed into a server: what was counted, request by request."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.counted: list[Counted] = []

    def _noted(self, counted: Counted) -> Counted:
        self.counted.append(counted)
        return counted


class CachingAnthropic(_Counting, AnthropicServer):
    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._marks = ByMarks(1024, lookback=20)

    def usage_of(self, request: Json) -> dict[str, Any]:
        parts = list(anthropic_parts(request))
        found = self._noted(self._marks.count(parts))
        blocks = [*request["tools"], *request["system"]]
        last = max(
            (at for at, block in enumerate(blocks) if block.get("cache_control", {}).get("ttl") == "1h"), default=-1
        )
        hour = sum(len(part.data) for part in parts[: last + 1]) // 4
        hour = min(max(hour - found.read, 0), found.written)
        return {
            "cache_creation": {
                "ephemeral_1h_input_tokens": hour,
                "ephemeral_5m_input_tokens": found.written - hour,
            },
            "input_tokens": found.tokens - found.read - found.written,
            "cache_read_input_tokens": found.read,
            "cache_creation_input_tokens": found.written,
            "output_tokens": _OUTPUT,
        }


class CachingOpenai(_Counting, OpenaiServer):
    def __init__(self, cache: ByMarks | Beginnings, **more: Any) -> None:
        super().__init__(**more)
        self._cache = cache

    def usage_of(self, request: Json) -> dict[str, Any]:
        parts = list(openai_parts(request))
        explicit = request.get("prompt_cache_options", {}).get("mode") == "explicit"
        if explicit:
            parts = [Part(part.data, part.ends if part.ends == "mark" else "") for part in parts]
        found = self._noted(self._cache.count(parts))
        details = {"cached_tokens": found.read, "cache_write_tokens": found.written}
        total = {"total_tokens": found.tokens + _OUTPUT}
        if "input" in request:
            counts = {"input_tokens": found.tokens, "input_tokens_details": details, "output_tokens": _OUTPUT}
            return {**counts, "output_tokens_details": {"reasoning_tokens": 0}, **total}
        return {"prompt_tokens": found.tokens, "prompt_tokens_details": details, "completion_tokens": _OUTPUT, **total}


class CachingGoogle(_Counting, GoogleServer):
    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._beginnings = Beginnings(4096, 1)

    def usage_of(self, request: Json) -> dict[str, int]:
        found = self._noted(self._beginnings.count(list(google_parts(request))))
        counts = {"promptTokenCount": found.tokens, "candidatesTokenCount": _OUTPUT}
        cached = {"cachedContentTokenCount": found.read} if found.read else {}
        return {**counts, **cached, "totalTokenCount": found.tokens + _OUTPUT}


class CachingOllama(_Counting, OllamaServer):
    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.slot = OneSlot()

    def usage_of(self, request: Json) -> dict[str, int]:
        context = request["options"]["num_ctx"]
        found = self._noted(self.slot.count(list(ollama_parts(request)), context))
        until = "2318-01-01T00:00:00Z" if request.get("keep_alive") == "-1" else "2026-01-01T00:00:00Z"
        loaded = {"name": request["model"], "context_length": context, "expires_at": until}
        self.fixed["/api/ps"] = (200, {"models": [loaded]})
        return {"prompt_eval_count": found.tokens, "eval_count": _OUTPUT}
