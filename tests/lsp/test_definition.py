"""From ids and paths to what they mean, and back, as three editors ask for it."""

from __future__ import annotations

from typing import Any

import pytest

from kiro_lsp.lsp.convert import file_of, uri_of
from tests.support.editors import REQUIREMENTS, Editor, editor

__all__ = ["editor"]


def written(editor: Editor, uri: str, range_: dict[str, Any]) -> tuple[str, int, str]:
    """(File, line, the words of a range) by an own reading of the client's units."""
    path = file_of(uri)
    assert path is not None
    text = (editor.speaker.texts.get(uri) or path.read_text("utf-8")).split("\n")[range_["start"]["line"]].rstrip("\r")
    assert range_["end"]["line"] == range_["start"]["line"]
    start, end = (
        next(at for at in range(len(text) + 1) if editor.units(text[:at]) == range_[side]["character"])
        for side in ("start", "end")
    )
    return uri.rpartition("/")[2], range_["start"]["line"], text[start:end]


async def defined(
    editor: Editor, text: str, uri: str | None = None, source: str | None = None
) -> list[tuple[str, int, str]] | None:
    found = await editor.ask("textDocument/definition", editor.place(text, uri, source=source), uri)
    if found is None:
        return None
    if editor.capabilities["textDocument"]["definition"].get("linkSupport"):
        assert all(link["originSelectionRange"]["start"]["line"] >= 0 for link in found)
        return [written(editor, link["targetUri"], link["targetSelectionRange"]) for link in found]
    return [written(editor, place["uri"], place["range"]) for place in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(depends on |1)", ("tasks.md", 2, "1")),
        ("😀, after task |3.1", ("tasks.md", 7, "3.1")),
        ("_Depends: 3.|1_", ("tasks.md", 7, "3.1")),
        ('["3.2|", "4"]', ("tasks.md", 8, "3.2")),
        ("- [ ] |4. Last", ("tasks.md", 10, "4")),
        ("_Requirements: |1.1, 2_", ("requirements.md", 8, "1. WHEN a user logs in THEN the system SHALL greet them")),
        ("_Requirements: 1.1, |2_", ("requirements.md", 11, "2")),
        ("😀 `src/|app.py`", ("app.py", 0, "")),
        ("first |step", None),
        ("# |Plan", None),
    ],
)
@pytest.mark.asyncio
async def test_definition_in_the_task_file(editor: Editor, text: str, expected: tuple[str, int, str] | None) -> None:
    assert await defined(editor, text) == (None if expected is None else [expected])


@pytest.mark.asyncio
async def test_definition_from_another_document(editor: Editor) -> None:
    design = uri_of(editor.folder / "design.md")
    assert await defined(editor, "tasks 3.1 and |3.2", design) == [("tasks.md", 8, "3.2")]
    assert await defined(editor, "Requirement |2", design) == [("requirements.md", 11, "2")]
    assert await defined(editor, "release |3.1", design) is None


@pytest.mark.asyncio
async def test_the_line_behind_a_path_and_line_ends_of_windows(editor: Editor) -> None:
    editor.rewrite("- [ ] 1. 😀 see `src/app.py:3` \r\n- [ ] 2. 😀 after task 1\r\n")
    assert await defined(editor, "after task |1") == [("tasks.md", 0, "1")]
    found = await editor.ask("textDocument/definition", editor.place("src/a|pp.py"))
    place = found[0].get("targetSelectionRange") or found[0]["range"]
    assert place["start"] == {"line": 2, "character": 0}


async def named(editor: Editor, text: str, *, declared: bool, uri: str | None = None) -> list[tuple[str, int, str]]:
    source = REQUIREMENTS if uri is not None and uri.endswith("requirements.md") else None
    at, context = editor.place(text, uri, source=source), {"includeDeclaration": declared}
    found = await editor.ask("textDocument/references", at, uri, context=context)
    return [written(editor, place["uri"], place["range"]) for place in found]


@pytest.mark.asyncio
async def test_references_to_a_task(editor: Editor) -> None:
    named_here = [("tasks.md", 8, "3.1"), ("tasks.md", 9, "3.1"), ("tasks.md", 13, "3.1"), ("design.md", 2, "3.1")]
    for text in ("[x] 3.|1 Inner", "_Depends: |3.1_"):
        assert await named(editor, text, declared=False) == named_here
        assert await named(editor, text, declared=True) == [("tasks.md", 7, "3.1"), *named_here]
    design = uri_of(editor.folder / "design.md")
    assert await named(editor, "tasks |3.1 and", declared=False, uri=design) == named_here
    assert await named(editor, "first |step", declared=True) == []


@pytest.mark.asyncio
async def test_references_to_a_requirement_are_the_tasks_that_cover_it(editor: Editor) -> None:
    covering = [("tasks.md", 2, "- [ ] 1. Set up 😀 `src/app.py`")]
    document = uri_of(editor.folder / "requirements.md")
    assert await named(editor, "_Requirements: |1.1, 2_", declared=False) == covering
    assert await named(editor, "### Requirement 2: Log|out", declared=False, uri=document) == covering
    assert await named(editor, "WHEN a user |logs in", declared=False, uri=document) == covering
    assert await named(editor, "WHEN a user |fails", declared=False, uri=document) == []
    assert await named(editor, "### Requirement |1", declared=True, uri=document) == [
        ("requirements.md", 2, "1"),
        *covering,
    ]


@pytest.mark.asyncio
async def test_highlights(editor: Editor) -> None:
    found = await editor.ask("textDocument/documentHighlight", editor.place("after task |3.1"))
    assert [(written(editor, editor.uri, one["range"])[1:], one["kind"]) for one in found] == [
        ((7, "3.1"), 3),
        ((8, "3.1"), 2),
        ((9, "3.1"), 2),
        ((13, "3.1"), 2),
    ]
    assert await editor.ask("textDocument/documentHighlight", editor.place("first |step")) == []


@pytest.mark.asyncio
async def test_only_files_of_the_project_are_linked(editor: Editor) -> None:
    root = editor.folder.parents[2]
    (root.parent / "outside.md").write_text("", "utf-8")
    (root / "leading_out.md").symlink_to(root.parent / "outside.md")
    editor.rewrite(
        "- [ ] 1. 😀 `src/app.py:3`, src/none.py, src/\r\n"
        "  - [here](design.md), [out](../../../../outside.md), leading_out.md, https://www.example.org/src/app.py\r\n"
    )
    found = await editor.speaker.ask("textDocument/documentLink", {"textDocument": {"uri": editor.uri}})
    assert [(written(editor, editor.uri, link["range"])[2], link["target"]) for link in found] == [
        ("src/app.py:3", uri_of(root / "src/app.py") + "#L3"),
        ("design.md", uri_of(editor.folder / "design.md")),
    ]


@pytest.mark.parametrize("line", [0, 3, 13, 14, 99, 2**31 - 1])
@pytest.mark.asyncio
async def test_odd_places_have_no_answer(editor: Editor, line: int) -> None:
    at = {"line": line, "character": 2**31 - 1}
    assert await editor.ask("textDocument/definition", at) is None
    assert await editor.ask("textDocument/references", at, context={}) == []
    assert await editor.ask("textDocument/documentHighlight", at) == []
