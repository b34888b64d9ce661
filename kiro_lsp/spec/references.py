"""How a task refers to requirements: `1.2`, `1.1-1.4`, `FR-001, SC-002`, `REQ-1 (Acceptance Criteria 1, 2)`, `全部`.

Only the notation: which ids a reference names, and the normal form under which an id is looked up. What stands behind
an id is found by requirements.py.
"""

from __future__ import annotations

import re

REQUIREMENT_NOUNS = (
    r"requirements?|reqs?|requisitos?|requerimientos?|requerimentos?|exigences?|anforderung(?:en)?|vereisten?"
    r"|требовани[ея]|wymagani[ea]|gereksinim|kebutuhan|persyaratan|yêu cầu|需求|要求|要件|요구\s?사항"
)
REQUIREMENT_WORDS = rf"{REQUIREMENT_NOUNS}|r"
STORY_WORDS = (
    r"user stor(?:y|ies)|us|story|用户故事|使用者故事|ユーザーストーリー|사용자 스토리"
    r"|hist[oó]rias? de usu[aá]rio|пользовательская история"
)

CODE = r"[A-Z]{1,10}(?:-[A-Z]{1,10})?-?\d+(?:[.-]\d+)*[a-z]?"
_ALL = re.compile(
    r"^(?:all|すべて|全て|全部|所有|全部需求|所有需求|全要件|모든|모두|todos?|todas|все|alle|toutes?|tous)(?:\b|の|需求|\s|$)(?![^,]*\d)",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(
    r"\s*(?:[,;，、；&]|\band\b|\bund\b|\by\b|\be\b|\bи\b|と|和|および|及び|및|와|과)\s*", re.IGNORECASE
)
_ANY_ID = rf"(?:{CODE}|\d+[A-Za-z](?:\.\d+)+|\d+[A-Z](?=\s*$)|\d+(?:\.\d+)*[a-z]?)"
_RANGE = re.compile(
    rf"(?<![\w.])({_ANY_ID})\s*(?:[-–—~〜～−‑]|\.\.\.?|…|\bto\b|\bthrough\b|\bthru\b|\bbis\b|から|至|到|부터|에서)"
    rf"\s*({_ANY_ID})(?![\w]|\.\d)"
)
_SINGLE = re.compile(rf"(?<![\w.])({_ANY_ID})(?![\w]|\.\d)")
_WORDY = re.compile(rf"^(?:{REQUIREMENT_WORDS}|{STORY_WORDS})[\s#№:-]*(?=\d)", re.IGNORECASE)
_CRITERIA = re.compile(
    r"^(?P<owner>.+?)\s*[（(]?\s*(?:acceptance\s+)?criteri(?:a|on)\s*(?P<list>\d[\d\s,，、&and–-]*)[)）]?\s*$",
    re.IGNORECASE,
)


def pieces_of(ref: str) -> list[str]:
    """The members of a list of references; commas in parentheses belong to a comment."""
    pieces, depth, start = [], 0, 0
    for at, sign in enumerate(ref):
        if sign in "(（":
            depth += 1
        elif sign in ")）":
            depth = max(0, depth - 1)
        elif sign in ",;，、；" and depth == 0:
            pieces.append(ref[start:at])
            start = at + 1
    return [piece.strip() for piece in (*pieces, ref[start:]) if piece.strip()]


def parts_of(ref: str) -> list[str | tuple[str, str]]:
    """The ids in a reference: single ones as text, ranges as pairs. What stands in parentheses is a comment."""
    criteria = _CRITERIA.match(ref)
    if criteria is not None and (owner := _SINGLE.search(_unworded(criteria["owner"]))):
        return [f"{owner[1]}.{number}" for number in re.findall(r"\d+", criteria["list"])]
    parts: list[str | tuple[str, str]] = []
    for piece in _SEPARATOR.split(re.sub(r"[（(][^()（）]*[)）]", " ", ref)):
        text = _unworded(piece.strip(" _*`[]"))
        at = 0
        for match in _RANGE.finditer(text):
            parts.extend(found[1] for found in _SINGLE.finditer(text, at, match.start()))
            parts.append((match[1], match[2]))
            at = match.end()
        parts.extend(found[1] for found in _SINGLE.finditer(text, at))
    return parts


def _unworded(text: str) -> str:
    if re.match(rf"^(?:{STORY_WORDS})[\s#:-]*\d", text, re.IGNORECASE):
        return re.sub(rf"^(?:{STORY_WORDS})[\s#:-]*(?=\d)", "US", text, count=1, flags=re.IGNORECASE)
    # `R-12` and `REQ-1.1` are codes; what they stand for without their letters is tried when they are looked up.
    return text if re.match(CODE, text) else _WORDY.sub("", text, count=1)


def keys_of(ref: str) -> list[str]:
    """Normal forms to try, most specific first: `REQ-01.2` → `REQ1.2`, `1.2`."""
    match = re.match(r"^([A-Za-z-]*?)-?(\d[\d.-]*)([a-z]?)$", ref.strip().strip("."))
    if match is None:
        # `27A.1` and `1c.1` are written as their document writes them.
        return list(dict.fromkeys((ref.strip(), ref.upper(), ref.lower()))) if ref[:1].isdigit() else [ref.upper()]
    prefix = match[1].upper().strip("-")
    number = ".".join(str(int(part)) for part in re.split(r"[.-]", match[2]) if part) + match[3]
    keys = [prefix + number]
    if prefix in ("R", "REQ", "REQUIREMENT", "AC"):
        keys.append(number)
    elif not prefix:
        keys.extend((f"REQ{number}", f"R{number}"))
        keys.append(number)
    return list(dict.fromkeys(keys))


def sortable(key: str) -> tuple[str, tuple[int, ...]] | None:
    match = re.match(r"^([A-Z-]*)(\d+(?:\.\d+)*)[a-z]?$", key)
    return (match[1], tuple(int(part) for part in match[2].split("."))) if match is not None else None


_KEY_LINE = re.compile(
    rf"(?im)^[\s>*+-]*[_*]*(?:{REQUIREMENT_WORDS}|validates|验证|covers|spec refs?)[_*]*\s*"
    r"[:：][_*]*\s*(?P<value>[^\n]+)$"
)
_BRACKETED = re.compile(r"[\[【]\s*req(?:uirement)?s?\s*[:：]\s*(?P<ids>[^\]】\n]{1,80})[\]】]", re.IGNORECASE)
_CODE_IN_TEXT = re.compile(
    r"(?<![\w/.-])(?:FR|NFR|SC|REQ|AC|US|TR|BR|UC|IR|SR|CR|QR|NF|EC)-?(?:[A-Z]{1,8}-)?\d+(?:\.\d+)*[a-z]?(?![\w-])"
)
_CODE_RANGE = re.compile(
    rf"({_CODE_IN_TEXT.pattern})\s*(?:[-–—~]|\.\.|\bto\b|\bthrough\b)\s*"
    rf"({_CODE_IN_TEXT.pattern}|\d+(?:\.\d+)*)(?!\w)"
)


def references_in(text: str) -> tuple[str, ...]:
    """What a task's own lines declare: `_Requirements: …_`, `**Validates: …**`, `[req: 1.2]`."""
    found = {match["value"].strip(" _*"): None for match in _KEY_LINE.finditer(text)}
    found.update({match["ids"].strip(): None for match in _BRACKETED.finditer(text)})
    return tuple(found)


def codes_in(text: str) -> tuple[str, ...]:
    """Codes that a task's words mention in passing: `[FR-004]`, `(SC-001 through SC-003)`."""
    ranges = [match.span() for match in _CODE_RANGE.finditer(text)]
    found = {match[0]: None for match in _CODE_RANGE.finditer(text)}
    for match in _CODE_IN_TEXT.finditer(text):
        if not any(start <= match.start() < end for start, end in ranges):
            found[match[0]] = None
    return tuple(found)


def means_all(ref: str) -> bool:
    """Whether a reference means every requirement: `All`, `全部`, `すべて` …"""
    return _ALL.match(ref) is not None


def number_key(ref: str) -> str:
    match = re.match(r"^([\d.-]+)([a-z]?)$", ref)
    return ".".join(str(int(part)) for part in re.split(r"[.-]", match[1]) if part) + match[2] if match else ref
