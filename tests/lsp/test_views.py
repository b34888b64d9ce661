"""What a feature sees around a document: buffers over disk, kept while nothing changes, found again when something does."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kiro_lsp.lsp import surroundings
from kiro_lsp.lsp.endpoint import ResponseError
from kiro_lsp.lsp.views import View
from tests.support.speaking import Speaker, speaking

TASKS = "- [ ] 1. A in `src/a.py`\n  - _Requirements: 1.1, 9_\n- [ ] 2. B\n  - **Files**: src/b.py, ../out.py\n"
REQUIREMENTS = "# Requirements\n\n### Requirement 1: Name\n\n#### Acceptance Criteria\n\n1. WHEN x THEN y\n"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    folder = tmp_path / ".kiro" / "specs" / "a"
    folder.mkdir(parents=True)
    (folder / "tasks.md").write_text(TASKS, "utf-8")
    (folder / "requirements.md").write_text(REQUIREMENTS, "utf-8")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("", "utf-8")
    return folder


@pytest_asyncio.fixture
async def client(tmp_path: Path, own_homes: Path) -> AsyncIterator[Speaker]:
    environ = {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes / "state"), "PATH": ""}
    async with speaking(tmp_path, environ, capabilities={"textDocument": {"inlayHint": {}}}) as speaker:
        await speaker.ask("kiro/runs", {})
        yield speaker


async def view_of(client: Speaker, uri: str) -> View:
    assert client.server._backend is not None
    view = await client.server._backend.session.views.of(uri)
    assert view is not None
    return view


async def test_facts_hold_the_file_its_spec_and_its_paths(client: Speaker, spec: Path) -> None:
    uri = client.open(spec / "tasks.md", TASKS)
    view = await view_of(client, uri)
    facts = await view.facts(existing=True)
    assert facts.path == ".kiro/specs/a/tasks.md"
    assert [task.id for task in facts.tasks.tasks] == ["1", "2"]
    assert facts.documents == {".kiro/specs/a/requirements.md": REQUIREMENTS}
    assert [found.ref for found in facts.requirements.resolve(["1.1"])[0]] == ["1.1"]
    assert facts.existing == {"src/a.py": True, "src/b.py": False}, "a path outside the project is not looked at"
    assert any(agent.recommended or not agent.available for agent in facts.agents)
    assert await view.facts(existing=True) is facts


async def test_another_document_of_the_spec_counts_as_it_is_in_the_editor(client: Speaker, spec: Path) -> None:
    view = await view_of(client, client.open(spec / "tasks.md", TASKS))
    before = await view.facts()
    other = client.open(spec / "requirements.md", REQUIREMENTS + "new\n")
    opened = await view.facts()
    assert opened.documents[".kiro/specs/a/requirements.md"] == REQUIREMENTS + "new\n"
    assert opened.parsed is before.parsed
    client.edit(other, 0, 0, 0, "x")
    assert (await view.facts()).documents[".kiro/specs/a/requirements.md"].startswith("x# Requirements")
    client.tell("textDocument/didClose", {"textDocument": {"uri": other}})
    assert (await view.facts()).documents == before.documents


async def test_a_change_on_disk_that_is_told_counts_at_once(client: Speaker, spec: Path) -> None:
    view = await view_of(client, client.open(spec / "tasks.md", TASKS))
    assert not (await view.exists(["src/b.py"]))["src/b.py"]
    (spec.parents[2] / "src" / "b.py").write_text("", "utf-8")
    (spec / "design.md").write_text("# Design\n", "utf-8")
    client.tell("workspace/didChangeWatchedFiles", {"changes": []})
    assert (await view.exists(["src/b.py"]))["src/b.py"]
    assert ".kiro/specs/a/design.md" in await view.documents()


async def test_a_document_of_the_spec_finds_its_tasks(client: Speaker, spec: Path) -> None:
    deep = spec / "specs" / "area"
    deep.mkdir(parents=True)
    for path in (spec / "requirements.md", deep / "spec.md"):
        (found,) = await (await view_of(client, client.open(path, "# R\n"))).task_views()
        assert (found.path, found.text) == (".kiro/specs/a/tasks.md", TASKS)
    client.open(spec / "tasks.md", "- [ ] 9. In the editor\n")
    (found,) = await (await view_of(client, (spec / "requirements.md").as_uri())).task_views()
    assert [task.id for task in (await found.task_list()).tasks] == ["9"]


@pytest.mark.parametrize(
    ("line", "units", "column"),
    [(0, 0, 0), (0, 2, 1), (0, 3, 2), (0, 99, 3), (1, 1, 1), (7, 5, 0)],
)
async def test_positions_are_characters_inside_and_units_outside(
    line: int, units: int, column: int, client: Speaker, spec: Path
) -> None:
    view = await view_of(client, client.open(spec / "tasks.md", "😀ab\nc"))
    assert view.position({"line": line, "character": units}) == (line, column)
    assert view.range(0, 1, 3) == {"start": {"line": 0, "character": 2}, "end": {"line": 0, "character": 4}}
    assert view.span((0, 1), (1, 1)) == {"start": {"line": 0, "character": 2}, "end": {"line": 1, "character": 1}}


async def test_a_view_that_an_edit_overtook_tells_nothing_of_the_next_text(client: Speaker, spec: Path) -> None:
    uri = client.open(spec / "tasks.md", TASKS)
    await (await view_of(client, uri)).parsed()
    client.edit(uri, 0, 9, 10, "Old")
    overtaken = await view_of(client, uri)
    client.edit(uri, 2, 9, 10, "New")
    with pytest.raises(ResponseError, match="edited meanwhile"):
        await overtaken.parsed()
    tasks = (await (await view_of(client, uri)).task_list()).tasks
    assert [task.title for task in tasks] == ["Old in `src/a.py`", "New"]


async def test_a_folder_inside_another_has_its_files_listed_once(tmp_path: Path, own_homes: Path) -> None:
    inner = tmp_path / "packages" / "a"
    inner.mkdir(parents=True)
    (inner / "tasks.md").write_text(TASKS, "utf-8")
    folders = [{"uri": path.as_uri(), "name": path.name} for path in (tmp_path, inner)]
    environ = {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes / "state"), "PATH": ""}
    async with speaking(tmp_path, environ, workspaceFolders=folders) as client:
        assert [spec["path"] for spec in await client.ask("kiro/specs", {})] == ["tasks.md"]
        assert len(await client.ask("workspace/symbol", {"query": "2 B"})) == 1


async def test_many_files_push_out_nothing_that_lenses_need(
    client: Speaker, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "_KEPT_AT_MOST", 20)
    for number in range(30):
        (spec.parent / f"s{number}").mkdir()
        (spec.parent / f"s{number}" / "tasks.md").write_text(TASKS, "utf-8")
    view = await view_of(client, client.open(spec / "tasks.md", TASKS))
    before = await view.around()
    await client.ask("workspace/symbol", {"query": "B"})
    kept = view.views.surroundings._kept[("around", view.root)]
    assert kept.value is before


LARGE = "# Plan\n\n" + "".join(f"- [ ] {n}. Task `src/a.py`\n  - _Requirements: 1.1_\n" for n in range(1, 1201))
WHOLE = {
    "textDocument/documentSymbol",
    "textDocument/foldingRange",
    "textDocument/inlayHint",
    "textDocument/codeLens",
    "textDocument/documentLink",
    "textDocument/diagnostic",
    "textDocument/semanticTokens/full",
}


@pytest.mark.parametrize(("text", "aside"), [(TASKS, False), (LARGE, True)])
async def test_of_a_large_text_everything_is_made_beside_the_loop(
    text: str, aside: bool, client: Speaker, spec: Path
) -> None:
    view = await view_of(client, client.open(spec / "tasks.md", text))
    assert (await view.made(threading.get_ident) != threading.get_ident()) == aside
    assert (await view.once("a name", threading.get_ident) != threading.get_ident()) == aside
    assert await view.once("a name", lambda: 0) != 0, "made once for each text"
    assert (await view.task_list()).tasks is (await view.parsed()).task_list.tasks


@pytest.mark.parametrize("method", sorted(WHOLE))
async def test_a_large_text_that_is_edited_while_it_is_read_is_answered_about_as_it_is(
    method: str, client: Speaker, spec: Path
) -> None:
    """Overtaken requests are answered from the later text or refused; at the end all is as if it was opened like this."""
    uri = client.open(spec / "tasks.md", LARGE)
    span = {"start": {"line": 0, "character": 0}, "end": {"line": 2000, "character": 0}}
    about = {"textDocument": {"uri": uri}, "range": span}
    for line in (2, 900, 2001):
        asked = client.begin(method, about)
        client.edit(uri, line, 3, 4, "x")
        message = await asked
        assert "result" in message or message["error"]["code"] == -32801
    found = await client.ask(method, about)
    client.tell("textDocument/didClose", {"textDocument": {"uri": uri}})
    client.open(spec / "tasks.md", client.texts[uri])
    fresh = await client.ask(method, about)
    for answer in (found, fresh):
        if isinstance(answer, dict):
            answer.pop("resultId", None)
    assert found == fresh
    assert found
