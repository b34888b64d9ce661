"""The figures of the edit benchmark as the tables of docs/edits.md.

Columns of tools that are not run here are as they were recorded in November 2026 with the same cases of the same seed:
unidiff 1.0.1 (its parser alone: good = no line lost) and aider-chat 0.86.2 (its unified-diff coder).
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.changes.edits.grading import FORMATS, Tally

if TYPE_CHECKING:
    from benchmarks.edit_cases import Column, Figures

# class: unidiff's parser, aider's coder
_RECORDED = {
    "clean": ("25", "25"),
    "wrong_line_numbers": ("24 **w1**", "25"),
    "wrong_counts": ("0", "25"),
    "missing_context_space": ("17", "20 **w4** p1"),
    "trailing_ws_stripped": ("25", "7 **w2** p5"),
    "tabs_vs_spaces": ("25", "4 ws2 p2"),
    "dropped_blank_context": ("25", "24 **w1**"),
    "elision": ("20", "25"),
    "wrong_prefixes": ("23", "9"),
    "no_hunk_numbers": ("0", "25"),
    "fenced": ("25", "5"),
    "crlf_file": ("25", "20 ws20"),
    "no_eof_newline": ("25", "24 ws24 **w1**"),
    "dup_with_hint": ("25", "0 **w25**"),
    "dup_no_hint": ("5", "0 **w25**"),
    "overlapping_hunks": ("25", "17 **w6** p2"),
    "out_of_order": ("13", "25"),
    "unicode_confusables": ("25", "14 **w5**"),
    "missing_file_headers": ("0", "0"),
    "indent_shift": ("25", "17 ws1"),
    "missing_hunk_header": ("0 **w13**", "25"),
    "stale_outer_context": ("25", "23 **w2**"),
    "hallucinated_minus": ("25", "6 **w19**"),
    "already_applied": ("25", "8 **w17**"),
}
_RECORDED_TOTAL = ("452 **w14**", "373 ws47 **w107** p10")
_MUST_REFUSE = {"dup_no_hint", "hallucinated_minus", "already_applied"}
_NAMES = {
    "udiff": "unified diff",
    "search_replace": "SEARCH/REPLACE, file named",
    "search_replace_cline": "SEARCH/REPLACE, Cline's markers",
    "search_replace_roo": "SEARCH/REPLACE, Roo Code's markers",
    "v4a": "apply_patch",
    "str_replace": "exact replacement",
    "multi_edit": "several exact replacements",
    "insert_line": "insertion at a line",
    "whole": "whole file",
}


def tables(figures: Figures) -> dict[str, str]:
    """Marker's name → table."""
    return {
        "classes": _classes(figures),
        "totals": _totals(figures),
        "real": _real(figures),
        "times": _times(figures),
        "sizes": _sizes(figures),
    }


def write(page: Path, parts: Mapping[str, str]) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end of NAME -->`. Raises ValueError when a marker is missing."""
    text = page.read_text("utf-8")
    for name, table in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{page} has no markers for {name}")
        text = pattern.sub(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", text)
    page.write_text(text, "utf-8", newline="\n")


def _cell(tally: Tally) -> str:
    """Good, and beside it what is not: as on the page that the figures are compared with."""
    parts = [str(tally.right)]
    if tally["ws"]:
        parts.append(f"ws{tally['ws']}")
    if tally["wrong"]:
        parts.append(f"**w{tally['wrong']}**")
    if tally["partial"]:
        parts.append(f"p{tally['partial']}")
    return " ".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _classes(figures: Figures) -> str:
    seed, columns = next(iter(figures.synthetic.items()))
    shown = [found for found in columns if "named" not in found.tool]
    rows = []
    for kind, recorded in _RECORDED.items():
        must = " (R)" if kind in _MUST_REFUSE else ""
        rows.append([f"{kind}{must}", *(_cell(found.kinds[kind]) for found in shown), *recorded])
    rows.append([f"**of 600, seed {seed}**", *(_cell(found.tally) for found in shown), *_RECORDED_TOTAL])
    return _table(["class, 25 each", *(found.tool for found in shown), "unidiff's parser ¹", "aider's udiff ¹"], rows)


def _totals(figures: Figures) -> str:
    rows = []
    for seed, columns in figures.synthetic.items():
        for found in columns:
            apply, reject = found.musts["apply"], found.musts["reject"]
            rows.append(
                [
                    str(seed),
                    found.tool,
                    _cell(found.tally),
                    f"{apply['good']} / {apply['ws']} / {apply['wrong']} / {apply['partial']} / {apply['refused']}",
                    f"{reject['good']} / {reject['wrong']} / {reject['partial']}",
                ]
            )
    head = ["seed", "tool", "right of 600"]
    return _table(
        [*head, "to apply: exact / ws / wrong / partial / refused", "to refuse: refused / wrong / partial"], rows
    )


def _real(figures: Figures) -> str:
    rows = []
    detected, named = figures.real
    for kind in FORMATS:
        first = detected.kinds[kind]
        rows.append([_NAMES[kind], str(first.graded), _counts(first), _counts(named.kinds[kind])])
    rows.append(["**all**", str(detected.tally.graded), _counts(detected.tally), _counts(named.tally)])
    rows += [
        [f"unified diff, {found.tool}", str(found.tally.graded), _counts(found.tally), ""]
        for found in figures.peers_on_diffs
    ]
    table = _table(["format", "judged", "format detected", "format named"], rows)
    said = ", ".join(f"{count} {what}" for what, count in figures.not_portable.items() if count)
    ungraded = detected.tally["ungraded"]
    return (
        f"{table}\n\nCells: exact / ws / wrong / partial / refused. {ungraded} more cases may go either way, and "
        f"{sum(figures.not_portable.values())} are not portable; of those we end with: {said}."
    )


def _counts(tally: Tally) -> str:
    return " / ".join(str(tally[name]) for name in ("good", "ws", "wrong", "partial", "refused"))


def _times(figures: Figures) -> str:
    rows = [_time("real cases", figures.real[0])]
    for seed, columns in figures.synthetic.items():
        rows += [_time(f"seed {seed}", found) for found in columns if "named" not in found.tool]
    return _table(["cases", "tool", "median, ms", "99 %, ms", "worst, ms"], rows)


def _time(name: str, found: Column) -> list[str]:
    milliseconds = sorted(second * 1000 for second in found.seconds)
    high = milliseconds[int(len(milliseconds) * 0.99)]
    return [name, found.tool, *(f"{value:.2f}" for value in (statistics.median(milliseconds), high, milliseconds[-1]))]


def _sizes(figures: Figures) -> str:
    rows = [
        [
            growth.name,
            growth.expected,
            *(f"{s * 1000:.1f}" for s in growth.seconds),
            *(f"{r:.1f}" for r in growth.ratios),
        ]
        for growth in figures.sizes
    ]
    table = _table(["one edit", "ends", "1k lines, ms", "10k, ms", "100k, ms", "10k : 1k", "100k : 10k"], rows)
    made = ", ".join(f"{name} {version}" for name, version in figures.versions.items())
    return f"{table}\n\nRun of {figures.date}: {made}."
