"""Findings of any text lie in it and never raise, and fixes can be applied; the same for real files."""

from __future__ import annotations

import csv
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.spec.checks import findings, fixes
from kiro_lsp.spec.checks.files import paths_wanted
from kiro_lsp.spec.decoding import decode
from kiro_lsp.spec.editing.edits import applied
from kiro_lsp.spec.facts import Facts, RunFact, facts_of
from kiro_lsp.spec.order import order_of

PIECES = (
    *(
        "- [ ] ",
        "- [x] ",
        "  - [ ] ",
        "- [-] ",
        "[ ] ",
        "- [x ] ",
        "1. ",
        "1.1 ",
        "1.2 ",
        "T001 ",
        "T002 ",
        "[P] ",
        "(P) ",
    ),
    *("\n", "\n", "\n", "\r\n", "\r", "\n\n", "## A\n", "```json\n", '{"waves": [{"tasks": ["1.1", "9"]}]}\n', "```\n"),
    *("_Prompt: x", "_", "  - _Requirements: 1.1, 9_\n", "(depends on 1.1)", "(depends on T002)", "Update `src/a.py`"),
    *("<details>\n", "\u200b", "\ufeff", "\u202e", "😀", "\ud800", "\u2028", "\x0c", "word ", "] ", "- "),
)
DOCUMENTS = {
    "a/requirements.md": "### Requirement 1: R\n#### Acceptance Criteria\n1. WHEN a THEN b\n### Requirement 2: S\n"
}
RUNS = {"1": RunFact("r", "1", "Claude", "failed"), "T001": RunFact("s", "T001", "Claude", "cancelled")}


def whole(facts: Facts) -> None:
    """Every finding lies in the text, and every fix can be applied to it."""
    for finding in findings(facts):
        assert 0 <= finding.line < max(1, len(facts.lines))
        line = facts.lines[finding.line] if facts.lines else ""
        end = len(line) if finding.end_column is None else finding.end_column
        assert 0 <= finding.column <= end <= len(line)
        assert all(related.path or related.line < len(facts.lines) for related in finding.related)
        for fix in fixes(facts, finding.code, finding.line):
            assert applied(facts.lines, fix.edits) != "".join(facts.lines)


@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_text(pieces: list[str]) -> None:
    bare = facts_of("".join(pieces), "a/tasks.md", documents=DOCUMENTS, runs=RUNS)
    whole(
        facts_of(
            "".join(pieces),
            "a/tasks.md",
            documents=DOCUMENTS,
            runs=RUNS,
            existing=dict.fromkeys(paths_wanted(bare), False),
        )
    )
    for task in bare.tasks.tasks:
        assert isinstance(order_of(bare.tasks).why_not_yet(task), str)


def test_real_files(shared: Path) -> None:
    folder = shared / "corpus" / "tasks"
    with (folder / "INDEX.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    found = 0
    for row in rows:
        text = decode((folder / row["file"]).read_bytes()).text
        assert text is not None
        facts = facts_of(text, row["path"])
        whole(facts)
        assert len({key for wave in order_of(facts.tasks).waves for key in wave}) == sum(
            map(len, order_of(facts.tasks).waves)
        )
        found += 1
    assert found > 200


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(1, 3), st.integers(0, 3)), max_size=10))
def test_a_ring_is_found_wherever_it_stands(pairs: list[tuple[int, int, int, int]]) -> None:
    """The quick look that spares most files the whole order overlooks none."""
    lines = [f"- [ ] {a}{f'.{b}' if b else '.'} x\n  - _Depends: {c}{f'.{d}' if d else ''}_\n" for a, b, c, d in pairs]
    facts = facts_of("".join(lines), "a/tasks.md")
    found = any(finding.code == "dependency-cycle" for finding in findings(facts))
    assert found == bool(order_of(facts.tasks).cycles)
