"""A file change taken apart: its hunks, its unified diff, and the counts of a whole change set.

Text is UTF-8 without NUL; everything else is binary and one whole-file hunk. Hunks see lines as editors do; the unified
diff sees them as git does (only `\\n` ends one), so that `git apply` takes it. It parses no diffs and decides nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kiro_lsp.changes.diff import Range, hunk_ranges
from kiro_lsp.changes.model import ChangeSet, FileChange, Hunk, Operation
from kiro_lsp.changes.slide import readable
from kiro_lsp.spec.lines import split_lines

CONTEXT = 3
_GIT_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def is_binary(data: bytes) -> bool:
    """Whether the bytes cannot be shown as lines: they hold a NUL or are not UTF-8."""
    if b"\0" in data:
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def hunks_of(change: FileChange) -> tuple[Hunk, ...]:
    """The hunks of a change, in the order of the file; a change of the mode comes last. Empty when nothing differs."""
    whole = _whole_file_operation(change)
    if whole is not None:
        return (_whole_file_hunk(change, whole),)
    hunks: list[Hunk] = []
    if change.base is not None and change.proposed is not None and change.base != change.proposed:
        old, new = split_lines(change.base.decode("utf-8")), split_lines(change.proposed.decode("utf-8"))
        seen: dict[str, int] = {}
        for a0, a1, b0, b1 in readable(hunk_ranges(old, new), old, new):
            removed, added = tuple(old[a0:a1]), tuple(new[b0:b1])
            identifier = _identifier(change.path, "edit", removed, added)
            seen[identifier] = seen.get(identifier, 0) + 1
            repeat = f"~{seen[identifier]}" if seen[identifier] > 1 else ""
            hunks.append(Hunk(identifier + repeat, (a0, a1), (b0, b1), removed, added))
    if changes_mode(change):
        modes = (f"{change.base_mode or 0:o}",), (f"{change.mode or 0:o}",)
        hunks.append(Hunk(_identifier(change.path, "mode", *modes), (0, 0), (0, 0), (), (), "mode"))
    return tuple(hunks)


def changes_mode(change: FileChange) -> bool:
    """Whether an existing file shall get other permission bits. An unknown mode is never changed."""
    return (
        change.base is not None
        and change.mode is not None
        and change.base_mode is not None
        and change.mode != change.base_mode
    )


@dataclass(frozen=True, slots=True)
class Counts:
    """`tests_added` counts test cases, by the rules of `count_tests`; never below zero."""

    created: int
    modified: int
    deleted: int
    tests_added: int


def counts(changes: ChangeSet) -> Counts:
    """What a change set does, in numbers. A rename counts as a modification; moved tests are not added ones."""
    actions = [change.action for change in changes.files]
    tests = sum(
        count_tests(change.to or change.path, change.proposed) - count_tests(change.path, change.base)
        for change in changes.files
    )
    modified = actions.count("modify") + actions.count("rename")
    return Counts(actions.count("create"), modified, actions.count("delete"), max(0, tests))


_TEST_PATH = re.compile(
    r"(^|/)(tests?|specs?|__tests__|testing|e2e)/"
    r"|(^|[/._-])(test|tests|spec)([._-]|$)"
    r"|[a-z0-9](Test|Tests|Spec|IT)\.",
    re.ASCII,
)
_BLANKS = r"^[ \t]*"
_RULES: tuple[tuple[str, str], ...] = (
    ("py", _BLANKS + r"(?:async[ \t]+)?def[ \t]+test\w*[ \t]*\("),
    (
        "js jsx ts tsx mjs cjs mts cts vue svelte coffee",
        _BLANKS + r"(?:it|test|specify|Deno\.test)(?:\.(?:only|each|concurrent|skip|todo)(?:\([^\n]*?\))?)?[ \t]*\(",
    ),
    ("java kt kts scala groovy", _BLANKS + r"@(?:Parameterized|Repeated)?Test\b"),
    ("cs fs vb", _BLANKS + r"\[(?:Fact|Theory|Test|TestMethod|TestCase)\b"),
    ("rs", _BLANKS + r"#\[(?:\w+::)*test\b"),
    ("go", r"^func[ \t]+(?:Test|Fuzz|Example)\w*[ \t]*\("),
    ("rb", _BLANKS + r"(?:(?:it|specify|test)[ \t(]+['\"]|def[ \t]+test_)"),
    ("php", r"function[ \t]+test\w*[ \t]*\(|#\[Test\b"),
    ("swift", _BLANKS + r"(?:@Test\b|func[ \t]+test\w*[ \t]*\()"),
    ("dart", _BLANKS + r"(?:test|testWidgets)[ \t]*\("),
    ("ex exs", _BLANKS + r"test[ \t]+\""),
    ("c cc cpp cxx h hpp", _BLANKS + r"(?:TEST|TEST_F|TEST_P|TEST_CASE|BOOST_AUTO_TEST_CASE)[ \t]*\("),
    ("bats", r"^@test\b"),
    ("feature", _BLANKS + r"Scenario(?: Outline)?:"),
    ("lua", _BLANKS + r"it[ \t]*\("),
)
_CASES = {ending: re.compile(rule, re.M) for endings, rule in _RULES for ending in endings.split()}
_TESTS_INSIDE = frozenset({"rs"})
"""Endings of languages whose tests stand beside the code, in files of any name."""

_WITHOUT_RULE = frozenset({"sh", "pl", "t", "zig", "nim", "clj", "hs", "ml", "erl", "jl", "r", "sql"})


def count_tests(path: str, data: bytes | None) -> int:
    """Test cases of a file: what its language's runners would collect by name, in files that are tests by their path.

    A test file in a language without a rule counts as one.
    """
    ending = path.rpartition(".")[2].lower()
    if data is None or is_binary(data) or not (_TEST_PATH.search(path) or ending in _TESTS_INSIDE):
        return 0
    pattern = _CASES.get(ending)
    if pattern is None:
        return int(ending in _WITHOUT_RULE)
    return len(pattern.findall(data.decode("utf-8")))


def unified_diff(change: FileChange) -> str:
    """The change as `git diff` writes it; "" when nothing differs that git keeps. Names are quoted as git quotes them."""
    base, proposed = change.base, change.proposed
    target = change.to or change.path
    if base == proposed and change.to is None and not changes_mode(change):
        return ""
    old_name, new_name = f"a/{change.path}", f"b/{target}"
    lines = [f"diff --git {_quoted(old_name)} {_quoted(new_name)}\n", *_extended_headers(change, target)]
    if base == proposed:
        # Permission bits that git does not keep would leave a header alone, which git takes for no patch at all.
        return "".join(lines) if len(lines) > 1 else ""
    shown_old = "/dev/null" if base is None else old_name
    shown_new = "/dev/null" if proposed is None else new_name
    if any(data is not None and is_binary(data) for data in (base, proposed)):
        lines.append(f"Binary files {_quoted(shown_old)} and {_quoted(shown_new)} differ\n")
        return "".join(lines)
    old, new = _git_lines(base), _git_lines(proposed)
    body = list(_hunks_text(old, new))
    if body:
        lines += [f"--- {_file_name(shown_old)}\n", f"+++ {_file_name(shown_new)}\n", *body]
    return "".join(lines)


def _extended_headers(change: FileChange, target: str) -> Iterator[str]:
    if change.base is None:
        yield f"new file mode {_git_mode(change.mode)}\n"
    elif change.proposed is None:
        yield f"deleted file mode {_git_mode(change.base_mode)}\n"
    elif changes_mode(change) and _git_mode(change.base_mode) != _git_mode(change.mode):
        yield f"old mode {_git_mode(change.base_mode)}\n"
        yield f"new mode {_git_mode(change.mode)}\n"
    if change.to is not None:
        yield f"rename from {_quoted(change.path)}\n"
        yield f"rename to {_quoted(target)}\n"


def _hunks_text(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    for group in _grouped(readable(hunk_ranges(old, new), old, new)):
        before, after = max(0, group[0][0] - CONTEXT), min(len(old), group[-1][1] + CONTEXT)
        shift_start, shift_end = group[0][2] - group[0][0], group[-1][3] - group[-1][1]
        yield f"@@ -{_span(before, after)} +{_span(before + shift_start, after + shift_end)} @@\n"
        position = before
        for a0, a1, b0, b1 in group:
            yield from _marked(" ", old[position:a0])
            yield from _marked("-", old[a0:a1])
            yield from _marked("+", new[b0:b1])
            position = a1
        yield from _marked(" ", old[position:after])


def _grouped(ranges: Sequence[Range]) -> Iterator[list[Range]]:
    """Ranges whose context would touch share a hunk of the diff."""
    group: list[Range] = []
    for found in ranges:
        if group and found[0] - group[-1][1] > 2 * CONTEXT:
            yield group
            group = []
        group.append(found)
    if group:
        yield group


def _marked(sign: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n\\ No newline at end of file\n"


def _span(start: int, end: int) -> str:
    """A range as diffs count: 1-based, the length left out when it is 1, an empty range named by the line before it."""
    length = end - start
    return f"{start + 1}" if length == 1 else f"{start + 1 if length else start},{length}"


def _git_lines(data: bytes | None) -> list[str]:
    return [] if not data else _GIT_LINE.findall(data.decode("utf-8"))


def _git_mode(mode: int | None) -> str:
    return "100755" if mode is not None and mode & 0o111 else "100644"


_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


def _quoted(name: str) -> str:
    """A name as git prints it with core.quotePath off: in quotes when it holds control characters, quotes or
    backslashes.
    """
    if not any(character in '"\\' or character < " " or character == "\x7f" for character in name):
        return name
    escaped = (_ESCAPES.get(ord(c)) or (f"\\{ord(c):03o}" if c < " " or c == "\x7f" else c) for c in name)
    return '"' + "".join(escaped) + '"'


def _file_name(name: str) -> str:
    """A name in a `---` or `+++` line: git ends names with blanks by a tab, so that nothing is taken for a time
    stamp.
    """
    quoted = _quoted(name)
    return f"{quoted}\t" if " " in quoted and quoted == name else quoted


def _whole_file_operation(change: FileChange) -> Operation | None:
    if change.action == "rename" or change.to is not None:
        return "rename"
    if change.base is None:
        return None if change.proposed is None else "create"
    if change.proposed is None:
        return "delete"
    if change.base != change.proposed and (is_binary(change.base) or is_binary(change.proposed)):
        return "binary"
    return None


def _whole_file_hunk(change: FileChange, operation: Operation) -> Hunk:
    """One hunk for the whole file; lines are given where both sides are text, so that a face can show them."""
    sides = (change.base or b"", change.proposed or b"")
    shown = not any(is_binary(side) for side in sides)
    old, new = (tuple(split_lines(side.decode("utf-8"))) if shown else () for side in sides)
    named = [_digest(side) for side in sides] if not shown else []
    extra = [change.to or "", f"{change.mode or 0:o}"] if operation == "rename" else []
    identifier = _identifier(change.path, operation, (*old, *named[:1]), (*new, *named[1:], *extra))
    return Hunk(identifier, (0, len(old)), (0, len(new)), old, new, operation)


def _identifier(path: str, operation: Operation, old: Sequence[str], new: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for part in (path, operation, f"{len(old)}", *old, f"{len(new)}", *new):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(f"{len(encoded)}:".encode() + encoded)
    return digest.hexdigest()[:10]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
