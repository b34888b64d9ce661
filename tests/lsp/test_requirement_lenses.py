"""Lenses above requirements, as three editors ask for them, what a click shows, and how they follow the tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.lsp import requirement_lenses
from kiro_lsp.lsp.endpoint import CONTENT_MODIFIED, ResponseError
from kiro_lsp.lsp.views import View
from tests.support.editors import REQUIREMENTS, TASKS, Editor, editor
from tests.support.speaking import speaking

__all__ = ["editor"]

MORE = TASKS.replace("    - _Depends: 3.1_\n", "    - _Depends: 3.1_\n    - _Requirements: 1_\n")


async def lenses(editor: Editor) -> tuple[str, list[dict[str, Any]]]:
    uri = editor.speaker.open(editor.folder / "requirements.md", REQUIREMENTS)
    found = await editor.speaker.ask("textDocument/codeLens", {"textDocument": {"uri": uri}})
    return uri, found


async def until(condition: Callable[[], Any]) -> Any:
    while not condition():
        await asyncio.sleep(0.01)
    return condition()


def shown(editor: Editor) -> list[dict[str, Any]]:
    return [asked["params"] for asked in editor.speaker.requests if asked["method"] == "window/showDocument"]


def said(editor: Editor) -> list[str]:
    told = [one for one in editor.speaker.notifications if one["method"] == "window/showMessage"]
    return [one["params"]["message"] for one in told]


def shows_documents(editor: Editor) -> bool:
    return bool((editor.capabilities.get("window", {}).get("showDocument") or {}).get("support"))


async def click(editor: Editor, lens: dict[str, Any]) -> None:
    command = {"command": lens["command"]["command"], "arguments": lens["command"]["arguments"]}
    assert await editor.speaker.ask("workspace/executeCommand", command) == {"ok": True}


async def test_requirements_say_how_far_their_tasks_are(editor: Editor) -> None:
    _uri, found = await lenses(editor)
    assert [(lens["range"]["start"]["line"], lens["command"]["title"]) for lens in found] == [
        (2, "1 task · 0 done"),
        (11, "1 task · 0 done"),
    ]


async def test_a_requirements_file_that_is_edited_keeps_no_problem_of_the_tasks_back(
    tmp_path: Path, own_homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its lenses are old is asked first; the answer may be that its text is changing just now."""

    async def changing(_view: View) -> object:
        raise ResponseError(CONTENT_MODIFIED, "the document was edited meanwhile")

    environ = {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes / "state"), "PATH": ""}
    capabilities = {"workspace": {"codeLens": {"refreshSupport": True}}}
    folder = tmp_path / ".kiro" / "specs" / "a"
    async with speaking(tmp_path, environ, capabilities=capabilities) as speaker:
        uri = speaker.open(folder / "requirements.md", REQUIREMENTS)
        await speaker.ask("textDocument/codeLens", {"textDocument": {"uri": uri}})
        monkeypatch.setattr(requirement_lenses, "covered", changing)
        uri = speaker.open(folder / "tasks.md", "- [ ] 1. a\n- [ ] 1. b\n")
        pushed = "textDocument/publishDiagnostics"
        await until(
            lambda: any(
                note["method"] == pushed and note["params"]["uri"] == uri and note["params"]["diagnostics"]
                for note in speaker.notifications
            )
        )


async def test_a_click_shows_the_one_task(editor: Editor) -> None:
    _uri, found = await lenses(editor)
    await click(editor, found[0])
    if not shows_documents(editor):
        assert await until(lambda: said(editor)) == [".kiro/specs/a/tasks.md:3 1 Set up 😀 `src/app.py` (open)"]
        return
    (place,) = await until(lambda: shown(editor))
    assert place["uri"] == editor.uri
    assert place["selection"]["start"] == {"line": 2, "character": 0}
    assert place["selection"]["end"]["character"] == editor.units(TASKS.split("\n")[2])


async def test_of_several_tasks_the_person_says_which(editor: Editor) -> None:
    editor.rewrite(MORE)
    editor.speaker.answers["window/showMessageRequest"] = {"title": "9: 3.2 Other 😀, after task 3.1 (open)"}
    _uri, found = await lenses(editor)
    assert found[0]["command"]["title"] == "2 tasks · 0 done"
    await click(editor, found[0])
    if not shows_documents(editor):
        (message,) = await until(lambda: said(editor))
        assert [line.split(" ")[0] for line in message.split("\n")] == [
            ".kiro/specs/a/tasks.md:3",
            ".kiro/specs/a/tasks.md:9",
        ]
        return
    (place,) = await until(lambda: shown(editor))
    assert place["selection"]["start"]["line"] == 8


async def test_a_click_on_what_a_task_waits_for_shows_it(editor: Editor) -> None:
    editor.rewrite(TASKS.replace("[x] 3.1", "[ ] 3.1"))
    found = await editor.speaker.ask("textDocument/codeLens", {"textDocument": {"uri": editor.uri}})
    (lens,) = [lens for lens in found if lens["command"]["title"] == "waits for 3.1"]
    assert lens["range"]["start"]["line"] == 8
    await click(editor, lens)
    if not shows_documents(editor):
        assert await until(lambda: said(editor)) == [".kiro/specs/a/tasks.md:8 3.1 Inner (open)"]
        return
    (place,) = await until(lambda: shown(editor))
    assert (place["uri"], place["selection"]["start"]) == (editor.uri, {"line": 7, "character": 2})


async def test_what_the_lenses_do_is_a_code_action_too(editor: Editor) -> None:
    editor.rewrite(TASKS.replace("[x] 3.1", "[ ] 3.1"))
    uri, found = await lenses(editor)
    at = {"start": {"line": 1, "character": 0}, "end": {"line": 4, "character": 0}}
    params = {"textDocument": {"uri": uri}, "range": at, "context": {"diagnostics": []}}
    (offered,) = await editor.speaker.ask("textDocument/codeAction", params)
    command = offered.get("command") if isinstance(offered.get("command"), dict) else offered
    assert (offered["title"], command["arguments"]) == (
        "Show what covers it: 1 task · 0 done",
        found[0]["command"]["arguments"],
    )
    waiting = [action for action in await editor.actions("3.2 |Other 😀") if "waits for" in action["title"]]
    assert [action["title"] for action in waiting] == ["Show 3.1, which this task waits for"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"requirement": "9"}, "does not define 9"),
        ({"requirement": "1", "uri": "file:///elsewhere/requirements.md"}, "is no document of a spec"),
        ({"task": "77"}, "is no task file"),
        ({"requirement": "2.1"}, "No task of .kiro/specs/a/tasks.md refers to 2.1."),
    ],
)
async def test_what_cannot_be_shown_is_said(editor: Editor, argument: dict[str, Any], message: str) -> None:
    editor.rewrite(TASKS.replace("1.1, 2_", "1.1_"))
    uri, _found = await lenses(editor)
    await click(editor, {"command": {"command": "kiroLsp.showTasks", "arguments": [{"uri": uri, **argument}]}})
    assert message in (await until(lambda: said(editor)))[0]
    assert shown(editor) == []


async def test_lenses_are_asked_for_again_when_the_tasks_change_what_they_say(tmp_path: Path, own_homes: Path) -> None:
    environ = {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes / "state"), "PATH": ""}
    folder = tmp_path / ".kiro/specs/a"
    folder.mkdir(parents=True)
    (folder / "requirements.md").write_text(REQUIREMENTS, "utf-8")
    refreshing = {"workspace": {"codeLens": {"refreshSupport": True}}}
    async with speaking(tmp_path, environ, capabilities=refreshing) as speaker:
        await speaker.ask("kiro/runs", {})
        uri = speaker.open(folder / "requirements.md", REQUIREMENTS)
        tasks = speaker.open(folder / "tasks.md", "- [ ] 1. A\n  - _Requirements: 1_\n- [ ] 2. B\n")
        asked = {"textDocument": {"uri": uri}}
        first = await speaker.ask("textDocument/codeLens", asked)
        assert [lens["command"]["title"] for lens in first] == ["1 task · 0 done", "no task"]
        while "workspace/codeLens/refresh" in speaker.asked:
            speaker.asked.remove("workspace/codeLens/refresh")
        speaker.edit(tasks, 2, 10, 10, " and more")  # says nothing new of a requirement
        speaker.edit(tasks, 0, 3, 4, "x")
        await until(lambda: "workspace/codeLens/refresh" in speaker.asked)
        second = await speaker.ask("textDocument/codeLens", asked)
        assert [lens["command"]["title"] for lens in second] == ["1 task · 1 done", "no task"]
