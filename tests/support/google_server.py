"""A local server that speaks the Gemini streaming API, well and badly, by a script (see provider_server.py).

The API has no calls with broken arguments: where a script has some, the answer ends as the API ends it then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.support.provider_server import Fault, Handler, Json, ProviderServer, Step, cut

_NAMES: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_PATH: Final = ("/v1beta/models/", ":streamGenerateContent")


def chunks_of(step: Step, tokens: int = 100) -> Iterator[tuple[str, Any]]:
    """("chunk", "error" or "end", data) of a whole answer; the usage comes with every chunk, the reason with the last."""
    if step.raw is not None:
        yield from ((str(name), data) for name, data in step.raw)
        return
    usage = {"promptTokenCount": tokens, "candidatesTokenCount": 20, "totalTokenCount": tokens + 20}
    counted = {"usageMetadata": dict(usage if step.usage is None else step.usage), "modelVersion": "local"}
    stop = step.stop or "STOP"
    if stop.startswith("blocked: "):
        yield "end", {"promptFeedback": {"blockReason": stop.removeprefix("blocked: ")}, **counted}
        return
    broken = any(isinstance(args, str) for _name, args, *_id in step.tools)
    for part in _parts(step, broken=broken):
        yield "chunk", {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}], **counted}
    if step.error_event is not None:
        yield "error", {"error": error_object(500, step.error_event["message"], step.error_event["type"])}
        return
    last = {"finishReason": "MALFORMED_FUNCTION_CALL" if broken and step.stop is None else stop, "index": 0}
    yield "end", {"candidates": [last], **counted}


def _parts(step: Step, *, broken: bool) -> Iterator[Json]:
    yield from ({"text": text, "thought": True} for text in cut(step.thinking, step.pieces))
    yield from ({"text": text} for text in cut(step.text * step.repeat_text, step.pieces))
    for number, (name, args, *given) in enumerate(() if broken else step.tools):
        call = {"functionCall": {"name": name, "args": args, **({"id": given[0]} if given else {})}}
        yield {**call, "thoughtSignature": step.redacted} if step.redacted and number == 0 else call
    if step.redacted and not step.tools:
        yield {"text": "", "thoughtSignature": step.redacted}


def encoded(_name: str, data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"data: {text}\r\n\r\n".encode()


def error_object(status: int, message: str, name: str = "", *details: Json) -> Json:
    """The value of `error`; a name that is not one of this API's is replaced by the status's own."""
    named = name if name.isupper() else _NAMES.get(status, "UNKNOWN")
    code = next((code for code, known in _NAMES.items() if known == named), status)
    return {"code": code, "message": message, "status": named, "details": list(details)}


class _GoogleHandler(Handler):
    first_piece = ("chunk",)
    last_piece = ("end",)

    def speaks(self, path: str) -> bool:
        return path.startswith(_PATH[0]) and path.endswith(_PATH[1]) and self.path.endswith("?alt=sse")

    def index_of(self, request: Json) -> int:
        return sum(any("functionCall" in part for part in content["parts"]) for content in request["contents"])

    def events(self, step: Step, request: Json, index: int) -> Iterator[tuple[str, bytes]]:
        tokens = max(1, len(json.dumps(request)) // 4)
        return ((name, encoded(name, data)) for name, data in chunks_of(step, tokens))

    def offered(self, request: Json) -> list[str]:
        return [tool["name"] for kind in request.get("tools", ()) for tool in kind.get("functionDeclarations", ())]

    def error_of(self, fault: Fault) -> Json:
        return {"error": error_object(fault.status, fault.message, fault.type)}

    def endless_piece(self) -> bytes:
        return next(encoded(*event) for event in chunks_of(Step(text="more " * 4000, pieces=20_000)))


class GoogleServer(ProviderServer):
    """Runs in a thread on a free port of 127.0.0.1; use it as a context manager."""

    handler = _GoogleHandler
