"""Unified diffs, as git and diff write them and as models misremember them.

Header numbers are hints, counts are checked by nobody, prefixes and times of names may be missing. Extended headers of
git (create, delete, rename, copy, mode) are read; binary patches and combined diffs are refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice

from kiro_lsp.changes.edits.answer import Action, FileEdit, FormatProblem, Line, LinesEdit
from kiro_lsp.changes.edits.formats.reading import Reading, Region
from kiro_lsp.changes.edits.gitnames import NOWHERE, git_pair, header_name, unquoted, without_prefix
from kiro_lsp.changes.edits.hunks import Body, Header, edit_of, is_header, read_body, read_header

NAME = "udiff"
ORDER = 30
ENDS = re.compile(r"@@|diff --git |```|~~~")

_SECTION = ("diff --git ", "Index: ", "diff -", "diff a/")
_PLAIN_HUNK = re.compile(r"@@ *(?:-\d|\.\.\.|@@|$)")
_DIFF_LANGUAGES = ("diff", "patch", "udiff", "git-diff")


def begins(region: Region, at: int) -> bool:
    """Whether a section of a diff begins at line `at`: a header, a hunk, or a fence of diffs with marked lines only."""
    line = region.lines[at]
    if line.startswith(("diff --git ", "diff -")):
        return True
    following = region.lines[at + 1] if at + 1 < region.end else ""
    if line.startswith("--- "):
        return following.startswith("+++ ") or is_header(following)
    if line.startswith(("+++ ", "Index: ")):
        return is_header(following) or (line.startswith("Index: ") and following.startswith(("====", "--- ", "diff ")))
    if line.startswith("@@"):
        if region.fenced and region.name and region.language not in _DIFF_LANGUAGES and not _PLAIN_HUNK.match(line):
            # A file with a name may well begin with a decorator or the like.
            return False
        # The first lines may have lost their markers; after a header with numbers or dots one further down will do.
        looked_at = 4 if _PLAIN_HUNK.match(line) else 1
        filled = islice((region.lines[n] for n in range(at + 1, region.end) if region.lines[n]), looked_at)
        return any(text[:1] in ("+", "-", " ") for text in filled) or line.startswith("@@@")
    return _is_bare(region, at)


def _is_bare(region: Region, at: int) -> bool:
    """Whether this is the body of a ```diff fence that has neither header nor `@@`."""
    if at != region.first or region.language not in _DIFF_LANGUAGES:
        return False
    body = region.lines[at : region.end]
    return any(line[:1] in ("+", "-") for line in body) and not any(
        is_header(line) or line.startswith(("--- ", "+++ ", "diff ")) for line in body
    )


def read(region: Region, at: int) -> Reading | None:
    """One section, from its header to the next one."""
    section = _Section(region, at)
    end = section.read()
    if not region.closed and not _is_certain_end(region, end):
        return None
    if end >= region.end and region.cut:
        section.trouble = "Its fence has no end: it may have been cut off."
    return (*section.result(), end)


def _is_certain_end(region: Region, end: int) -> bool:
    """Whether nothing that may still come can belong to a section that ends here: another one begins."""
    if end + 2 >= region.end:
        return False
    line = region.lines[end]
    pair = line.startswith("--- ") and region.lines[end + 1].startswith("+++ ") and is_header(region.lines[end + 2])
    return pair or line.startswith("diff --git ")


@dataclass(slots=True)
class _Section:
    region: Region
    start: int
    old: str = ""
    new: str = ""
    quoted: bool = False
    git: tuple[str, str] | None = None
    source: str = ""
    target: str = ""
    copied: bool = False
    creates: bool = False
    deletes: bool = False
    mode: int | None = None
    names: int = 0
    trouble: str = ""
    edits: list[LinesEdit] = field(default_factory=list)
    counts: list[Header] = field(default_factory=list)

    def read(self) -> int:
        """Read on from `start`; the index of the first line that is not part of the section."""
        at = self._headers(self.start)
        bare = at == self.start and not is_header(self.region.lines[at])
        while at < self.region.end and (bare or is_header(self.region.lines[at])):
            at = self._hunk(at, bare=bare)
            bare = False
            at = self._blank_until_header(at)
        return max(at, self.start + 1)

    def _blank_until_header(self, at: int) -> int:
        following = at
        while following < self.region.end and not self.region.lines[following].strip():
            following += 1
        return following if following < self.region.end and is_header(self.region.lines[following]) else at

    # Headers

    def _headers(self, at: int) -> int:
        while at < self.region.end:
            line = self.region.lines[at]
            if line.startswith(_SECTION):
                if at > self.start and (self.names or self.git or line.startswith("Index: ")):
                    break
                self._opening(line)
            elif line.startswith("--- ") and not self.new:
                self._name(line[4:], old=True)
            elif line.startswith("+++ ") and not self.new:
                self._name(line[4:], old=False)
            elif line.startswith(("====", "index ", "similarity ", "dissimilarity ")):
                pass
            elif not self._extended(line):
                break
            at += 1
        return at

    def _opening(self, line: str) -> None:
        if line.startswith("diff --git "):
            self.git = git_pair(line[len("diff --git ") :].strip()) or ("", "")
        elif line.startswith("Index: ") and not self.old:
            self.old = line[len("Index: ") :].strip()

    def _name(self, rest: str, *, old: bool) -> None:
        name, quoted, absent = header_name(rest)
        self.names += 1
        self.quoted |= quoted
        if old:
            self.old = name
            self.creates |= name == NOWHERE or absent
        else:
            self.new = name
            self.deletes |= name == NOWHERE or absent

    def _extended(self, line: str) -> bool:
        """git's own headers; whether this was one."""
        word, _, rest = line.partition(" ")
        match line.split(" ")[:3]:
            case ["new", "file", "mode"]:
                self.creates = True
                self._wants_mode(line)
            case ["deleted", "file", "mode"]:
                self.deletes = True
            case ["old", "mode", _]:
                pass
            case ["new", "mode", _]:
                self._wants_mode(line)
            case ["rename" | "copy" as how, "from" | "to" as side, *_]:
                name, quoted = unquoted(rest.partition(" ")[2].strip())
                self.quoted |= quoted
                self.copied = how == "copy"
                if side == "from":
                    self.source = name
                else:
                    self.target = name
            case ["GIT", "binary", *_] | ["Binary", "files", *_]:
                self.trouble = "It is a binary patch, which holds no text that could be placed."
            case _:
                return False
        return bool(word)

    def _wants_mode(self, line: str) -> None:
        digits = line.rsplit(" ", 1)[-1]
        if digits.endswith(("755", "700", "775", "777")):
            self.mode = 0o755
        elif digits.startswith(("120", "160")):
            self.trouble = "It is about a link or a submodule, which are not changed by edits."
        else:
            self.mode = 0o644

    # Hunks

    def _hunk(self, at: int, *, bare: bool) -> int:
        line = self.region.lines[at]
        if bare:
            header, begin = Header(), at
        else:
            header, begin = read_header(line), at + 1
        body = read_body(self.region.lines, begin, self.region.end, header, fenced=self.region.fenced)
        if body.changes:
            self.edits.append(edit_of(body, header, at + 1))
            self.counts.append(header)
        return max(body.end, at + 1)

    # What it says

    def result(self) -> tuple[list[FileEdit], list[FormatProblem]]:
        trouble = self._trouble()
        if trouble:
            named = tuple(name for name in (self.target, *self._names()) if name)
            return [], [
                FormatProblem(f"The diff at line {self.start + 1} cannot be used. {trouble}", self.start + 1, named)
            ]
        return [self._file()], []

    def _trouble(self) -> str:
        if self.region.lines[self.start].startswith("@@@"):
            return "It is a combined diff of a merge: send a diff against one version."
        if self.trouble:
            return self.trouble
        if self.names == 1 and self.old and not self.new and self.edits:
            return "It has a --- line without a +++ line."
        extended = self.creates or self.deletes or self.source or self.target or self.mode is not None
        if not self.edits and not extended:
            return "It has no hunk with a + or - line."
        if bool(self.source) != bool(self.target):
            return "A rename or copy needs both a `from` and a `to` line."
        if self.git and all(self.git) and self.names and not self.source and not self._agrees():
            return f"Its header lines name different files: {self.git[1]!r} and {(self.new or self.old)!r}."
        if self.creates and any(line.mark != "+" for edit in self.edits for line in edit.lines):
            return "It creates a file and yet quotes old lines of it."
        if self.deletes and any(line.mark == "+" for edit in self.edits for line in edit.lines):
            return "It deletes a file and yet adds lines to it."
        return ""

    def _agrees(self) -> bool:
        """Whether `diff --git` and the header lines can mean one file."""
        assert self.git is not None  # asked for sections of git only
        said = [name for name in (self.old, self.new) if name and name != NOWHERE]
        ends = [name.partition("/")[2] or name for name in self.git]
        return all(
            any(name == end or name.endswith(f"/{end}") or end.endswith(f"/{name}") for end in ends) for name in said
        )

    def _names(self) -> tuple[str, ...]:
        names = list(without_prefix(self.old, self.new))
        if not names and self.git:
            names = list(without_prefix(*self.git))
        if not names and self.region.name:
            names = [self.region.name]
        if not names and self.region.default:
            names = [self.region.default]
        if self.quoted:
            return tuple(names)
        return tuple(dict.fromkeys(spelling for name in names for spelling in (name.replace("\\", "/"), name)))

    def _file(self) -> FileEdit:
        sequential = self.git is not None or self.region.lines[self.start].startswith("diff ")
        mode = None if self.deletes else self.mode
        line = self.start + 1
        if self.source:
            action: Action = "copy" if self.copied else "rename"
            return FileEdit(
                (self.source,), action, tuple(self.edits), None, self.target, mode, sequential, NAME, line
            )  # fmt: skip
        if self.deletes:
            return FileEdit(
                self._names(), "delete", tuple(self.edits), sequential=sequential, format=NAME, answer_line=line
            )
        if self.creates:
            content = _content([added for edit in self.edits for added in edit.lines], self.edits)
            return FileEdit(self._names(), "create", (), content, None, mode, sequential, NAME, line)
        return FileEdit(self._names(), "edit", tuple(self.edits), None, None, mode, sequential, NAME, line)


def _content(lines: list[Line], edits: list[LinesEdit]) -> str:
    text = "".join(f"{line.text}\n" for line in lines)
    return text[:-1] if edits and edits[-1].new_newline is False else text


__all__ = ["NAME", "ORDER", "Body", "begins", "read"]
