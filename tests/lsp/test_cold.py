"""What this server relies on inside pygls is there, and what it announces has handlers."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version
from typing import Any

import pygls.protocol.json_rpc as json_rpc
import pytest
from lsprotocol import types

from kiro_lsp.lsp.cold import COLD_REQUESTS, ColdSide
from kiro_lsp.lsp.endpoint import ResponseError
from kiro_lsp.lsp.server import _COLD_STANDARD


def make(sent: list[dict[str, Any]], **methods: Any) -> ColdSide:
    return ColdSide("t", "1", methods, lambda body: sent.append(json.loads(body)))


def test_the_private_pieces_of_pygls_are_as_they_were() -> None:
    assert version("pygls").startswith("2.1."), "a new pygls: read cold.py against its source first"
    for name in ("_send_data", "structure_message", "handle_message", "_handle_request"):
        assert callable(getattr(json_rpc.JsonRPCProtocol, name))
    cold = make([])
    protocol = cold._protocol
    assert isinstance(protocol.fm.builtin_features, dict)
    assert isinstance(protocol._request_futures, dict)


def test_standard_methods_are_the_same_on_both_sides() -> None:
    assert set(COLD_REQUESTS) == set(_COLD_STANDARD)


async def test_a_request_is_answered_once_with_the_plain_result() -> None:
    sent: list[dict[str, Any]] = []

    async def execute(params: Any) -> Any:
        assert params == {"command": "x", "arguments": [{"a": [1, None]}]}
        return {"done": None}

    cold = make(sent, **{types.WORKSPACE_EXECUTE_COMMAND: execute})
    request = {"jsonrpc": "2.0", "id": 5, "method": "workspace/executeCommand"}
    assert cold.handle({**request, "params": {"command": "x", "arguments": [{"a": [1, None]}]}}) is None
    await _settled(cold)
    assert [(message["id"], message["result"]) for message in sent] == [(5, {"done": None})]


async def test_an_error_of_a_method_keeps_its_code_and_data() -> None:
    sent: list[dict[str, Any]] = []

    async def refuse(_params: Any) -> Any:
        raise ResponseError(-32803, "not now", {"code": "busy"})

    cold = make(sent, **{"kiro/x": refuse})
    assert cold.handle({"jsonrpc": "2.0", "id": "a", "method": "kiro/x", "params": {}}) is None
    await _settled(cold)
    ((error),) = [message["error"] for message in sent if message.get("id") == "a"]
    assert (error["code"], error["message"], error["data"]) == (-32803, "not now", {"code": "busy"})


@pytest.mark.parametrize("params", [{}, {"command": "x", "arguments": 5}])
def test_parameters_that_are_not_valid_are_refused_and_not_swallowed(params: Any) -> None:
    async def never(_params: Any) -> Any:
        raise AssertionError("it was called")

    cold = make([], **{types.WORKSPACE_EXECUTE_COMMAND: never})
    refused = cold.handle({"jsonrpc": "2.0", "id": 1, "method": "workspace/executeCommand", "params": params})
    assert refused is not None
    assert refused.code == -32602


async def _settled(cold: ColdSide) -> None:
    for future in list(cold._protocol._request_futures.values()):
        await asyncio.wait([future])
    await asyncio.sleep(0)
