"""The specs of the open projects with their tasks, as three editors ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.editors import Editor, editor

__all__ = ["editor"]

OTHER = "# Other plan\n\n- [x] 1. Write the parser\n- [ ] ~~2. Drop it~~\n- [ ] 3. Ship it\n"


async def ask(editor: Editor, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await editor.speaker.ask("kiro/specs", params)
    return found


@pytest.mark.asyncio
async def test_every_task_file_is_listed_with_its_counts_and_without_its_tasks(editor: Editor) -> None:
    other = editor.folder.parent / "other" / "tasks.md"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_text(OTHER, "utf-8")
    specs = {spec["name"]: spec for spec in await ask(editor)}
    own, closed = specs[editor.folder.name], specs["other"]
    assert (own["uri"], own["total"], own["done"]) == (editor.uri, 5, 2)
    assert own["path"].endswith(f"{editor.folder.name}/tasks.md")
    assert (closed["total"], closed["done"]) == (3, 1)
    assert all("tasks" not in spec for spec in specs.values())
    assert await ask(editor, root=own["root"]) == list(specs.values())
    assert await ask(editor, root=editor.uri) == list(specs.values())
    assert await ask(editor, root="/elsewhere") == []


@pytest.mark.asyncio
async def test_the_tasks_of_one_file_are_those_that_are_in_the_editor_now(editor: Editor) -> None:
    (spec,) = await ask(editor, uri=editor.uri)
    shown = [(task["key"], task["status"], task["line"], task["depth"], task["parent"]) for task in spec["tasks"]]
    assert shown == [
        ("1", "open", 2, 0, None),
        ("3", "done", 6, 0, None),
        ("3.1", "done", 7, 1, "3"),
        ("3.2", "open", 8, 1, "3"),
        ("4", "open", 10, 0, None),
    ]
    assert spec["tasks"][0]["title"].startswith("Set up 😀")
    editor.speaker.edit(editor.uri, 10, 3, 4, "x")
    (spec,) = await ask(editor, uri=editor.uri)
    assert (spec["tasks"][-1]["key"], spec["tasks"][-1]["status"], spec["done"]) == ("4", "done", 3)
    assert await ask(editor, uri=editor.uri.replace("tasks.md", "design.md")) == []
