"""Tasks and task lists made by hand, for tests of what comes after parsing."""

from __future__ import annotations

from typing import Any

from kiro_lsp.spec.model import Dialect, Task, TaskList


def task(id_: str | None, title: str = "Do it", **more: Any) -> Task:
    """A task whose key is its id (or `#` + title)."""
    values: dict[str, Any] = {
        "key": id_ or f"#{title}",
        "id": id_,
        "title": title,
        "status": "open",
        "mark": " ",
        "line": 0,
        "mark_column": 3,
        "end_line": 1,
        "depth": 0,
    }
    return Task(**(values | more))


def task_list(*tasks: Task, dialect: Dialect = "kiro") -> TaskList:
    return TaskList(dialect, tasks, ())
