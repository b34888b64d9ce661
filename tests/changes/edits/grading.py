"""What an edit engine makes of a case with a known right answer, and how that is judged: one judge for every tool.

A case is judged by its `policy` where it has one, else by what its source does. White space is told apart from place:
a result with every line where it belongs but other blanks, line ends or a final newline is `ws`, which counts as good
and is reported on its own. Anything else that differs from the right answer is `wrong`, and so is any application of
what must be refused.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kiro_lsp.changes.edits import apply_answer, read_answer
from kiro_lsp.changes.edits.answer import Outcome
from kiro_lsp.changes.model import FileChange

Verdict = Literal["good", "ws", "wrong", "partial", "refused", "ungraded"]
Files = dict[str, bytes]

FORMATS = {
    "udiff": "udiff",
    "search_replace": "search-replace",
    "search_replace_cline": "search-replace",
    "search_replace_roo": "search-replace",
    "v4a": "apply-patch",
    "str_replace": "str-replace",
    "multi_edit": "multi-edit",
    "insert_line": "insert-line",
    "whole": "whole-file",
}
"""A case's word for its format → ours."""

NOT_PORTABLE: dict[str, str] = {
    case: reason
    for reason, cases in tomllib.loads((Path(__file__).parent / "not_portable.toml").read_text("utf-8")).items()
    for case in cases
}
"""Case → why its right answer hangs on something that is not in the case."""

_ONE_FILE = "file"
_NAMED = re.compile(r"([\w.]+\.\w+)\n<{7} SEARCH")
_BLANK = re.compile(r"\s+")
_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Case:
    """`after` holds every file that is there afterwards; None when the answer must be refused or only `contains` is known."""

    id: str
    format: str
    kind: str
    before: Files
    response: str
    must: Literal["apply", "reject", "either"]
    after: Files | None
    contains: str | None = None
    file: str | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool left behind: `ok` is what it said of itself."""

    ok: bool
    files: Files
    seconds: float = 0.0
    said: str = ""


def real_cases(shared: Path) -> list[Case]:
    """The cases from public projects and recorded replies, those that are not portable included."""
    return [_case(row) for row in _rows(shared / "edit_cases" / "real_cases.jsonl")]


def synthetic_cases(shared: Path, seed: int, folder: Path, per_class: int = 25) -> list[Case]:
    """Malformed diffs of 24 classes, made by the generator beside the cases; `folder` takes its file."""
    out = folder / f"synthetic-{seed}.jsonl"
    argv = [sys.executable, str(shared / "edit_cases" / "generate.py"), "--seed", str(seed)]
    subprocess.run([*argv, "--per-class", str(per_class), "--out", str(out)], check=True, capture_output=True)
    return [_case(row) for row in _rows(out)]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield json.loads(line)


def _case(row: dict[str, Any]) -> Case:
    policy = row.get("policy") or {}
    if list(row["before"]) == [_ONE_FILE] and (named := _NAMED.match(row["response"])):
        # The source hands over one file without a name, whatever the reply calls it.
        row = _renamed(row, named[1])
    must = policy.get("must", row["must"])
    after = policy.get("after", row["after"]) if must == "apply" else None
    return Case(
        id=row["id"],
        format=row["format"],
        kind=row.get("class", row["format"]),
        before=_encoded(row["before"]),
        response=row["response"],
        must=must,
        after=None if after is None else _encoded(after),
        contains=row.get("after_contains") if must == "apply" else None,
        file=row.get("target") or (_ONE_FILE if list(row["before"]) == [_ONE_FILE] else None),
        options=tuple(row.get("options") or ()),
    )


def _renamed(row: dict[str, Any], name: str) -> dict[str, Any]:
    sides = {side: dict.fromkeys([name], *row[side].values()) for side in ("before", "after") if row[side] is not None}
    return row | sides


def _encoded(files: Mapping[str, str]) -> Files:
    return {path: text.encode("utf-8") for path, text in files.items()}


def by_us(case: Case, format: str = "auto") -> Result:
    """Our own engine on one case, with its own word about it."""
    started = time.perf_counter()
    outcome = outcome_of(case, format)
    seconds = time.perf_counter() - started
    said = "; ".join(f"{failure.reason}: {failure.hint}" for failure in outcome.failures)
    return Result(outcome.ok, applied(case.before, outcome.changes), seconds, said)


def outcome_of(case: Case, format: str = "auto") -> Outcome:
    return apply_answer(read_answer(case.response, format, file=case.file), case.before)


def applied(files: Mapping[str, bytes], changes: tuple[FileChange, ...]) -> Files:
    """The files after the changes, all of them."""
    result = dict(files)
    for change in changes:
        assert result.get(change.path) == change.base, f"{change.path}: a change is made for the content that is there"
        result.pop(change.path, None)
        if change.proposed is not None:
            result[change.to or change.path] = change.proposed
    return result


def verdict(case: Case, result: Result) -> Verdict:
    changed = result.files != case.before
    if case.must == "either":
        return "ungraded"
    if not result.ok:
        return "partial" if changed else "good" if case.must == "reject" else "refused"
    if case.must == "reject":
        return "wrong"
    if case.after is None:
        return _by_content(case, result)
    if result.files == case.after:
        return "good"
    same = {path: _bare(data) for path, data in result.files.items()} == {
        path: _bare(data) for path, data in case.after.items()
    }
    return "ws" if same else "wrong"


def _by_content(case: Case, result: Result) -> Verdict:
    """For the few cases that only say what the result must hold."""
    assert case.contains is not None, f"{case.id} says nothing about its result"
    texts = [data.decode("utf-8") for data in result.files.values()]
    if result.files != case.before and any(case.contains in text for text in texts):
        return "good"
    wanted = _BLANK.sub("", case.contains)
    return "ws" if any(wanted in _BLANK.sub("", text) for text in texts) else "wrong"


def _bare(data: bytes) -> list[str]:
    """The lines without any white space; blank lines do not count."""
    lines = (
        _BLANK.sub("", line) for line in _END.split(data.decode("utf-8", "surrogateescape").removeprefix("\ufeff"))
    )
    return [line for line in lines if line]


@dataclass(slots=True)
class Tally:
    """Verdicts counted; `cases` names those that are neither good nor without a grade."""

    counts: dict[str, int] = field(default_factory=dict)
    cases: dict[str, Verdict] = field(default_factory=dict)

    def add(self, case: Case, found: Verdict) -> None:
        self.counts[found] = self.counts.get(found, 0) + 1
        if found not in ("good", "ungraded"):
            self.cases[case.id] = found

    def __getitem__(self, found: Verdict) -> int:
        return self.counts.get(found, 0)

    @property
    def graded(self) -> int:
        return sum(self.counts.values()) - self["ungraded"]

    @property
    def right(self) -> int:
        return self["good"] + self["ws"]


def graded(cases: list[Case], tool: Any = by_us, **options: Any) -> Tally:
    """Every case judged with `tool(case, **options)`."""
    tally = Tally()
    for case in cases:
        tally.add(case, verdict(case, tool(case, **options)))
    return tally
