"""Metadata in every form, and the references that it and the title make."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.spec.details import dependencies_of, files_of, paths_in, requirements_of
from kiro_lsp.spec.metadata import begins_metadata, read_metadata

PROPERTY = {"Property 1": "it parses"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["- _Requirements: 1.1, 1.2_"], {"Requirements": "1.1, 1.2"}),
        (["_Requirements: 1.1_"], {"Requirements": "1.1"}),
        (["- _需求：1.1、1.2_"], {"需求": "1.1、1.2"}),
        (["- _요구사항: 4.1_"], {"요구사항": "4.1"}),
        (["- _Требования: 1.1_"], {"Требования": "1.1"}),
        (["**_Requirements**: 1.1"], {"Requirements": "1.1"}),
        (["**Requirements**: 1.1"], {"Requirements": "1.1"}),
        (["- **Requirements:** 1.1"], {"Requirements": "1.1"}),
        (["- Requirements: FR10"], {"Requirements": "FR10"}),
        (["- *Requirements*: REQ-3"], {"Requirements": "REQ-3"}),
        (["- **Validates: Requirements 5.4, 6.5**"], {"Validates": "Requirements 5.4, 6.5"}),
        (["- _Leverage: ui/tests/test_utils.tsx, a_b.py_"], {"Leverage": "ui/tests/test_utils.tsx, a_b.py"}),
        (["- _Requirements: 3.2_ (3.4 moved to my_file)"], {"Requirements": "3.2"}),
        (["- _Requirements: 3.2_ ✅ **COMPLETED**"], {"Requirements": "3.2"}),
        (["- _Requirements: 1.1_\\r"], {"Requirements": "1.1"}),
        (["- _Requirements: Requirement 1 (AC1)"], {"Requirements": "Requirement 1 (AC1)"}),
        (["- _A: 1_ _B: 2_"], {"A": "1", "B": "2"}),
        (["- File: a.py", "- File: b.py"], {"File": "a.py\nb.py"}),
        (["- **Acceptance**:", "  - one", "  - two", "- three"], {"Acceptance": "one\ntwo"}),
        (
            ["- _Prompt: Role: x", "  | Task: y", "  | Success: z_", "- next"],
            {"Prompt": "Role: x\n| Task: y\n| Success: z"},
        ),
        (["- _Prompt: Role: x | Mark [-] then [x]_"], {"Prompt": "Role: x | Mark [-] then [x]"}),
        (
            ["- _Prompt: Role: x | _Leverage: a_b.py_ | _Requirements: 2.1_ | Success: z_"],
            {
                "Prompt": "Role: x | _Leverage: a_b.py_ | _Requirements: 2.1_ | Success: z",
                "Leverage": "a_b.py",
                "Requirements": "2.1",
            },
        ),
        (
            ["- _Requirements: 1.1_", "- _Prompt: do it | _Requirements: 9.9_ now_"],
            {"Requirements": "1.1", "Prompt": "do it | _Requirements: 9.9_ now"},
        ),
        (["- Files: `a.py`,", "  `b.py`,", "  c.py", "- next"], {"Files": "`a.py`, `b.py`, c.py"}),
        (["- **Depends on**: T001,", "  T002"], {"Depends on": "T001, T002"}),
        (["- Files: a.py,", "- b.py"], {"Files": "a.py,"}),
        (["- Files: a.py,", "  Purpose: x"], {"Files": "a.py,", "Purpose": "x"}),
        (["- Files: a.py", "  words"], {"Files": "a.py"}),
        (
            ["- **Acceptance:** it runs. _Requirements: 1.1, 1.2_"],
            {"Acceptance": "it runs. _Requirements: 1.1, 1.2_", "Requirements": "1.1, 1.2"},
        ),
        (["- do this — _Requirements: 1.1_"], {"Requirements": "1.1"}),
        (["- write `_Requirements: 1.1_` below each"], {}),
        (["- set the_Key: a_ here"], {}),
        (
            ["- **Property 1: it parses** - Validates: Requirements 1.1, 1.2"],
            {"Property 1": "it parses", "Validates": "Requirements 1.1, 1.2"},
        ),
        (["- a (Validates: Requirements 1.1, 1.2 and 2) as well"], {"Validates": "Requirements 1.1, 1.2 and 2"}),
        (["- a - Validates: Requirements of the others"], {}),
        (["- **Depends on T001, T002** (to be done before)"], {"Depends on": "T001, T002"}),
        (["- Depends on task 1.2"], {"Depends on": "task 1.2"}),
        (["- Depends on the weather"], {}),
        (["- Depends on T001_internals"], {}),
        (["- **Modifies**: a.py", "- 目标文件：b.py"], {"Modifies": "a.py", "目标文件": "b.py"}),
        (["- plain detail: not a known key"], {}),
        (["- `code: x`"], {}),
        (["- see https://example.org/a_b"], {}),
        (["text without any"], {}),
        ([], {}),
    ],
)
def test_metadata(lines: list[str], expected: dict[str, str]) -> None:
    assert read_metadata(lines) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.1, 1.2", ("1.1", "1.2")),
        ("1.1、1.2，2.3；4", ("1.1", "1.2", "2.3", "4")),
        ("1, 5, 11", ("1", "5", "11")),
        ("1.1 1.2", ("1.1", "1.2")),
        ("12.1-12.8", ("12.1-12.8",)),
        ("1.1–1.9, 17.2~17.4", ("1.1-1.9", "17.2-17.4")),
        ("FR-001, REQ-1.1, NFR 2, TR-1", ("FR-001", "REQ-1.1", "NFR 2", "TR-1")),
        ("Requirement 4", ("4",)),
        ("Requirement 1 (AC1, AC3), Requirement 3 (AC3)", ("1", "3")),
        ("Requirements 2.1 and 2.2", ("2.1", "2.2")),
        ("需求 2.1-2.7, 7.2", ("2.1-2.7", "7.2")),
        ("All", ("All",)),
        ("すべて", ("すべて",)),
        ("N/A (deployment safety)", ()),
        ("None", ()),
        ("无", ()),
        ("1.1, 1.1", ("1.1",)),
        ("Security considerations", ("Security considerations",)),
        ("1.1a, 1c.1, 27A.2, 27D", ("1.1a", "1c.1", "27A.2", "27D")),
        ("Req-2, Requirement-3", ("2", "3")),
        ("2FA", ("2FA",)),
        ("14.4, 14.5 - COMPLETED", ("14.4", "14.5")),
        ("", ()),
    ],
)
def test_requirement_references(value: str, expected: tuple[str, ...]) -> None:
    assert requirements_of("", {"Requirements": value}) == expected


@pytest.mark.parametrize(
    ("title", "metadata", "expected"),
    [
        ("Verify (FR-001, SC-002)", {}, ("FR-001", "SC-002")),
        ("[NFR-004] Be quick", {}, ("NFR-004",)),
        ("[FR-001-FR-003, FR-006] Be quick", {}, ("FR-001-FR-003", "FR-006")),
        ("Verify (SC-001 through SC-003)", {}, ("SC-001-SC-003",)),
        ("Build [req:1.1]", {}, ("1.1",)),
        ("FR-001 without brackets", {}, ()),
        ("Build (FR-001)", {"Requirements": "1.1, FR-001"}, ("FR-001", "1.1")),
        ("Build", {"Validates": "Requirements 1.1"}, ("1.1",)),
        ("Build", {"验证": "Requirement 1, 2"}, ("1", "2")),
        ("Build", {"验证": "手动打开页面"}, ()),
        ("Build", {"Leverage": "1.1"}, ()),
        ("Build", {"关联需求": "4.1, 4.2"}, ("4.1", "4.2")),
        ("Build the parser. _Requirements: R1.1, R2_", {}, ("R1.1", "R2")),
        ("Build `_Requirements: R1.1_`", {}, ()),
    ],
)
def test_requirements_stand_in_titles_and_metadata(
    title: str, metadata: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert requirements_of(title, metadata) == expected


KNOWN = dict.fromkeys(["1", "2", "1.1", "1.2", "T001", "T002", "T003", "T004", "T013"])


@pytest.mark.parametrize(
    ("title", "metadata", "expected"),
    [
        ("Build (depends on T002, T003)", {}, ("T002", "T003")),
        ("Build (after T003)", {}, ("T003",)),
        ("Build (PENDING - depends on 1.1 ✅)", {}, ("1.1",)),
        ("Build (after session is ready)", {}, ()),
        ("Build. Depends on: T002, T004", {}, ("T002", "T004")),
        ("Build → T002", {}, ("T002",)),
        ("Build → T002, T003", {}, ("T002", "T003")),
        ("Turn a → b", {}, ()),
        ("Build (depends on T002-T004)", {}, ("T002", "T003", "T004")),
        ("Build", {"Depends": "1.1"}, ("1.1",)),
        ("Build", {"Dependencies": "T002, T003"}, ("T002", "T003")),
        ("Build", {"Dependencies": "None"}, ()),
        ("Build", {"DependsOn": "[]"}, ()),
        ("Build", {"DependsOn": "[1, 2]"}, ("1", "2")),
        ("Build", {"Dependencies": "タスク1完了（データモデル）"}, ("1",)),
        ("Build", {"Depends on": "1.2 (the join comes first)"}, ("1.2",)),
        ("Build", {"Dependencies": "Task 1, Task 2"}, ("1", "2")),
        ("Build", {"Dependencies": "Core framework (done in Phase 2)"}, ()),
        ("Build", {"Dependencies": "T077"}, ("T077",)),
        ("Build", {"Depends on": "Step 1, Step 2"}, ("1", "2")),
        ("Build", {"Depends on": "3 services"}, ()),
        ("Build. **Dependency**: T002 (the models), T003. **Note**: T004 is another", {}, ("T002", "T003")),
        ("Build it _Depends: 1.1_", {}, ("1.1",)),
        ("Construir — Estado: en curso | Depende de: 1.1 (probado)", {}, ("1.1",)),
        ("Построить. Зависит от: T002", {}, ("T002",)),
        ("Build", {"依赖": "T002"}, ("T002",)),
        ("Build (depends on T001)", {}, ()),
        ("Build", {}, ()),
    ],
)
def test_dependencies(title: str, metadata: dict[str, str], expected: tuple[str, ...]) -> None:
    assert dependencies_of("T001", title, metadata, KNOWN) == expected


@pytest.mark.parametrize(
    ("title", "metadata", "expected"),
    [
        ("Build `src/a.ts` and tests/b_test.py", {}, ("src/a.ts", "tests/b_test.py")),
        ("Edit src/app/(main)/sessions/[id]/edit/page.tsx", {}, ("src/app/(main)/sessions/[id]/edit/page.tsx",)),
        (
            "Edit api/proxy/[...path].mjs and functions/[[path]].js",
            {},
            ("api/proxy/[...path].mjs", "functions/[[path]].js"),
        ),
        ("Fix `src/a.tsx:9` and `src/b.py:3-7`", {}, ("src/a.tsx", "src/b.py")),
        ("Write [docs/x.md](F:/proj/docs/x.md)", {}, ("docs/x.md",)),
        ("Clean `src/*.ts`", {}, ("src/*.ts",)),
        ("Update README.md.", {}, ("README.md",)),
        ("Add .gitignore", {}, (".gitignore",)),
        ("Read `tests/test_{a,b}.py`", {}, ("tests/test_{a,b}.py",)),
        ("Create `src/core/`", {}, ("src/core/",)),
        ("Run `npm run build`, see https://example.org/a.html", {}, ()),
        ("Call `/api/users` and/or `GET /api/x`", {}, ()),
        ("Use Node.js 18, i.e. the LTS, e.g. 18.2", {}, ()),
        ("Build", {"File": "src/a.ts, src/b.ts (modify existing)"}, ("src/a.ts", "src/b.ts")),
        ("Build", {"Files": "`a.py`, `b/c.py`"}, ("a.py", "b/c.py")),
        ("Build", {"文件": "`Assets/Data.cs`"}, ("Assets/Data.cs",)),
        ("Build", {"Leverage": "src/a.ts"}, ()),
        ("Build", {"Creates": "`a.py`", "Modifies": "`b/c.py`", "目标文件": "d.py"}, ("a.py", "b/c.py", "d.py")),
        ("Build", {"File": "api/schemas/{A,B}.yaml, c.yaml"}, ("api/schemas/{A,B}.yaml", "c.yaml")),
        ("Record source/license and add `LICENSE`", {}, ("LICENSE",)),
    ],
)
def test_files(title: str, metadata: dict[str, str], expected: tuple[str, ...]) -> None:
    assert files_of(title, metadata) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("_Requirements: 1.1_", True),
        ("**Goal**: x", True),
        ("Location: here", True),
        ("more of the title", False),
        ("a: b", False),
        ("文件: src/a.ts", True),
        ("完成 a: b", False),
    ],
)
def test_a_wrapped_title_ends_where_metadata_begins(line: str, expected: bool) -> None:
    assert begins_metadata(line) is expected


LINE = st.text(alphabet=st.sampled_from("-_*: ：`|()[]aB1.,→T0\t"), max_size=40)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINE | st.text(max_size=40), max_size=8))
def test_any_lines_have_metadata_and_references(lines: list[str]) -> None:
    metadata = read_metadata(lines)
    text = " ".join(lines)
    requirements_of(text, metadata)
    dependencies_of("1", text, metadata, KNOWN)
    files_of(text, metadata)


@pytest.mark.parametrize(
    "run",
    [
        "_",
        "_a: ",
        "*",
        "**a",
        "(",
        "(after ",
        "[",
        "`",
        " ",
        "→ ",
        "T1-",
        "1.1 ",
        "1.1-",
        "a/",
        "/",
        ".",
        "{",
        "Requirement ",
        ",",
        "- ",
    ],
)
def test_long_runs_take_no_more_than_linear_time(run: str) -> None:
    text = run * (200_000 // len(run))
    for line in (text, f"- _Requirements: {text}", f"- _Prompt: {text}_", f"(depends on {text}", f"- File: {text}"):
        metadata = read_metadata([line, *[line[:100]] * 50])
        requirements_of(line, metadata)
        dependencies_of("1", line, metadata, KNOWN)
        paths_in(line)
