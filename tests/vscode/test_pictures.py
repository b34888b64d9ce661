"""The pictures of README.md: all that are named are there, small, and can be taken again by the module that made them."""

from __future__ import annotations

import re
import struct

from tests.conftest import REPO
from tests.vscode.pictures import IMAGES, NAMES

BYTES = 150_000


def test_every_picture_that_is_named_is_there_with_words_for_those_who_do_not_see_it() -> None:
    named = re.findall(r"!\[(.*?)\]\((.*?)\)", (REPO / "README.md").read_text("utf-8"))
    assert {path for _, path in named} == {f"docs/images/{name}.png" for name in NAMES}
    assert all(len(words.split()) > 5 for words, _ in named)
    assert {path.name for path in IMAGES.iterdir()} == {f"{name}.png" for name in NAMES}


def test_pictures_are_real_and_small() -> None:
    for name in NAMES:
        data = (IMAGES / f"{name}.png").read_bytes()
        width, height = struct.unpack(">II", data[16:24])
        assert data.startswith(b"\x89PNG"), name
        assert (width, height) <= (1280, 800), name
        assert width == 1280, name
        assert len(data) < BYTES, name
