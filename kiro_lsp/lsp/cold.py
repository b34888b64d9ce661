"""The pygls side: methods that are not hot are received, checked and answered by a pygls server with lsprotocol's types.

Importing it takes hundreds of milliseconds, so it happens in a thread after `initialize` was answered; what arrives
meanwhile waits. Its private pieces that are relied on here (see `_Protocol`) are pinned by version and by a test.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, default_converter

from kiro_lsp.lsp.endpoint import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, ResponseError

ColdMethod = Callable[[Any], Awaitable[Any]]
"""Takes plain params, gives a plain result."""


class _Protocol(LanguageServerProtocol):
    """Sends through our writer. Overrides pygls' `_send_data`, which would write on the loop and log every body."""

    send: Callable[[bytes], None] = staticmethod(lambda _body: None)
    muted = False

    def _send_data(self, data: Any) -> None:
        if data and not self.muted:
            import orjson

            self.send(orjson.dumps(self._converter.unstructure(data), default=self._serialize_message))


class ColdSide:
    """A pygls server without a transport. Make it in a thread; use it on the loop."""

    def __init__(
        self, name: str, version: str, methods: Mapping[str, ColdMethod], send: Callable[[bytes], None]
    ) -> None:
        logging.getLogger("pygls").setLevel(logging.CRITICAL)  # it logs message bodies, which hold people's code
        self._server = LanguageServer(name, version, protocol_cls=_Protocol, converter_factory=default_converter)
        self._protocol = cast("_Protocol", self._server.protocol)
        self._protocol.send = send
        self._converter = self._protocol._converter
        for method, handler in methods.items():
            self._register(method, handler)

    def _register(self, method: str, handler: ColdMethod) -> None:
        async def carry_out(params: Any) -> Any:
            try:
                return await handler(self._plain(params))
            except ResponseError as error:
                raise JsonRpcException(error.message, error.code, error.data) from error

        # Not by the `feature` decorator: executeCommand is pygls' own there, and it cannot be cancelled or given a token.
        self._protocol.fm.builtin_features[method] = carry_out

    def replay(self, initialize: Mapping[str, Any]) -> None:
        """Let pygls see the `initialize` that was answered already; what it answers goes nowhere."""
        self._protocol.muted = True
        try:
            message = self._protocol.structure_message({**initialize, "id": "replayed"})
            self._protocol.handle_message(message)
        finally:
            self._protocol.muted = False

    def knows(self, method: str) -> bool:
        return method in self._protocol.fm.builtin_features

    def handle(self, message: Mapping[str, Any]) -> ResponseError | None:
        """Have a request carried out and answered. What is returned is an error that the caller must send instead."""
        method = str(message.get("method"))
        if not self.knows(method):
            return ResponseError(METHOD_NOT_FOUND, f"unknown method {method!r}")
        try:
            self._protocol.handle_message(self._protocol.structure_message(dict(message)))
        except JsonRpcException as error:
            return ResponseError(INVALID_PARAMS, f"{method}: the parameters are not valid ({error.message})")
        except (TypeError, ValueError, AttributeError) as error:
            return ResponseError(INTERNAL_ERROR, f"{method}: {error}")
        return None

    def cancel(self, identifier: int | str) -> None:
        future = self._protocol._request_futures.get(identifier)
        if isinstance(future, asyncio.Future):
            future.cancel()

    def _plain(self, params: Any) -> Any:
        """lsprotocol objects as plain values; custom methods come as named tuples of their fields."""
        if hasattr(params, "__attrs_attrs__"):
            return self._converter.unstructure(params)
        if isinstance(params, tuple) and hasattr(params, "_asdict"):
            return {name: self._plain(value) for name, value in params._asdict().items()}
        if isinstance(params, list | tuple):
            return [self._plain(item) for item in params]
        return params


COLD_REQUESTS: tuple[str, ...] = (
    types.WORKSPACE_EXECUTE_COMMAND,
    types.WORKSPACE_TEXT_DOCUMENT_CONTENT,
)
"""Standard methods that are served here; `kiro/*` ones come on top."""
