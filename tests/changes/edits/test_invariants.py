"""What holds for every edit of every text: placed right or refused, whole or not at all, and nothing else touched."""

from __future__ import annotations

import itertools
import random
import re

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.edits import apply_answer, read_answer
from kiro_lsp.changes.edits.answer import LinesEdit, Outcome
from kiro_lsp.changes.edits.ladder import OUTER, locate
from kiro_lsp.changes.edits.snapshot import Snapshot
from kiro_lsp.changes.lineends import BOM
from kiro_lsp.lsp.convert import text_edits
from tests.changes.edits.grading import applied
from tests.changes.edits.texts import Change, changes, line, mixed_ends, repetitive
from tests.support import renderings
from tests.support.renderings import RENDERINGS, as_diff, hides_a_header, hunks, lines_of

PATH = "src/example.txt"
HUNK = re.compile(r"^@@ -(\d+),(\d+) \+(\d+),(\d+) @@$", re.MULTILINE)

quick = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outcome(reply: str, before: str, format: str = "auto", path: str = PATH) -> Outcome:
    return apply_answer(read_answer(reply, format), {path: before.encode("utf-8")})


def text_after(found: Outcome, before: str, path: str = PATH) -> str:
    """The text of the file after a successful outcome."""
    assert found.ok, [failure.hint for failure in found.failures]
    return applied({path: before.encode("utf-8")}, found.changes)[path].decode("utf-8")


def check_refused(found: Outcome, *reasons: str) -> None:
    assert not found.ok
    assert found.changes == ()
    assert {failure.reason for failure in found.failures} <= set(reasons)


# 3: the diff of two texts makes one of the other


@given(changes())
@example(Change("", "x\n", "\n"))
@example(Change("x", "", "\n"))
@example(Change("x", "x\n", "\n"))
@example(Change("x\r\n", "x", "\r\n"))
@example(Change("a" * 200_000 + "\n", "b" * 200_000 + "\n", "\n"))
@quick
def test_a_diff_gives_exactly_the_text_it_was_made_for(change: Change) -> None:
    for context in (3, 1, 1000):
        reply = as_diff(PATH, change.before, change.after, context)
        assert text_after(outcome(reply, change.before), change.before) == change.after


@given(changes())
@quick
def test_a_byte_order_mark_stays_whether_the_diff_shows_it_or_not(change: Change) -> None:
    reply = as_diff(PATH, change.before, change.after)
    marked = BOM + change.before
    assert text_after(outcome(reply, marked), marked) == BOM + change.after
    if change.before and change.after:
        shown = as_diff(PATH, marked, BOM + change.after)
        assert text_after(outcome(shown, marked), marked) == BOM + change.after


@given(repetitive())
@quick
def test_a_diff_of_a_text_of_repeats_is_right_or_refused(change: Change) -> None:
    """With all of the file as context nothing is open; with three lines the stated numbers may not be enough."""
    whole = as_diff(PATH, change.before, change.after, 1000)
    assert text_after(outcome(whole, change.before), change.before) == change.after
    for context in (0, 1, 3):
        found = outcome(as_diff(PATH, change.before, change.after, context), change.before)
        if found.ok:
            assert text_after(found, change.before) == change.after
        else:
            check_refused(found, "ambiguous", "already-applied", "conflict", "not-found")


@given(changes(least=2))
@quick
def test_a_diff_without_context_replaces_the_lines_it_names(change: Change) -> None:
    found = outcome(as_diff(PATH, change.before, change.after, 0), change.before)
    blocks = hunks(change.before, change.after, 0)
    placeless = any(not any(text.strip() for mark, text in lines if mark == "-") for _at, lines in blocks)
    if found.ok or not placeless:
        assert text_after(found, change.before) == change.after
    else:
        check_refused(found, "not-found", "ambiguous", "conflict", "format")


# 10: the same change in every format


@given(changes(least=1, keeps_last_end=True))
@quick
def test_the_same_change_in_five_formats_gives_the_same_text(change: Change) -> None:
    assume(lines_of(change.after))
    for format, write in RENDERINGS.items():
        reply = write(PATH, change.before, change.after)
        for named in (format, "auto") if format != "str-replace" else ("auto",):
            assert text_after(outcome(reply, change.before, named), change.before) == change.after, (format, named)


# Without markers nothing says which of two equal lines is meant, and blank ones are the only equal ones here.
unequal_lines = changes(least=3, keeps_last_end=True, blank_lines=False)


@given(unequal_lines, st.data())
@quick
def test_formats_agree_on_a_file_with_line_ends_of_several_kinds(change: Change, data: st.DataObject) -> None:
    """In the lines, and in the ends of those that stay; a new line's end is that of a line beside it."""
    assume(lines_of(change.after))
    before = data.draw(mixed_ends(change.before))
    old = ends_of(before)
    for format, write in RENDERINGS.items():
        after = text_after(outcome(write(PATH, change.before, change.after), before), before)
        assert lines_of(after) == lines_of(change.after), format
        new = ends_of(after)
        stayed = [text for text in old if new.get(text) and old[text]]
        assert {text: new[text] for text in stayed} == {text: old[text] for text in stayed}, format


def ends_of(text: str) -> dict[str, str]:
    file = Snapshot.of_text(text)
    return dict(zip(file.lines, file.ends, strict=True))


# 6: nothing else moves


@given(unequal_lines, st.data(), st.sampled_from(sorted(RENDERINGS)))
@quick
def test_every_byte_outside_the_changed_lines_stays(change: Change, data: st.DataObject, format: str) -> None:
    assume(lines_of(change.after))
    before = data.draw(mixed_ends(change.before))
    reply = RENDERINGS[format](PATH, change.before, change.after)
    after = text_after(outcome(reply, before), before)
    old, new = Snapshot.of_text(before), Snapshot.of_text(after)
    spans = changed_spans(change)
    first, last = spans[0][0], spans[-1][1]
    kept = len(old.lines) - last
    assert list(zip(new.lines, new.ends, strict=True))[:first] == list(zip(old.lines, old.ends, strict=True))[
        :first
    ] or (
        # An end is put behind what was the last line when something follows it now.
        first == len(old.lines) and old.ends[-1] == "" and new.lines[:first] == old.lines
    )
    assert kept == 0 or (new.lines[-kept:], new.ends[-kept:]) == (old.lines[-kept:], old.ends[-kept:])


def changed_spans(change: Change) -> list[tuple[int, int]]:
    """The 0-based, half-open ranges of old lines that the change is about."""
    return [(at, at + sum(mark == "-" for mark, _line in lines)) for at, lines in hunks(change.before, change.after, 0)]


# 1, under mutation: a second place like the first


@given(changes(least=8, keeps_last_end=True), st.data())
@quick
def test_a_second_copy_of_the_place_is_refused_or_told_apart_by_the_line_number(
    change: Change, data: st.DataObject
) -> None:
    blocks = hunks(change.before, change.after)
    number = data.draw(st.integers(0, len(blocks) - 1))
    start, block = blocks[number]
    old = [text for mark, text in block if mark != "+"]
    assume(sum(bool(text.strip()) for text in old) >= 2)
    lines = lines_of(change.before)
    free = [*range(start + 1), *range(start + len(old), len(lines) + 1)]
    at = data.draw(st.sampled_from(free))
    doubled = "".join(f"{text}\n" for text in [*lines[:at], *old, *lines[at:]])
    target = start + len(old) if at <= start else start
    one = lines_of(doubled)
    wanted = one[:target] + [text for mark, text in block if mark != "-"] + one[target + len(old) :]
    body = [mark + text for mark, text in block]
    head = [f"--- a/{PATH}", f"+++ b/{PATH}"]
    found = outcome("\n".join([*head, "@@ ... @@", *body, ""]), doubled)
    check_refused(found, "ambiguous")
    assert found.failures[0].candidates == places(one, old)
    numbered = outcome("\n".join([*head, f"@@ -{target + 1},{len(old)} +{target + 1},1 @@", *body, ""]), doubled)
    if numbered.ok:
        assert lines_of(text_after(numbered, doubled)) == wanted
    else:
        check_refused(numbered, "ambiguous")
    first, second = places(one, old)[:2]
    middle = (first + second) // 2 if second - first > 1 else 10_000
    far = outcome("\n".join([*head, f"@@ -{middle},{len(old)} +{middle},1 @@", *body, ""]), doubled)
    check_refused(far, "ambiguous")
    for write in (renderings.as_search_replace, renderings.as_apply_patch):
        check_refused(outcome(write(PATH, *sides(block)), doubled), "ambiguous")
    check_refused(outcome(renderings.as_string_replacements(PATH, *sides(block)), doubled), "ambiguous")


def sides(block: list[tuple[str, str]]) -> tuple[str, str]:
    """A text that is nothing but the old lines of a hunk, and what the hunk makes of it."""
    old = "".join(f"{text}\n" for mark, text in block if mark != "+")
    return old, "".join(f"{text}\n" for mark, text in block if mark != "-")


def places(lines: list[str], wanted: list[str]) -> tuple[int, ...]:
    """Every 1-based line at which the wanted lines stand."""
    return tuple(at + 1 for at in range(len(lines) - len(wanted) + 1) if lines[at : at + len(wanted)] == wanted)


@given(changes(least=8, keeps_last_end=True, blank_lines=False), st.randoms(use_true_random=False), st.booleans())
@quick
def test_an_exact_place_comes_before_a_copy_with_other_white_space(
    change: Change, dice: random.Random, above: bool
) -> None:
    copy = "".join(f"    {text} \n" for text in lines_of(change.before))
    first, last = (copy, "") if above else ("", copy)
    before = "".join(f"{text}\n" for text in lines_of(change.before))
    after = "".join(f"{text}\n" for text in lines_of(change.after))
    assume(after and before != after)
    for write in (renderings.as_search_replace, renderings.as_apply_patch, renderings.as_string_replacements):
        found = outcome(write(PATH, before, after), first + before + last)
        assert text_after(found, first + before + last) == first + after + last


@given(changes(least=8, keeps_last_end=True), st.booleans())
@quick
def test_two_edits_of_the_same_line_are_a_conflict(change: Change, swapped: bool) -> None:
    before = "".join(f"{text}\n" for text in lines_of(change.before))
    rows = lines_of(before)
    replies = []
    for word in ("one", "another")[:: -1 if swapped else 1]:
        changed = "".join(f"{text}\n" for text in [*rows[:4], f"{word} line", *rows[5:]])
        replies.append(as_diff(PATH, before, changed))
    head, second = replies[0], replies[1].split("\n", 2)[2]
    check_refused(outcome(head + second, before), "conflict")


# 2: all or nothing


@given(changes(least=6, keeps_last_end=True), st.sampled_from(sorted(RENDERINGS)), st.integers(0, 2))
@quick
def test_one_refused_edit_leaves_every_file_alone(change: Change, format: str, position: int) -> None:
    assume(lines_of(change.after))
    files = {PATH: change.before.encode(), "other.txt": b"nothing of that\n", "third.txt": b"one\ntwo\nthree\n"}
    before = dict(files)
    good = RENDERINGS[format](PATH, change.before, change.after)
    parts = [good, renderings.as_diff("third.txt", "one\ntwo\nthree\n", "one\n2\nthree\n")]
    parts.insert(position, renderings.as_search_replace("other.txt", "a line it does not have\n", "another\n"))
    found = apply_answer(read_answer("\n".join(parts)), files)
    check_refused(found, "not-found")
    assert [failure.path for failure in found.failures] == ["other.txt"]
    assert files == before


# 4: the order of hunks says nothing


@given(changes(least=12, most=60), st.randoms(use_true_random=False))
@quick
def test_hunks_in_any_order_give_the_same_text(change: Change, dice: random.Random) -> None:
    reply = as_diff(PATH, change.before, change.after)
    head, *parts = re.split(r"^(?=@@ )", reply, flags=re.MULTILINE)
    assume(len(parts) > 1)
    dice.shuffle(parts)
    assert text_after(outcome("".join([head, *parts]), change.before), change.before) == change.after


# 5: twice is once


@given(
    changes(least=6, keeps_last_end=True), st.sampled_from(["udiff", "apply-patch", "search-replace", "str-replace"])
)
@quick
def test_an_edit_made_already_is_recognised_and_never_made_twice(change: Change, format: str) -> None:
    assume(lines_of(change.after))
    reply = RENDERINGS[format](PATH, change.before, change.after)
    found = outcome(reply, change.after)
    check_refused(found, "already-applied", "not-found", "ambiguous")
    adds = [any(mark == "+" for mark, _text in lines) for _at, lines in hunks(change.before, change.after)]
    if all(adds):
        check_refused(found, "already-applied")


# 7: tolerance only ever adds, and so does context


@given(changes(least=4), st.integers(0, 3), st.randoms(use_true_random=False))
@quick
def test_more_tolerance_never_moves_what_less_of_it_found(change: Change, context: int, dice: random.Random) -> None:
    file = Snapshot.of_text(drifted(change.before, dice))
    for edit in line_edits(as_diff(PATH, change.before, change.after, context)):
        found = [locate(file, edit, highest).places for highest in range(OUTER + 1)]
        for less, more in itertools.pairwise(found):
            assert less in ((), more)


def drifted(text: str, dice: random.Random) -> str:
    """The text with white space that an edit made for it does not know of."""
    rows = []
    for row in lines_of(text):
        kind = dice.choice(["same", "same", "trailing", "indented", "inner"])
        changed = {"same": row, "trailing": row + " ", "indented": "    " + row, "inner": row.replace(" ", "  ")}[kind]
        rows.append(changed)
        if dice.random() < 0.1:
            rows.append("")
    return "".join(f"{row}\n" for row in rows)


def line_edits(reply: str) -> list[LinesEdit]:
    (file,) = read_answer(reply, "udiff").files
    return [edit for edit in file.edits if isinstance(edit, LinesEdit)]


@given(changes(least=10, most=40))
@quick
def test_more_context_never_makes_a_found_place_ambiguous(change: Change) -> None:
    file = Snapshot.of_text(change.before)
    for context in range(5):
        for edit in line_edits(as_diff(PATH, change.before, change.after, context)):
            if not any(line.text.strip() for line in edit.lines if line.mark != "+"):
                continue
            place = locate(file, edit).place
            assert place is not None
            assert edit.line_hint == place.first + 1


# 8: the numbers of a header are hints


@given(changes(least=5), st.lists(st.integers(0, 10**9), min_size=4, max_size=4))
@quick
def test_wrong_numbers_never_change_where_the_only_place_is(change: Change, numbers: list[int]) -> None:
    reply = as_diff(PATH, change.before, change.after)
    assume(not hides_a_header(reply))
    wrong = HUNK.sub("@@ -{},{} +{},{} @@".format(*numbers), reply)
    assert text_after(outcome(wrong, change.before), change.before) == change.after
    swapped = HUNK.sub("@@ ... @@", reply)
    assert text_after(outcome(swapped, change.before), change.before) == change.after


# 9: an editor gets to the same text


@given(changes(), st.sampled_from(["utf-8", "utf-16", "utf-32"]), st.booleans())
@quick
def test_the_edits_for_an_editor_give_the_same_text(change: Change, encoding: str, marked: bool) -> None:
    before = BOM * marked + change.before
    after = text_after(outcome(as_diff(PATH, change.before, change.after), before), before)
    assert as_an_editor(before, text_edits(before, after, encoding), encoding) == after


def as_an_editor(text: str, edits: list[dict[str, object]], encoding: str) -> str:
    """A client that keeps its document as code units of the encoding and knows nothing of ours."""
    codec, width = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}[encoding]
    data = text.encode(codec)
    starts = [0]
    for match in re.finditer("\r\n|\n|\r", text):
        starts.append(len(text[: match.end()].encode(codec)))
    spans = []
    for edit in edits:
        at = [edit["range"][side] for side in ("start", "end")]  # type: ignore[index]
        spans.append(([starts[point["line"]] + point["character"] * width for point in at], edit["newText"]))
    for (start, end), new in sorted(spans, key=lambda span: span[0], reverse=True):
        data = data[:start] + str(new).encode(codec) + data[end:]
    return data.decode(codec)


# 12: large files


@pytest.mark.timeout(60)
@pytest.mark.parametrize("count", [1_000, 100_000])
def test_a_large_file_is_searched_and_diagnosed_to_the_end(count: int) -> None:
    before = "".join(f"{line(number)}\n" for number in range(count))
    at = count * 9 // 10
    rows = lines_of(before)
    wanted = "\n".join([*rows[: at + 3], "new line", *rows[at + 3 :], ""])
    body = [*(" " + row for row in rows[at : at + 3]), "+new line", *(" " + row for row in rows[at + 3 : at + 6])]
    head = f"--- a/{PATH}\n+++ b/{PATH}\n@@ ... @@\n"
    assert text_after(outcome(head + "\n".join(body) + "\n", before), before) == wanted
    absent = [*body[:4], " " + rows[at + 3] + " of another file", *body[5:]]
    found = outcome(head + "\n".join(absent) + "\n", before)
    check_refused(found, "not-found")
    assert at + 1 in found.failures[0].candidates


@pytest.mark.timeout(60)
def test_a_file_of_equal_lines_is_ambiguous_and_all_places_are_counted() -> None:
    before = "same\n" * 10_000
    found = outcome(f"--- a/{PATH}\n+++ b/{PATH}\n@@ @@\n same\n-same\n+other\n same\n", before)
    check_refused(found, "ambiguous")
    assert found.failures[0].candidates[:3] == (1, 2, 3)


# 13: no name leads out of the project

OUTSIDE = [
    "../example.txt",
    "src/../../example.txt",
    "/etc/example.txt",
    "//server/share/example.txt",
    "C:/Windows/example.txt",
    "C:\\Windows\\example.txt",
    "\\\\server\\share\\example.txt",
    "..\\example.txt",
    "~/../../example.txt",
    "a/\0/example.txt",
]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("write", ["create by diff", "create by apply_patch", "edit", "whole file", "rename", "string"])
def test_a_name_outside_the_project_makes_nothing_there(path: str, write: str) -> None:
    reply = {
        "create by diff": f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+evil\n",
        "create by apply_patch": f"*** Begin Patch\n*** Add File: {path}\n+evil\n*** End Patch\n",
        "edit": as_diff(path, "one\ntwo\n", "one\nevil\n"),
        "whole file": renderings.as_whole_file(path, "", "evil\n"),
        "rename": f"diff --git a/{PATH} b/{path}\nsimilarity index 100%\nrename from {PATH}\nrename to {path}\n",
        "string": renderings.as_string_replacements(path, "one\ntwo\n", "one\nevil\n"),
    }[write]
    for files in ({PATH: b"one\ntwo\n"}, {PATH: b"one\ntwo\n", "other/example.txt": b"one\ntwo\n"}):
        found = apply_answer(read_answer(reply), files)
        for change in found.changes:
            for name in (change.path, change.to or change.path):
                assert name == PATH or re.fullmatch(r"[\w.]+(/[\w.]+)*", name), name
                assert ".." not in name.split("/")


# 14: what an error says is true


@given(repetitive(), st.integers(0, 3))
@quick
def test_an_ambiguous_error_names_every_place(change: Change, context: int) -> None:
    lines = lines_of(change.before)
    for _at, block in hunks(change.before, change.after, context):
        old = [text for mark, text in block if mark != "+"]
        new = [text for mark, text in block if mark != "-"]
        found = outcome(
            "\n".join([PATH, "<<<<<<< SEARCH", *old, "=======", *new, ">>>>>>> REPLACE", ""]), change.before
        )
        standing = places(lines, old) if old else ()
        for failure in found.failures:
            if failure.reason == "ambiguous" and standing:
                assert failure.candidates == standing
                assert all(str(place) in failure.hint for place in standing[:3])
        if len(standing) > 1:
            assert not found.ok


@given(changes(least=5), st.data())
@quick
def test_a_not_found_error_names_a_real_line_and_quotes_it(change: Change, data: st.DataObject) -> None:
    rows = lines_of(change.before)
    at = data.draw(st.integers(0, len(rows) - 3))
    assume(rows[at + 1].strip())
    quoted = [rows[at], rows[at + 1] + " which nobody wrote", *rows[at + 2 : at + 5]]
    assume(sum(bool(row.strip()) for row in quoted) > 2)
    found = outcome("\n".join([PATH, "<<<<<<< SEARCH", *quoted, "=======", "x", ">>>>>>> REPLACE", ""]), change.before)
    check_refused(found, "not-found")
    (failure,) = found.failures
    assert failure.path == PATH
    assert failure.candidates
    assert all(1 <= candidate <= len(rows) for candidate in failure.candidates)
    assert failure.difference is not None
    assert failure.difference.found == rows[failure.difference.line - 1]
    assert failure.difference.sent == quoted[1]
    assert failure.difference.line == at + 2
    assert failure.hint
