"""Decisions on hunks: any subset gives the text a person expects, in any order, byte for byte."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.changeset import changes_mode
from kiro_lsp.changes.model import ChangeSet, FileChange
from kiro_lsp.changes.review import Content, Review
from kiro_lsp.errors import RunRefused, StaleRevision
from tests.changes.strategies import change_sets, edited

NUMBERS = "".join(f"{n}\n" for n in range(1, 11))


def review(*files: FileChange) -> Review:
    return Review(ChangeSet(files))


def modify(base: str, proposed: str, path: str = "f.txt") -> FileChange:
    return FileChange(path, "modify", base.encode(), proposed.encode())


def three_hunks() -> Review:
    return review(modify(NUMBERS, NUMBERS.replace("1\n", "one\n", 1).replace("5\n", "").replace("9\n", "9\n9b\n")))


def everything(found: Review) -> list[str]:
    return [hunk.id for change in found.changes.files for hunk in found.hunks(change.path)]


# Contents


@given(change_sets())
@settings(max_examples=200, deadline=None)
def test_nothing_accepted_is_the_base_and_everything_is_what_was_proposed(changes: ChangeSet) -> None:
    fresh = Review(changes)
    accepted = fresh.decide("accepted", hunks=everything(fresh))
    rejected = fresh.decide("rejected")
    for change in changes.files:
        target = change.to or change.path
        assert fresh.current(change.path) == change.base
        assert fresh.proposed(target) == change.proposed
        assert accepted.current(target) == accepted.proposed(target) == change.proposed
        assert rejected.current(change.path) == rejected.proposed(change.path) == change.base
        if change.to is not None:
            assert accepted.current(change.path) is None
            assert rejected.current(change.to) is None
        if changes_mode(change) and change.proposed is not None:
            assert accepted.accepted()[target].mode == change.mode
    assert accepted.settled
    assert rejected.settled
    assert not rejected.accepted_any


@given(change_sets(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_decisions_makes_no_difference(changes: ChangeSet, chance: random.Random) -> None:
    fresh = Review(changes)
    chosen = {identifier: chance.choice(["accepted", "rejected", "pending"]) for identifier in everything(fresh)}
    one, other = fresh, fresh
    for identifier, decision in chosen.items():
        one = one.decide(decision, hunks=[identifier])  # type: ignore[arg-type]
    shuffled = list(chosen)
    chance.shuffle(shuffled)
    for identifier in shuffled:
        other = other.decide(chosen[identifier], hunks=[identifier])  # type: ignore[arg-type]
    assert one.accepted() == other.accepted()
    assert [one.proposed(path) for path in one.touched()] == [other.proposed(path) for path in other.touched()]
    assert set(one.pending) == {identifier for identifier, decision in chosen.items() if decision == "pending"}


@given(edited(), st.randoms(use_true_random=False))
@settings(max_examples=250, deadline=None)
def test_any_subset_replaces_exactly_its_own_lines(pair: tuple[str, str], chance: random.Random) -> None:
    """The oracle works on characters, from the last hunk to the first; it shares nothing with the review."""
    base, proposed = pair
    if base == proposed:
        return
    fresh = review(modify(base, proposed))
    hunks = fresh.hunks("f.txt")
    chosen = [hunk for hunk in hunks if chance.random() < 0.5]
    offsets = _line_offsets(base)
    expected = base
    for hunk in reversed(chosen):
        expected = expected[: offsets[hunk.base[0]]] + "".join(hunk.new) + expected[offsets[hunk.base[1]] :]
    decided = fresh.decide("accepted", hunks=[hunk.id for hunk in chosen])
    assert decided.current("f.txt") == expected.encode()
    assert decided.proposed("f.txt") == proposed.encode()


@st.composite
def known_edits(draw: st.DrawFn) -> tuple[list[str], list[tuple[int, int, list[str], bool]], str, str]:
    """Lines that all differ, edits of them that were chosen or not, a byte order mark or none, a final newline or none."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = [f"line {number} 😀 e\u0301{end}" for number in range(16)]
    edits = []
    mark = draw(st.sampled_from(["", "\ufeff"]))
    at = draw(st.integers(1 if mark else 0, 2))  # the mark is a part of its line
    while at < len(lines):
        after = min(len(lines), at + draw(st.integers(0, 3)))
        new = [f"new {at}.{number}{end}" for number in range(draw(st.integers(0 if after > at else 1, 2)))]
        edits.append((at, after, new, draw(st.booleans())))
        at = after + draw(st.integers(1, 3))
    return lines, edits, mark, draw(st.sampled_from(["", "the end"]))


@given(known_edits())
@settings(max_examples=150, deadline=None)
def test_any_subset_is_the_text_with_just_those_edits(
    case: tuple[list[str], list[tuple[int, int, list[str], bool]], str, str],
) -> None:
    """The edits are known beforehand: no hunk is asked where it is."""
    lines, edits, mark, last = case

    def text(*taken: bool) -> str:
        rows = list(lines)
        for start, after, new, _chosen in reversed([edit for edit in edits if edit[3] in taken]):
            rows[start:after] = new
        return mark + "".join(rows) + last

    fresh = review(modify(text(), text(True, False)))
    hunks = fresh.hunks("f.txt") if edits else ()
    assert len(hunks) == len(edits)
    chosen = [hunk.id for hunk, edit in zip(hunks, edits, strict=True) if edit[3]]
    decided = fresh.decide("accepted", hunks=chosen)
    assert decided.current("f.txt") == text(True).encode()
    rest = list(decided.pending)
    assert rest == [hunk.id for hunk, edit in zip(hunks, edits, strict=True) if not edit[3]], "ids stay"
    other = fresh.decide("rejected", hunks=chosen)
    assert other.proposed("f.txt") == text(False).encode()


def _line_offsets(text: str) -> list[int]:
    offsets = [0]
    for index, character in enumerate(text):
        if character == "\n" or (character == "\r" and text[index + 1 : index + 2] != "\n"):
            offsets.append(index + 1)
    return offsets if offsets[-1] == len(text) else [*offsets, len(text)]


@given(edited(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_shown_ranges_point_at_the_lines_of_each_hunk(pair: tuple[str, str], chance: random.Random) -> None:
    fresh = review(modify(*pair))
    decided = fresh
    for hunk in fresh.hunks("f.txt"):
        decided = decided.decide(chance.choice(["accepted", "rejected", "pending"]), hunks=[hunk.id])  # type: ignore[arg-type]
    left, right = (side.decode() for side in (decided.current("f.txt") or b"", decided.proposed("f.txt") or b""))
    for shown in decided.shown_hunks("f.txt"):
        on_left = shown.hunk.new if shown.status == "accepted" else shown.hunk.old
        on_right = shown.hunk.old if shown.status == "rejected" else shown.hunk.new
        for text, (start, end), lines in ((left, shown.base, on_left), (right, shown.proposed, on_right)):
            offsets = _line_offsets(text)
            if "\r" not in text:  # a kept lone CR before an inserted LF joins two lines of the composed text
                assert text[offsets[start] : offsets[end]] == "".join(lines)


def test_accepted_and_pending_hunks_are_what_is_proposed() -> None:
    found = three_hunks()
    first, second, third = everything(found)
    decided = found.decide("accepted", hunks=[first]).decide("rejected", hunks=[second])
    assert decided.current("f.txt") == NUMBERS.replace("1\n", "one\n", 1).encode()
    assert decided.proposed("f.txt") == NUMBERS.replace("1\n", "one\n", 1).replace("9\n", "9\n9b\n").encode()
    assert decided.pending == (third,)
    assert everything(decided) == [first, second, third], "ids survive a partial accept"


def test_the_change_set_itself_is_never_touched() -> None:
    found = three_hunks()
    before = found.changes
    assert found.decide("accepted").decide("accepted").changes is before
    assert found.decisions == {}


def test_a_mode_is_taken_only_with_its_own_hunk() -> None:
    found = review(FileChange("run.sh", "modify", b"a\n", b"b\n", 0o644, 0o755))
    text, mode = everything(found)
    assert found.decide("accepted", hunks=[text]).accepted()["run.sh"] == Content(b"b\n", 0o644)
    assert found.decide("accepted", hunks=[mode]).accepted()["run.sh"] == Content(b"a\n", 0o755)


def test_a_rename_arrives_with_its_text_and_leaves_the_old_name() -> None:
    found = review(FileChange("a", "rename", b"1", b"2", 0o644, 0o644, to="b"))
    assert found.accepted() == {"a": Content(b"1", 0o644), "b": Content(None)}
    assert found.decide("accepted", path="b").accepted() == {"a": Content(None, 0o644), "b": Content(b"2", 0o644)}


# Deciding


def test_each_decision_is_a_new_revision_and_a_stale_one_is_refused() -> None:
    found = three_hunks()
    decided = found.decide("accepted", hunks=everything(found)[:1], revision=0)
    assert (found.revision, decided.revision) == (0, 1)
    with pytest.raises(StaleRevision, match="revision 1, the decision was about 0"):
        decided.decide("rejected", revision=0)


def test_without_names_only_what_is_pending_is_decided() -> None:
    found = three_hunks()
    first = everything(found)[0]
    decided = found.decide("rejected", hunks=[first]).decide("accepted")
    assert decided.rejected_hunks() == (first,)
    assert decided.settled
    assert decided.partial
    assert decided.file_status("f.txt") == "partial"


def test_a_rejected_hunk_can_be_taken_up_again_by_name() -> None:
    found = three_hunks()
    first = everything(found)[0]
    again = found.decide("rejected").decide("accepted", hunks=[first])
    assert again.status("f.txt", first) == "accepted"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown file": ({"decision": "accepted", "path": "nope"}, "unknown-file"),
    "an unknown hunk": ({"decision": "accepted", "hunks": ["0000000000"]}, "unknown-hunk"),
    "an unknown hunk beside a known one": ({"decision": "accepted", "hunks": ["FIRST", "x"]}, "unknown-hunk"),
    "a hunk of another file": ({"decision": "accepted", "path": "g.txt", "hunks": ["FIRST"]}, "unknown-hunk"),
    "an applied hunk": ({"decision": "rejected", "hunks": ["APPLIED"]}, "applied"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_decision_on_something_else_is_refused(name: str) -> None:
    call, code = REFUSED[name]
    found = review(modify(NUMBERS, "x" + NUMBERS + "y"), modify("a", "b", "g.txt"))
    first, last = (hunk.id for hunk in found.hunks("f.txt"))
    found = found.decide("accepted", hunks=[last])
    names = {"FIRST": first, "APPLIED": last}
    if "hunks" in call:
        call = call | {"hunks": [names.get(identifier, identifier) for identifier in call["hunks"]]}
    with pytest.raises(RunRefused) as refused:
        found.decide(**call)
    assert refused.value.code == code


def test_accept_all_leaves_out_what_needs_its_own_yes() -> None:
    found = review(modify("a", "b"), FileChange(".vscode/tasks.json", "create", None, b"{}"))
    decided = found.decide("accepted")
    assert decided.accepted_files() == ("f.txt",)
    assert decided.protected_pending() == (".vscode/tasks.json",)
    assert not decided.settled
    by_path = decided.decide("accepted", path=".vscode/tasks.json")
    by_hunk = decided.decide("accepted", hunks=[hunk.id for hunk in decided.hunks(".vscode/tasks.json")])
    assert by_path.settled
    assert by_hunk.settled
    assert found.decide("rejected").settled


def test_a_rename_onto_a_protected_name_needs_its_own_yes() -> None:
    found = review(FileChange("notes.txt", "rename", b"x", b"x", to=".bashrc"))
    assert found.decide("accepted").accepted_files() == ()


def test_a_change_set_without_files_is_settled() -> None:
    found = review()
    assert found.settled
    assert found.decide("accepted").settled
    assert not found.rejected_any


def test_files_are_found_by_their_hunks() -> None:
    found = review(modify("a", "b"), modify("a", "b", "g.txt"))
    (first,) = (hunk.id for hunk in found.hunks("g.txt"))
    assert found.files_with([first]) == ("g.txt",)


# On the wire


def test_the_wire_form_has_the_fields_of_the_protocol() -> None:
    found = review(
        modify(NUMBERS, "0\n" + NUMBERS.replace("5\n", "five\n")),
        FileChange("bin/ä b.sh", "create", None, b"#!/bin/sh\n", None, 0o755),
        FileChange("logo.png", "delete", b"\0", None),
    )
    first = everything(found)[0]
    wire = found.decide("accepted", hunks=[first]).wire(
        "run-1", "review", uri_of=lambda path: f"file:///p/{path}", cost="0.10", conflicts={"logo.png": "changed"}
    )
    assert {name: wire[name] for name in ("runId", "revision", "state", "verify", "cost")} == {
        "runId": "run-1",
        "revision": 1,
        "state": "review",
        "verify": None,
        "cost": "0.10",
    }
    text, script, logo = wire["files"]
    assert {name: text[name] for name in text if name != "hunks"} == {
        "path": "f.txt",
        "uri": "file:///p/f.txt",
        "action": "modify",
        "binary": False,
        "status": "pending",
        "baseUri": "kiro-review:/run-1/1/base/f.txt",
        "proposedUri": "kiro-review:/run-1/1/proposed/f.txt",
    }
    assert [(hunk["status"], hunk["baseRange"], hunk["proposedRange"]) for hunk in text["hunks"]] == [
        ("accepted", [0, 1], [0, 1]),
        ("pending", [5, 6], [5, 6]),
    ]
    assert text["hunks"][0] | {"id": "", "status": "", "baseRange": [], "proposedRange": []} == {
        "id": "",
        "status": "",
        "baseRange": [],
        "proposedRange": [],
        "protected": False,
        "mine": False,
    }
    assert (script["mode"], script["baseUri"]) == ("0755", "kiro-review:/run-1/1/base/bin/%C3%A4%20b.sh")
    assert (logo["binary"], logo["conflict"], logo["hunks"][0]["baseRange"]) == (True, "changed", [0, 0])


# The person's own edits of the proposed side


def test_an_edit_of_the_proposed_side_replaces_what_is_pending() -> None:
    found = three_hunks()
    first = everything(found)[0]
    decided = found.decide("accepted", hunks=[first])
    shown = (decided.proposed("f.txt") or b"").decode()
    change = decided.amended("f.txt", shown.replace("9b\n", "9b, mine\n"))
    amended = Review(ChangeSet((change,)), decided.decisions, decided.revision + 1)
    assert amended.current("f.txt") == decided.current("f.txt")
    assert amended.proposed("f.txt") == shown.replace("9b\n", "9b, mine\n").encode()
    assert amended.status("f.txt", first) == "accepted"


def test_an_edit_cannot_take_back_what_is_on_the_disk() -> None:
    found = three_hunks()
    decided = found.decide("accepted", hunks=everything(found)[:1])
    with pytest.raises(RunRefused) as refused:
        decided.amended("f.txt", (decided.proposed("f.txt") or b"").decode().replace("one\n", "eins\n"))
    assert refused.value.code == "applied"


def test_an_edit_keeps_the_mark_that_no_editor_shows() -> None:
    found = review(modify("\ufeffa\n", "\ufeffb\n"))
    assert found.amended("f.txt", "c\n").proposed == "\ufeffc\n".encode()


def test_an_edit_keeps_the_line_ends_that_its_lines_had() -> None:
    found = review(modify("a\r\nb\nc\rd", "a\r\nB\nc\rd"))
    changed = found.amended("f.txt", "a\nmine\nB\nc\nd")
    assert changed.proposed == b"a\r\nmine\nB\nc\rd", "an editor gives every line of a document the same end"
    assert found.amended("f.txt", "a\nB\nc\nd\n").proposed == b"a\r\nB\nc\rd\n", "a new end of the last line is an edit"


def test_what_the_person_edited_is_theirs_and_stays_so() -> None:
    found = three_hunks()
    first, second, third = everything(found)
    change = found.amended("f.txt", (found.proposed("f.txt") or b"").decode().replace("9b\n", "9b, mine\n"))
    (mine,) = found.mine_in(change)
    edited_once = Review(ChangeSet((change,)), {}, 2, {"f.txt": frozenset({mine})})
    wire = edited_once.wire("r", "review", uri_of=str)["files"][0]["hunks"]
    assert [(hunk["id"], hunk["mine"]) for hunk in wire] == [(first, False), (second, False), (mine, True)]
    again = edited_once.amended("f.txt", (edited_once.proposed("f.txt") or b"").decode().replace("one\n", "uno\n"))
    assert len(edited_once.mine_in(again)) == 2
    assert mine in edited_once.mine_in(again)
    assert third not in everything(Review(ChangeSet((again,))))


def test_a_merge_by_hand_is_a_change_of_what_the_file_holds_now() -> None:
    found = review(modify("a\nb\n", "a\nB\n"))
    change = found.resolved("f.txt", "a\nb and B\n", "\ufeffa\r\nb!\r\n".encode())
    assert (change.action, change.base) == ("modify", "\ufeffa\r\nb!\r\n".encode())
    assert change.proposed == "\ufeffa\r\nb and B\n".encode()
    after = Review(ChangeSet((change,)))
    assert after.decide("accepted", path="f.txt").current("f.txt") == change.proposed
    with pytest.raises(RunRefused) as refused:
        review(FileChange("f", "delete", b"a", None)).resolved("f", "x", b"y")
    assert refused.value.code == "not-text"


@pytest.mark.parametrize("change", [FileChange("f", "delete", b"a", None), FileChange("f", "create", None, b"\0")])
def test_only_text_can_be_edited(change: FileChange) -> None:
    with pytest.raises(RunRefused) as refused:
        review(change).amended("f", "x")
    assert refused.value.code == "not-text"
