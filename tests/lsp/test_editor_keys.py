"""Keys that the editor keeps: asked for at the start and again when it says so, and gone when the person removed them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.settings import STANDARD_KEYS
from tests.lsp.test_lifecycle import Wire

KEY = "kept-by-the-editor-0123456789"


class Keeper(Wire):
    """An editor with a secret storage."""

    def __init__(self, environ: dict[str, str]) -> None:
        super().__init__(environ)
        self.secrets: dict[str, str] = {}
        self.asked: list[str] = []

    def until(self, wanted: Any) -> dict[str, Any]:
        while True:
            message = self.message()
            if message.get("method") == "kiro/secret":
                name = message["params"]["name"]
                self.asked.append(name)
                self.send(id=message["id"], result={"value": self.secrets.get(name)})
            elif "method" in message and "id" in message:
                self.send(id=message["id"], result=None)
            if wanted(message):
                return message

    def answer(self, identifier: Any) -> dict[str, Any]:
        return self.until(lambda message: "method" not in message and message.get("id") == identifier)

    def look_again(self) -> None:
        self.asked = []
        self.send(method="kiro/lookAgain", params={})
        self.until(lambda _message: len(self.asked) == len(STANDARD_KEYS) - 1)

    def claude(self) -> dict[str, Any]:
        agents: list[dict[str, Any]] = self.ask("kiro/agents", {})["result"]
        return next(agent for agent in agents if agent["name"] == "claude")


@pytest.fixture
def editor(own_homes: Path, tmp_path: Path) -> Iterator[Keeper]:
    environ = {"PATH": os.defpath, "HOME": str(own_homes), "PYTHONPATH": str(Path(__file__).parents[2])}
    environ |= {"KIRO_LSP_STATE_DIR": str(own_homes / "state"), "OPENAI_API_KEY": "of-the-launch-environment"}
    editor = Keeper(environ)
    editor.start(tmp_path, initializationOptions={"kiro": ["kiro/secret"]})
    editor.until(lambda _message: len(editor.asked) == len(STANDARD_KEYS) - 1)
    yield editor
    editor.process.kill()
    editor.process.wait()
    for stream in (editor.process.stdin, editor.process.stdout):
        if stream is not None:
            stream.close()


def test_each_is_asked_for_but_those_that_the_launch_environment_has(editor: Keeper) -> None:
    assert sorted([*editor.asked, "OPENAI_API_KEY"]) == sorted(STANDARD_KEYS)


def test_a_key_that_is_set_later_holds_without_a_restart_and_is_forgotten_when_it_is_removed(editor: Keeper) -> None:
    assert not editor.claude()["available"]
    editor.secrets["ANTHROPIC_API_KEY"] = KEY
    editor.look_again()
    assert editor.claude()["available"]
    editor.secrets.clear()
    editor.look_again()
    assert not editor.claude()["available"]


def test_an_agent_says_how_to_log_in_and_which_key_it_takes(editor: Keeper) -> None:
    ways = editor.claude()["ways"]
    assert {"login": ["claude", "auth", "login"], "key": None}.items() <= ways[0].items()
    assert {"login": None, "key": "ANTHROPIC_API_KEY"}.items() <= ways[-1].items()
