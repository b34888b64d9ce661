"""What is sent to editors, read by a client of its own: edits in every encoding, and operations on files."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import get_args

import pytest
from hypothesis import example, given, settings

from kiro_lsp.changes.model import FileChange
from kiro_lsp.changes.resources import CreateFile, DeleteFile, FileOperation, RenameFile, file_operation
from kiro_lsp.lsp import convert
from kiro_lsp.lsp.documents import Encoding
from tests.changes.strategies import edited
from tests.support.lsp_client import apply_document_changes, apply_text_edits

ROOT = PurePosixPath("/project")
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(pair=edited())
@example(pair=("😀x", "😁x"))
@example(pair=("e\u0301", "e\u0300"))
@example(pair=("👩\u200d💻 a\r\n", "👩\u200d🔬 a\r\n"))
@example(pair=("a\r\n", "a\n"))
@example(pair=("a\rb", "a\r\nb"))
@example(pair=("", "x"))
@example(pair=("x\n", "x"))
@settings(max_examples=250, deadline=None)
def test_a_client_gets_the_new_text_whatever_units_it_counts(encoding: Encoding, pair: tuple[str, str]) -> None:
    old, new = pair
    assert apply_text_edits(old, convert.text_edits(old, new, encoding), encoding) == new


def change(base: bytes | None, proposed: bytes | None, to: str | None = None, mode: int = 0o644) -> FileChange:
    action = "rename" if to else "create" if base is None else "delete" if proposed is None else "modify"
    modes = (None if base is None else 0o644, None if proposed is None else mode)
    return FileChange("a/ü b.txt", action, base, proposed, *modes, to)  # type: ignore[arg-type]


OPERATIONS: dict[str, tuple[FileChange, FileOperation | None]] = {
    "created": (change(None, b"x\r\n"), FileOperation(CreateFile("a/ü b.txt"), "a/ü b.txt", "", "x\r\n")),
    "created empty": (change(None, b""), FileOperation(CreateFile("a/ü b.txt"), "a/ü b.txt")),
    "deleted": (change(b"x\n", None), FileOperation(DeleteFile("a/ü b.txt"), "a/ü b.txt")),
    "renamed": (
        change(b"x\n", b"x\n", "c.txt"),
        FileOperation(RenameFile("a/ü b.txt", "c.txt"), "c.txt", "x\n", "x\n"),
    ),
    "renamed and changed": (
        change("\ufeff😀\n".encode(), "\ufeff😁\n".encode(), "c.txt"),
        FileOperation(RenameFile("a/ü b.txt", "c.txt"), "c.txt", "😀\n", "😁\n"),
    ),
    "changed": (change(b"x\n", b"y\n"), None),
    "created, no text": (change(None, b"\0"), None),
    "deleted, no text": (change(b"\xff", None), None),
    "created with a mark": (change(None, "\ufeffx".encode()), None),
    "created to be run": (change(None, b"x", mode=0o755), None),
    "renamed, with other rights": (change(b"x", b"x", "c.txt", 0o755), None),
    "renamed, without its mark": (change("\ufeffx".encode(), b"x", "c.txt"), None),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_an_editor_can_do_to_a_whole_file_is_a_value(name: str) -> None:
    given_change, expected = OPERATIONS[name]
    assert file_operation(given_change) == expected


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", [name for name, (_change, operation) in OPERATIONS.items() if operation is not None])
def test_a_client_that_carries_it_out_has_the_files_that_were_proposed(name: str, encoding: Encoding) -> None:
    given_change, operation = OPERATIONS[name]
    assert operation is not None
    old_uri = "file:///project/a/%C3%BC%20b.txt"
    uri = "file:///project/c.txt" if given_change.to else old_uri
    files = {} if given_change.base is None else {old_uri: given_change.base.decode("utf-8-sig")}
    apply_document_changes(files, convert.document_changes(operation, ROOT, encoding), encoding)
    proposed = given_change.proposed
    assert files == ({} if proposed is None else {uri: proposed.decode("utf-8-sig")})


def test_no_operation_goes_over_what_is_there() -> None:
    kinds = {}
    for _change, operation in OPERATIONS.values():
        if operation is not None:
            first = convert.document_changes(operation, ROOT, "utf-16")[0]
            kinds[first["kind"]] = first["options"]
    assert kinds == {
        "create": {"overwrite": False, "ignoreIfExists": False},
        "rename": {"overwrite": False, "ignoreIfExists": False},
        "delete": {"recursive": False, "ignoreIfNotExists": False},
    }
