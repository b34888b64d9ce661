"""What a requirement reference means: `1.2`, `FR-001`, `[US1]`, a range, a name → the text in the spec's documents.

Reads the forms that real specs have: `### Requirement 1: …` with numbered acceptance criteria, `1.1 WHEN …` lines of
bug fix specs, `- **FR-001**: …` items, table rows, user stories, OpenSpec requirements with their scenarios, in many
languages. A reference that nothing answers to is reported, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kiro_lsp.spec.references import (
    CODE,
    REQUIREMENT_NOUNS,
    REQUIREMENT_WORDS,
    STORY_WORDS,
    keys_of,
    means_all,
    number_key,
    parts_of,
    pieces_of,
    sortable,
)

_ACCEPTANCE = re.compile(
    r"acceptance (?:criteria|scenarios?)|验收标准|验收条件|驗收標準|受け?入れ?(?:基準|条件)"
    r"|수락\s?기준|인수\s?(?:기준|조건)|수용\s?기준|승인\s?기준"
    r"|crit[eé]rios? de acei?ta[cç][iãa]|criterios? de aceptaci|критерии при[её]мки|akzeptanzkriterien"
    r"|crit[eè]res d.acceptation|kryteria akceptacji|kriteria penerimaan|kabul kriterleri|tiêu chí chấp nhận",
    re.IGNORECASE,
)
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_BOLD_HEADING = re.compile(r"^ {0,3}(?:\*\*|__)(.+?)(?:\*\*|__)[ \t]*[:：]?[ \t]*$")
_NUMBERED_TITLE = re.compile(
    rf"^[\W_]*(?P<word>{REQUIREMENT_WORDS})?[\s#№-]*(?P<number>\d+(?:[.-]\d+)*[a-z]?)(?![\w.]*\w)"
    r"\s*[.:：、)）\]\-–—*]*\s*(?P<title>.*)$",
    re.IGNORECASE,
)
_STORY_TITLE = re.compile(
    rf"^[\W_]*(?:{STORY_WORDS})[\s#-]*(?P<number>\d+)\b\s*[:：.\-–—]*\s*(?P<title>.*)$", re.IGNORECASE
)
_WORDED_CODE = re.compile(rf"^[\W_]*(?i:{REQUIREMENT_NOUNS})[\s#№-]+(?P<code>{CODE}(?![\w-]|\.\d).*)$")
_NAMED_TITLE = re.compile(rf"^[\W_]*(?:{REQUIREMENT_WORDS})\s*[:：]\s*(?P<title>\S.*)$", re.IGNORECASE)
_CODED = re.compile(
    rf"^(?P<lead>\s*(?:[-*+]\s+|\d+[.)]\s+|\|\s*)?(?:\[[ xX]\]\s+)?)[*_`~\[(]*(?P<id>{CODE}|\d+\.\d+(?:\.\d+)*[a-z]?)"
    r"(?![\w-]|\.\d)(?P<after>[*_`~\])]*\s*(?:[:：|.)）、\-–—]|\s|$))"
)
_CODED_TITLE = re.compile(
    rf"^[*_`~\[(\s]*(?P<id>{CODE}|\d+\.\d+(?:\.\d+)*[a-z]?)(?![\w-]|\.\d)[*_`~\])]*\s*[:：.)\-–—]*\s*(?P<title>.*)$"
)
_ITEM = re.compile(
    r"^(?P<indent>\s*)(?:(?P<number>\d{1,3})(?:[.)](?=\s)|、)|(?P<bullet>[-*+])(?=\s))\s*(?P<text>\S.*)$"
)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement, story or criterion as its document has it."""

    ref: str
    """As its document names it: `1.2`, `FR-001`, `User Story 1`, or a name."""
    title: str
    """The heading it stands under, or its own."""
    text: str
    """In full, without the heading of the section it belongs to."""
    path: str
    line: int
    """0-based."""
    owner: str = ""
    """For a criterion: the reference of its requirement."""
    story: str = ""
    """For a criterion: what its requirement says before the criteria, usually the user story."""
    named: bool = False
    """Whether it is a requirement that has a name in place of a number (`### Requirement: Name`)."""


@dataclass(slots=True)
class RequirementIndex:
    """Every requirement of a spec by its normal form, in the order of the documents."""

    entries: dict[str, Requirement] = field(default_factory=dict)
    names: dict[str, Requirement] = field(default_factory=dict)
    """Case-folded name → requirement, for references by name."""

    def resolve(self, refs: Iterable[str]) -> tuple[tuple[Requirement, ...], tuple[str, ...]]:
        """The requirements that the references mean, each once and in order, and the references that none answers to.

        A reference that is plain words (`N/A`, `Performance`) and no name of a requirement is neither.
        """
        found: dict[tuple[str, int], Requirement] = {}
        unresolved: list[str] = []
        for ref in refs:
            hits, missing = self._one(ref)
            for hit in hits:
                found.setdefault((hit.path, hit.line), hit)
            unresolved.extend(name for name in missing if name not in unresolved)
        return tuple(found.values()), tuple(unresolved)

    def mentioned(self, text: str) -> tuple[Requirement, ...]:
        """Requirements without a number that a text speaks of: by their whole name, or by their capability's folder."""
        folded = " ".join(text.casefold().split())
        hits = []
        for name, entry in self.names.items():
            capability = entry.path.split("/")[-2].casefold() if "/specs/" in entry.path else ""
            by_folder = "-" in capability and (capability in folded or capability.replace("-", " ") in folded)
            if entry.named and (by_folder or (len(name) >= 8 and name in folded)):
                hits.append(entry)
        return tuple(hits)

    def _one(self, ref: str) -> tuple[list[Requirement], list[str]]:
        ref = ref.strip().strip("_*` ")
        if not ref:
            return [], []
        if means_all(ref):
            return [entry for entry in self.entries.values() if not entry.owner], []
        named = self._by_name(ref)
        if named is not None and not any(sign.isdigit() for sign in ref):
            return [named], []
        hits: list[Requirement] = []
        missing: list[str] = []
        for piece in pieces_of(ref):
            found, lost = self._piece(piece)
            hits.extend(found)
            missing.extend(lost)
        return hits, missing

    def _piece(self, piece: str) -> tuple[list[Requirement], list[str]]:
        """One member of a list: by its ids, and when none is known, by its name or the name in its parentheses."""
        hits: list[Requirement] = []
        missing: list[str] = []
        for part in parts_of(piece):
            resolved = self._span(*part) if isinstance(part, tuple) else self._id(part)
            hits.extend(resolved)
            if not resolved:
                missing.append("–".join(part) if isinstance(part, tuple) else part)
        named = self._by_name(piece) if not hits else None
        return ([named], []) if named is not None else (hits, missing)

    def _id(self, ref: str) -> list[Requirement]:
        for key in keys_of(ref):
            if key in self.entries:
                return [self.entries[key]]
        for key in keys_of(ref):
            # A criterion that its requirement does not number: the whole requirement is the honest answer.
            owner = self.entries.get(key.rpartition(".")[0])
            if owner is not None and not owner.owner:
                return [owner]
            below = [entry for other, entry in self.entries.items() if other.rpartition(".")[0] == key]
            if below:
                return below
        return []

    def _span(self, first: str, last: str) -> list[Requirement]:
        """From one id to another, in the order of their numbers."""
        low, high = sortable(keys_of(first)[0]), sortable(keys_of(last)[0])
        if low is None or high is None:
            return []
        if low[0] != high[0]:
            # `FR-001-004` repeats the prefix only once.
            high = (low[0], high[1]) if not high[0] else high
        if len(high[1]) < len(low[1]):
            high = (high[0], (*low[1][: len(low[1]) - len(high[1])], *high[1]))
        hits = []
        for prefix in dict.fromkeys((low[0], "")):
            for key, entry in self.entries.items():
                place = sortable(key)
                if place is None or place[0] != prefix or len(place[1]) != len(low[1]):
                    continue
                if low[1] <= place[1] <= high[1]:
                    hits.append(entry)
            if hits:
                break
        return sorted(hits, key=lambda entry: (sortable(keys_of(entry.ref)[0]) or ("", ()))[1])

    def _by_name(self, ref: str) -> Requirement | None:
        inside = re.search(r"[（(]([^()（）]+)[)）]", ref)
        for name in (ref, inside[1] if inside else "", ref.rpartition("/")[2], re.sub(r"[（(].*", "", ref)):
            entry = self.names.get(_name_key(name))
            if entry is not None:
                return entry
        return None


def index_requirements(docs: Sequence[tuple[str, str]]) -> RequirementIndex:
    """The requirements of (path, text) documents. The first definition of an id wins: put the binding one first."""
    index = RequirementIndex()
    for path, text in docs:
        _Document(index, path, text).read()
    return index


@dataclass(slots=True)
class _Section:
    ref: str
    title: str
    level: int
    line: int
    end: int = 0


class _Document:
    def __init__(self, index: RequirementIndex, path: str, text: str) -> None:
        self.index = index
        self.path = path
        self.lines = re.split(r"\r\n|\r|\n", text)
        self.fenced = _fenced_lines(self.lines)
        self.headings = self._headings()

    def read(self) -> None:
        for at, (line, level, title) in enumerate(self.headings):
            end = next((later for later, depth, _ in self.headings[at + 1 :] if depth <= level), len(self.lines))
            self._section(_Section("", title, level, line, end))
        self._coded_items()
        self._bold_items()

    def _headings(self) -> list[tuple[int, int, str]]:
        found = []
        for line, text in enumerate(self.lines):
            if self.fenced[line]:
                continue
            match = _HEADING.match(text)
            if match is not None:
                found.append((line, len(match[1]), match[2]))
                continue
            bold = _BOLD_HEADING.match(text)
            if bold is not None and (_is_requirement(bold[1]) or _STORY_TITLE.match(bold[1])):
                found.append((line, 7, bold[1]))
        return found

    def _section(self, section: _Section) -> None:
        title = section.title
        if (worded := _WORDED_CODE.match(title)) is not None:
            title = worded["code"]  # `### Requirement FR-1: …`
        story = _STORY_TITLE.match(title)
        named = _NAMED_TITLE.match(title)
        numbered = _NUMBERED_TITLE.match(title)
        coded = _CODED_TITLE.match(title)
        if story is not None:
            self._add(f"US{story['number']}", section, shown=f"User Story {story['number']}")
        elif numbered is not None and numbered["word"]:
            self._add(numbered["number"], section)
            self._criteria(section, numbered["number"])
        elif named is not None:
            self._name(named["title"], section, shown=named["title"].strip(), named=True)
        elif coded is not None:
            self._add(coded["id"], section)
            self._criteria(section, coded["id"])
            self._name(coded["title"], section, shown=coded["id"])
        elif numbered is not None and self._is_requirement_document():
            self._add(numbered["number"], section)
            self._criteria(section, numbered["number"])
        else:
            self._name(title, section, shown=re.sub(r"[*_`]", "", title))

    def _is_requirement_document(self) -> bool:
        return self.path.rpartition("/")[2].lower() in ("requirements.md", "bugfix.md", "spec.md", "prd.md")

    def _add(self, ref: str, section: _Section, *, shown: str | None = None) -> None:
        text = _trim(self.lines[section.line + 1 : section.end])
        entry = Requirement(shown or ref, _plain_title(section.title), text, self.path, section.line)
        self.index.entries.setdefault(keys_of(ref)[0] if not ref[:1].isdigit() else number_key(ref), entry)
        numbered = _NUMBERED_TITLE.match(section.title)
        if numbered is not None and numbered["title"].strip():
            self.index.names.setdefault(_name_key(numbered["title"]), entry)

    def _name(self, name: str, section: _Section, *, shown: str, named: bool = False) -> None:
        if not name.strip():
            return
        text = _trim(self.lines[section.line + 1 : section.end])
        entry = Requirement(shown, _plain_title(section.title), text, self.path, section.line, named=named)
        self.index.names.setdefault(_name_key(name), entry)

    def _criteria(self, section: _Section, ref: str) -> None:
        """The numbered criteria of a requirement: `ref.1`, `ref.2`, by the list's own numbers."""
        start, end = self._criteria_range(section)
        items = self._items(start, end)
        story = _trim(self.lines[section.line + 1 : items[0][0]]) if items else ""
        kept = (line for line in story.split("\n") if not _HEADING.match(line) and not _ACCEPTANCE.search(line))
        story = "\n".join(kept).strip()
        used: set[int] = set()
        for place, written, stop in items:
            number = written if written is not None and written not in used else max(used, default=0) + 1
            used.add(number)
            key = f"{number_key(ref) if ref[:1].isdigit() else keys_of(ref)[0]}.{number}"
            first, *rest = _trim(self.lines[place:stop]).split("\n")
            text = "\n".join((_ITEM.sub(r"\g<text>", first, count=1), *rest))
            shown = f"{ref}.{number}"
            entry = Requirement(shown, _plain_title(section.title), text, self.path, place, owner=ref, story=story)
            self.index.entries.setdefault(key, entry)

    def _criteria_range(self, section: _Section) -> tuple[int, int]:
        for line in range(section.line + 1, section.end):
            if self.fenced[line] or not _ACCEPTANCE.search(self.lines[line]) or len(self.lines[line]) > 120:
                continue
            if _ITEM.match(self.lines[line]) and not re.match(r"^\s*[-*+]\s*\*\*", self.lines[line]):
                continue
            later = (place for place, _, _ in self.headings if line < place < section.end)
            return line + 1, next(later, section.end)
        later = (place for place, _, _ in self.headings if section.line < place < section.end)
        return section.line + 1, next(later, section.end)

    def _items(self, start: int, end: int) -> list[tuple[int, int | None, int]]:
        """(line, number, end line) of the items of the first numbered list, or of the first bullet list without one."""
        found = []
        for line in range(start, end):
            match = None if self.fenced[line] else _ITEM.match(self.lines[line])
            if match is not None and not _CODED.match(self.lines[line]):
                found.append((line, len(match["indent"].expandtabs(4)), match["number"]))
        numbers = [item for item in found if item[2] is not None]
        chosen = numbers or found
        if not chosen:
            return []
        base = min(indent for _, indent, _ in chosen)
        tops = [item for item in chosen if item[1] <= base + 1]
        ends = [*(line for line, _, _ in tops[1:]), end]
        return [
            (line, int(number) if number else None, self._item_end(line, stop, base))
            for (line, _, number), stop in zip(tops, ends, strict=True)
        ]

    def _item_end(self, line: int, stop: int, indent: int) -> int:
        """An item ends at a blank line that is followed by text at its own depth."""
        at = line + 1
        while at < stop:
            if not self.lines[at].strip():
                after = next((later for later in range(at, stop) if self.lines[later].strip()), stop)
                if after == stop or _indent(self.lines[after]) <= indent:
                    return at
                at = after
            at += 1
        return stop

    def _coded_items(self) -> None:
        """`- **FR-001**: …`, `1.1 WHEN …`, `| FR-1 | … |`: items that carry their own id."""
        found = ((line, _CODED.match(text)) for line, text in enumerate(self.lines) if not self.fenced[line])
        places = [(line, match) for line, match in found if match is not None]
        starts = {line for line, _ in places}
        for line, match in places:
            text = self.lines[line]
            if "|" in match["lead"]:
                body = self._row(line)
            else:
                body = _trim(
                    [text[match.end() :], *self.lines[line + 1 : self._coded_end(line, match["lead"], starts)]]
                )
                body = body.lstrip("*_: ：")
            heading = next((title for at, _, title in reversed(self.headings) if at < line), "")
            entry = Requirement(match["id"], _plain_title(heading), body, self.path, line)
            key = number_key(match["id"]) if match["id"][0].isdigit() else keys_of(match["id"])[0]
            known = self.index.entries.get(key)
            if known is None or (known.path == self.path and known.owner and match["id"][0].isdigit()):
                self.index.entries[key] = entry

    def _coded_end(self, line: int, lead: str, starts: set[int]) -> int:
        depth = _indent(lead)
        heads = {place for place, _, _ in self.headings}
        for at in range(line + 1, len(self.lines)):
            text = self.lines[at]
            if at in starts or at in heads:
                return at
            if text.strip() and _indent(text) <= depth and (_ITEM.match(text) or not self.lines[at - 1].strip()):
                return at
        return len(self.lines)

    def _row(self, line: int) -> str:
        """A table row as `Column: cell` pairs."""
        first = line
        while first > 0 and self.lines[first - 1].lstrip().startswith("|"):
            first -= 1
        cells = _cells(self.lines[line])
        header = _cells(self.lines[first]) if first < line else []
        if len(header) != len(cells):
            return " | ".join(cells[1:])
        return "\n".join(f"{name}: {cell}" for name, cell in zip(header[1:], cells[1:], strict=True) if cell)

    def _bold_items(self) -> None:
        """`1. **Name**` items, so that a reference by name finds them."""
        for line, text in enumerate(self.lines):
            match = None if self.fenced[line] else re.match(r"^\s{0,3}(?:\d+[.)]|[-*+])\s+\*\*([^*]{4,80})\*\*", text)
            if match is not None and not _CODED.match(text):
                body = _trim(self.lines[line : self._coded_end(line, "", set())])
                entry = Requirement(match[1].strip(" :："), match[1].strip(" :："), body, self.path, line)
                self.index.names.setdefault(_name_key(match[1].strip(" :：")), entry)


def requirement_paths(docs: Mapping[str, str]) -> list[str]:
    """The documents that may define requirements, the binding ones first."""
    order = {"requirements.md": 0, "bugfix.md": 0, "spec.md": 0, "proposal.md": 2, "design.md": 3, "plan.md": 3}
    ranked = []
    for path in docs:
        name = path.rpartition("/")[2].lower()
        if name in order and "/checklists/" not in f"/{path}":
            ranked.append((order[name], path))
    return [path for _, path in sorted(ranked)]


def _fenced_lines(lines: Sequence[str]) -> list[bool]:
    inside: str | None = None
    found = []
    for line in lines:
        match = _FENCE.match(line)
        if inside is None:
            found.append(match is not None)
            inside = match[1] if match is not None else None
        else:
            found.append(True)
            if match is not None and match[1].startswith(inside) and line.strip() == match[1]:
                inside = None
    return found


def _is_requirement(title: str) -> bool:
    match = _NUMBERED_TITLE.match(title)
    return (match is not None and bool(match["word"])) or _NAMED_TITLE.match(title) is not None


def _plain_title(title: str) -> str:
    return re.sub(r"\*\*|__|`", "", title).strip()


def _name_key(name: str) -> str:
    return " ".join(re.sub(r"[*_`]", "", name).casefold().split())


def _cells(line: str) -> list[str]:
    return [re.sub(r"\*\*|`", "", cell).strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _indent(line: str) -> int:
    return len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())


def _trim(lines: Sequence[str]) -> str:
    """Lines without blank ones around them and without a rule at their end."""
    kept = list(lines)
    while kept and (not kept[-1].strip() or re.fullmatch(r"\s*(?:-{3,}|\*{3,}|_{3,})\s*", kept[-1])):
        kept.pop()
    while kept and not kept[0].strip():
        kept.pop(0)
    return "\n".join(line.rstrip() for line in kept).strip("\n")
