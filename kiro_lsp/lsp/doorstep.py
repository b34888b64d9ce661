"""The first moments of a server on standard input: `initialize` is answered, and one request for lenses, before `asyncio`,
the engine or anything else heavy is imported.

Only what every client sends first is understood here, spelled as every client spells it. At the first message that is anything
else, when nothing comes, and after the first lenses, the server takes over with all that was read.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

from kiro_lsp.lsp.capabilities import initialize_result
from kiro_lsp.lsp.client import Client, client_of
from kiro_lsp.lsp.command_ids import COMMAND_IDS

if TYPE_CHECKING:
    from kiro_lsp.lsp.first_lenses import Offered

_HEADER: Final = re.compile(rb"Content-Length: (\d{1,8})\r\n\r\n")
_PLAIN: Final = b"Content-Length: "
_COUNT: Final = re.compile(rb"\d{0,8}(?:\r(?:\n\r?)?)?")
_READ: Final = 64 * 1024
_PIPE_BYTES: Final = 1024 * 1024
_PATIENCE_SECONDS: Final = 0.25
"""How long a client that said nothing but `initialize` is waited for before the server is imported."""
_BEFORE_LENSES: Final = frozenset({"initialized", "$/setTrace", "textDocument/didOpen"})


class Greeted(NamedTuple):
    """What the server has to know of what happened before it."""

    initialize: Mapping[str, Any] | None = None
    """The request that was answered."""
    messages: tuple[Mapping[str, Any], ...] = ()
    """What was read behind it and not acted upon, in its order."""
    rest: bytes = b""
    """Bytes that were read and not understood yet."""
    shown: Mapping[str, bytes] = {}  # never changed
    """URI → the lenses that were answered."""


STRANGER: Final = Greeted()
"""Of a client that nobody greeted."""


def at_the_door(environ: Mapping[str, str]) -> tuple[BinaryIO, Greeted]:
    """Take standard output for the client alone, and greet it; what else prints there goes to standard error.

    Returns where the client's messages are written to, and what became of the greeting.
    """
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    for descriptor in (0, out.fileno()):
        _widen(descriptor)
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):  # until the loop of the server has handlers of its own
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _leave)

    def send(body: bytes) -> None:
        rest = memoryview(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        while rest:
            rest = rest[out.write(rest) or 0 :]

    try:
        return cast("BinaryIO", out), greet(0, send, environ)
    except OSError:  # a client that is gone: the server finds that out by itself
        return cast("BinaryIO", out), STRANGER


def _leave(_signal: int, _frame: object) -> None:
    raise SystemExit(1)


def _widen(descriptor: int) -> None:
    """Let a pipe of Linux hold a large file or answer at once; elsewhere, and where it is none, nothing happens."""
    try:
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        return


def greet(source: int, send: Callable[[bytes], None], environ: Mapping[str, str]) -> Greeted:
    """Read from a descriptor and answer until the server should take over. `send` gets message bodies."""
    frames = _Frames(source)
    first = frames.next(None)
    if first is None or first.get("method") != "initialize" or not isinstance(first.get("params"), dict):
        return Greeted(None, (), frames.unread(first))
    identifier = first.get("id")
    if isinstance(identifier, bool) or not isinstance(identifier, int | str):
        return Greeted(None, (), frames.unread(first))
    from kiro_lsp.lsp import features

    client = client_of(first["params"])
    send(_answer(identifier, json.dumps(initialize_result(client, list(COMMAND_IDS), features.load())).encode()))
    offered = _offered(first["params"], environ, client)
    if offered is None:
        return Greeted(first, (), frames.unread(None))
    return _wait_for_lenses(frames, send, Greeted(first), offered, client)


def _wait_for_lenses(
    frames: _Frames, send: Callable[[bytes], None], greeted: Greeted, offered: Offered, client: Client
) -> Greeted:
    from kiro_lsp.lsp.first_lenses import folder_of
    from kiro_lsp.spec.assemble import drafted
    from kiro_lsp.spec.dialects import is_task_file
    from kiro_lsp.spec.lines import split_lines

    texts: dict[str, str] = {}
    messages: list[Mapping[str, Any]] = []
    until = time.monotonic() + _PATIENCE_SECONDS
    while (message := frames.next(until)) is not None:
        method, params = message.get("method"), message.get("params")
        if method == "textDocument/codeLens" and isinstance(params, dict):
            uri = params["textDocument"]["uri"] if isinstance(params.get("textDocument"), dict) else None
            path, identifier = folder_of(uri), message.get("id")
            if path is None or uri not in texts or not isinstance(identifier, int | str):
                break
            place = os.path.relpath(path, offered.root).replace(os.sep, "/")
            if place.startswith("../") or not is_task_file(path):
                break
            lenses = offered.lenses(drafted(split_lines(texts[uri]), path).rows, place, uri, client)
            if lenses is None:
                break
            send(_answer(identifier, lenses))
            return greeted._replace(messages=tuple(messages), rest=frames.unread(None), shown={uri: lenses})
        if method not in _BEFORE_LENSES or "id" in message:
            break
        messages.append(message)
        if method == "textDocument/didOpen":
            _note(texts, params)
    return greeted._replace(messages=tuple(messages), rest=frames.unread(message))


def _note(texts: dict[str, str], params: Any) -> None:
    item = params.get("textDocument") if isinstance(params, dict) else None
    if isinstance(item, dict) and isinstance(item.get("uri"), str) and isinstance(item.get("text"), str):
        texts[item["uri"]] = item["text"]


def _offered(params: Mapping[str, Any], environ: Mapping[str, str], client: Client) -> Offered | None:
    """What the one folder that is open offered last time. Corrections need a client that can be told to ask again."""
    from kiro_lsp.lsp import first_lenses

    folders = params.get("workspaceFolders")
    uris = [each.get("uri") for each in folders if isinstance(each, dict)] if isinstance(folders, list) else []
    root = first_lenses.folder_of(uris[0] if len(uris) == 1 else None if uris else params.get("rootUri"))
    if root is None or not client.refreshes_lenses or client.trusted is False:
        return None
    state = environ.get("KIRO_LSP_STATE_DIR")
    if not state:
        import platformdirs

        state = str(platformdirs.user_state_path("kiro-lsp"))
    return first_lenses.known(state, root, first_lenses.about(environ, client))


def _answer(identifier: int | str, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (json.dumps(identifier).encode(), result)


class _Frames:
    """Messages from a descriptor, as long as they are plain."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._buffer = b""
        self._taken = b""
        """The frame of the last message."""

    def next(self, until: float | None) -> dict[str, Any] | None:
        """The next message; None at the end, where something is not plain, and when it has not come in time."""
        self._taken = b""
        while (found := self._whole()) is None:
            if (self._buffer and not _may_become_header(self._buffer)) or not self._is_there(until):
                return None
            data = os.read(self._source, _READ)
            if not data:
                return None
            self._buffer += data
        body, end = found
        try:
            message = json.loads(self._buffer[body:end])
        except (ValueError, RecursionError):
            return None
        if not isinstance(message, dict):
            return None
        self._taken, self._buffer = self._buffer[:end], self._buffer[end:]
        return message

    def unread(self, message: Mapping[str, Any] | None) -> bytes:
        """All that was read and is not dealt with; with the last message, if it was one that is for the server."""
        return (self._taken if message is not None else b"") + self._buffer

    def _whole(self) -> tuple[int, int] | None:
        header = _HEADER.match(self._buffer)
        if header is None:
            return None
        end = header.end() + int(header[1])
        return (header.end(), end) if end <= len(self._buffer) else None

    def _is_there(self, until: float | None) -> bool:
        if until is None:
            return True
        if os.name == "nt":
            return False  # a pipe cannot be waited for there with a limit
        import select

        return bool(select.select([self._source], [], [], max(0.0, until - time.monotonic()))[0])


def _may_become_header(buffer: bytes) -> bool:
    """Whether what was read begins with a header of the plain kind, or is the beginning of one."""
    if _HEADER.match(buffer):
        return True
    end = buffer.rfind(b" ") + 1
    return (
        _PLAIN.startswith(buffer) if not end else buffer[:end] == _PLAIN and _COUNT.fullmatch(buffer, end) is not None
    )
