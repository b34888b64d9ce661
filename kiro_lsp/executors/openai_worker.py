"""The only place that imports the openai SDK: a program (see worker.py) that streams one request at a time.

An order is {id, apiKey, baseUrl, wire: "responses" | "chat", retries, connectSeconds, idleSeconds, request: {…}}. What is
done is {items, stop, usage} for the Responses API and {message, stop, usage} for Chat Completions; an error has `param`, the
part of the request that the provider objects to. All other lines are those of provider_worker.py.

An answer that is not complete in every part is an error, so no half tool call ever leaves this process, except in an answer
that says itself that it was cut short. It decides nothing about runs, keeps nothing between requests but the connection, and
ends at once when its standard input does. It is run by its path and imports nothing of this project but provider_worker.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx2
import openai

if TYPE_CHECKING:
    from kiro_lsp.executors import provider_worker as shared
    from kiro_lsp.executors.provider_worker import Failed, Output, Size, Unreadable
else:
    _spec = importlib.util.spec_from_file_location("provider_worker", Path(__file__).with_name("provider_worker.py"))
    shared = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(shared)
    Failed, Output, Size, Unreadable = shared.Failed, shared.Output, shared.Size, shared.Unreadable

_BURSTS: Final = ("rate_limit_exceeded", "slow_down")
_SHOWN: Final = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.reasoning_summary_text.delta": "thought",
    "response.reasoning_text.delta": "thought",
}
_ENDS: Final = ("response.completed", "response.incomplete", "response.failed")


class Response:
    """An answer of the Responses API as its stream builds it up. Raises Unreadable for what no answer is made of."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._size = Size()
        self._items: dict[int, dict[str, Any]] = {}
        self._open: dict[int, dict[str, Any]] = {}
        self._summaries = 0
        self._end: dict[str, Any] | None = None

    def take(self, event: Any) -> None:  # one of the SDK's events, or what it made of something else
        kind = event.type
        if self._end is not None:
            raise Unreadable(f"{kind} came after the end")
        if kind in _SHOWN:
            self._show(_SHOWN[kind], event.delta)
        elif kind == "response.reasoning_summary_part.added":
            if self._summaries:
                self._output.text("thought", "\n\n")
            self._summaries += 1
        elif kind == "response.output_item.added":
            self._begin(event.output_index, event.item)
        elif kind == "response.function_call_arguments.delta":
            self._size.grow(len(_text(event.delta)))
            if event.output_index not in self._open:
                raise Unreadable("arguments came for a call that is not open")
        elif kind == "response.output_item.done":
            self._finish(event.output_index, event.item)
        elif kind in _ENDS:
            self._stop(kind.removeprefix("response."), event.response)
        elif kind == "error":
            raise shared.refused(200, _word(event, "code"), _word(event, "message"), {})

    def complete(self) -> dict[str, Any] | None:
        """The answer, None when its stream ended too early."""
        if self._end is None:
            return None
        items = self._items | ({} if self._end["stop"] in ("completed", "tool_use") else self._open)
        return {"items": [items[index] for index in sorted(items)], **self._end}

    def _show(self, kind: str, delta: Any) -> None:
        text = _text(delta)
        self._size.grow(len(text))
        self._output.text(kind, text)

    def _begin(self, index: Any, item: Any) -> None:
        if not isinstance(index, int) or index in self._items or index in self._open:
            raise Unreadable("an item began twice, or without a number")
        self._open[index] = opened = _plain(item)
        if opened["type"] == "function_call":
            self._output.line("tool", name=_call_checked(opened)["name"])

    def _finish(self, index: Any, item: Any) -> None:
        if index not in self._open:
            raise Unreadable("an item ended that is not open")
        begun, done = self._open.pop(index), _plain(item)
        if begun["type"] != done["type"]:
            raise Unreadable("an item ended as something else than it began")
        if done["type"] == "function_call":
            if not isinstance(_call_checked(done).get("arguments"), str):
                raise Unreadable("a call has no arguments")
            if (begun["name"], begun["call_id"]) != (done["name"], done["call_id"]):
                raise Unreadable("a call ended as another than it began")
        self._size.grow(len(str(done)))
        self._items[index] = done

    def _stop(self, how: str, response: Any) -> None:
        if how == "failed":
            error = response.error
            code = _word(error, "code")
            raise shared.refused(200, code, _word(error, "message") or "it gives no reason", {})
        if how == "completed" and self._open:
            raise Unreadable("the answer ended with an item that is not whole")
        if how == "completed" and not self._items and response.output:
            for index, item in enumerate(response.output):  # a server that streams no items states them at the end
                self._begin(index, item)
                self._finish(index, item)
        reason = _word(response.incomplete_details, "reason") if how == "incomplete" else ""
        self._end = {"stop": reason or how, "usage": _counts(response.usage)}


class Completion:
    """An answer of Chat Completions as its stream builds it up, with the fields that vendors add to it."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._size = Size()
        self._texts: dict[str, list[str]] = {}
        self._details: list[Any] = []
        self._calls: list[dict[str, Any]] = []
        self._stop: str | None = None
        self._usage: dict[str, Any] | None = None

    def take(self, chunk: Any) -> None:
        if getattr(chunk, "usage", None) is not None:
            self._usage = _counts(chunk.usage)
        for choice in chunk.choices or ():
            if choice.index not in (0, None):
                continue
            delta = choice.delta
            said = bool(delta is not None and (delta.content or delta.tool_calls))
            if self._stop is not None and said:
                raise Unreadable("more came after the end")
            if delta is not None:
                self._delta(delta)
            if choice.finish_reason is not None:
                self._stop = _text(choice.finish_reason)

    def complete(self) -> dict[str, Any] | None:
        """The answer, None when its stream ended too early."""
        if self._stop is None:
            return None
        calls = [{**call, "arguments": "".join(call["arguments"])} for call in self._calls]
        message = {name: "".join(parts) for name, parts in self._texts.items()} | {"tool_calls": calls}
        if self._details:
            message["reasoning_details"] = self._details
        return {"message": message, "stop": self._stop, "usage": self._usage}

    def _delta(self, delta: Any) -> None:
        more = delta.model_extra or {}
        for name, kind, text in (
            ("reasoning_content", "thought", more.get("reasoning_content")),
            ("reasoning", "thought", more.get("reasoning")),
            ("content", "text", delta.content),
            ("refusal", "text", delta.refusal),
        ):
            if text is not None and text != "":
                self._size.grow(len(_text(text)))
                self._texts.setdefault(name, []).append(text)
                if name != "reasoning" or not more.get("reasoning_content"):
                    self._output.text(kind, text)
        details = more.get("reasoning_details")
        if isinstance(details, list):
            self._size.grow(len(str(details)))
            self._details += details
        for part in delta.tool_calls or ():
            self._call(part)

    def _call(self, part: Any) -> None:
        """One piece of a call. Vendors leave the number out, or give the same one to every call."""
        function, identifier = part.function, part.id or ""
        call = next((call for call in reversed(self._calls) if part.index in (None, call["index"])), None)
        if call is None or (identifier and call["id"] != identifier):
            name = function.name if function is not None else None
            if not isinstance(name, str) or not name or not isinstance(identifier, str):
                raise Unreadable("a tool call has no name")
            call = {"index": part.index, "id": identifier, "name": name, "arguments": []}
            self._calls.append(call)
            self._output.line("tool", name=name)
            if isinstance(extra := (part.model_extra or {}).get("extra_content"), dict):
                call["extra_content"] = extra
        arguments = function.arguments if function is not None else None
        if arguments:
            self._size.grow(len(_text(arguments)))
            call["arguments"].append(arguments)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unreadable("a piece of the answer is not text")
    return value


def _word(value: Any, name: str) -> str:
    found = getattr(value, name, None)
    return found if isinstance(found, str) else ""


def _plain(item: Any) -> dict[str, Any]:
    value: dict[str, Any] = item.model_dump(mode="json", exclude_none=True)
    if not isinstance(value.get("type"), str):
        raise Unreadable("an item has no type")
    return value


def _call_checked(item: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(item.get("call_id"), str) or not isinstance(item.get("name"), str):
        raise Unreadable("a tool call has no id or no name")
    return item


def _counts(usage: Any) -> dict[str, Any] | None:
    return usage.model_dump(mode="json", exclude_none=True) if isinstance(usage, openai.BaseModel) else None


def make_http(**more: Any) -> httpx2.AsyncClient:
    """The connections of this process, made once: loading certificates takes as long as a first answer does."""
    return openai.DefaultAsyncHttpxClient(**shared.http_options(), **more)


def make_client(order: Mapping[str, Any], http: httpx2.AsyncClient) -> openai.AsyncOpenAI:
    """A client with everything explicit: nothing of the environment decides where a key goes."""
    return openai.AsyncOpenAI(
        api_key=order["apiKey"],
        base_url=order["baseUrl"],
        max_retries=0,
        timeout=shared.timeout_of(order),
        http_client=http,
    )


async def attempt(client: openai.AsyncOpenAI, order: Mapping[str, Any], output: Output) -> dict[str, Any]:
    """One request and its whole answer. Raises Failed."""
    responses = order["wire"] == "responses"
    answer: Response | Completion = Response(output) if responses else Completion(output)
    create: Any = client.responses.create if responses else client.chat.completions.create
    try:
        async with await create(stream=True, **order["request"]) as stream:
            shared.check_stream(stream.response)
            async for event in stream:
                answer.take(event)
    except openai.APIStatusError as error:
        raise _refused(error, error.status_code, error.response.headers) from error
    except openai.APIConnectionError as error:
        raise shared.connection(error.__cause__ or error) from error
    except httpx2.HTTPError as error:
        raise shared.connection(error) from error
    except openai.APIError as error:  # an error object in the stream
        raise _refused(error, 200, {}) from error
    except (
        *(shared.TooLarge, Unreadable, openai.OpenAIError),
        *(ValueError, KeyError, TypeError, AttributeError),
    ) as error:
        raise shared.unread(error) from error
    complete = answer.complete()
    if complete is None:
        raise Failed("cut", "the answer ended in the middle")
    return complete


def _refused(error: openai.APIError, status: int, headers: Mapping[str, str]) -> Failed:
    body = error.body if isinstance(error.body, dict) else {}
    said = next((body[name] for name in ("message", "detail") if isinstance(body.get(name), str)), str(error.message))
    kind = str(body.get("code") or body.get("type") or "")
    failed = shared.refused(status, kind, said, headers, short=kind in _BURSTS)
    if kind == "insufficient_quota":
        failed.retry_in = None
    failed.line["param"] = str(body.get("param") or "")
    return failed


async def carry_out(http: httpx2.AsyncClient, order: Mapping[str, Any]) -> None:
    client = make_client(order, http)
    await shared.carry_out(order, lambda output: attempt(client, order, output))


async def warm() -> None:
    """Read an answer out of memory once: the SDK builds its types at the first one, which takes as long as a network does."""
    order = {"apiKey": "none", "baseUrl": "http://127.0.0.1", "connectSeconds": 1, "idleSeconds": 1}
    text = {"type": "response.output_text.delta", "delta": "x", "item_id": "m", "output_index": 0, "content_index": 0}
    item = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": []}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item, "sequence_number": 1}
    whole = {"id": "r", "object": "response", "status": "completed", "model": "m", "output": [item]}
    end = {"type": "response.completed", "response": whole, "sequence_number": 2}
    canned = shared.canned(*((str(data["type"]), data) for data in (text, done, end)))
    async with make_http(transport=canned) as http:
        async for _event in await make_client(order, http).responses.create(model="m", input="x", stream=True):
            pass


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(shared.serve(warm, make_http, carry_out))
