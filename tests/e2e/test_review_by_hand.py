"""What a person does in a review with their own hands, over the protocol: edits of the proposed side, and merges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.errors import KiroError
from tests.e2e.test_main_flow import until
from tests.e2e.test_processes import Person, person
from tests.support.anthropic_server import AnthropicServer
from tests.support.program import AFTER, BEFORE, TASK_FILE, Project, nobody_left

MINE = "print('Hello')\nprint('and more')\n"
MERGED = "print('Good day, hello')\nprint('and more')\n"


async def _file(editor: Person, run_id: str, path: str) -> dict[str, Any]:
    review = await editor.editor.request("kiro/review", {"runId": run_id})
    return dict(next(file for file in review["files"] if file["path"] == path))


async def _content(editor: Person, uri: str, side: str) -> str:
    asked = uri.replace("/base/", f"/{side}/")
    return str((await editor.editor.request("kiro/reviewContent", {"uri": asked}))["text"])


async def _compared(editor: Person, file: dict[str, Any]) -> list[str]:
    """The two texts of a file that has moved on."""
    uris = [file["now"][side] for side in ("baseUri", "proposedUri")]
    return [str((await editor.editor.request("kiro/reviewContent", {"uri": uri}))["text"]) for uri in uris]


async def _shows_the_file_as_it_is_now(editor: Person, project: Project, run_id: str) -> None:
    """Both on the disk and in an editor that has not saved it; a change that would be refused says so before."""
    file = await _file(editor, run_id, "greeter.py")
    assert "now" not in file, "it is what the run read"
    path = project.root / "greeter.py"
    path.write_text("# mine\n" + BEFORE["greeter.py"], "utf-8")
    file = await _file(editor, run_id, "greeter.py")
    assert await _compared(editor, file) == ["# mine\nprint('Hey')\n", "print('Good day')\n"]
    assert "both changed lines 1–2" in file["now"]["conflict"]
    assert file["hunks"][0]["baseRange"]["end"]["line"] == 1, "what the run read is told as before"

    document = {"uri": path.as_uri(), "languageId": "python", "version": 1, "text": "print('Ho')\n"}
    await editor.editor.notify("textDocument/didOpen", {"textDocument": document})
    file = await _file(editor, run_id, "greeter.py")
    assert await _compared(editor, file) == ["print('Ho')\n", "print('Good day')\n"]
    assert file["hunks"][0]["now"]["conflict"] is True
    assert "both changed line 1" in file["now"]["conflict"]
    await editor.editor.notify("textDocument/didClose", {"textDocument": {"uri": path.as_uri()}})
    (project.root / "old.txt").write_text("not old\n", "utf-8")
    gone = (await _file(editor, run_id, "old.txt"))["now"]
    assert gone == {"conflict": "it changed since the run read it"}, "a deletion is never merged"
    (project.root / "old.txt").write_text(BEFORE["old.txt"], "utf-8")


async def test_a_conflict_is_merged_and_what_was_typed_is_marked(provider: AnthropicServer, tmp_path: Path) -> None:
    project = Project(tmp_path, provider)
    async with person(project, tmp_path / "log") as editor:
        uri = (project.root / TASK_FILE).as_uri()
        run_id = (await editor.execute("runTask", uri=uri, task="1", agent="recorded"))["runId"]
        await until(lambda: "complete" in editor.types(run_id))

        typed = {"runId": run_id, "path": "docs/new.md", "text": "# Mine\n"}
        edited = await editor.editor.request("kiro/reviewEdit", typed)
        mine = {file["path"]: [hunk["mine"] for hunk in file["hunks"]] for file in edited["files"]}
        assert mine == {"docs/new.md": [True], "greeter.py": [False], "old.txt": [False]}

        await _shows_the_file_as_it_is_now(editor, project, run_id)
        (project.root / "greeter.py").write_text(MINE, "utf-8")
        refused = await editor.execute("accept", runId=run_id)
        assert (refused["ok"], refused["conflicts"]) == (False, ["greeter.py"])
        file = await _file(editor, run_id, "greeter.py")
        merged = await _content(editor, file["baseUri"], "merged")
        assert merged.startswith("<<<<<<< yours\nprint('Hello')\n")
        assert "||||||| before\nprint('Hey')\n=======\nprint('Good day')\n>>>>>>> proposed\n" in merged

        edit = {"runId": run_id, "path": "greeter.py", "text": MERGED, "onto": MINE}
        (project.root / "greeter.py").write_text(MINE + "\n", "utf-8")
        stale = await editor.editor.request("kiro/review", {"runId": run_id})
        with pytest.raises(KiroError, match="has changed again"):
            await editor.editor.request("kiro/reviewEdit", edit)
        assert (await editor.editor.request("kiro/review", {"runId": run_id}))["revision"] == stale["revision"]
        (project.root / "greeter.py").write_text(MINE, "utf-8")
        await editor.editor.request("kiro/reviewEdit", edit)

        settled = await editor.execute("accept", runId=run_id)
        assert (settled["ok"], settled["state"], settled["ticked"]) == (True, "applied", True)
        assert (project.root / "greeter.py").read_text("utf-8") == MERGED
        assert (project.root / "docs/new.md").read_text("utf-8") == "# Mine\n"
        file = await _file(editor, run_id, "greeter.py")
        sides = [
            await _content(editor, file["baseUri"], side) for side in ("original", "base", "proposed", "suggested")
        ]
        assert sides == [MINE, MERGED, MERGED, MERGED], "what was merged is a change of what the file held"

        assert (await editor.execute("undoRun", runId=run_id))["ok"] is True
        assert project.tree() == BEFORE | {"greeter.py": MINE}
    nobody_left(project)


async def test_open_files_are_saved_with_every_accept_and_with_its_undo(
    provider: AnthropicServer, tmp_path: Path
) -> None:
    project = Project(tmp_path, provider)
    async with person(project, tmp_path / "log", more=["kiro/save"]) as editor:
        uri = await editor.editor.open(project.root / TASK_FILE)
        await editor.editor.open(project.root / "greeter.py")
        run_id = (await editor.execute("runTask", uri=uri, task="1", agent="recorded"))["runId"]
        await until(lambda: "complete" in editor.types(run_id))

        first = await editor.execute("accept", runId=run_id, path="greeter.py")
        assert (first["ok"], first["state"]) == (True, "review"), first
        assert (project.root / "greeter.py").read_text("utf-8") == "print('Good day')\n"
        rest = await editor.execute("accept", runId=run_id)
        assert "Not saved" not in first["message"] + rest["message"]
        assert project.tree() == AFTER

        undone = await editor.execute("undoRun", runId=run_id)
        assert undone["ok"], undone
        assert "Not saved" not in undone["message"]
        assert project.tree() == BEFORE
    nobody_left(project)
