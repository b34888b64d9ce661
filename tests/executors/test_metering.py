"""The proxy before a metered program: what it charges is what the provider said, and no request passes the cap."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kiro_lsp import events
from kiro_lsp.budget import NANO, Usage, cost_nano
from kiro_lsp.errors import BudgetExceeded
from kiro_lsp.executors import metering
from kiro_lsp.executors.metering import Meter, metered
from kiro_lsp.executors.metering_wires import WIRES
from kiro_lsp.executors.protocol import Needs
from kiro_lsp.executors.ways import can_cap
from kiro_lsp.settings import AgentSettings, CostSettings
from kiro_lsp.store import Store
from tests.support.anthropic_server import AnthropicServer
from tests.support.google_server import GoogleServer
from tests.support.live_run import LiveRun
from tests.support.openai_server import OpenaiServer
from tests.support.provider_server import Fault, ProviderServer, Step

Json = dict[str, Any]
MESSAGES: Json = {"model": "claude-sonnet-5-5", "max_tokens": 1000, "stream": True}
MESSAGES |= {"messages": [{"role": "user", "content": "Hello"}]}
RESPONSES: Json = {
    "model": "gpt-6.1-sol",
    "stream": True,
    "store": False,
    "input": [{"role": "user", "content": "Hello"}],
}
CHAT: Json = {"model": "gpt-6.1-sol", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
CONTENTS: Json = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
GENERATE = "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse"

ANTHROPIC_USAGE = {
    "input_tokens": 40,
    "output_tokens": 7,
    "cache_read_input_tokens": 50,
    "cache_creation_input_tokens": 9,
}
OPENAI_USAGE = {"input_tokens": 99, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 50}}
CHAT_USAGE = {"prompt_tokens": 99, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 50}}
GOOGLE_USAGE = {
    "promptTokenCount": 99,
    "cachedContentTokenCount": 50,
    "candidatesTokenCount": 4,
    "thoughtsTokenCount": 3,
}

PROVIDERS: dict[str, tuple[type[ProviderServer], str, str, Json, Mapping[str, Any], Usage]] = {
    "anthropic": (AnthropicServer, "", "/v1/messages?beta=true", MESSAGES, ANTHROPIC_USAGE, Usage(99, 7, 50, 9)),
    "responses": (OpenaiServer, "/v1", "/v1/responses", RESPONSES, OPENAI_USAGE, Usage(99, 7, 50)),
    "chat": (OpenaiServer, "/v1", "/v1/chat/completions", CHAT, CHAT_USAGE, Usage(99, 7, 50)),
    "google": (GoogleServer, "", GENERATE, CONTENTS, GOOGLE_USAGE, Usage(99, 7, 50)),
}
METERS = {"anthropic": "anthropic", "responses": "openai", "chat": "openai", "google": "google"}
each_wire = pytest.mark.parametrize("wire", PROVIDERS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def provider(wire: str) -> Iterator[ProviderServer]:
    server, *_, usage, _counted = PROVIDERS[wire]
    with server([Step(text="Good day", usage=usage)]) as running:
        yield running


def agent_of(wire: str, provider: ProviderServer, **more: Any) -> AgentSettings:
    base = {"meter": METERS[wire], "base_url_env": "THE_URL", "endpoint": provider.url}
    return AgentSettings("fake", **{"type": "cli", "billing": "metered", "max_tokens": 500, **base, **more})


async def post(meter: Meter, wire: str, body: Json | None = None, target: str = "") -> httpx2.Response:
    """As a program asks: at the address that it was given, with the path of its provider."""
    _, prefix, path, usual, *_ = PROVIDERS[wire]
    base = meter.environ["THE_URL"].removesuffix(prefix)
    async with httpx2.AsyncClient(timeout=20, trust_env=False) as client:
        return await client.post(base + (target or path), json=usual if body is None else body)


@each_wire
async def test_what_the_provider_counted_is_charged_and_the_answer_comes_as_it_is(
    wire: str, provider: ProviderServer, store: Store, tmp_path: Path
) -> None:
    live = LiveRun(store, tmp_path)
    async with metered(live.handle, agent_of(wire, provider), {}) as meter:
        answer = await post(meter, wire)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "Good" in answer.text
    expected = PROVIDERS[wire][-1]
    (report,) = await live.happened(events.UsageReport)
    assert isinstance(report, events.UsageReport)
    assert (report.input_tokens, report.output_tokens, report.cached_tokens) == (99, 7, 50)
    model = "gemini-3.8-flash" if wire == "google" else str(PROVIDERS[wire][3]["model"])
    assert charged(store) == cost_nano(model, expected)


def charged(store: Store) -> int:
    return int(Decimal(store.run("run-1").charged) * NANO)


@each_wire
async def test_a_request_that_could_pass_the_cap_is_refused_in_the_provider_s_form_and_never_sent(
    wire: str, provider: ProviderServer, store: Store, tmp_path: Path
) -> None:
    live = LiveRun(store, tmp_path, cost=CostSettings(max_cost_per_run=Decimal("0.000001")))
    with pytest.raises(BudgetExceeded, match="max_cost_per_run"):
        async with metered(live.handle, agent_of(wire, provider), {}) as meter:
            answer = await post(meter, wire)
    assert answer.status_code == {"anthropic": 402, "google": 403}.get(wire, 429)
    assert answer.headers["x-should-retry"] == "false"
    said = answer.json()["error"]
    assert "max_cost_per_run" in said["message"]
    assert said[{"google": "status"}.get(wire, "type")] == REFUSED[METERS[wire]]
    assert provider.requests == []
    assert charged(store) == 0


REFUSED = {"anthropic": "billing_error", "openai": "insufficient_quota", "google": "PERMISSION_DENIED"}


@each_wire
async def test_a_program_that_goes_on_after_the_refusal_is_stopped(
    wire: str, provider: ProviderServer, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "ENDING_SECONDS", 0.05)
    live = LiveRun(store, tmp_path, cost=CostSettings(max_cost_per_run=Decimal("0.000001")))

    async def program() -> None:
        async with metered(live.handle, agent_of(wire, provider), {}) as meter:
            await post(meter, wire)
            await asyncio.Event().wait()

    with pytest.raises(BudgetExceeded):
        await program()


@each_wire
async def test_every_request_has_a_bound_for_its_answer(
    wire: str, provider: ProviderServer, store: Store, tmp_path: Path
) -> None:
    live = LiveRun(store, tmp_path)
    body = {key: value for key, value in PROVIDERS[wire][3].items() if key != "max_tokens"}
    async with metered(live.handle, agent_of(wire, provider), {}) as meter:
        assert (await post(meter, wire, body)).status_code == 200
    (sent,) = provider.requests
    bounds = (
        sent.get("max_tokens"),
        sent.get("max_output_tokens"),
        sent.get("max_completion_tokens"),
        sent.get("generationConfig", {}).get("maxOutputTokens"),
    )
    assert [bound for bound in bounds if bound is not None] == [500]
    if wire == "chat":
        assert sent["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("body", "bound"),
    [
        ({}, 500),
        ({"max_tokens": 100}, 100),
        ({"max_tokens": 128_000}, 500),
        ({"max_tokens": 128_000, "thinking": {"type": "enabled", "budget_tokens": 2000}}, 2001),
    ],
)
def test_a_program_that_names_its_models_largest_answer_is_held_to_the_agents(body: Json, bound: int) -> None:
    assert WIRES["anthropic"].bounded("/v1/messages", body, 500) == bound
    assert body["max_tokens"] == bound


ENDS: dict[str, tuple[list[Step], list[Fault], bool]] = {
    "refused by the provider": ([], [Fault(429, "rate_limit_error")], False),
    "failed at the provider": ([], [Fault(500)], True),
    "cut off": ([Step(text="Good day " * 40, cut_after=400, cut_with="reset")], [], True),
    "no usage said": ([Step(body='{"type": "message"}', content_type="application/json")], [], True),
}


@pytest.mark.parametrize("end", ENDS)
async def test_what_may_have_been_charged_and_is_not_known_is_charged_as_reserved(
    end: str, store: Store, tmp_path: Path
) -> None:
    steps, faults, is_charged = ENDS[end]
    live = LiveRun(store, tmp_path)
    with AnthropicServer(steps, faults) as provider:
        async with metered(live.handle, agent_of("anthropic", provider), {}) as meter:
            try:
                answer = await post(meter, "anthropic")
                assert answer.status_code == (faults[0].status if faults else 200)
            except httpx2.RemoteProtocolError:
                assert end == "cut off"
    least = cost_nano("claude-sonnet-5-5", Usage(0, 1000)) or 0
    assert (charged(store) > least) is is_charged
    (report,) = await live.happened(events.UsageReport)
    assert isinstance(report, events.UsageReport)
    assert report.cost == (None if is_charged else "0")


async def test_a_provider_that_is_not_there_costs_nothing(store: Store, tmp_path: Path) -> None:
    live = LiveRun(store, tmp_path)
    with AnthropicServer() as provider:
        agent = agent_of("anthropic", provider)
    async with metered(live.handle, agent, {}) as meter:
        answer = await post(meter, "anthropic")
    assert answer.status_code == 502
    assert "cannot be reached" in answer.json()["error"]["message"]
    assert charged(store) == 0


async def test_a_longer_conversation_is_bounded_by_what_was_counted_and_not_by_its_bytes(
    store: Store, tmp_path: Path
) -> None:
    """A megabyte that the provider counted as a thousand tokens does not have to fit the cap as a million."""
    text = {"role": "user", "content": "x" * 400_000}
    price = Decimal("2.6")  # of the first request, bounded by its bytes; not of two such
    live = LiveRun(store, tmp_path, cost=CostSettings(max_cost_per_run=price))
    usage = {"input_tokens": 1000, "output_tokens": 10}
    answers: list[int] = []

    async def program(provider: ProviderServer) -> None:
        async with metered(live.handle, agent_of("anthropic", provider, max_tokens=100), {}) as meter:
            for more in range(3):
                added = [
                    {"role": "assistant", "content": [{"type": "text", "text": "Yes"}]},
                    {"role": "user", "content": "More"},
                ] * more
                body = {**MESSAGES, "messages": [text, *added], "model": "claude-opus-5-5"}
                answers.append((await post(meter, "anthropic", body)).status_code)
            two = {**MESSAGES, "messages": [text, {"role": "user", "content": "y" * 1_000_000}]}
            answers.append((await post(meter, "anthropic", two | {"model": "claude-opus-5-5"})).status_code)

    with AnthropicServer([Step(text="Yes", usage=usage)]) as server, pytest.raises(BudgetExceeded):
        await program(server)
    assert answers == [200, 200, 200, 402]


REFUSED_REQUESTS: list[tuple[str, str, Json, int]] = [
    ("anthropic", "/v1/messages/batches", MESSAGES, 404),
    ("anthropic", "/v1/complete", MESSAGES, 404),
    ("responses", "/v1/images/generations", {"model": "gpt-image"}, 404),
    ("responses", "", RESPONSES | {"previous_response_id": "resp_1"}, 400),
    ("responses", "", RESPONSES | {"background": True}, 400),
    ("google", "/v1beta/models/gemini-3.8-flash:embedContent", CONTENTS, 404),
    ("google", "", CONTENTS | {"cachedContent": "cachedContents/1"}, 400),
]


@pytest.mark.parametrize(("wire", "target", "body", "status"), REFUSED_REQUESTS)
async def test_what_has_no_known_bound_is_not_passed_on(
    wire: str, target: str, body: Json, status: int, provider: ProviderServer, store: Store, tmp_path: Path
) -> None:
    live = LiveRun(store, tmp_path)
    async with metered(live.handle, agent_of(wire, provider), {}) as meter:
        answer = await post(meter, wire, body, target)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert provider.paths == []
    assert charged(store) == 0


TOOLS: list[tuple[str, list[Json], list[Json]]] = [
    ("anthropic", [{"name": "Edit"}, {"type": "web_search_20250305", "name": "web_search"}], [{"name": "Edit"}]),
    ("responses", [{"type": "function", "name": "edit"}, {"type": "web_search"}], [{"type": "function", "name": "edit"}]),
    ("google", [{"functionDeclarations": []}, {"googleSearch": {}}], [{"functionDeclarations": []}]),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "given", "kept"), TOOLS)
async def test_tools_that_run_at_the_provider_are_taken_out(
    wire: str, given: list[Json], kept: list[Json], provider: ProviderServer, store: Store, tmp_path: Path
) -> None:
    live = LiveRun(store, tmp_path)
    async with metered(live.handle, agent_of(wire, provider), {}) as meter:
        await post(meter, wire, PROVIDERS[wire][3] | {"tools": given})
    assert provider.requests[0]["tools"] == kept


@pytest.mark.parametrize("wire", ["anthropic"])
async def test_many_requests_on_one_connection_in_any_form_and_what_is_no_request(
    wire: str, provider: ProviderServer, store: Store, tmp_path: Path
) -> None:
    live = LiveRun(store, tmp_path)
    raw = json.dumps(MESSAGES).encode()

    async def pieces() -> AsyncIterator[bytes]:
        yield raw[:10]
        yield raw[10:]

    async with metered(live.handle, agent_of(wire, provider), {}) as meter:
        base = meter.environ["THE_URL"]
        async with httpx2.AsyncClient(base_url=base, timeout=20, trust_env=False) as client:
            sent: list[tuple[Any, Mapping[str, str], int]] = [
                (raw, {}, 200),
                (pieces(), {}, 200),
                (gzip.compress(raw), {"content-encoding": "gzip"}, 200),
                (b"not gzip", {"content-encoding": "gzip"}, 400),
                (raw, {"content-encoding": "zstd"}, 415),
                (b"no json", {}, 400),
                (b"[1]", {}, 400),
                (raw, {"upgrade": "websocket", "connection": "upgrade"}, 426),
            ]
            for content, headers, status in sent:
                assert (await client.post("/v1/messages", content=content, headers=headers)).status_code == status
        port = int(base.rpartition(":")[2])
        for nonsense in (b"\x16\x03\x01\r\n\r\n", b"POST /v1/messages HTTP/1.1\r\ncontent-length: -1\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(nonsense)
            assert (await reader.read()).startswith(b"HTTP/1.1 4")
            writer.close()
    assert len(provider.requests) == 3


@pytest.mark.parametrize("wire", ["anthropic"])
async def test_leaving_charges_what_is_under_way_and_ends_it(wire: str, store: Store, tmp_path: Path) -> None:
    live = LiveRun(store, tmp_path)
    with AnthropicServer([Step(text="Good day " * 9, hold=True)]) as provider:
        async with metered(live.handle, agent_of(wire, provider), {}) as meter:
            asking = asyncio.create_task(post(meter, wire))
            await asyncio.to_thread(provider.holding.wait, 20)
        with pytest.raises(httpx2.RemoteProtocolError):
            await asking
        assert await asyncio.to_thread(provider.hung_up.wait, 20)
    assert charged(store) > (cost_nano("claude-sonnet-5-5", Usage(0, 1000)) or 0)


AGENTS: list[tuple[Mapping[str, Any], bool]] = [
    ({"meter": "anthropic", "base_url_env": "X"}, True),
    ({"meter": "openai", "base_url_args": ("-c", "u={url}")}, True),
    ({"meter": "openai"}, False),
    ({"base_url_env": "X"}, False),
    ({"billing": "subscription"}, True),
    ({"billing": "local"}, True),
    ({"type": "anthropic-api"}, True),
]


@pytest.mark.parametrize(("fields", "expected"), AGENTS)
def test_which_programs_can_be_capped(fields: Mapping[str, Any], expected: bool) -> None:
    assert can_cap(AgentSettings("fake", **{"type": "cli", "billing": "metered", **fields})) is expected


async def test_a_program_by_subscription_is_not_led_through_the_proxy(store: Store, tmp_path: Path) -> None:
    live = LiveRun(store, tmp_path, billing="subscription")
    agent = AgentSettings("fake", billing="subscription", meter="anthropic", base_url_env="THE_URL")
    needs = Needs("hosts", ("api.anthropic.com",))
    async with metered(live.handle, agent, {}) as meter:
        assert (meter.environ, meter.args, meter.needs(needs)) == ({}, (), needs)
        async with meter.spend("", Usage(1, 1)) as spending:
            await spending.used(Usage(10, 5))
    (report,) = await live.happened(events.UsageReport)
    assert isinstance(report, events.UsageReport)
    assert (report.input_tokens, report.billing, report.turns) == (10, "subscription", 1)


NEEDS: list[tuple[Needs, Callable[[str], Needs]]] = [
    (Needs("none"), lambda place: Needs("hosts", (place,))),
    (
        Needs("hosts", ("127.0.0.1", "auth.example.test")),
        lambda place: Needs("hosts", (place, "auth.example.test")),
    ),
    (Needs("open"), lambda _: Needs("open")),
]


@pytest.mark.parametrize(("needs", "expected"), NEEDS)
async def test_where_hosts_are_named_the_proxy_stands_in_place_of_the_provider(
    needs: Needs, expected: Callable[[str], Needs], store: Store, tmp_path: Path
) -> None:
    live = LiveRun(store, tmp_path)
    with AnthropicServer() as provider:
        agent = replace(agent_of("anthropic", provider), base_url_args=("--url={url}",))
        moved = {"THE_URL": f"{provider.url}/gateway"}
        async with metered(live.handle, agent, moved) as meter:
            place = meter.environ["THE_URL"].removeprefix("http://").removesuffix("/gateway")
            assert meter.args == (f"--url=http://{place}/gateway",)
            assert meter.needs(needs) == expected(place)
            async with meter.spend("m", Usage(10**9, 10**9)) as spending:
                await spending.used(Usage(10**9, 10**9))
    assert charged(store) == 0
