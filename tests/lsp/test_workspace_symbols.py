"""Tasks of every spec by a few letters, as three editors ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from kiro_lsp.lsp import views
from kiro_lsp.spec.navigation.search import entries, matching
from kiro_lsp.spec.tasks import parsed
from tests.support.editors import Editor, editor

__all__ = ["editor"]

OTHER = "# Other plan\n\n- [x] 1. Write the parser\n- [ ] 2. Ship it\n"


async def ask(editor: Editor, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await editor.speaker.ask("workspace/symbol", {"query": query})
    return found


@pytest.mark.asyncio
async def test_tasks_of_open_and_closed_files_are_found(editor: Editor) -> None:
    other = editor.folder.parent / "other" / "tasks.md"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_text(OTHER, "utf-8")
    everything = await ask(editor, "")
    assert {"1 Write the parser", "2 Ship it", "Other plan"} <= {symbol["name"] for symbol in everything}
    assert any(symbol["location"]["uri"] == editor.uri for symbol in everything)
    (found,) = await ask(editor, "WRITE the pars")
    assert found["containerName"].endswith("› Other plan · done")
    assert found["location"]["range"] == {"start": {"line": 2, "character": 0}, "end": {"line": 2, "character": 25}}
    assert [symbol["name"] for symbol in await ask(editor, "shpt")] == ["2 Ship it"]
    assert await ask(editor, "nothing like this") == []


@pytest.mark.asyncio
async def test_tasks_of_more_files_than_are_kept_are_found(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_CLOSED_AT_MOST", 3)
    long = "# Plan\n\n" + "".join(f"- [ ] {n}. Task\n" for n in range(views.AT_ONCE_LINES))
    for name in map(str, range(7)):
        (editor.folder.parent / name).mkdir(parents=True)
        (editor.folder.parent / name / "tasks.md").write_text(long, "utf-8")
    found = await ask(editor, "7 Task")
    assert {f"/{name}/tasks.md" for name in "0123456"} <= {one["location"]["uri"][-11:] for one in found}
    specs = await editor.speaker.ask("kiro/specs", {})
    assert [spec["total"] for spec in specs if spec["name"].isdigit()] == [views.AT_ONCE_LINES] * 7


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["Plan", "1 Add users", "2 Use adders", "3 Other"]),
        ("1", ["1 Add users"]),
        ("add", ["1 Add users", "2 Use adders"]),
        ("use", ["1 Add users", "2 Use adders"]),
        ("adus", ["1 Add users"]),
        ("2 use", ["2 Use adders"]),
        ("(", []),
        ("ADD", ["1 Add users", "2 Use adders"]),
    ],
)
def test_names_have_the_letters_in_their_order(query: str, names: list[str]) -> None:
    files = [entries(parsed("# Plan\n\n- [ ] 1. Add users\n- [ ] 2. Use adders\n- [ ] 3. Other\n", "tasks.md"))]
    assert [entry.name for _number, entry in matching(query, files, 10)] == names
    assert len(matching(query, files, 1)) <= 1
