"""Ids in every shape, tags, and what is left as the title."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.spec.titles import Title, _any_title, read_title, settle


def read(text: str, *others: str) -> Title:
    """The title as the file settles it, with other titles around."""
    return settle([read_title(text), *(read_title(other) for other in others)])[0]


@pytest.mark.parametrize(
    ("text", "identifier", "title"),
    [
        ("1. Set up", "1", "Set up"),
        ("1\\. Set up", "1", "Set up"),
        ("1.1 Set up", "1.1", "Set up"),
        ("6.1. Set up", "6.1", "Set up"),
        ("1.1.5.1 Set up", "1.1.5.1", "Set up"),
        ("7.4b Set up", "7.4b", "Set up"),
        ("6b. Set up", "6b", "Set up"),
        ("5B.1.0. Set up", "5B.1.0", "Set up"),
        ("2A.1 Set up", "2A.1", "Set up"),
        ("9a.2 Set up", "9a.2", "Set up"),
        ("1) Set up", "1", "Set up"),
        ("1、设置", "1", "设置"),
        ("1：设置", "1", "设置"),
        ("1.设置", "1", "设置"),
        ("T001 Set up", "T001", "Set up"),
        ("T1 Set up", "T1", "Set up"),
        ("T1: Set up", "T1", "Set up"),
        ("T010b Set up", "T010b", "Set up"),
        ("T060A Set up", "T060A", "Set up"),
        ("T012.5 Set up", "T012.5", "Set up"),
        ("T1.5: Set up", "T1.5", "Set up"),
        ("T1234 Set up", "T1234", "Set up"),
        ("**T001** Set up", "T001", "Set up"),
        ("**T001**: Set up", "T001", "Set up"),
        ("**T001:** Set up", "T001", "Set up"),
        ("`T001` Set up", "T001", "Set up"),
        ("[T001] Set up", "T001", "Set up"),
        ("**1.1 Set up**", "1.1", "Set up"),
        ("**1. Set up** now", "1", "Set up now"),
        ("**10.1**: Set up", "10.1", "Set up"),
        ("**P0.0 - Set up**", "P0.0", "Set up"),
        ("P0.0.1. Set up", "P0.0.1", "Set up"),
        ("H1.1.1: Set up", "H1.1.1", "Set up"),
        ("AC-1: Set up", "AC-1", "Set up"),
        ("**UC-6.2.1**: Set up", "UC-6.2.1", "Set up"),
        ("**SC-001**: Set up", "SC-001", "Set up"),
        ("FOUNDATION-1: Set up", "FOUNDATION-1", "Set up"),
        ("FIX-1.1 Set up", "FIX-1.1", "Set up"),
        ("api-01: Set up", "api-01", "Set up"),
        ("Task 1: Set up", "1", "Set up"),
        ("Task 1.2: Set up", "1.2", "Set up"),
        ("**Task 1.1:** Set up", "1.1", "Set up"),
        ("任务 1：设置", "1", "设置"),
        ("T062-T067 Set up", "T062-T067", "Set up"),
        ("T029–T034 Set up", "T029-T034", "Set up"),
        ("8-15. Set up", "8-15", "Set up"),
        ("~~7.2 Set up~~ [removed]", "7.2", "Set up [removed]"),
        ("0. Set up", "0", "Set up"),
        ("18 Set up", None, "18 Set up"),
        ("6 performance tests created", None, "6 performance tests created"),
        ("20 generations complete", None, "20 generations complete"),
        ("404 handling", None, "404 handling"),
        ("S3 access keys should be hidden", None, "S3 access keys should be hidden"),
        ("E2E tests pass", None, "E2E tests pass"),
        ("2FA works", None, "2FA works"),
        ("3D view", None, "3D view"),
        ("UTF-8 is read", None, "UTF-8 is read"),
        ("SHA-256 sums", None, "SHA-256 sums"),
        ("1.5 hours of load", None, "1.5 hours of load"),
        ("100% coverage", None, "100% coverage"),
        ("24/7 alerts", None, "24/7 alerts"),
        ("1,000 users", None, "1,000 users"),
        ("2024-01-15 released", None, "2024-01-15 released"),
        ("v1.2 released", None, "v1.2 released"),
        ("Task lists render", None, "Task lists render"),
        ("Task 1 is done twice", None, "Task 1 is done twice"),
        ("`1.1`/`1.2` are merged", None, "`1.1`/`1.2` are merged"),
        ("**Bold** start", None, "**Bold** start"),
        ("[link](x) start", None, "[link](x) start"),
        ("", None, ""),
        ("1.1", "1.1", ""),
        ("1.1 <!-- describe it -->", "1.1", "describe it"),
        ("T001 Set up <!-- id: 15 -->", "T001", "Set up"),
    ],
)
def test_ids_and_titles(text: str, identifier: str | None, title: str) -> None:
    found = read(text)
    assert (found.id, found.title) == (identifier, title)


@pytest.mark.parametrize(
    ("texts", "ids"),
    [
        (["1 Scope", "2 Build", "3 Ship"], ["1", "2", "3"]),
        (["0 Scope", "1 Build"], ["0", "1"]),
        (["6 tests pass", "20 users", "7 suites"], [None, None, None]),
        (["1 test passes", "20 users"], [None, None]),
        (["1 Scope", "1.1 First", "1.2 Second"], ["1", "1.1", "1.2"]),
        (["P001 Plan", "P002 Build"], ["P001", "P002"]),
        (["S3 keys", "S3 buckets"], [None, None]),
        (["api-01 One", "api-02 Two"], ["api-01", "api-02"]),
        (["T001 One", "6 tests pass"], ["T001", None]),
    ],
)
def test_doubtful_numbers_count_where_the_file_numbers_that_way(texts: list[str], ids: list[str | None]) -> None:
    assert [title.id for title in settle([read_title(text) for text in texts])] == ids


@pytest.mark.parametrize(
    ("others", "identifier"),
    [
        (["2.2 Read", "2.4 Write"], "2.3"),
        (["2.4 Write"], "2.3"),
        (["2.1 Read", "2.5 Write"], None),
        (["2.2 Read", "2.3 Write"], None),
        ([], None),
    ],
)
def test_what_may_be_an_amount_is_an_id_in_its_row(others: list[str], identifier: str | None) -> None:
    found = read("2.3 KB errors are shown", *others)
    assert (found.id, found.title) == (identifier, "KB errors are shown" if identifier else "2.3 KB errors are shown")


@pytest.mark.parametrize(
    ("text", "title", "optional"),
    [
        ("12.2 * Set up", "Set up", True),
        ("12.2 \\* Set up", "Set up", True),
        ("12.2 *Set* up", "*Set* up", False),
        ("12.2 a * b", "a * b", False),
    ],
)
def test_a_star_behind_the_id_makes_a_task_optional(text: str, title: str, optional: bool) -> None:
    found = read(text)
    assert (found.id, found.title, found.optional) == ("12.2", title, optional)


@pytest.mark.parametrize(
    ("text", "title", "parallel", "story"),
    [
        ("T001 [P] [US1] Build src/a.py", "Build src/a.py", True, "US1"),
        ("T001 [US12] Build", "Build", False, "US12"),
        ("1.1 (P) Build", "Build", True, None),
        ("1. Build (P)", "Build", True, None),
        ("**T001** [P][A] Build", "[A] Build", True, None),
        ("T001 [A] [US1] Build", "[A] Build", False, "US1"),
        ("[P] [US2] Build", "Build", True, "US2"),
        ("T003 [P] Install [EXECUTOR: MAIN] packages", "Install [EXECUTOR: MAIN] packages", True, None),
        ("[T003] [Story] Port it", "[Story] Port it", False, None),
        ("T001 [FR-004] Build", "[FR-004] Build", False, None),
        ("T001 [id]/page.tsx", "[id]/page.tsx", False, None),
        ("Build [id]", "Build [id]", False, None),
        ("T001 (Pending) Build", "(Pending) Build", False, None),
    ],
)
def test_tags_are_read_and_what_is_no_known_tag_stays(text: str, title: str, parallel: bool, story: str | None) -> None:
    found = read(text)
    assert (found.title, found.parallel, found.story) == (title, parallel, story)


@pytest.mark.parametrize(
    ("text", "optional", "withdrawn"),
    [
        ("* 1.1 Build", True, False),
        ("1.1* Build", True, False),
        ("1.1 Build (optional)", True, False),
        ("1.1 Build (Opcional)", True, False),
        ("1.1 Make the flag optional", False, False),
        ("~~T016 [P] Build~~ - REMOVED", False, True),
        ("~~1.2 Build~~ **取り下げ**", False, True),
        ("1.2 Build — SUPERSEDED by 1.3", False, True),
        ("1.2 Handle removed files", False, False),
        ("1.2 Build", False, False),
    ],
)
def test_optional_and_withdrawn(text: str, optional: bool, withdrawn: bool) -> None:
    found = read(text)
    assert (found.optional, found.withdrawn) == (optional, withdrawn)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from(" \t*_~`[]()T1.2:P-–US、a<!>"), max_size=60) | st.text(max_size=60))
def test_any_text_has_a_title(text: str) -> None:
    found = read(text)
    assert isinstance(found.title, str)
    assert found.id is None or found.id.strip() == found.id != ""


@pytest.mark.parametrize(
    "run", ["*", "_", "~", "`", "[", "(", " ", "\t", "1", "1.", "T1-", "[P]", "(P) ", "<!--", "- ", "a "]
)
def test_long_runs_take_no_more_than_linear_time(run: str) -> None:
    """Two hundred thousand characters; anything quadratic would hit the suite's time limit."""
    for text in (run * (200_000 // len(run)), "T001 " + run * (200_000 // len(run)) + "x"):
        read(text)


PLAIN = st.builds(
    "{}{} {}".format,
    st.lists(st.sampled_from(["1", "12", "0", "1234567", "٣"]), min_size=1, max_size=14).map(".".join),
    st.sampled_from(["", ".", "..", ")", " -", "b"]),
    st.lists(
        st.sampled_from(["Set", " up", "%", " h", "x", " of", " REMOVED", " WON'T DO", " - 2.", " –T5", "é", "任务", " [P]", "(P)",
                         "*", "`a`", " <!-- c -->", "out of 3", "s", "  ", " (optional)", "→", "~~", "废弃", "\u2028", "K"]),
        min_size=1, max_size=4,
    ).map("".join),
)  # fmt: skip


@settings(max_examples=1500)
@given(PLAIN)
def test_the_short_way_for_plain_titles_finds_the_same(text: str) -> None:
    assert read_title(text) == _any_title(text)
