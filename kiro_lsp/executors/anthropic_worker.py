"""The only place that imports the anthropic SDK: a worker process (see worker.py) that streams one request at a time.

In: one JSON line per request {apiKey, baseUrl, maxRetries, idleSeconds, request: {…}}. Out: lines with "event":
ready | text {text} | thought {text} | tool {name} | done {content, stop, usage} | error {kind, message, hint}.
A stream that ends before message_stop is an error, so no half tool call ever leaves this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

import anthropic
import httpx2

_MERGE_SECONDS: Final = 0.02
_CONNECT_SECONDS: Final = 10.0


class _Output:
    """Standard output with text pieces of a burst merged into one line; the first goes out at once."""

    def __init__(self) -> None:
        self._kind = ""
        self._text: list[str] = []
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def text(self, kind: str, text: str) -> None:
        if kind != self._kind:
            self.flush()
            self._kind = kind
        self._text.append(text)
        loop = asyncio.get_running_loop()
        if time.monotonic() - self._last >= _MERGE_SECONDS:
            self.flush()
        elif self._timer is None:
            self._timer = loop.call_later(_MERGE_SECONDS, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._text:
            text, self._text = "".join(self._text), []
            self._last = time.monotonic()
            _write({"event": self._kind, "text": text})

    def line(self, value: Mapping[str, Any]) -> None:
        self.flush()
        _write(value)


def _write(value: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(value, ensure_ascii=True).encode() + b"\n")
    sys.stdout.buffer.flush()


class _Answer:
    """A message as its stream builds it up."""

    def __init__(self, output: _Output) -> None:
        self._output = output
        self._blocks: dict[int, dict[str, Any]] = {}
        self._stop: str | None = None
        self._usage: dict[str, int] = {}
        self.finished = False

    def take(self, event: Any) -> None:  # the SDK's union of raw stream events
        match event.type:
            case "message_start":
                self._count(event.message.usage)
            case "content_block_start":
                block = event.content_block.model_dump(mode="json", exclude_none=True)
                self._blocks[event.index] = block
                if block["type"] == "tool_use":
                    block["input_json"] = ""
                    self._output.line({"event": "tool", "name": block["name"]})
            case "content_block_delta":
                self._delta(self._blocks[event.index], event.delta)
            case "message_delta":
                self._stop = event.delta.stop_reason or self._stop
                self._count(event.usage)
            case "message_stop":
                self.finished = True

    def _delta(self, block: dict[str, Any], delta: Any) -> None:
        match delta.type:
            case "text_delta":
                block["text"] = block.get("text", "") + delta.text
                self._output.text("text", delta.text)
            case "input_json_delta":
                block["input_json"] = block.get("input_json", "") + delta.partial_json
            case "thinking_delta":
                block["thinking"] = block.get("thinking", "") + delta.thinking
                self._output.text("thought", delta.thinking)
            case "signature_delta":
                block["signature"] = delta.signature

    def _count(self, usage: Any) -> None:
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
            value = getattr(usage, name, None)
            if isinstance(value, int) and value >= 0:
                self._usage[name] = value

    def done(self) -> dict[str, Any]:
        return {
            "event": "done",
            "content": [self._blocks[index] for index in sorted(self._blocks)],
            "stop": self._stop,
            "usage": self._usage,
        }


async def _carry_out(order: Mapping[str, Any], output: _Output) -> None:
    timeout = httpx2.Timeout(order["idleSeconds"], connect=_CONNECT_SECONDS)
    http_client = anthropic.DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=False)
    async with anthropic.AsyncAnthropic(
        api_key=order["apiKey"],
        base_url=order["baseUrl"],
        max_retries=order["maxRetries"],
        timeout=timeout,
        http_client=http_client,
    ) as client:
        answer = _Answer(output)
        try:
            stream = await client.messages.create(stream=True, **order["request"])
            async for event in stream:
                answer.take(event)
        except anthropic.APIError as error:
            output.line({"event": "error"} | described(error, order["baseUrl"]))
            return
        except httpx2.HTTPError as error:
            output.line(
                {"event": "error"} | _network(f"the connection was cut ({type(error).__name__})", order["baseUrl"])
            )
            return
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            output.line(
                {
                    "event": "error",
                    "kind": "agent",
                    "message": f"The provider's answer could not be read: {type(error).__name__}: {error}",
                    "hint": "Retry. If an endpoint of your own answers, check that it speaks the Messages API.",
                }
            )
            return
    if answer.finished:
        output.line(answer.done())
    else:
        output.line({"event": "error"} | _network("the answer was cut off in the middle", order["baseUrl"]))


def described(error: anthropic.APIError, base_url: str) -> dict[str, str]:
    """A failure as kind, message and what to do next; `kind` is one of the error kinds of the run events."""
    if isinstance(error, anthropic.APITimeoutError):
        return {
            "kind": "timeout",
            "message": f"{base_url} did not answer in time.",
            "hint": "Check the connection and the provider's status page, then retry.",
        }
    if isinstance(error, anthropic.APIConnectionError):
        return _network(f"it could not be reached ({error.__cause__ or error})", base_url)
    status = error.status_code if isinstance(error, anthropic.APIStatusError) else 0
    said = _said(error)
    kind, what, hint = _of_status(status, _type_of(error))
    return {
        "kind": kind,
        "message": f"{what} ({status or 'stream error'}): {said}" if said else f"{what} ({status}).",
        "hint": hint,
    }


def _of_status(status: int, type_: str) -> tuple[str, str, str]:
    if status == 401 or type_ == "authentication_error":
        return (
            "auth",
            "The provider refused the key",
            "Check ANTHROPIC_API_KEY (or the variable that api_key_env names).",
        )
    if status == 403 or type_ == "permission_error":
        return "auth", "The key has no right to do this", "Check the key's workspace and the model's name."
    if status == 402 or type_ == "billing_error":
        return "payment", "The account cannot pay for the request", "Add credit in the provider's console, then retry."
    if status == 429 or type_ == "rate_limit_error":
        return (
            "rate-limit",
            "Too many requests for this key",
            "Wait a minute, then retry; lower max_parallel if it happens often.",
        )
    if status in (503, 529) or type_ == "overloaded_error":
        return "overloaded", "The provider is overloaded", "Wait a little, then retry; nothing was lost."
    if status in (408, 504) or type_ == "timeout_error":
        return "timeout", "The provider took too long", "Retry."
    if status == 404 or type_ == "not_found_error":
        return "agent", "The provider does not know this model or address", "Check agents.claude.model and endpoint."
    if status == 413 or type_ == "request_too_large":
        return (
            "max-tokens",
            "The request is too large for the provider",
            "Split the task, or shorten the spec's documents.",
        )
    if 300 <= status < 400:
        return (
            "network",
            "The endpoint redirects elsewhere; keys are not sent along",
            "Configure the final address as endpoint.",
        )
    if status >= 500 or type_ == "api_error":
        return "overloaded", "The provider failed", "Retry; its status page may say more."
    return "agent", "The provider refused the request", "Retry with another model; the message says what it objects to."


def _network(what: str, base_url: str) -> dict[str, str]:
    return {
        "kind": "network",
        "message": f"Talking to {base_url} failed: {what}.",
        "hint": "Check the connection (and proxy settings), then retry. Nothing of a half answer was used.",
    }


def _type_of(error: anthropic.APIError) -> str:
    body = error.body
    inner = body.get("error") if isinstance(body, dict) else None
    return str(inner.get("type", "")) if isinstance(inner, dict) else ""


def _said(error: anthropic.APIError) -> str:
    body = error.body
    inner = body.get("error") if isinstance(body, dict) else None
    if isinstance(inner, dict) and isinstance(inner.get("message"), str):
        return str(inner["message"])[:500]
    return str(error.message)[:300]


async def main() -> None:
    """Serve requests until standard input ends."""
    output = _Output()
    output.line({"event": "ready"})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        await _carry_out(json.loads(line), output)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        asyncio.run(main())
