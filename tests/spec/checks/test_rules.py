"""Every rule: what it finds, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from kiro_lsp.settings.diagnostics import CODES
from kiro_lsp.spec.checks import RULES, findings, fixes, problems_in
from kiro_lsp.spec.checks.rule import FIXES
from kiro_lsp.spec.editing.edits import applied
from kiro_lsp.spec.facts import RunFact, facts_of
from tests.conftest import REPO

REQUIREMENTS = """\
# Requirements

### Requirement 1: Log in
#### Acceptance Criteria
1. WHEN a THEN b
2. WHEN c THEN d

### Requirement 2: Log out
#### Acceptance Criteria
1. WHEN e THEN f

### Requirement 3: Reset
#### Acceptance Criteria
1. WHEN g THEN h

### Requirement 4: Audit
#### Acceptance Criteria
1. WHEN i THEN j
"""
COVERED = "".join(
    f"- [ ] {n}. task\n  - _Requirements: {ref}_\n" for n, ref in enumerate(("1.1", "1.2", "2.1", "3.1"), 1)
)
KIRO = ".kiro/specs/x/tasks.md"
DOCUMENTS = {".kiro/specs/x/requirements.md": REQUIREMENTS}
RAN = RunFact("r1", "1", "Claude", "failed")


def found(text: str, code: str, **more: Any) -> list[tuple[int, str]]:
    """(1-based line, marked text) of the findings with a code."""
    facts = facts_of(text, more.pop("path", KIRO), **more)
    return [
        (finding.line + 1, facts.lines[finding.line].rstrip("\r\n")[finding.column : finding.end_column])
        for finding in findings(facts)
        if finding.code == code
    ]


def numbered(*ids: str) -> str:
    return "".join(f"- [ ] {identifier} task\n" for identifier in ids)


PARALLEL = "- [ ] T001 [P] Create a in src/a.py\n- [ ] T002 [P] Extend a in src/a.py\n"
GRAPH = '- [ ] 1. a\n  - [ ] 1.1 b\n  - [ ] 1.2 c\n\n```json\n{"waves": [{"id": 0, "tasks": ["1.1", "1.9"]}]}\n```\n'

CASES: list[tuple[str, str, list[tuple[int, str]]]] = [
    ("missing-id", numbered("1.", "2.", "3.", "4.", "5.") + "- [ ] no number\n", [(6, "no number")]),
    ("missing-id", numbered("1.", "2.") + "- [ ] no number\n", []),
    ("missing-id", numbered("1.", "2.", "3.", "4.", "5.") + "- [ ] T010_real a\n", []),
    ("missing-id", numbered("1.", "2.", "3.", "4.", "5.") + "- [ ] P1-1.T2 a\n", []),
    ("missing-id", numbered("1.", "2.", "3.", "4.", "5.") + "- [ ] re-run 2FA\n", [(6, "re-run 2FA")]),
    ("missing-id", numbered("1.", "2.", "3.", "4.", "5.") + "- [ ] a\n- [ ] b\n", []),
    ("id-order", numbered("T001", "T002", "T004", "T003", "T005"), [(3, "T004")]),
    ("id-order", numbered("T001", "T002", "T003", "T005"), []),
    ("id-order", numbered("T009", "T002", "T007", "T001"), []),
    ("id-order", numbered("1.1", "1.2", "1.9", "1.10"), []),
    ("id-parent", "- [ ] 1. a\n  - [ ] 1.1 b\n  - [ ] 1.2 c\n  - [ ] 2.1 d\n  - [ ] 1.3 e\n", [(4, "2.1")]),
    ("id-parent", "- [ ] 1. a\n  - [ ] 1.1 b\n  - [ ] 1a c\n  - [ ] 1.2 d\n", []),
    ("id-parent", "- [ ] 1. a\n  - [ ] 2.1 b\n- [ ] 2. a\n  - [ ] 1.1 b\n", []),
    ("open-above-done", "- [ ] 1. a\n  - [x] 1.1 b\n  - [x] 1.2 c\n", [(1, "[ ]")]),
    ("open-above-done", "- [ ] 1. a\n  - [x] 1.1 b\n  - [ ] 1.2 c\n", []),
    ("open-above-done", "- [ ] 1. a\n  - [x] 1.1 b\n  - [x] 1.2 c\n  - [ ] criterion\n", []),
    ("unknown-dependency", numbered("1.1", "1.2", "1.3") + "- [ ] 1.4 d\n  - _Depends: 1.9_\n", [(5, "1.9")]),
    ("unknown-dependency", numbered("1.", "2.", "3.") + "- [ ] 4. d\n  - _Depends: 3_\n", []),
    ("unknown-dependency", numbered("T1", "T2", "T3") + "- [ ] T4 d\n  - **Depends on T9** (the model)\n", [(5, "T9")]),
    ("unknown-dependency", numbered("T1", "T2", "T3") + "- [ ] T4 d\n  - Depends on T9 of the other plan\n", []),
    ("unknown-dependency", numbered("T001", "T002", "T003") + "- [ ] T004 d (depends on T009)\n", [(4, "T009")]),
    (
        "unknown-dependency",
        numbered("T001", "T002", "T003") + "- [ ] T004 d\n  - _Depends: T009 of the core spec_\n",
        [],
    ),
    ("unknown-dependency", numbered("1.1", "1.2", "1.3") + "- [ ] 1.4 d\n  - _Depends: React 18.2_\n", []),
    ("dependency-cycle", "- [ ] 1. a (depends on 2)\n- [ ] 2. b (depends on 1)\n", [(1, "1")]),
    ("dependency-cycle", "- [ ] 1. a (depends on 2)\n- [ ] 2. b\n", []),
    ("same-file", PARALLEL, [(2, "src/a.py")]),
    ("same-file", PARALLEL.replace("[ ] T001", "[x] T001"), []),
    ("same-file", PARALLEL.replace("Extend a in", "Verify"), []),
    ("same-file", PARALLEL.replace("Extend a in src/a.py", "Extend a in src/a.py (depends on T001)"), []),
    ("waves-unknown", GRAPH, [(6, '"1.9"')]),
    ("waves-missing", GRAPH, [(6, '"waves"')]),
    ("waves-missing", GRAPH.replace("1.9", "1.2"), []),
    ("waves-missing", GRAPH.replace("1.1", "1"), []),
    ("waves-missing", GRAPH.replace("c\n", "Checkpoint\n").replace("1.2 C", "1.2 C"), []),
    ("malformed-prompt", "- [ ] 1. a\n  - _Prompt: Role: x | Task: y\n", [(2, "_Prompt: Role: x | Task: y")]),
    ("malformed-prompt", "- [ ] 1. a\n  - _Prompt: Role: x | Task: y_\n", []),
    ("malformed-prompt", "- [ ] 1. a\n  - _Prompt: Role: x\n    Task: y\n    _\n", []),
    ("malformed-prompt", "- [ ] 1. a\n  - _Prompt:_\n", [(2, "_Prompt:_")]),
    ("malformed-prompt", "- [ ] 1. a\n\n```\n_Prompt: x\n```\n", []),
    ("invisible-characters", "- [ ] 1. a\u200bb\n- [ ] 2. \u202eab\n", [(1, "\u200b"), (2, "\u202e")]),
    ("invisible-characters", "\ufeff- [ ] 1. 👩\u200d💻 ✔\ufe0f\n", []),
    ("invisible-characters", "a\ufeffb\r- [ ] 1. a\u00adb\r", [(1, "\ufeff"), (2, "\u00ad")]),
]


@pytest.mark.parametrize(("code", "text", "expected"), CASES)
def test_findings_of_the_text(code: str, text: str, expected: list[tuple[int, str]]) -> None:
    assert found(text, code) == expected


def test_a_reference_that_no_document_defines() -> None:
    text = COVERED + "- [ ] 5. task\n  - _Requirements: 1.7, 9_\n"
    assert found(text, "unknown-requirement", documents=DOCUMENTS) == []  # two of six: no slip but another numbering
    text = (
        "".join(f"- [ ] {n}. task\n  - _Requirements: 1.1, 2.1_\n" for n in range(1, 5))
        + "- [ ] 5. t\n  - _Requirements: 1.7, 9_\n"
    )
    assert found(text, "unknown-requirement", documents=DOCUMENTS) == [(10, "1.7"), (10, "9")]
    assert found(text, "unknown-requirement") == []


def test_a_requirement_that_no_task_covers() -> None:
    assert found(COVERED, "uncovered-requirement", documents=DOCUMENTS) == [(1, "- [ ] 1. task")]
    every = COVERED + "- [ ] 5. task\n  - _Requirements: 4_\n"
    assert found(every, "uncovered-requirement", documents=DOCUMENTS) == []
    assert found(COVERED.replace("3.1", "All"), "uncovered-requirement", documents=DOCUMENTS) == []
    table = COVERED + "\n## Coverage\n\n- **Requirement 4**: tasks 1 and 2\n"
    assert found(table, "uncovered-requirement", documents=DOCUMENTS) == []
    assert found(table.replace("Requirement 4", "Four"), "uncovered-requirement", documents=DOCUMENTS) != []
    assert (
        found(COVERED.replace("3.1", "1.1").replace("2.1", "1.1"), "uncovered-requirement", documents=DOCUMENTS) == []
    )


@pytest.mark.parametrize(
    ("text", "existing", "expected"),
    [
        ("- [ ] 1. Update `src/b.py`\n", {"src/a.py": True, "src/b.py": False}, [(1, "src/b.py")]),
        ("- [ ] 1. Update `src/b.py`\n", {"lib/a.py": True, "src/b.py": False}, []),
        ("- [ ] 1. Update `src/b.py`\n", {"src/a.py": True}, []),
        ("- [x] 1. Update `src/b.py`\n", {"src/a.py": True, "src/b.py": False}, []),
        ("- [ ] 1. Create `src/b.py`\n- [ ] 2. Update `src/b.py`\n", {"src/a.py": True, "src/b.py": False}, []),
        ("- [ ] 1. Write\n  - Files to modify: src/b.py\n", {"src/a.py": True, "src/b.py": False}, []),
    ],
)
def test_a_file_that_is_not_there(text: str, existing: dict[str, bool], expected: list[tuple[int, str]]) -> None:
    assert found(text, "missing-file", existing=existing) == expected


def test_a_mark_that_a_run_left_behind() -> None:
    text = "- [-] 1. a\n"
    assert found(text, "no-run", runs={"1": RAN}) == [(1, "[-]")]
    assert found(text, "no-run") == []
    assert found(text.replace("-]", " ]"), "no-run", runs={"1": RAN}) == []
    assert found(text, "no-run", runs={"1": RunFact("r1", "1", "Claude", "running")}) == []


FOLDED = "<details><summary>S</summary>\n- [ ] 1. a\n</details>\n"
FIVE = numbered("1.", "2.", "3.", "4.", "5.")
FIXED = [
    ("malformed-box", "- [x ] a\n", "- [x] a\n"),
    ("malformed-box", "- [ x] a\n- [ ] b\n", "- [x] a\n- [ ] b\n"),
    ("box-without-bullet", "text\n\n[ ] a task\n", "text\n\n- [ ] a task\n"),
    ("doubled-box", "- [x] - [x] 1. a\n", "- [x] 1. a\n"),
    ("details-box", FOLDED, FOLDED.replace("- [", "\n- [")),
    ("missing-id", FIVE + "- [ ] last\n", FIVE + "- [ ] 6. last\n"),
    ("open-above-done", "- [ ] 1. a\n  - [x] 1.1 b\n  - [x] 1.2 c\n", "- [x] 1. a\n  - [x] 1.1 b\n  - [x] 1.2 c\n"),
    ("malformed-prompt", "- [ ] 1. a\n  - _Prompt: Role: x  \n", "- [ ] 1. a\n  - _Prompt: Role: x_  \n"),
    ("invisible-characters", "- [ ] 1. a\u200b\u200bb\n", "- [ ] 1. ab\n"),
]


@pytest.mark.parametrize(("code", "text", "expected"), FIXED)
def test_fixes_settle_what_was_found(code: str, text: str, expected: str) -> None:
    facts = facts_of(text, KIRO)
    line = next(finding.line for finding in findings(facts) if finding.code == code)
    (fix,) = fixes(facts, code, line)
    after = applied(text, fix.edits)
    assert after == expected
    assert found(after, code) == []


def test_spec_workflow_reads_a_small_x_only() -> None:
    facts = facts_of("- [X] 1. a\n", ".spec-workflow/specs/x/tasks.md")
    (fix,) = fixes(facts, "lost-mark", 0)
    assert applied("- [X] 1. a\n", fix.edits) == "- [x] 1. a\n"


def test_no_number_is_given_twice() -> None:
    text = numbered("1.", "2.", "3.") + "- [ ] between\n" + numbered("4.", "5.", "6.")
    assert found(text, "missing-id") == [(4, "between")]
    assert fixes(facts_of(text, KIRO), "missing-id", 3) == ()


def test_a_fix_for_what_is_gone_is_none() -> None:
    facts = facts_of("- [ ] 1. a\n", KIRO)
    assert fixes(facts, "malformed-box", 0) == fixes(facts, "no-such-code", 0) == fixes(facts, "missing-id", 9) == ()


def test_settings_change_and_switch_off_what_is_said() -> None:
    facts = facts_of(numbered("1.", "1."), KIRO)
    assert [(one.code, one.severity) for one in findings(facts)] == [("duplicate-id", "warning")]
    assert [one.severity for one in findings(facts, {"duplicate-id": "info"})] == ["information"]
    assert findings(facts, {"duplicate-id": "off"}) == ()


def test_numbers_that_begin_again_below_another_heading_are_no_warning() -> None:
    facts = facts_of("## A\n- [ ] 1. a\n\n## B\n- [ ] 1. b\n", KIRO)
    assert [(one.code, one.severity) for one in findings(facts)] == [("duplicate-id", "information")]


def test_of_one_kind_fifty_are_enough() -> None:
    text = "".join(f"- [ ] {number}. a\u200bb\n" for number in range(1, 200))
    assert len(findings(facts_of(text, KIRO))) == 50


def test_related_places_explain() -> None:
    (finding,) = findings(facts_of("- [ ] 1. a\n- [ ] 1. b\n", KIRO))
    assert [(related.path, related.line) for related in finding.related] == [("", 0)]


def test_findings_are_problems_too() -> None:
    facts = facts_of("- [-] 1. a\u200b\n", KIRO, runs={"1": RAN})
    assert [problem.code for problem in problems_in(facts)] == ["no-run", "invisible-characters"]


def test_every_rule_is_documented_and_can_be_set() -> None:
    for rule in RULES.values():
        assert rule.doc.endswith("."), rule.code
        assert CODES[rule.code] == rule.doc
    assert FIXES.keys() <= CODES.keys()


def test_every_code_has_its_line_in_the_documentation() -> None:
    page = (REPO / "docs" / "features.md").read_text("utf-8")
    assert [code for code, doc in CODES.items() if f"| `{code}` |" not in page or doc not in page] == []


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("", "No task refers to requirement FR-005."),
        ("- [ ] T005 (FR-004-FR-006) all\n", ""),
        ("- [ ] T005 all\n  - what FR-005 asks for\n", ""),
        ("\n**Requirements**: FR-004 through FR-006\n", ""),
        ("- [ ] T005 FR-0055 and XFR-005\n", "No task refers to requirement FR-005."),
    ],
)
def test_a_requirement_that_the_file_speaks_of_is_covered(tail: str, expected: str) -> None:
    spec = "".join(f"- **FR-00{number}**: it MUST\n" for number in (1, 2, 3, 5))
    text = "".join(f"- [ ] T00{number} (FR-00{number}) do\n" for number in (1, 2, 3))
    facts = facts_of(text + tail, "specs/001-a/tasks.md", documents={"specs/001-a/spec.md": spec})
    said = [finding.message for finding in findings(facts) if finding.code == "uncovered-requirement"]
    assert said == ([expected] if expected else [])
