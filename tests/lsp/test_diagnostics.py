"""Diagnostics as three editors get them: asked for or pushed, about the text as it is, and gone when it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.lsp.surroundings import Surroundings
from tests.support.editors import known
from tests.support.speaking import Speaker, speaking

DUPLICATE = "# 😀\n\n- [ ] 1. a\n- [ ] 1. 😀\u200b b\n"
COVERED = "".join(f"- [ ] {n}. a\n  - _Requirements: {ref}_\n" for n, ref in enumerate(("1.1", "1.1", "1.1", "2.1"), 1))
REQUIREMENTS = "".join(f"### Requirement {n}: R\n#### Acceptance Criteria\n1. WHEN a THEN b\n\n" for n in (1, 2, 3))
PULLS: dict[str, Any] = {
    "textDocument": {"diagnostic": {"dynamicRegistration": False, "relatedInformation": True}},
    "workspace": {"diagnostics": {"refreshSupport": True}},
}


@asynccontextmanager
async def editor(folder: Path, homes: Path, capabilities: Any) -> AsyncIterator[Speaker]:
    environ = {"HOME": str(homes), "KIRO_LSP_STATE_DIR": str(homes / "state"), "PATH": ""}
    async with speaking(folder, environ, capabilities=capabilities) as speaker:
        await speaker.ask("kiro/runs", {})
        yield speaker


async def until(condition: Callable[[], Any]) -> Any:
    while not condition():
        await asyncio.sleep(0.01)
    return condition()


def pushed(speaker: Speaker, uri: str) -> list[dict[str, Any]]:
    every = [
        message["params"] for message in speaker.notifications if message["method"] == "textDocument/publishDiagnostics"
    ]
    return [params for params in every if params["uri"] == uri]


def codes(items: list[dict[str, Any]]) -> list[str]:
    return [item["code"] for item in items]


@pytest.mark.parametrize(
    ("name", "pulls", "related", "span"),
    [("visual-studio-code", 0, 1, (11, 12)), ("neovim", 1, 1, (13, 16)), ("emacs", 0, 0, (10, 11))],
)
async def test_three_editors_get_the_same(
    name: str, pulls: int, related: int, span: tuple[int, int], tmp_path: Path, own_homes: Path
) -> None:
    async with editor(tmp_path, own_homes, known(name)) as speaker:
        uri = speaker.open(tmp_path / "tasks.md", DUPLICATE)
        if pulls:
            answer = await speaker.ask("textDocument/diagnostic", {"textDocument": {"uri": uri}})
            items = answer["items"]
        else:
            items = (await until(lambda: pushed(speaker, uri)))[-1]["diagnostics"]
        assert codes(items) == ["duplicate-id", "invisible-characters"]
        assert [item["severity"] for item in items] == [2, 2]
        place = items[1]["range"]
        assert (place["start"]["character"], place["end"]["character"]) == span
        assert bool(items[0].get("relatedInformation")) == bool(related)
        if related:
            (place,) = items[0]["relatedInformation"]
            assert place["location"]["uri"] == uri
            assert place["location"]["range"]["start"]["line"] == 2
        assert bool(pushed(speaker, uri)) != bool(pulls)


async def test_pushed_versions_are_those_of_the_text(tmp_path: Path, own_homes: Path) -> None:
    async with editor(tmp_path, own_homes, {}) as speaker:
        uri = speaker.open(tmp_path / "tasks.md", DUPLICATE)
        await until(lambda: pushed(speaker, uri))
        speaker.edit(uri, 3, 6, 7, "2")
        last = await until(lambda: [params for params in pushed(speaker, uri) if params["version"] == 2])
        assert codes(last[-1]["diagnostics"]) == ["invisible-characters"]
        speaker.tell("textDocument/didClose", {"textDocument": {"uri": uri}})
        await until(lambda: pushed(speaker, uri)[-1]["diagnostics"] == [])


async def test_what_did_not_change_is_not_sent_again(tmp_path: Path, own_homes: Path) -> None:
    async with editor(tmp_path, own_homes, PULLS) as speaker:
        about = {"textDocument": {"uri": speaker.open(tmp_path / "tasks.md", DUPLICATE)}}
        first = await speaker.ask("textDocument/diagnostic", about)
        again = await speaker.ask("textDocument/diagnostic", {**about, "previousResultId": first["resultId"]})
        assert again == {"kind": "unchanged", "resultId": first["resultId"]}
        speaker.edit(about["textDocument"]["uri"], 3, 6, 7, "2")
        other = await speaker.ask("textDocument/diagnostic", {**about, "previousResultId": first["resultId"]})
        assert other["kind"] == "full"
        assert codes(other["items"]) == ["invisible-characters"]


async def test_a_document_beside_the_file_changes_what_is_said(tmp_path: Path, own_homes: Path) -> None:
    spec = tmp_path / ".kiro" / "specs" / "a"
    spec.mkdir(parents=True)
    (spec / "requirements.md").write_text(REQUIREMENTS, "utf-8")
    async with editor(tmp_path, own_homes, PULLS) as speaker:
        requirements = speaker.open(spec / "requirements.md", REQUIREMENTS)
        about = {"textDocument": {"uri": speaker.open(spec / "tasks.md", COVERED)}}
        before = await speaker.ask("textDocument/diagnostic", about)
        assert codes(before["items"]) == []
        assert (await speaker.ask("textDocument/diagnostic", {"textDocument": {"uri": requirements}}))["items"] == []
        speaker.edit(requirements, 4, 16, 17, "7")
        await until(lambda: "workspace/diagnostic/refresh" in speaker.asked)
        after = await speaker.ask("textDocument/diagnostic", about)
        assert codes(after["items"]) == ["unknown-requirement"]
        assert "2.1" in after["items"][0]["message"]


async def test_nothing_is_said_of_a_file_that_was_closed_meanwhile(
    tmp_path: Path, own_homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, existing = asyncio.Event(), asyncio.Event(), Surroundings.existing

    async def late(self: Surroundings, root: Path, wanted: frozenset[str]) -> Mapping[str, bool]:
        begun.set()
        await go.wait()
        return await existing(self, root, wanted)

    monkeypatch.setattr(Surroundings, "existing", late)
    async with editor(tmp_path, own_homes, {}) as speaker:
        uri = speaker.open(tmp_path / "tasks.md", DUPLICATE + "- [ ] 2. Change `src/a.py`\n")
        await begun.wait()
        speaker.tell("textDocument/didClose", {"textDocument": {"uri": uri}})
        go.set()
        other = speaker.open(tmp_path / "other" / "tasks.md", DUPLICATE)
        await until(lambda: pushed(speaker, other))
        assert [params["diagnostics"] for params in pushed(speaker, uri)] in ([], [[]])


async def test_other_documents_have_none(tmp_path: Path, own_homes: Path) -> None:
    async with editor(tmp_path, own_homes, PULLS) as speaker:
        uri = speaker.open(tmp_path / "notes.md", DUPLICATE)
        assert await speaker.ask("textDocument/diagnostic", {"textDocument": {"uri": uri}}) == {
            "kind": "full",
            "items": [],
        }


async def test_the_project_says_how_loud_they_are(tmp_path: Path, own_homes: Path) -> None:
    (tmp_path / ".spec-workflow").mkdir()
    levels = '[diagnostics]\nduplicate-id = "hint"\ninvisible-characters = "off"\n'
    (tmp_path / ".spec-workflow" / "kiro.toml").write_text(levels, "utf-8")
    async with editor(tmp_path, own_homes, PULLS) as speaker:
        uri = speaker.open(tmp_path / "tasks.md", DUPLICATE)
        items = (await speaker.ask("textDocument/diagnostic", {"textDocument": {"uri": uri}}))["items"]
        assert [(item["code"], item["severity"]) for item in items] == [
            ("duplicate-id", 4),
            ("invisible-characters", 2),
        ]


async def test_a_path_that_is_not_there_is_named(tmp_path: Path, own_homes: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").touch()
    async with editor(tmp_path, own_homes, PULLS) as speaker:
        uri = speaker.open(tmp_path / "tasks.md", "- [ ] 1. Update `src/a.py`\n- [ ] 2. Update `src/b.py`\n")
        items = (await speaker.ask("textDocument/diagnostic", {"textDocument": {"uri": uri}}))["items"]
        assert [(item["code"], item["range"]["start"]) for item in items] == [
            ("missing-file", {"line": 1, "character": 17})
        ]


async def test_a_large_file_is_checked_aside_and_never_for_an_old_text(tmp_path: Path, own_homes: Path) -> None:
    async with editor(tmp_path, own_homes, PULLS) as speaker:
        text = "".join(f"- [ ] T{number:04d} a\n" for number in range(1, 1001))
        uri = speaker.open(tmp_path / "tasks.md", text)
        about = {"textDocument": {"uri": uri}}
        asked = speaker.begin("textDocument/diagnostic", about)
        speaker.edit(uri, 999, 6, 11, "T0001")
        assert codes((await asked)["result"]["items"])[-1] == "duplicate-id"
        speaker.edit(uri, 999, 6, 11, "T1000")
        assert (await speaker.ask("textDocument/diagnostic", about))["items"] == []
