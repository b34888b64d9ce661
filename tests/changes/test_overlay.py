"""The staged view of a run, and what it says was changed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.model import FileChange
from kiro_lsp.changes.overlay import Overlay


def overlay(disk: dict[str, bytes], modes: dict[str, int] | None = None) -> Overlay:
    return Overlay(disk.get, (modes or {}).get)


def test_a_run_reads_its_own_writes_and_the_disk_stays() -> None:
    disk = {"a": b"1"}
    view = overlay(disk)
    view.write("a", b"2")
    view.write("new", b"3")
    assert (view.read("a"), view.read("new"), view.read("gone")) == (b"2", b"3", None)
    assert disk == {"a": b"1"}


def test_staged_changes_are_sorted_and_say_what_they_do() -> None:
    view = overlay({"mod": b"1", "del": b"2", "same": b"3"}, {"mod": 0o640, "del": 0o600, "same": 0o644})
    view.write("new", b"n")
    view.write("mod", b"m")
    view.delete("del")
    view.write("same", b"3")
    assert view.staged() == (
        FileChange("del", "delete", b"2", None, 0o600, None),
        FileChange("mod", "modify", b"1", b"m", 0o640, 0o640),
        FileChange("new", "create", None, b"n", None, None),
    )


def test_a_file_that_the_run_made_and_deleted_is_no_change() -> None:
    view = overlay({})
    view.write("new", b"n")
    view.delete("new")
    assert view.staged() == ()
    assert not view.exists("new")


def test_a_deleted_file_that_is_written_again_is_modified() -> None:
    view = overlay({"a": b"1"}, {"a": 0o755})
    view.delete("a")
    view.write("a", b"2", 0o755)
    assert view.change("a") == FileChange("a", "modify", b"1", b"2", 0o755, 0o755)


def test_a_mode_alone_is_a_change_where_the_old_one_is_known() -> None:
    view = overlay({"a": b"1"}, {"a": 0o644})
    view.write("a", b"1", 0o755)
    assert view.change("a") == FileChange("a", "modify", b"1", b"1", 0o644, 0o755)
    unknown = overlay({"a": b"1"})
    unknown.write("a", b"1", 0o755)
    assert unknown.change("a") is None


def test_a_later_write_keeps_the_mode_that_was_staged() -> None:
    view = overlay({"a": b"1"}, {"a": 0o644})
    view.write("a", b"2", 0o755)
    view.write("a", b"3")
    assert view.change("a") == FileChange("a", "modify", b"1", b"3", 0o644, 0o755)


def test_the_base_is_what_the_run_last_saw_before_its_first_write() -> None:
    disk = {"a": b"seen"}
    view = overlay(disk)
    assert view.read("a") == b"seen"
    disk["a"] = b"changed by the person"
    view.write("a", b"written over what was seen")
    change = view.change("a")
    assert change is not None
    assert change.base == b"seen"
    reread = overlay(disk)
    reread.read("a")
    disk["a"] = b"newer"
    assert reread.read("a") == b"newer"
    reread.write("a", b"x")
    disk["a"] = b"newest"
    assert reread.change("a") == FileChange("a", "modify", b"newer", b"x")


def test_what_reading_the_base_raises_passes_through_and_is_not_remembered() -> None:
    answers: list[bytes | OSError] = [PermissionError("no"), b"now"]

    def read(_path: str) -> bytes | None:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    view = Overlay(read)
    with pytest.raises(PermissionError):
        view.read("a")
    assert view.read("a") == b"now"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, b"0", b"1", b"2"])), max_size=12))
@settings(max_examples=150, deadline=None)
def test_staged_changes_lead_from_the_base_to_what_the_run_sees(steps: list[tuple[str, bytes | None]]) -> None:
    disk = {"a": b"0", "b": b"1"}
    view = overlay(disk)
    for path, data in steps:
        view.delete(path) if data is None else view.write(path, data)
    after: dict[str, bytes] = dict(disk)
    for change in view.staged():
        assert change.base == disk.get(change.path)
        assert change.base != change.proposed
        if change.proposed is None:
            del after[change.path]
        else:
            after[change.path] = change.proposed
    assert after == {path: view.read(path) for path in "abc" if view.exists(path)}
