"""Any bytes on the input leave the next good message readable."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.lsp.framing import FrameReader, FrameWriter, Malformed, read_forever

GOOD = {"jsonrpc": "2.0", "id": 1, "method": "x"}


def frame(value: Any, head: bytes = b"Content-Length: %d\r\n\r\n") -> bytes:
    body = json.dumps(value).encode()
    return head % len(body) + body


def read(data: bytes, size: int = 1 << 30, limit: int = 1 << 20) -> list[Any]:
    reader = FrameReader(limit)
    return [item for start in range(0, len(data), size) for item in reader.feed(data[start : start + size])]


HOSTILE = {
    "lower case": frame({}, b"content-length:%d\r\n\r\n"),
    "no space": frame({}, b"Content-Length:%d\r\n\r\n"),
    "line feeds only": frame({}, b"Content-Length: %d\n\n"),
    "more headers": frame(
        {}, b"Content-Type: application/vscode-jsonrpc; charset=utf8\r\nContent-Length: %d\r\nX: y\r\n\r\n"
    ),
    "a terabyte": b"Content-Length: 1000000000000\r\n\r\n",
    "over 64 bits": b"Content-Length: 10000000000000000000\r\n\r\n",
    "5,000 digits": b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "negative": b"Content-Length: -5\r\n\r\n",
    "no number": b"Content-Length: abc\r\n\r\n{}",
    "empty": b"Content-Length: 0\r\n\r\n",
    "junk": b"hello world\r\n\r\n" * 100,
    "a megabyte of junk": b"x" * 1_000_000 + b"\n",
    "not JSON": b"Content-Length: 4\r\n\r\n{,,}",
    "too short": b'Content-Length: 500\r\n\r\n{"a":1}',
    "BOM": b"\xef\xbb\xbf" + frame({}),
    "UTF-16": "Content-Length: 5\r\n\r\nabcde".encode("utf-16"),
    "invalid UTF-8": b'Content-Length: 8\r\n\r\n{"a":"\xff',
    "200,000 brackets": b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000,
    "a scalar": frame(17),
    "null": frame(None),
    "an empty batch": frame([]),
    "larger than the limit": b"Content-Length: 2000000\r\n\r\n" + b" " * 2_000_000,
}


@pytest.mark.parametrize("size", [1 << 30, 4096, 7])
@pytest.mark.parametrize("name", HOSTILE)
def test_after_anything_the_next_message_is_read(name: str, size: int) -> None:
    data = HOSTILE[name]
    if len(data) > 100_000 and size == 7:
        size = 997
    assert read(data + frame(GOOD) + frame(GOOD), size)[-1] == GOOD


def test_a_batch_is_its_messages() -> None:
    assert read(frame([GOOD, 3, GOOD])) == [GOOD, Malformed(-32600, "an entry of a batch is not an object"), GOOD]


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(-(2**53), 2**53)), max_size=6), st.integers(1, 40))
def test_how_the_bytes_are_split_does_not_matter(messages: list[dict[str, int]], size: int) -> None:
    data = b"".join(frame(message) for message in messages)
    assert read(data, size) == read(data) == messages


@given(st.binary(max_size=400), st.integers(1, 50))
def test_arbitrary_bytes_never_raise_and_are_not_hoarded(data: bytes, size: int) -> None:
    reader = FrameReader(1000)
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    for _ in range(50):
        reader.feed(b"z" * 10_000)
    assert len(reader._buffer) <= 64 * 1024 + 10_000 + len(data)


def test_the_end_of_the_stream_is_told_once() -> None:
    batches: list[Sequence[Any] | None] = []
    read_forever(io.BytesIO(frame(GOOD)), batches.append)
    assert batches == [[GOOD], None]


def test_frames_are_written_in_order_and_a_broken_pipe_is_told() -> None:
    class Broken(io.RawIOBase):
        def write(self, _data: object) -> int:
            raise BrokenPipeError

    sink = io.BytesIO()
    writer = FrameWriter(sink)
    for number in range(100):
        writer.send(b"%d" % number)
    writer.close()
    assert sink.getvalue() == b"".join(b"Content-Length: %d\r\n\r\n%d" % (len(str(n)), n) for n in range(100))
    told: list[str] = []
    writer = FrameWriter(Broken(), lambda: told.append("broken"))  # type: ignore[arg-type]
    writer.send(b"x")
    writer.close()
    assert told == ["broken"]
