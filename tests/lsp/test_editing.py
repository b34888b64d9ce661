"""Completion, code actions, rename and Enter, as three editors ask for them; edits are applied as a client applies them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.lsp.convert import uri_of
from kiro_lsp.spec import tasks
from kiro_lsp.spec.lines import split_lines
from tests.support.editors import DESIGN, REQUIREMENTS, TASKS, Editor, editor
from tests.support.lsp_client import apply_text_edits
from tests.support.speaking import speaking

__all__ = ["editor"]


def changed(before: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert before.count(old) == 1, old
        before = before.replace(old, new)
    return before


# Code actions


async def test_a_status_is_one_character(editor: Editor) -> None:
    found = await editor.chosen("- [ ] |1. Set", "Mark “1 Set up 😀 `src/app.py`” as done")
    assert found == {"tasks.md": changed(TASKS, ("[ ] 1.", "[x] 1."))}
    found = await editor.chosen("- [ ] |1. Set", "Mark “1 Set up 😀 `src/app.py`” as in progress")
    assert found == {"tasks.md": changed(TASKS, ("[ ] 1.", "[-] 1."))}


async def test_a_status_goes_down_only_when_that_is_asked_for(editor: Editor) -> None:
    title = "Mark “3 Build 😀 (depends on 1)” and 1 below it as done"
    assert await editor.chosen("[x] |3. Build", title) == {"tasks.md": changed(TASKS, ("[ ] 3.2", "[x] 3.2"))}
    title = "Mark “3 Build 😀 (depends on 1)” as open"
    assert await editor.chosen("[x] |3. Build", title) == {"tasks.md": changed(TASKS, ("[x] 3. ", "[ ] 3. "))}


async def test_renumbering_takes_every_reference_along(editor: Editor) -> None:
    found = await editor.chosen("- [ ] |1. Set", "Renumber all tasks in order")
    assert found["tasks.md"] == changed(
        TASKS,
        ("[x] 3. Build", "[x] 2. Build"),
        ("[x] 3.1", "[x] 2.1"),
        ("[ ] 3.2 Other 😀, after task 3.1", "[ ] 2.2 Other 😀, after task 2.1"),
        ("_Depends: 3.1_", "_Depends: 2.1_"),
        ("4. Last", "3. Last"),
        ('["1", "3.1"]', '["1", "2.1"]'),
        ('["3.2", "4"]', '["2.2", "3"]'),
    )
    assert found["design.md"] == changed(
        DESIGN, ("Task 3 makes", "Task 2 makes"), ("tasks 3.1 and 3.2", "tasks 2.1 and 2.2")
    )
    assert set(found) == {"tasks.md", "design.md"}


async def test_steps_become_sub_tasks(editor: Editor) -> None:
    found = await editor.chosen("- [ ] |1. Set", "Make sub-tasks of the steps of “1 Set up 😀 `src/app.py`”")
    expected = changed(TASKS, ("- first step", "- [ ] 1.1 first step"), ("- second step", "- [ ] 1.2 second step"))
    assert found == {"tasks.md": expected}


async def test_optional_is_a_star(editor: Editor) -> None:
    found = await editor.chosen("- [ ] |4. Last", "Make “4 Last” optional")
    assert found == {"tasks.md": changed(TASKS, ("- [ ] 4.", "- [ ]* 4."))}
    editor.rewrite(found["tasks.md"])
    editor.speaker._versions[editor.uri] = 2
    titles = [action["title"] for action in await editor.actions("- [ ]* |4. Last")]
    assert "Make “4 Last” required" in titles


async def test_only_what_is_asked_for_is_offered_and_commands_stay_commands(editor: Editor) -> None:
    found = await editor.actions("- [ ] |1. Set")
    assert all(("command" in action) != ("edit" in action or "data" in action) for action in found)
    commands = {action["command"]["command"] for action in found if "command" in action}
    assert "kiroLsp.copyPrompt" in commands
    sources = await editor.actions("- [ ] |1. Set", only=["source.kiroLsp"])
    assert [action["kind"] for action in sources] == ["source.kiroLsp.renumber"]
    assert {action["kind"] for action in await editor.actions("- [ ] |1. Set", only=["refactor"])} == {
        "refactor.rewrite"
    }
    assert await editor.actions("- [ ] |1. Set", only=["source.organizeImports"]) == []


async def test_a_client_with_bare_commands_gets_those(tmp_path: Path, own_homes: Path) -> None:
    path = tmp_path / ".kiro/specs/a/tasks.md"
    async with speaking(tmp_path, {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes)}) as speaker:
        uri = speaker.open(path, TASKS)
        place = {"line": 2, "character": 0}
        params = {"textDocument": {"uri": uri}, "range": {"start": place, "end": place}, "context": {}}
        found = await speaker.ask("textDocument/codeAction", params)
    assert all(isinstance(action["command"], str) for action in found)
    assert {"kiroLsp.setStatus", "kiroLsp.copyPrompt"} <= {action["command"] for action in found}


async def test_an_action_of_an_older_text_is_not_resolved(editor: Editor) -> None:
    (action,) = [
        action for action in await editor.actions("- [ ] |1. Set") if action["title"].startswith("Renumber all")
    ]
    if "edit" in action:
        assert not editor.resolves
        return
    editor.rewrite("# Plan\n\n- [ ] 1. Other\n")
    answer = await editor.speaker.begin("codeAction/resolve", action)
    assert answer["error"]["code"] == -32801


def diagnostic(line: int, code: str, source: str = "kiro-lsp") -> dict[str, Any]:
    place = {"line": line, "character": 0}
    return {"range": {"start": place, "end": place}, "code": code, "source": source, "message": "as it was said"}


async def test_a_diagnostic_is_settled_by_its_fix(editor: Editor) -> None:
    text = "# Plan\n\n- [ ] 1. Whole 😀\n  - [x] 1.1 Part\n  - [x] 1.2 Part\n"
    editor.rewrite(text)
    ours, foreign = diagnostic(2, "open-above-done"), diagnostic(2, "open-above-done", "another")
    actions = await editor.actions("- [ ] |1. Whole", diagnostics=[ours, foreign, {"code": 3}], only=["quickfix"])
    (fix,) = [action for action in actions if action.get("diagnostics")]
    assert fix["diagnostics"] == [ours]
    assert fix["isPreferred"] is True
    assert apply_all(editor, fix["edit"]) == changed(text, ("[ ] 1.", "[x] 1."))


def apply_all(editor: Editor, edit: dict[str, Any]) -> str:
    listed = edit.get("documentChanges") or [{"edits": edits} for edits in edit["changes"].values()]
    return apply_text_edits(editor.speaker.texts[editor.uri], listed[0]["edits"], editor.encoding)


async def test_an_id_out_of_order_is_settled_by_numbering_its_row(editor: Editor) -> None:
    editor.rewrite(TASKS.replace("- [ ] 4. Last", "- [ ] 3. Last"))
    actions = await editor.actions("- [ ] |3. Last", diagnostics=[diagnostic(10, "duplicate-id")], only=["quickfix"])
    (fix,) = [action for action in actions if action.get("diagnostics")]
    assert fix["title"] == "Renumber 1 … 3 in order"
    if "edit" not in fix:
        fix = await editor.speaker.ask("codeAction/resolve", fix)
    assert [task.id for task in tasks.parse(apply_all(editor, fix["edit"])).tasks] == ["1", "2", "2.1", "2.2", "3"]


# Rename


async def test_a_task_is_renamed_in_the_whole_spec(editor: Editor) -> None:
    at = editor.place("[x] 3|. Build")
    prepared = await editor.ask("textDocument/prepareRename", at)
    assert prepared["placeholder"] == "3"
    assert prepared["range"]["end"] == at
    found = editor.applied(await editor.ask("textDocument/rename", at, newName="7"))
    assert found["design.md"] == changed(
        DESIGN, ("Task 3 makes", "Task 7 makes"), ("tasks 3.1 and 3.2", "tasks 7.1 and 7.2")
    )
    assert found["tasks.md"].count("7.1") == TASKS.count("3.1")
    assert "[ ] 7.2 Other" in found["tasks.md"]
    assert '["7.2", "4"]' in found["tasks.md"]


@pytest.mark.parametrize("place", ["depends on |1", '["|1", "3.1"]'])
async def test_a_reference_renames_its_task(editor: Editor, place: str) -> None:
    at = editor.place(place)
    assert (await editor.ask("textDocument/prepareRename", at))["placeholder"] == "1"
    found = editor.applied(await editor.ask("textDocument/rename", at, newName="9"))
    assert found["tasks.md"] == changed(
        TASKS, ("[ ] 1. Set", "[ ] 9. Set"), ("depends on 1", "depends on 9"), ('["1", "3.1"]', '["9", "3.1"]')
    )


@pytest.mark.parametrize("where", ["tasks.md", "requirements.md", "design.md"])
async def test_a_requirement_is_renamed_from_everywhere(editor: Editor, where: str) -> None:
    if where == "tasks.md":
        uri, at = editor.uri, editor.place("1.1, 2|_")
    elif where == "design.md":
        uri = uri_of(editor.folder / where)
        at = editor.place("Requirement 2|", uri)
    else:
        uri = uri_of(editor.folder / where)
        editor.speaker.open(editor.folder / where, REQUIREMENTS)
        at = editor.place("### Requirement 2|:", uri)
    assert (await editor.ask("textDocument/prepareRename", at, uri))["placeholder"] == "2"
    found = editor.applied(await editor.ask("textDocument/rename", at, uri, newName="5"))
    assert found == {
        "tasks.md": changed(TASKS, ("1.1, 2_", "1.1, 5_")),
        "requirements.md": changed(REQUIREMENTS, ("Requirement 2:", "Requirement 5:")),
        "design.md": changed(DESIGN, ("Requirement 2", "Requirement 5")),
    }


@pytest.mark.parametrize(
    ("place", "name", "reason"),
    [
        ("[x] 3|. Build", "4", "Line 11 has the id 4 already"),
        ("[x] 3|. Build", "two words", "is no id"),
        ("1.1, 2|_", "1", "has the id 1 already"),
        ("1.1|, 2_", "1.7", "is the place of this criterion in its list"),
        ("# Pl|an", "4", "no id"),
    ],
)
async def test_a_rename_that_cannot_be_is_refused_in_words(editor: Editor, place: str, name: str, reason: str) -> None:
    params = {"textDocument": {"uri": editor.uri}, "position": editor.place(place), "newName": name}
    answer = await editor.speaker.begin("textDocument/rename", params)
    assert reason in answer["error"]["message"]
    assert answer["error"]["code"] == -32803


# Completion

HEAD = TASKS.partition("```")[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{HEAD}- [|", ["[ ] open", "[-] in progress", "[x] done"]),
        (f"{HEAD}- [ ] |", ["5"]),
        (f"{HEAD}  - [ ] |", ["4.1", "5"]),
        (f"{HEAD}- |", ["- [ ] 5."]),
        (HEAD.replace("  - _Requirements: 1.1, 2_", "  - _Requirements: 1.1, |_"), ["1", "1.2", "2", "2.1"]),
        (HEAD.replace("_Depends: 3.1_", "_Depends: |_"), ["1", "3", "3.1", "4"]),
        (HEAD.replace("`src/app.py`", "`src/|`"), ["src/app.py"]),
        (TASKS.replace('"4"]', '"|"]'), ["3", "4", "1", "3.1"]),
    ],
)
async def test_what_is_offered_where(editor: Editor, text: str, expected: list[str]) -> None:
    found = await editor.complete(text)
    assert list(found) == expected


async def test_metadata_keys_are_those_of_the_file_and_its_dialect(editor: Editor) -> None:
    found = await editor.complete(f"{HEAD}  - _|")
    assert {"Requirements", "Depends", "Boundary"} <= set(found)
    snippets = editor.capabilities["textDocument"]["completion"]["completionItem"]["snippetSupport"]
    expected = "_Requirements: $0_" if snippets else "_Requirements: "
    assert found["Requirements"]["textEdit"]["newText"] == expected
    assert found["Requirements"].get("insertTextFormat") == (2 if snippets else None)


async def test_documentation_comes_with_the_item_or_when_it_is_asked_for(editor: Editor) -> None:
    found = await editor.complete(HEAD.replace("1.1, 2_", "|_"))
    item = found["1.1"]
    if "documentation" not in item:
        item = await editor.speaker.ask("completionItem/resolve", item)
    assert "SHALL greet them" in item["documentation"]


@pytest.mark.parametrize("text", [f"{HEAD}plain words |", "# Pl|an\n", f"{HEAD}```\n- [ ] |\n```\n", "|"])
async def test_nothing_is_offered_where_nothing_of_ours_stands(editor: Editor, text: str) -> None:
    assert await editor.complete(text) == {}


async def test_a_typed_blank_opens_no_list_of_keys(editor: Editor) -> None:
    typed = {"context": {"triggerKind": 2, "triggerCharacter": " "}}
    assert await editor.complete(f"{HEAD}  - |", **typed) == {}
    assert list(await editor.complete(f"{HEAD}- [ ] |", **typed)) == ["5"]


async def test_a_completion_replaces_exactly_what_was_typed(editor: Editor) -> None:
    text = HEAD.replace("1.1, 2_", "1.1, 2.|_")
    found = await editor.complete(text)
    edit = found["2.1"]["textEdit"]
    assert apply_text_edits(text.replace("|", ""), [edit], editor.encoding) == HEAD.replace("1.1, 2_", "1.1, 2.1_")


# Enter


async def entered(editor: Editor, text: str) -> str:
    """The text after Enter was pressed at `|` and what the server answered was applied."""
    at = text.index("|")
    end = "\r\n" if "\r\n" in text else "\n"
    typed = text[:at] + end + text[at + 1 :]
    editor.rewrite(typed)
    line = len(split_lines(typed[: at + len(end)]))
    options = {"tabSize": 2, "insertSpaces": True}
    edits = await editor.ask("textDocument/onTypeFormatting", {"line": line, "character": 0}, ch="\n", options=options)
    return apply_text_edits(typed, edits, editor.encoding)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- [ ] 1. First 😀|", "- [ ] 1. First 😀\n- [ ] 2. "),
        ("- [x] 1. First\n  - [x] 1.1 In|\n", "- [x] 1. First\n  - [x] 1.1 In\n  - [ ] 1.2 \n"),
        ("- [ ] T009 A|\r\n- [ ] T010 B\r\n", "- [ ] T009 A\r\n- [ ] T011 \r\n- [ ] T010 B\r\n"),
        ("* [ ] **T001** A|\n", "* [ ] **T001** A\n* [ ] **T002** \n"),
        ("- [ ] 1. A\n\t- [ ] 1.1 B|\n", "- [ ] 1. A\n\t- [ ] 1.1 B\n\t- [ ] 1.2 \n"),
        ("- [ ] words|\n", "- [ ] words\n- [ ] \n"),
        ("1. [ ] one|\n", "1. [ ] one\n2. [ ] \n"),
        ("- [ ] 1. A\n- [ ] 2. |\n", "- [ ] 1. A\n\n"),
        ("- [ ] 1. A\n- [ ] |\nmore\n", "- [ ] 1. A\n\nmore\n"),
        ("- [ ] 1. A |rest of it\n", "- [ ] 1. A \nrest of it\n"),
        ("- [ ] 1. A|\n  - detail\n", "- [ ] 1. A\n\n  - detail\n"),
        ("- [ ] 1. A\n  - detail|\n", "- [ ] 1. A\n  - detail\n\n"),
        ("```\n- [ ] 1. A|\n```\n", "```\n- [ ] 1. A\n\n```\n"),
        ("words|\n", "words\n\n"),
    ],
)
async def test_enter_goes_on_with_the_list_and_takes_nothing_away(editor: Editor, text: str, expected: str) -> None:
    assert await entered(editor, text) == expected


async def test_what_was_offered_reads_as_it_was_meant(editor: Editor) -> None:
    found = await editor.chosen("- [ ] |1. Set", "Renumber all tasks in order")
    read = tasks.parse(found["tasks.md"], str(editor.folder / "tasks.md"))
    assert [task.id for task in read.tasks] == ["1", "2", "2.1", "2.2", "3"]
    assert [task.depends_on for task in read.tasks] == [(), ("1",), (), ("2.1",), ()]
    assert read.waves == (("1", "2.1"), ("2.2", "3"))
