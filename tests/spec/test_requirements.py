"""A reference finds its requirement in every form that specs write them, or is reported."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.spec.references import codes_in, parts_of, references_in
from kiro_lsp.spec.requirements import index_requirements

KIRO = """\
# Requirements Document

## Requirements

### Requirement 1: Parsing

**User Story:** As a user, I want files read, so that I see them.

#### Acceptance Criteria

1. WHEN a file is read THEN the system SHALL parse it
   - with every line
   - and every end
2. WHEN it is empty THEN the system SHALL say so
10. IF it is binary THEN the system SHALL refuse it

```text
3. WHEN this is an example THEN it is none
```

### Requirement 2

#### Acceptance Criteria

1. THE system SHALL be quick
1. THE system SHALL be small
1. THE system SHALL be quiet

### Requirement 10: Last

#### Acceptance Criteria

- WHEN bullets stand here THEN they count
- WHEN a second stands here THEN it counts too
"""

BUGFIX = """\
## Current Behavior (Defect)

1.1 WHEN it runs THEN it fails
    with a long explanation

1.2 WHEN it ends THEN it hangs

## Expected Behavior (Correct)

2.1 WHEN it runs THEN it SHALL pass
**2.2** WHEN it ends THEN it SHALL end
"""

SPEC = """\
### User Story 1 - Load a session (Priority: P1)

The person loads it.

**Acceptance Scenarios**:

1. **Given** a session, **When** it loads, **Then** it shows

### User Story 2 - Save (Priority: P2)

The person saves.

## Requirements *(mandatory)*

### Functional Requirements

- **FR-001**: The system MUST load a session
- **FR-002**: The system MUST save
  - to a file
  - to the cloud
- **FR-007a**: The system MUST collapse

| ID | What | Why |
| --- | --- | --- |
| NFR-1 | Fast | users wait |
| **NFR-2** | Small | phones |

## Success Criteria

- **SC-001**: Loads in a second
- SC-002: Saves in two
"""

OPENSPEC = """\
## ADDED Requirements

### Requirement: Legacy artifact detection
The system SHALL detect old files.

#### Scenario: Old config
- **WHEN** an old file is there
- **THEN** it is named

### Requirement: Cleanup
The system SHALL ask first.
"""


def check(document: str, path: str, ref: str, expected: list[str]) -> None:
    """`expected`: the beginning of each requirement's text, or "?REF" for a reference that nothing answers to."""
    found, missing = index_requirements([(path, document)]).resolve([ref])
    assert [*(entry.text for entry in found), *(f"?{name}" for name in missing)] == [
        text if text.startswith("?") else next((e.text for e in found if e.text.startswith(text)), text)
        for text in expected
    ]


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("1.1", ["WHEN a file is read"]),
        ("1.2", ["WHEN it is empty"]),
        ("1.10", ["IF it is binary"]),
        ("1.3", ["**User Story:**"]),
        ("Requirement 1.2", ["WHEN it is empty"]),
        ("REQ-1.2", ["WHEN it is empty"]),
        ("R1.2", ["WHEN it is empty"]),
        ("2.3", ["THE system SHALL be quiet"]),
        ("10.2", ["WHEN a second stands here"]),
        ("1.1-1.10", ["WHEN a file is read", "WHEN it is empty", "IF it is binary"]),
        ("1.1–1.2", ["WHEN a file is read", "WHEN it is empty"]),
        ("1.1~2", ["WHEN a file is read", "WHEN it is empty"]),
        ("1.2 to 2.1", ["WHEN it is empty", "IF it is binary", "THE system SHALL be quick"]),
        ("1.1、1.2", ["WHEN a file is read", "WHEN it is empty"]),
        ("1.1, 1.2（大規模差分対応）", ["WHEN a file is read", "WHEN it is empty"]),
        ("REQ-1 (Acceptance Criteria 1, 2)", ["WHEN a file is read", "WHEN it is empty"]),
        ("1.1 (3.4 moved to task 13)", ["WHEN a file is read"]),
        ("9.9", ["?9.9"]),
        ("1.1, 9.9", ["WHEN a file is read", "?9.9"]),
        ("N/A (deployment safety)", []),
        ("Security considerations", []),
        ("Parsing", ["**User Story:**"]),
        ("7 (Parsing)", ["**User Story:**"]),
        ("R7.1 (Parsing), R8.1 (Last)", ["**User Story:**", "#### Acceptance Criteria\n\n- WHEN bullets"]),
        ("", []),
    ],
)
def test_kiro_criteria(ref: str, expected: list[str]) -> None:
    check(KIRO, ".kiro/specs/x/requirements.md", ref, expected)


def test_a_criterion_comes_whole_with_its_story_and_owner() -> None:
    index = index_requirements([("requirements.md", KIRO)])
    [entry] = index.resolve(["1.1"])[0]
    assert entry.text == (
        "WHEN a file is read THEN the system SHALL parse it\n   - with every line\n   - and every end"
    )
    assert entry.story == "**User Story:** As a user, I want files read, so that I see them."
    assert (entry.title, entry.owner, entry.ref) == ("Requirement 1: Parsing", "1", "1.1")
    [whole] = index.resolve(["1"])[0]
    assert "User Story" in whole.text
    assert "IF it is binary" in whole.text
    assert "Requirement 2" not in whole.text


@pytest.mark.parametrize(
    "word", ["All", "all requirements", "全部", "すべて", "所有需求", "Todos", "Все", "모든 요구사항"]
)
def test_all_means_every_requirement(word: str) -> None:
    found, missing = index_requirements([("requirements.md", KIRO)]).resolve([word])
    assert [entry.ref for entry in found] == ["1", "2", "10"]
    assert missing == ()


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("1.1", ["WHEN it runs THEN it fails\n    with a long explanation"]),
        ("2.1, 2.2", ["WHEN it runs THEN it SHALL pass", "WHEN it ends THEN it SHALL end"]),
        ("1.1-2.1", ["WHEN it runs THEN it fails", "WHEN it ends THEN it hangs", "WHEN it runs THEN it SHALL pass"]),
    ],
)
def test_bugfix_numbers(ref: str, expected: list[str]) -> None:
    check(BUGFIX, ".kiro/specs/x/bugfix.md", ref, expected)


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("FR-001", ["The system MUST load"]),
        ("FR1", ["The system MUST load"]),
        ("FR-002", ["The system MUST save\n  - to a file\n  - to the cloud"]),
        ("FR-007a", ["The system MUST collapse"]),
        ("FR-001 to FR-002", ["The system MUST load", "The system MUST save"]),
        ("FR-001-002", ["The system MUST load", "The system MUST save"]),
        ("SC-001, SC-002", ["Loads in a second", "Saves in two"]),
        ("NFR-1", ["What: Fast\nWhy: users wait"]),
        ("NFR-2", ["What: Small"]),
        ("US1", ["The person loads it."]),
        ("User Story 2", ["The person saves."]),
        ("FR-099", ["?FR-099"]),
    ],
)
def test_spec_kit_codes(ref: str, expected: list[str]) -> None:
    check(SPEC, "specs/001-x/spec.md", ref, expected)


@pytest.mark.parametrize(
    ("heading", "acceptance", "ref"),
    [
        ("### 需求 1：正确显示", "#### 验收标准", "1.2"),
        ("### 要件 1: 表示", "#### 受け入れ基準", "1.2"),
        ("### 요구사항 1: 표시", "#### 수락 기준", "1.2"),
        ("### Requisito 1: Mostrar", "#### Critérios de Aceitação", "REQ-1.2"),
        ("### Требование 1: Показ", "#### Критерии приёмки", "1.2"),
        ("### Anforderung 1: Anzeige", "**Akzeptanzkriterien:**", "1.2"),
        ("### 1. Showing", "#### Acceptance Criteria", "1.2"),
        ("### REQ-1: Showing", "**Acceptance Criteria**:", "REQ-1.2"),
        ("**Requirement 1: Showing**", "Acceptance Criteria:", "1.2"),
    ],
)
def test_localised_headings(heading: str, acceptance: str, ref: str) -> None:
    text = f"## X\n\n{heading}\n\n1. not a criterion\n\n{acceptance}\n\n1. first\n2. second\n\n### Other\n\n2. no\n"
    check(text, "requirements.md", ref, ["second"])


def test_openspec_requirements_are_found_by_name_with_their_scenarios() -> None:
    index = index_requirements([("openspec/changes/c/specs/legacy-cleanup/spec.md", OPENSPEC)])
    [entry] = index.resolve(["Legacy artifact detection"])[0]
    assert "Scenario: Old config" in entry.text
    assert "ask first" not in entry.text
    assert index.mentioned("Implement legacy  artifact detection in x.ts") == (entry,)
    assert [item.ref for item in index.mentioned("Unit tests for the legacy cleanup functions")] == [
        "Legacy artifact detection",
        "Cleanup",
    ]
    assert index.mentioned("Something else") == ()


@pytest.mark.parametrize(
    ("text", "declared", "in_passing"),
    [
        ("- _Requirements: 1.1, 1.2_\n", ("1.1, 1.2",), ()),
        ("  _需求：1.1、1.2_", ("1.1、1.2",), ()),
        ("**Validates: Requirements 2.4, 2.5**", ("Requirements 2.4, 2.5",), ()),
        ("- Requirements: FR10", ("FR10",), ("FR10",)),
        ("Implement [FR-004] and (SC-001 through SC-003)", (), ("SC-001 through SC-003", "FR-004")),
        ("see [req: 1.2, 1.3]", ("1.2, 1.3",), ()),
        ("- _DependsOn: [7.3]_ in src/FR-1/file and v1.2.3", (), ()),
    ],
)
def test_references_in_a_tasks_own_words(text: str, declared: tuple[str, ...], in_passing: tuple[str, ...]) -> None:
    assert references_in(text) == declared
    assert codes_in(text) == in_passing


@given(st.text(max_size=80), st.text(max_size=200))
def test_no_reference_and_no_document_can_break_it(ref: str, text: str) -> None:
    references_in(text)
    codes_in(text)
    parts_of(ref)
    for document in (text, KIRO + text, text + SPEC):
        index = index_requirements([("requirements.md", document), ("specs/a/spec.md", text)])
        index.resolve([ref, text])
        index.mentioned(ref)


@pytest.mark.parametrize(
    ("text", "ref", "expected"),
    [
        ("### Requirement R1: A\n1. x\n### Requirement R2: B\n1. y\n", "R2.1", "2.1"),
        ("### Requirement FR-1: A\n### Requirement FR-2: B\n", "FR-2", "FR-2"),
        ("### Requirement 27A: A\n#### Acceptance Criteria\n1. x\n", "27A.1", "27A.1"),
        ("### Requirement 1c: A\n#### Acceptance Criteria\n1. x\n2. y\n", "1c.2", "1c.2"),
        ("### Requirement 27A: A\n### Requirement 27B: B\n", "27B", "27B"),
        ("### Requirement v2: A\n", "Requirement v2: A", "Requirement v2: A"),
    ],
)
def test_requirements_with_a_word_and_a_code_or_a_letter(text: str, ref: str, expected: str) -> None:
    hits, missing = index_requirements([("requirements.md", text)]).resolve([ref])
    assert ([hit.ref for hit in hits], missing) == ([expected], ())
