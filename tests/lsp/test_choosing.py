"""Who would do a task, in lens, hover and menu; and that what comes later (a key, a server) shows without a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import create_server
from typing import Any

import pytest

from kiro_lsp.executors import detection
from tests.support import planted
from tests.support.json_server import serving
from tests.support.speaking import Speaker, speaking

TASKS = "# Plan\n\n- [ ] 1. Document the flags <!-- agent: codex -->\n- [ ] 2. Document the rest\n"


@asynccontextmanager
async def project(tmp_path: Path, toml: str = "", **keys: str) -> AsyncIterator[tuple[Speaker, Path]]:
    root, config = tmp_path / "project", tmp_path / "config.toml"
    root.mkdir()
    (root / "tasks.md").write_text(TASKS, "utf-8")
    config.write_text(toml, "utf-8")
    config.chmod(0o600)
    state = tmp_path / "state"
    environ = {"HOME": str(tmp_path), "PATH": "", "KIRO_LSP_STATE_DIR": str(state), "KIRO_LSP_CONFIG": str(config)}
    async with speaking(root, environ | keys) as speaker:
        yield speaker, root


async def trusted(speaker: Speaker, root: Path) -> None:
    shown = await command(speaker, "kiroLsp.trustWorkspace", {"root": str(root)})
    await command(speaker, "kiroLsp.trustWorkspace", {"root": str(root), "digest": shown["digest"]})


async def command(speaker: Speaker, name: str, argument: Any) -> Any:
    return await speaker.ask("workspace/executeCommand", {"command": name, "arguments": [argument]})


async def titles(speaker: Speaker, uri: str) -> list[str]:
    lenses = await speaker.ask("textDocument/codeLens", {"textDocument": {"uri": uri}})
    whole = [lens if "command" in lens else await speaker.ask("codeLens/resolve", lens) for lens in lenses]
    return [lens["command"]["title"] for lens in whole if lens["command"]["title"].startswith("▶")]


async def hover(speaker: Speaker, uri: str, line: int) -> str:
    place = {"textDocument": {"uri": uri}, "position": {"line": line, "character": 8}}
    return str((await speaker.ask("textDocument/hover", place))["contents"]["value"])


async def agents(speaker: Speaker) -> dict[str, Any]:
    return {agent["name"]: agent for agent in await speaker.ask("kiro/agents", {})}


async def test_lens_and_hover_name_the_agent_of_the_task_and_hover_says_why(tmp_path: Path) -> None:
    keys = {"OPENAI_API_KEY": planted.KEYS["openai"], "GEMINI_API_KEY": planted.KEYS["google"]}
    async with project(tmp_path, **keys) as (speaker, root):
        uri = speaker.open(root / "tasks.md", TASKS)
        assert await titles(speaker, uri) == ["▶ Run with Codex", "▶ Run with Gemini"]
        first, second = await hover(speaker, uri, 2), await hover(speaker, uri, 3)
    assert "Agent: Codex by api, gpt-6.1-sol" in first
    assert "Why: the task file asks for codex" in first
    assert "Agent: Gemini by api, gemini-3.5-flash-lite" in second
    assert "Why: simple documentation: title says 'Document'" in second


async def test_the_list_of_agents_for_a_task_says_whom_a_click_uses_and_why(tmp_path: Path) -> None:
    keys = {"OPENAI_API_KEY": planted.KEYS["openai"], "GEMINI_API_KEY": planted.KEYS["google"]}
    async with project(tmp_path, **keys) as (speaker, root):
        uri = speaker.open(root / "tasks.md", TASKS)
        for_first, for_second = [
            {agent["name"]: (agent["recommended"], agent["why"]) for agent in found}
            for found in [await speaker.ask("kiro/agents", {"uri": uri, "task": task}) for task in ("1", ":4")]
        ]
        without = await agents(speaker)
    assert for_first["codex"] == (True, "the task file asks for codex")
    assert for_first["gemini"] == (False, None)
    assert for_second["gemini"][0] is True
    assert for_second["gemini"][1].startswith("simple documentation: title says 'Document'")
    assert {agent["why"] for agent in without.values()} == {None}


async def test_the_list_of_agents_does_without_one_that_the_task_asks_for_in_vain(tmp_path: Path) -> None:
    async with project(tmp_path, ANTHROPIC_API_KEY=planted.KEYS["anthropic"]) as (speaker, root):
        uri = speaker.open(root / "tasks.md", TASKS)
        found = await speaker.ask("kiro/agents", {"uri": uri, "task": "1"})
    assert [agent["name"] for agent in found if agent["recommended"]] == ["claude"]
    assert {agent["why"] for agent in found} == {None}


async def test_an_agent_that_the_file_names_and_that_is_not_there_is_said(tmp_path: Path) -> None:
    async with project(tmp_path, ANTHROPIC_API_KEY=planted.KEYS["anthropic"]) as (speaker, root):
        uri = speaker.open(root / "tasks.md", TASKS)
        said = await hover(speaker, uri, 2)
    assert "The task asks for Codex, which is not available" in said


async def test_a_key_that_comes_later_shows_without_a_restart(tmp_path: Path) -> None:
    async with project(tmp_path) as (speaker, root):
        uri = speaker.open(root / "tasks.md", TASKS)
        await trusted(speaker, root)
        assert "▶ Run with Claude (set up)" in await titles(speaker, uri)
        key = planted.KEYS["google"]
        (root / ".env").write_text(f"GEMINI_API_KEY={key}\n", "utf-8")
        changed = {"changes": [{"uri": (root / ".env").as_uri(), "type": 1}]}
        speaker.tell("workspace/didChangeWatchedFiles", changed)
        assert await titles(speaker, uri) == ["▶ Run with Gemini"] * 2
        assert (await agents(speaker))["gemini"]["reason"] == "key found: GEMINI_API_KEY"


OLLAMA = {"/api/version": {"version": "0.9.1"}, "/api/tags": {"models": [{"name": "qwen3:4b"}]}}


async def test_a_server_that_is_started_shows_after_trust_and_when_it_is_gone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(detection, "HERE_SECONDS", 60.0)
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    toml = f"[agents.ollama]\nmodel = 'qwen3:4b'\nendpoint = 'http://127.0.0.1:{port}'\n"
    async with project(tmp_path, toml) as (speaker, root):
        before = (await agents(speaker))["ollama"]
        assert (before["available"], before["reason"]) == (True, "needs no key"), "nobody is asked before trust"
        await trusted(speaker, root)
        assert "nothing answers there" in (await agents(speaker))["ollama"]["reason"]
        with serving(OLLAMA, port=port):
            there = (await agents(speaker))["ollama"]
            assert (there["available"], there["version"], there["recommended"]) == (True, "0.9.1", True)
            assert [way["inUse"] for way in there["ways"]] == [True]
        assert (await agents(speaker))["ollama"]["available"] is False
