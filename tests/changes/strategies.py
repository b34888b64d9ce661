"""Texts and change sets as they occur: every line end, BOMs, missing last line ends, non-BMP characters, binaries."""

from __future__ import annotations

from hypothesis import strategies as st

from kiro_lsp.changes.model import ChangeSet, FileChange

WORDS = ("a", "b", "}", "", "  return x", "é", "😀", "𝒳 y", "\u2028", "\f", "a\u0301", "\u200b")
ENDS = ("\n", "\r\n", "\r")

lines = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(ENDS)), max_size=14)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A text of few different lines, so that repeats are common."""
    bom = draw(st.sampled_from(["", "", "", "\ufeff"]))
    last = draw(st.sampled_from(["", "a", "😀", "}"]))
    return bom + "".join(word + end for word, end in draw(lines)) + last


@st.composite
def edited(draw: st.DrawFn) -> tuple[str, str]:
    """A text and what a few line edits make of it, or two unrelated texts."""
    before = draw(texts())
    if draw(st.booleans()):
        return before, draw(texts())
    rows = before.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(rows)))
        match draw(st.sampled_from(["insert", "delete", "replace", "move"])):
            case "insert":
                rows[at:at] = [draw(st.sampled_from(WORDS)) + draw(st.sampled_from(ENDS))]
            case "delete":
                del rows[at : at + 1]
            case "replace":
                rows[at : at + 1] = [draw(st.sampled_from(WORDS)) + draw(st.sampled_from(ENDS))]
            case _:
                moved = rows[at : at + 2]
                del rows[at : at + 2]
                rows[0:0] = moved
    return before, "".join(rows)


MODES = st.sampled_from([None, 0o644, 0o755, 0o600])
contents = st.one_of(st.none(), texts().map(str.encode), st.sampled_from([b"\x00\x01", b"\xff\xfe", b"", b"\x00\x02"]))


@st.composite
def file_changes(draw: st.DrawFn, path: str) -> FileChange | None:
    """A change of one path of any kind; None when nothing would differ."""
    if draw(st.booleans()):
        before, after = (text.encode() for text in draw(edited()))
        base: bytes | None = before
        proposed: bytes | None = after
    else:
        base, proposed = draw(contents), draw(contents)
    if base is None and proposed is None:
        return None
    base_mode = draw(MODES) if base is not None else None
    mode = draw(MODES) if proposed is not None else None
    if base is not None and proposed is not None and draw(st.integers(0, 5)) == 0:
        return FileChange(path, "rename", base, proposed, base_mode, mode, to=f"moved/{path}")
    if base == proposed and (mode is None or base_mode is None or mode == base_mode):
        return None
    action = "create" if base is None else "delete" if proposed is None else "modify"
    return FileChange(path, action, base, proposed, base_mode, mode)  # type: ignore[arg-type]


@st.composite
def change_sets(draw: st.DrawFn) -> ChangeSet:
    names = ["src/a.py", "b.txt", "deep/er/c.md"][: draw(st.integers(1, 3))]
    found = [draw(file_changes(name)) for name in names]
    return ChangeSet(tuple(change for change in found if change is not None))
