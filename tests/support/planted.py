"""Keys of twelve shapes that tests plant, and a search that finds any of them, or a good part of one, in bytes.

Every key is made of blocks of eight characters that begin alike, so that one search finds all keys, and a piece of fifteen
characters is enough. The blocks are computed: this file, and what is made of it, holds no key.

A file in which a test plants a key is called `.env`, or its name begins with `planted-`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote

_START: Final = "QZ7"
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_BLOCK: Final = 8
INPUTS: Final = (".env", "planted-")


def _blocks(name: str, count: int) -> tuple[str, ...]:
    digests = (hashlib.sha256(f"planted {name} {number}".encode()).digest() for number in range(count))
    return tuple(_START + "".join(_LETTERS[byte % 32] for byte in digest[: _BLOCK - 3]) for digest in digests)


_OF: Final = {
    name: _blocks(name, count)
    for name, count in {
        "anthropic": 11,
        "openai": 6,
        "google": 4,
        "github": 4,
        "aws id": 2,
        "aws": 5,
        "slack": 6,
        "bearer": 5,
        "url userinfo": 4,
        "base64": 4,
        "json": 4,
        "split": 8,
        "url encoded": 4,
    }.items()
}
_BODY: Final = {name: "".join(blocks) for name, blocks in _OF.items()}

KEYS: Final[Mapping[str, str]] = {
    "anthropic": f"sk-ant-api03-{_BODY['anthropic']}",
    "openai": f"sk-proj-{_BODY['openai']}",
    "google": f"AIza{_BODY['google']}abc",
    "github": f"ghp_{_BODY['github']}abcd",
    "aws id": f"AKIA{_BODY['aws id']}",
    "aws": _BODY["aws"],
    "slack": f"xoxb-{_BODY['slack']}",
    "bearer": _BODY["bearer"],
    "url userinfo": _BODY["url userinfo"],
    "base64": _BODY["base64"],
    "json": _BODY["json"][:16] + '"\\\t' + _BODY["json"][16:],
    "split": f"sk-ant-sid01-{_BODY['split']}",
    "url encoded": _BODY["url encoded"][:16] + "/+=& %" + _BODY["url encoded"][16:],
}
"""Shape → the key itself. An access key of AWS is one shape and two values."""

ENVIRON: Final[Mapping[str, str]] = {
    "GITHUB_TOKEN": KEYS["github"],
    "AWS_ACCESS_KEY_ID": KEYS["aws id"],
    "AWS_SECRET_ACCESS_KEY": KEYS["aws"],
    "SLACK_BOT_TOKEN": KEYS["slack"],
    "PLANTED_BEARER": KEYS["bearer"],
    "DATABASE_URL": f"postgres://app:{KEYS['url userinfo']}@db.invalid:5432/app",
    "PLANTED_BASIC_AUTH": KEYS["base64"],
    "PLANTED_PASSWORD": KEYS["json"],
    "PLANTED_SPLIT_TOKEN": KEYS["split"],
    "PLANTED_SECRET": KEYS["url encoded"],
}
"""What a person's environment may hold beside the keys of providers: every test has it."""


def shown(name: str) -> str:
    """A key as a program that leaks it would print it, in the shape that it is for."""
    key = KEYS[name]
    match name:
        case "bearer":
            return f"Authorization: Bearer {key}"
        case "url userinfo":
            return f"postgres://app:{key}@db.invalid:5432/app"
        case "base64":
            return f"Basic {base64.b64encode(f'service:{key}'.encode()).decode()}"
        case "json":
            return json.dumps({"password": key})
        case "url encoded":
            return f"https://api.invalid/?token={quote(key, safe='')}"
        case _:
            return key


class _Searched:
    """One way to write blocks: they all begin with `start`."""

    def __init__(self, written: Iterable[tuple[str, bytes]]) -> None:
        self.names = {literal: name for name, literal in written}
        literals = list(self.names)
        self.start = os.path.commonprefix(literals)  # noqa: RUF071  # not of paths
        (self.length,) = {len(literal) for literal in literals}

    def hits(self, data: bytes) -> Iterator[str]:
        at = data.find(self.start)
        while at >= 0:
            name = self.names.get(data[at : at + self.length])
            if name is not None:
                yield name
            at = data.find(self.start, at + 1)


def _written() -> Iterator[_Searched]:
    blocks = [(name, block.encode()) for name, blocks in _OF.items() for block in blocks]
    yield _Searched(blocks)
    yield _Searched((name, block.decode().encode("utf-16-le")) for name, block in blocks)
    yield _Searched((name, block.hex().encode()) for name, block in blocks)
    yield _Searched((name, block.hex().upper().encode()) for name, block in blocks)
    for lead in range(3):
        yield _Searched((name, _inner(lead, block)) for name, block in blocks)
        yield _Searched((name, _inner(lead, block).translate(bytes.maketrans(b"+/", b"-_"))) for name, block in blocks)


def _inner(lead: int, block: bytes) -> bytes:
    """Base64 of a block behind `lead` other bytes, without the characters that its neighbours have a part in."""
    coded = base64.b64encode(b"\0" * lead + block)
    return coded[-(-lead * 8 // 6) : (lead + len(block)) * 8 // 6]


_SEARCHED: Final = tuple({(each.start, frozenset(each.names)): each for each in _written()}.values())
LONGEST: Final = max(each.length for each in _SEARCHED)


def found_in(data: bytes | str) -> set[str]:
    """The shapes of the planted keys of which something stands in the data: as it is, in base64, hex or UTF-16."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    return {name for each in _SEARCHED for name in each.hits(data)}
