"""The demo's editor applies edits as the protocol says: the other end of what the server computes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.changes.textedits import minimal_edits, to_units
from kiro_lsp.demo.editor import edited
from kiro_lsp.spec.lines import split_lines

TEXTS = st.text(st.sampled_from("ab \n\r\té日👩\u2028"), max_size=30)


@given(TEXTS, TEXTS, st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_edits_over_the_wire_give_the_new_text(old: str, new: str, encoding: str) -> None:
    lines = [*split_lines(old), ""]

    def position(line: int, column: int) -> dict[str, int]:
        return {"line": line, "character": to_units(lines[line], column, encoding)}  # type: ignore[arg-type]

    edits = [
        {
            "range": {"start": position(e.start_line, e.start_col), "end": position(e.end_line, e.end_col)},
            "newText": e.new_text,
        }
        for e in minimal_edits(old, new)
    ]
    assert edited(old, edits, encoding) == new
