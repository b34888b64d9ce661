"""The only place that imports the google-genai SDK: a program (see worker.py) that streams one request at a time.

Its lines, bounds and retries are those of provider_worker.py, which it loads by its path. An answer that is not complete in
every part is an error, so no half tool call ever leaves this process. The SDK's own retries, its automatic function calling
and its automatic continuation are off: what is sent, and how often, is decided outside.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import importlib.util
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

os.environ["GOOGLE_GENAI_HTTP_CLIENT"] = "httpx2"

import httpx2
from google import genai
from google.genai import errors, types

if TYPE_CHECKING:
    from kiro_lsp.executors import provider_worker as shared
else:
    # By its path: a module of this folder is called like the SDK, so the folder must not be looked up for imports.
    _spec = importlib.util.spec_from_file_location("provider_worker", Path(__file__).with_name("provider_worker.py"))
    shared = importlib.util.module_from_spec(_spec)
    sys.modules["provider_worker"] = shared
    _spec.loader.exec_module(shared)

_UNUSED: Final = httpx2.Client(transport=httpx2.MockTransport(lambda _request: httpx2.Response(503)))
_UNUSED_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""In the place of what the SDK would make for calls that wait and for web sockets: it loads all certificates for each client."""
_NO_CALL: Final = types.AutomaticFunctionCallingConfig(disable=True)


class Answer:
    """One answer as it arrives, in parts that can be sent back as they were signed. Raises Unreadable and TooLarge."""

    def __init__(self, output: shared.Output) -> None:
        self._output = output
        self._parts: list[dict[str, Any]] = []
        self._texts: list[str] = []
        self._stop: str | None = None
        self._said = ""
        self._usage: dict[str, int] = {}
        self._size = shared.Size()

    def take(self, chunk: types.GenerateContentResponse) -> None:
        self._count(chunk.usage_metadata)
        feedback = chunk.prompt_feedback
        if feedback is not None and feedback.block_reason is not None:
            self._stop = f"blocked: {_word(feedback.block_reason)}"
            self._said = feedback.block_reason_message or ""
        for candidate in chunk.candidates or ():
            if candidate.index:
                continue  # one answer was asked for
            for part in (candidate.content.parts if candidate.content else None) or ():
                if self._stop is not None:
                    raise shared.Unreadable("a part came after the end of the answer")
                self._add(part)
            if candidate.finish_reason is not None:
                self._stop = _word(candidate.finish_reason)
                self._said = candidate.finish_message or ""

    def complete(self) -> dict[str, Any] | None:
        """The values of `done`, None when the stream ended too early."""
        self._join()
        if self._stop is None:
            return None
        return {"parts": self._parts, "stop": self._stop, "said": self._said[:2000], "usage": self._usage}

    def _add(self, part: types.Part) -> None:
        value = part.model_dump(mode="json", exclude_none=True)
        self._size.grow(len(json.dumps(value)))
        call = part.function_call
        if call is not None:
            if not call.name or call.partial_args or call.will_continue:
                raise shared.Unreadable("a tool call has no name, or comes in pieces")
            self._output.line("tool", name=call.name)
        if part.text is None or call is not None:
            self._join()
            self._parts.append(value)
            return
        thought = bool(part.thought)
        if part.text:
            self._output.text("thought" if thought else "text", part.text)
        if not self._goes_on(value):
            self._join()
            self._parts.append(value)
        self._texts.append(part.text)

    def _goes_on(self, value: Mapping[str, Any]) -> bool:
        """Whether a text part continues the last one; a signed part stays as it came."""
        if not self._texts or "thought_signature" in value:
            return False
        last = self._parts[-1]
        return "thought_signature" not in last and bool(last.get("thought")) == bool(value.get("thought"))

    def _join(self) -> None:
        """Put the pieces of the last text together, once: adding to a string piece by piece is quadratic."""
        if self._texts:
            self._parts[-1]["text"] = "".join(self._texts)
            self._texts = []

    def _count(self, usage: types.GenerateContentResponseUsageMetadata | None) -> None:
        """Counts of a stream are running totals; of two reports the larger one holds."""
        for name in (
            "prompt_token_count",
            "cached_content_token_count",
            "candidates_token_count",
            "thoughts_token_count",
            "tool_use_prompt_token_count",
            "total_token_count",
        ):
            value = getattr(usage, name, None)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                self._usage[name] = max(value, self._usage.get(name, 0))


def _word(value: Any) -> str:
    return str(getattr(value, "value", value))


class Whole(httpx2.AsyncByteStream):
    """A body in which nothing is guessed: the SDK replaces broken characters, and reads a last line that was cut."""

    def __init__(self, body: Any) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        decoder, last = codecs.getincrementaldecoder("utf-8")(), b""
        async for chunk in self._body:
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise shared.Unreadable("it is not UTF-8") from error
            last = chunk[-1:] or last
            yield chunk
        if last not in (b"", b"\n", b"\r"):
            raise httpx2.ReadError("the answer ended in the middle of a line")

    async def aclose(self) -> None:
        await self._body.aclose()


_answering: Final[list[httpx2.Response]] = []
"""The answer that is being read: the SDK leaves it open when it is not read to its end."""


async def _check(response: httpx2.Response) -> None:
    if response.status_code == 200:
        _answering.append(response)
        shared.check_stream(response)
        response.stream = Whole(response.stream)


def make_http(**more: Any) -> httpx2.AsyncClient:
    """The connections of this process, made once: loading certificates takes as long as a first answer does."""
    options = shared.http_options()
    options["event_hooks"]["response"].append(_check)
    return httpx2.AsyncClient(**options, **more)


def make_client(order: Mapping[str, Any], http: httpx2.AsyncClient) -> genai.Client:
    """A client with everything explicit: nothing of the environment decides where a key goes."""

    async def limit(request: httpx2.Request) -> None:
        # The SDK knows one time for everything; to connect takes less than to think.
        request.extensions["timeout"] = shared.timeout_of(order).as_dict()
        request.headers["accept-encoding"] = "identity"

    http.event_hooks = {"request": [limit], "response": http.event_hooks["response"]}
    options = types.HttpOptions(
        base_url=order["baseUrl"],
        api_version="v1beta",
        httpx_client=_UNUSED,
        httpx_async_client=http,
        async_client_args={"ssl": _UNUSED_TLS},
    )
    return genai.Client(api_key=order["apiKey"], vertexai=False, http_options=options)


async def attempt(client: genai.Client, order: Mapping[str, Any], output: shared.Output) -> dict[str, Any]:
    """One request and its whole answer. Raises Failed."""
    request = order["request"]
    # As JSON: only there are signatures read as base64.
    contents = [types.Content.model_validate_json(json.dumps(content)) for content in request["contents"]]
    config = types.GenerateContentConfig.model_validate(request["config"])
    config.automatic_function_calling = _NO_CALL
    config.automatic_continuation = False
    answer = Answer(output)
    try:
        stream: Any = await client.aio.models.generate_content_stream(
            model=request["model"],
            contents=contents,
            config=config,
        )
        async with contextlib.aclosing(stream):
            async for chunk in stream:
                answer.take(chunk)
    except shared.Failed:
        raise
    except errors.APIError as error:
        raise _status(error) from error
    except httpx2.HTTPError as error:
        raise shared.connection(error) from error
    except (shared.Unreadable, shared.TooLarge, ValueError, KeyError, TypeError, AttributeError) as error:
        raise shared.unread(error) from error
    finally:
        while _answering:
            await _answering.pop().aclose()
    complete = answer.complete()
    if complete is None:
        raise shared.Failed("cut", "the answer ended in the middle")
    return complete


def _status(error: errors.APIError) -> shared.Failed:
    headers = dict(getattr(error.response, "headers", None) or {})
    # The SDK gives an error within a stream the status it would have had; its response is the good start then.
    status = getattr(error.response, "status_code", 0)
    body = error.details if isinstance(error.details, dict) else {}
    error_object = body.get("error")
    inner = error_object if isinstance(error_object, dict) else body
    listed = inner.get("details")
    details = listed if isinstance(listed, list) else []
    reason = next((str(item["reason"]) for item in details if isinstance(item, dict) and "reason" in item), "")
    delay = next((str(item["retryDelay"]) for item in details if isinstance(item, dict) and "retryDelay" in item), "")
    if delay.endswith("s") and "retry-after" not in headers:
        headers["retry-after"] = delay[:-1]
    type_ = reason if reason == "API_KEY_INVALID" else str(error.status or "")
    said = error.message if isinstance(error.message, str) else ""
    return shared.refused(status, type_, said, headers)


async def answer_order(http: httpx2.AsyncClient, order: Mapping[str, Any]) -> None:
    client = make_client(order, http)
    await shared.carry_out(order, lambda output: attempt(client, order, output))


async def warm() -> None:
    """Read an answer out of memory once: the SDK builds its types at the first one."""
    order = {
        "id": 0,
        "apiKey": "none",
        "baseUrl": "http://127.0.0.1",
        "connectSeconds": 1,
        "idleSeconds": 1,
        "request": {"model": "m", "contents": [{"role": "user", "parts": [{"text": "x"}]}], "config": {}},
    }
    good = {"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP", "index": 0}]}
    async with make_http(transport=shared.canned(("", good))) as http:
        await attempt(make_client(order, http), order, shared.Output(0))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(shared.serve(warm, make_http, answer_order))
