"""The line behind a box: its id in every shape and decoration that real files have, tags, story, and the plain title.

Works on one title at a time and says how sure it is of an id; `settle` then decides the doubtful ones by how the whole
file numbers. `6 performance tests` begins with a number, `1 Set up` in a file that goes on with `2` begins with an id.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from kiro_lsp.spec.patterns import pattern

_T: Final = r"T\d{1,5}(?:\.\d+)*[A-Za-z]?"
_NUMBER: Final = r"\d{1,6}[A-Za-z]?(?:\.\d{1,6}[A-Za-z]?){0,12}"
_CODE: Final = (
    r"(?:[A-Z][A-Z0-9]{0,11}(?:-[A-Z]{1,8})*-?\d{1,6}(?:[.-]\d{1,6}){0,6}[a-z]?|[a-z]{2,10}-\d{1,5}(?:\.\d+)*[a-z]?)"
)
ID: Final = rf"(?:{_T}|{_CODE}|{_NUMBER})"
_TASK_WORD: Final = (
    r"(?:(?:sub-?)?task|tarea|tarefa|aufgabe|t[âa]che|compito|taak|zadanie|görev|задача|任务|任務|タスク|작업|태스크)"
)
_OPENERS: Final = r"(?:\*\*|__|~~|`|\[|\*|_){0,4}"
_START: Final = pattern(
    rf"(?P<open>{_OPENERS})(?:(?P<word>{_TASK_WORD})\s{{0,3}}[#№]?\s?)?(?P<id>{ID})"
    rf"(?:\s?[-–—]\s?(?P<to>{_T}|\d+(?:\.\d+)*[a-z]?|[A-Z]{{1,8}}-?\d+)(?![\w]|\.\d))?"
    r"(?P<star>\\?\*(?=[ \t]))?(?P<mid>\\?[.:：、)）])?(?P<close>(?:\*\*|__|~~|`|\]|\*|_){0,4})(?P<sep>\\?[.:：、)）])?"
    r"(?=[ \t\[（(【「]|$|(?<=[:：、)）\]`*])(?!/)|(?<=\.)(?=[^\x00-\x7f]))",
    re.IGNORECASE,
)
_EXACT: Final = pattern(rf"{ID}")
_TAG: Final = pattern(r"\s{0,4}(?:\[([A-Z][^\[\]`\r\n]{0,60})\](?!\()|\((P)\))(?![/\w.])")
_STORY: Final = pattern(r"(?:US|User ?Story ?)-?(\d+)", re.IGNORECASE)
_COMMENT: Final = pattern(r"<!--.*?(?:-->|$)")
_DASH: Final = pattern(r"^[-–—][ \t]+")
_UNIT: Final = pattern(
    r"(?:%|x\b|×|hours?\b|hrs?\b|h\b|min(?:ute)?s?\b|secs?\b|seconds\b|ms\b|s\b|days?\b|weeks?\b|[KMGkmg]i?[Bb]\b|px\b|mm\b"
    r"|cm\b|out of\b|of \d)"
)
_OPTIONAL_WORD: Final = pattern(
    r"[(（\[](?:optional|opcional|optionnel(?:le)?|facultati[fv]|facoltativo|opzionale|опционально|необязательно|任意|可选|可選|選択"
    r"|オプション|선택(?:사항)?|옵션)[)）\]]",
    re.IGNORECASE,
)
_WITHDRAWN_WORD: Final = pattern(
    r"\b(?:REMOVED|DROPPED|WITHDRAWN|SUPERSEDED|CANCELL?ED|OBSOLETE|ABANDONED|WON'T DO|WONTFIX)\b"
    r"|[\[(（*](?:removed|dropped|withdrawn|superseded|cancell?ed|obsolete|deprecated|retirad[ao]|cancelad[ao]|descartad[ao])\W"
    r"|取り下げ|取下げ|廃止|已废弃|已取消|已作废|作废|취소됨|폐기|отменен[оа]"
)
_MAY_BE_WITHDRAWN: Final = pattern(r"[A-Z]{3}|[\[(*]|[^\x00-\x7f]")
"""What every match of the expression above holds; most titles have none of it, and this is found out faster."""
_PLAIN: Final = pattern(r"([0-9]{1,6}(?:\.[0-9]{1,6}){0,12})(\.?) ([A-Za-z][^<\[\](){}（）【「*_`~]*)\Z")
_CLOSERS: Final = {"**": "**", "__": "__", "~~": "~~", "`": "`", "[": "]", "*": "*", "_": "_"}
_SIGNS: Final = pattern(r"\*\*|__|~~|`|\[|\*|_")

SURE: Final = 2
DOUBTFUL: Final = 1
NONE: Final = 0


class Title(NamedTuple):
    """What a title line says. `certainty` tells whether `id` still needs the file's word (`settle`)."""

    id: str | None
    title: str
    parallel: bool
    story: str | None
    optional: bool
    withdrawn: bool
    certainty: int
    plain: str
    """The title if the id is none after all."""


def read_title(text: str) -> Title:
    """Read what stands behind a box, in one line without its end. Takes any text; linear in its length."""
    return plain_title(text.strip()) or _any_title(text)


def plain_title(text: str) -> Title | None:
    """The title `1.2 Words` or `1. Words`, which most are; None for every other shape, and where the id may be none."""
    found = _PLAIN.match(text)
    if found is None:
        return None
    identifier, separator, title = found.groups()
    if not separator and ("." not in identifier or is_amount(title)):
        return None
    # Without another capital letter than the first, and without what the expression excludes, no word says so.
    withdrawn = not (title.isascii() and title[1:].islower()) and _is_withdrawn(title)
    # As `Title(…)`, in half the time: this is done for each task of a file that is opened.
    return tuple.__new__(Title, (identifier, title, False, None, False, withdrawn, SURE, title))


def is_amount(title: str) -> bool:
    """Whether a number before this text counts something: `1.5 hours` has no id."""
    return _UNIT.match(title) is not None


def _is_withdrawn(title: str) -> bool:
    return _MAY_BE_WITHDRAWN.search(title) is not None and _WITHDRAWN_WORD.search(title) is not None


def _any_title(text: str) -> Title:
    comment = _COMMENT.search(text) if "<!--" in text else None
    if comment is not None:
        text = _COMMENT.sub("", text)
    text = text.strip()
    struck = text.startswith(("~~", "**~~"))
    optional = False
    if text.startswith(("* ", "\\* ")):
        optional, text = True, text[text.index("*") + 1 :].lstrip()
    identifier: str | None = None
    certainty = NONE
    rest = text
    first = text[:1]
    if first and (first.isalnum() or first in "*_~`["):
        found = _START.match(text)
        if found is not None and (certainty := _certainty(found, text)):
            identifier = found["id"] + (f"-{found['to']}" if found["to"] else "")
            optional = optional or found["star"] is not None
            rest = _without_wrapping(found, text)
            if rest.startswith(("* ", "\\* ")):  # `12.2 * Title`
                optional, rest = True, rest[rest.index("*") + 1 :].lstrip()
    title, parallel, story = _tagged(rest)
    if not title and comment is not None:
        title = comment[0][4:].removesuffix("-->").strip()
    return Title(
        identifier,
        _plain_strike(title) if struck else title,
        parallel,
        story,
        optional or _OPTIONAL_WORD.search(title) is not None,
        struck or _is_withdrawn(title),
        certainty,
        _tagged(text)[0] if certainty == DOUBTFUL else title,
    )


def _plain_strike(title: str) -> str:
    return title.replace("~~", "").strip() if title.count("~~") % 2 else title


def _certainty(found: re.Match[str], text: str) -> int:
    """How sure it is that the beginning of a title is an id."""
    identifier: str = found["id"]
    opened, closed = _SIGNS.findall(found["open"]), found["close"]
    separator = found["mid"] or found["sep"]
    if ("[" in opened and "]" not in closed) or ("`" in opened and "`" not in closed):
        return NONE
    if ("]" in closed and "[" not in opened) or (not opened and closed):
        return NONE
    if identifier[0].isascii() and not _EXACT.fullmatch(identifier):
        return NONE
    if found["word"] is not None:
        return SURE if separator or closed or _DASH.match(text[found.end() :].lstrip()) else NONE
    if found["to"] is not None:
        return SURE if separator or not identifier.isdigit() else NONE
    if re.fullmatch(_T, identifier):
        return SURE
    if separator is not None and separator[-1] != ")":
        return SURE
    if separator is not None or (opened and closed and "*" not in opened and "_" not in opened):
        return SURE if not (identifier.isdigit() and "`" in opened) else DOUBTFUL
    if identifier[0].isdigit() and "." in identifier:
        return DOUBTFUL if _UNIT.match(text[found.end() :].lstrip()) else SURE
    if len(opened) + ("-" in identifier) + ("." in identifier) > 1:
        return SURE
    return DOUBTFUL


def _without_wrapping(found: re.Match[str], text: str) -> str:
    """The text behind the id, without the closing half of what was opened before the id."""
    rest = text[found.end() :]
    closed = found["close"]
    for sign in reversed(_SIGNS.findall(found["open"])):
        closing = _CLOSERS[sign]
        if closed.startswith(closing):
            closed = closed[len(closing) :]
        else:
            head, hit, tail = rest.partition(closing)
            rest = f"{head}{tail}" if hit else rest
    return _DASH.sub("", rest.strip())


def _tagged(text: str) -> tuple[str, bool, str | None]:
    """(title, parallel, story): leading `[P]`, `(P)` and story tags taken off, other tags kept where they are."""
    parallel = False
    story: str | None = None
    kept: list[str] = []
    at = 0
    if text.lstrip()[:1] in ("[", "("):
        while found := _TAG.match(text, at):
            tag = found[1] or found[2]
            if tag == "P":
                parallel = True
            elif story is None and (named := _STORY.fullmatch(tag)):
                story = f"US{named[1]}"
            else:
                kept.append(found[0].strip())
            at = found.end()
    rest = text[at:].strip()
    if rest.endswith(("[P]", "(P)")):
        parallel, rest = True, rest[:-3].rstrip()
    return _DASH.sub("", " ".join([*kept, rest]).strip()), parallel, story


def settle(titles: Sequence[Title]) -> list[Title]:
    """Decide the doubtful ids of a file.

    A bare number counts where the bare numbers of the file run on from 0 or 1, or where sub-tasks begin with it. A bare
    code such as `S3` counts where the file has several numbers with the same letters; `2.3 KB …`, which may be an amount,
    where `2.2` or `2.4` is a task.
    """
    doubtful = [title for title in titles if title.certainty == DOUBTFUL]
    if not doubtful:
        return list(titles)
    numbers = {int(title.id) for title in doubtful if title.id and title.id.isdigit()}
    run: set[int] = set()
    for start in (0, 1):
        number = start
        while number in numbers:
            run.add(number)
            number += 1
    prefixes: dict[str, set[str]] = defaultdict(set)
    above = set()
    certain = {title.id for title in titles if title.certainty == SURE}
    for title in titles:
        if title.id is not None:
            above.add(title.id.rpartition(".")[0])
            if not title.id[0].isdigit():
                prefixes[_letters(title.id)].add(title.id)
    accepted = []
    for title in titles:
        identifier = title.id
        if title.certainty == DOUBTFUL and identifier is not None:
            if identifier.isdigit():
                sure = identifier in above or (len(run) > 1 and int(identifier) in run)
            elif identifier[0].isdigit():
                sure = identifier in above or (
                    identifier not in certain and not certain.isdisjoint(_beside(identifier))
                )
            else:
                sure = len(prefixes[_letters(identifier)]) > 1
            if not sure:
                title = without_id(title)  # noqa: PLW2901
        accepted.append(title)
    return accepted


def without_id(title: Title) -> Title:
    """A title whose doubtful id is none after all."""
    return title._replace(id=None, title=title.plain, certainty=NONE)


def _beside(identifier: str) -> tuple[str, ...]:
    """The ids before and behind one in its row."""
    above, _, last = identifier.rpartition(".")
    return (f"{above}.{int(last) - 1}", f"{above}.{int(last) + 1}") if above and last.isdigit() else ()


def _letters(identifier: str) -> str:
    return re.split(r"\d", identifier, maxsplit=1)[0]
