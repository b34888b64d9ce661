"""What a task file says: dialects, statuses, structure, fallbacks, problems, and the JSON contract."""

from __future__ import annotations

import json

import pytest

from kiro_lsp.spec.model import Task, TaskList
from kiro_lsp.spec.tasks import (
    children,
    is_group,
    is_runnable,
    parse,
    summary,
    tasks_json,
    why_not_runnable,
)

KIRO = ".kiro/specs/login/tasks.md"

KIRO_FILE = """\
# Implementation Plan

## Overview

Some words. `[ ]` is no task.

## Tasks

- [x] 1. Set up the project
  - Create the folders
  - _Requirements: 1.1, 1.2_

- [-] 2. Log in
- [ ] 2.1 (P) Check the password in `src/login.py`
  - Compare in constant time
  - **Property 3: Same time for every input**
  - **Validates: Requirements 2.2**
  - _Requirements: 2.1-2.4_
  - _Depends: 1_

  ```text
  - [ ] 9.9 Not a task
  ```
- [ ]* 2.2 Measure it
  - Half a second at most
- [ ] 3. Checkpoint

<!--
- [ ] 8.8 Not a task
-->

## Task Dependency Graph

```json
{"waves": [{"id": 0, "tasks": ["1"]}, {"id": 1, "tasks": ["2.1", "2.2"]}]}
```
"""

SPEC_KIT_FILE = """\
---

description: "Task list"
---
# Tasks: Login

**Input**: Design documents
- [P] tasks = different files
- [US1] = first story

## Phase 1: Setup

- [X] T001 Create the folders
- [X] T002 [P] Configure the linter in pyproject.toml

## Phase 3: User Story 1 - Log in (Priority: P1)

- [ ] T003 [P] [US1] Create the model in src/models/user.py
- [-] T004 [US1] **Skipped** for now
- [ ] T005 [US1] Create the service in src/services/user.py (depends on T003)

## Dependencies

- T001 blocks T002-T003
- T003, T005 → T004
- Everything depends on patience
"""

OPENSPEC_FILE = """\
## 1. Core

- [x] 1.1 Create `src/a.ts`
- [ ] 1.2 Test it

## 2. Docs

- [ ] 2.1 Write them
"""

WORKFLOW_FILE = """\
# Tasks Document

- [x] 1. Create interfaces in src/types/a.ts
  - File: src/types/a.ts
  - Purpose: Type safety
  - _Leverage: src/types/base_types.ts_
  - _Requirements: 1.1_
  - _Prompt: Role: Developer | Task: Create it | Restrictions: none | Success: it compiles_
- [~] 2. Wait for it
  - _Blocked: the vendor_
"""


def task(tasks: TaskList, identifier: str) -> Task:
    return next(found for found in tasks.tasks if found.id == identifier)


def test_a_kiro_file() -> None:
    tasks = parse(KIRO_FILE, KIRO)
    assert tasks.dialect == "kiro"
    assert [found.key for found in tasks.tasks] == ["1", "2", "2.1", "2.2", "3"]
    assert [found.status for found in tasks.tasks] == ["done", "in-progress", "open", "open", "open"]
    assert tasks.waves == (("1",), ("2.1", "2.2"))
    assert tasks.problems == ()
    check = task(tasks, "2.1")
    assert check.title == "Check the password in `src/login.py`"
    assert check.parent == "2"
    assert check.depth == 1
    assert check.parallel
    assert check.requirements == ("2.2", "2.1-2.4")
    assert check.depends_on == ("1",)
    assert check.files == ("src/login.py",)
    assert check.section == "Tasks"
    assert check.heading_path == ("Implementation Plan", "Tasks")
    assert check.metadata["Property 3"] == "Same time for every input"
    assert check.body.startswith("- Compare in constant time\n")
    assert "9.9 Not a task" in check.body
    assert check.end_line == 23
    assert task(tasks, "2.2").optional
    assert [child.id for child in children(tasks, task(tasks, "2"))] == ["2.1", "2.2"]


def test_a_spec_kit_file() -> None:
    tasks = parse(SPEC_KIT_FILE)
    assert tasks.dialect == "spec-kit"
    assert [found.id for found in tasks.tasks] == ["T001", "T002", "T003", "T004", "T005"]
    assert [found.status for found in tasks.tasks] == ["done", "done", "open", "unknown", "open"]
    model = task(tasks, "T003")
    assert (model.parallel, model.story, model.files) == (True, "US1", ("src/models/user.py",))
    assert model.section == "Phase 3: User Story 1 - Log in (Priority: P1)"
    assert model.depends_on == ("T001",)
    assert task(tasks, "T002").depends_on == ("T001",)
    assert task(tasks, "T004").depends_on == ("T003", "T005")
    assert task(tasks, "T005").depends_on == ("T003",)
    assert task(tasks, "T004").withdrawn


def test_an_openspec_file() -> None:
    tasks = parse(OPENSPEC_FILE)
    assert tasks.dialect == "openspec"
    assert [(found.id, found.section, found.parent) for found in tasks.tasks] == [
        ("1.1", "1. Core", None),
        ("1.2", "1. Core", None),
        ("2.1", "2. Docs", None),
    ]


def test_a_spec_workflow_file() -> None:
    tasks = parse(WORKFLOW_FILE, "anywhere.md")
    assert tasks.dialect == "spec-workflow"
    first, second = tasks.tasks
    assert first.metadata == {
        "File": "src/types/a.ts",
        "Purpose": "Type safety",
        "Leverage": "src/types/base_types.ts",
        "Requirements": "1.1",
        "Prompt": "Role: Developer | Task: Create it | Restrictions: none | Success: it compiles",
    }
    assert first.files == ("src/types/a.ts",)
    assert (second.status, second.metadata["Blocked"]) == ("blocked", "the vendor")


TICKET = """\
# Ticket: 7

## Definition of Done

- [ ] It works
- [ ] Nothing broke

## Steps

1. **Define it**
   - [ ] Create `src/types.ts`
2. **Build it**
   - [x] Add the wrapper
   - [ ] Use it

  ```ts
  - [ ] code
  ```
"""


def test_a_plain_ticket() -> None:
    tasks = parse(TICKET, "tickets/7.md")
    assert tasks.dialect == "checklist"
    assert [(found.title, found.criterion) for found in tasks.tasks] == [
        ("It works", True),
        ("Nothing broke", True),
        ("Create `src/types.ts`", False),
        ("Add the wrapper", False),
        ("Use it", False),
    ]
    assert all(found.key.startswith("#") for found in tasks.tasks)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- [ ] 1. a\n  - [ ] 1.1 b\n    - [ ] 1.1.1 c\n", [None, "1", "1.1"]),
        ("- [ ] 1. a\n- [ ] 1.1 b\n- [ ] 1.1.1 c\n- [ ] 2.1 d\n", [None, "1", "1.1", None]),
        ("- [ ] 1. a\n  - [ ] 2.1 b\n- [ ] 2. c\n", [None, "2", None]),
        ("- [ ] a\n  - [ ] b\n", [None, "#ca978112"]),
        ("- [ ] 1. a\n- [ ] 1.1 b\n\n# again\n\n- [ ] 1. a\n- [ ] 1.1 b\n", [None, "1", None, "1~2"]),
        ("- [ ] 1.1 a\n  - [ ] 1. b\n", ["1", None]),
        ("- [ ] 17. a\n  - [ ] 18.3 b\n", [None, "17"]),
        ("- [ ] T012 a\n- [ ] T012.5 b\n", [None, "T012"]),
    ],
)
def test_parents_by_number_else_by_indentation(text: str, expected: list[str | None]) -> None:
    assert [found.parent for found in parse(text).tasks] == expected


def test_titles_wrap_and_end_at_metadata() -> None:
    text = (
        "- [ ] 1. A long\n  title\nwith a lazy line\n  _Requirements: 1.1_\n  - detail\n"
        "- [ ] 2. B\n\n  text\n\n    code\n\ntail\n"
    )
    first, second = parse(text).tasks
    assert first.title == "A long title with a lazy line"
    assert first.requirements == ("1.1",)
    assert first.body == "_Requirements: 1.1_\n- detail"
    assert second.body == "text\n\n  code"


def test_what_stands_below_sub_tasks_belongs_to_the_parent() -> None:
    parent, child = parse("- [ ] 1. a\n  - one\n  - [ ] 1.1 b\n    - two\n  - _Requirements: 3_\n").tasks
    assert parent.requirements == ("3",)
    assert parent.end_line == 2
    assert child.body == "- two"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- [ ] 1. a\n  - [ ] b\n", [False, True]),
        ("- [ ] a\n  - [ ] b\n", [False, False]),
        ("- [ ] 1. a\n\n## Success Criteria\n\n- [ ] b\n- [ ] 2. c\n", [False, True, False]),
        ("- [ ] a\n\n**Acceptance Criteria**:\n\n- [ ] b\n\n**Steps**:\n\n- [ ] c\n", [False, True, False]),
        ("- [ ] a\n\n## 验收标准\n\n### Functions\n\n- [ ] b\n", [False, True]),
        ("# Acceptance Criteria\n\n- [ ] a\n- [ ] b\n", [False, False]),
    ],
)
def test_criteria_are_no_tasks_where_there_are_tasks(text: str, expected: list[bool]) -> None:
    tasks = parse(text)
    assert [found.criterion for found in tasks.tasks] == expected
    assert [is_runnable(tasks, found) for found in tasks.tasks] == [not criterion for criterion in expected]
    assert summary(tasks).total == len(expected)


def test_what_cannot_be_run_says_why() -> None:
    tasks = parse("- [ ] 1. a\n  - [ ] b\n- [ ] ~~2. c~~\n- [ ] 3. d\n- [ ] 3.1 e\n- [x] 3.2 f\n")
    one, criterion, dropped, parent, child, done = tasks.tasks
    assert why_not_runnable(tasks, one) is None
    assert "task 1" in (why_not_runnable(tasks, criterion) or "")
    assert "withdrawn" in (why_not_runnable(tasks, dropped) or "")
    assert [is_group(tasks, found) for found in (one, parent, child, done)] == [False, True, False, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "### [x] 1.1 A\n- detail\n### [ ] 1.2 B\n",
            [("1.1", "A", "done", "x"), ("1.2", "B", "open", " ")],
        ),
        ("### - [ ] Fix it\n**File**: `src/a.ts:57`\n", [(None, "Fix it", "open", " ")]),
        (
            "### Task 1.1: A ✅ COMPLETED\n- x\n### Task 1.2: B\n### T003: C [P]\n",
            [("1.1", "A", "done", ""), ("1.2", "B", "open", ""), ("T003", "C", "open", "")],
        ),
        (
            "| ID | Task | Status |\n|----|------|--------|\n| T001 | A | ✅ |\n| T002 | B | In progress |\n| T003 | C | |\n",
            [("T001", "A", "done", ""), ("T002", "B", "in-progress", ""), ("T003", "C", "open", "")],
        ),
        (
            "| Order | Task | Owner | Status |\n|:--|--|--|--:|\n| 1 | A | me | Done (2025-09-29) |\n| 2 | B | you | Planned |\n",
            [("1", "A", "done", ""), ("2", "B", "open", "")],
        ),
        ("| ID | Task | Owner |\n|--|--|--|\n| T001 | A | me |\n", []),
        ("```\n### Task 1: A\n| ID | Task | Status |\n|--|--|--|\n| T1 | A | x |\n```\n", []),
    ],
)
def test_fallbacks_where_no_list_item_is_a_task(text: str, expected: list[tuple[str | None, str, str, str]]) -> None:
    tasks = parse(text)
    assert [(found.id, found.title, found.status, found.mark) for found in tasks.tasks] == expected
    codes = {problem.code for problem in tasks.problems if problem.code in ("heading-task", "table-task")}
    assert codes == ({"table-task" if "|" in text else "heading-task"} if expected else set())
    assert summary(tasks).total == len(expected)


def test_criteria_below_a_task_heading_belong_to_it() -> None:
    text = (
        "### Task 1: A\n**Acceptance Criteria**:\n- [x] fast\n- [ ] small\n"
        "### Task 2: B ✅\n**Acceptance Criteria**:\n- [x] fast\n"
    )
    tasks = parse(text)
    assert [(found.key, found.parent, found.criterion) for found in tasks.tasks] == [
        ("1", None, False),
        ("#115dc360", "1", True),
        ("#81db8ebb", "1", True),
        ("2", None, False),
        ("#115dc360~2", "2", True),
    ]
    assert summary(tasks).total == 3, "headings are no boxes"


def test_fallbacks_are_not_used_beside_tasks() -> None:
    tasks = parse(
        "### [ ] 1. A\n\n### Task 2: B\n\n| ID | Task | Status |\n|--|--|--|\n| 1 | A | done |\n\n- [ ] 3. C\n"
    )
    assert [found.id for found in tasks.tasks] == ["3"]
    assert [problem.code for problem in tasks.problems] == ["heading-box"]


CHECK_AS_JSON = {
    "key": "2.1",
    "id": "2.1",
    "title": "Check the password in `src/login.py`",
    "status": "open",
    "mark": " ",
    "line": 14,
    "depth": 1,
    "optional": False,
    "parallel": True,
    "story": None,
    "section": "Tasks",
    "parent": "2",
    "requirements": ["2.2", "2.1-2.4"],
    "dependsOn": ["1"],
    "files": ["src/login.py"],
    "metadata": {
        "Property 3": "Same time for every input",
        "Validates": "Requirements 2.2",
        "Requirements": "2.1-2.4",
        "Depends": "1",
    },
}


def test_the_json_contract() -> None:
    value = tasks_json("given/../path.md", parse(KIRO_FILE + "\n- [ ] 1. Again\n", KIRO))
    assert json.loads(json.dumps(value)) == value
    assert list(value) == ["path", "dialect", "tasks", "waves", "problems", "summary"]
    assert value["path"] == "given/../path.md"
    assert value["summary"] == {
        "total": 6,
        "open": 4,
        "inProgress": 1,
        "done": 1,
        "blocked": 0,
        "unknown": 0,
        "optional": 1,
        "withId": 6,
    }
    tasks = value["tasks"]
    assert isinstance(tasks, list)
    body = tasks[2].pop("body")
    assert isinstance(body, str)
    assert tasks[2] == CHECK_AS_JSON
    assert [task["key"] for task in tasks][-1] == "1~2"
    assert value["problems"] == [
        {
            "line": 38,
            "column": 1,
            "code": "duplicate-id",
            "severity": "information",
            "message": "Line 9 has the id 1 too, so that it names neither: this task is known as 1~2. "
            "Where that is not meant, number one of them anew.",
        }
    ]


def test_a_byte_order_mark_in_the_text_changes_nothing_but_columns() -> None:
    text = "- [ ] 1. a\n  - [✅] 1.1 b\n"
    plain, marked = parse(text).tasks, parse("\ufeff" + text).tasks
    assert [task.mark_column for task in plain] == [3, 5]
    assert [task.mark_column for task in marked] == [4, 5]
    assert [(task.key, task.parent, task.depth) for task in plain] == [
        (task.key, task.parent, task.depth) for task in marked
    ]


def test_a_box_at_the_end_of_a_heading_says_whether_its_task_is_done() -> None:
    found = parse("### Task 1.1: Read [x]\n- a\n### Task 1.2: Write [ ]\n- b\n### Task 1.3: Call f[x]\n- c\n").tasks
    assert [(task.id, task.title, task.status) for task in found] == [
        ("1.1", "Read", "done"),
        ("1.2", "Write", "open"),
        ("1.3", "Call f[x]", "open"),
    ]


def test_the_metadata_of_another_language_is_no_part_of_a_wrapped_title() -> None:
    (task,) = parse("- [ ] 任务 1: 加入登录\n  文件: src/login.ts\n  验证: pnpm test\n").tasks
    assert (task.id, task.title, task.files) == ("1", "加入登录", ("src/login.ts",))


def test_headings_with_a_code_or_a_status_below_are_tasks() -> None:
    found = parse(
        "# Tasks\n\n## 1.0 Phase\n\n### 1.1 Build\n- **Status**: ⏳ pending\n- **Depends on**: none\n\n"
        "### 1.2 Wire\n\n**Status:** ✅ completed\n**Depends on**: 1.1\n\n## TASK-003: Test\n\n### Description\nwords\n"
    ).tasks
    assert [(task.id, task.title, task.status, task.depends_on) for task in found] == [
        ("1.1", "Build", "open", ()),
        ("1.2", "Wire", "done", ("1.1",)),
        ("TASK-003", "Test", "open", ()),
    ]
    assert not parse("# Tasks\n\n## 1.1 Overview\n\nThe **Status**: of it\n").tasks


def test_the_status_column_of_a_table_is_read_in_other_languages() -> None:
    rows = (("T001", "GOTOWE", "done"), ("T002", "W TOKU", "in-progress"), ("T003", "do zrobienia", "open"))
    text = "| ID | Zadanie | Status |\n| --- | --- | --- |\n" + "".join(
        f"| {name} | a | {word} |\n" for name, word, _ in rows
    )
    assert [(task.id, task.status) for task in parse(text).tasks] == [(name, status) for name, _, status in rows]
