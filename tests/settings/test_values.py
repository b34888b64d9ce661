"""Addresses as people and variables write them."""

from __future__ import annotations

import pytest

from kiro_lsp.settings.values import server_address


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://localhost:11434", "http://localhost:11434"),
        ("http://localhost:11434/", "http://localhost:11434"),
        ("localhost", "http://localhost:11434"),
        (" 127.0.0.1 ", "http://127.0.0.1:11434"),
        ("127.0.0.1:9", "http://127.0.0.1:9"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://[::1]", "http://[::1]:11434"),
        ("http://[::1]:9", "http://[::1]:9"),
        ("box.example", "http://box.example:11434"),
        ("https://box.example", "https://box.example"),
        ("http://box.example/ollama", "http://box.example/ollama"),
    ],
)
def test_an_address_that_lacks_something_is_completed(written: str, meant: str) -> None:
    assert server_address(written, 11434) == meant
