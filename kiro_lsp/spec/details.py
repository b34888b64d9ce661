"""What a task refers to, by its title and its metadata: requirements, dependencies, files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from kiro_lsp.spec.metadata import entries_inside
from kiro_lsp.spec.patterns import pattern
from kiro_lsp.spec.titles import ID

REQUIREMENT_KEYS: Final = pattern(
    r"(?:requirements?|reqs?|covers|satisfies|implements|traces?(?: to)?"
    r"|需求|关联需求|相关需求|要求|要件|対応要件|関連要件|요구\s?사항|требовани[яе]"
    r"|requisitos?"
    r"|requerimientos?|requerimentos?|requisiti|anforderung(?:en)?|exigences?|vereisten|wymagania)\Z",
    re.IGNORECASE,
)
_VALIDATES_KEYS: Final = pattern(r"(?:validates?|验证|驗證|検証|검증|valida|проверяет)\Z", re.IGNORECASE)
DEPENDENCY_KEYS: Final = pattern(
    r"(?:depends|depends[ -]?on|dependson|dependenc(?:y|ies)|deps|blocked by|prerequisites?|after"
    r"|依赖|依存|依存関係|前置|前置任务|前提"
    r"|의존성?|선행|зависимости|зависит от|depende de|dependências?|dependencias?|abhängigkeit(?:en)?|hängt ab von"
    r"|dépend(?:ances| de))\Z",
    re.IGNORECASE,
)
FILE_KEYS: Final = pattern(
    r"(?:(?:target |test |source |affected |modified |new )?files?|file\(s\)|files? to (?:modify|create|change)|file path|path"
    r"|paths|location|creates|modifies|文件|目标文件|檔案|文件路径|ファイル|対象ファイル|파일|файлы?|archivos?|arquivos?|datei(?:en)?|fichiers?)\Z",
    re.IGNORECASE,
)

_NOTHING: Final = pattern(
    r"(?:n/?a|none|nothing|no|[-–—]|tbd|无|無|なし|없음|нет|ninguno|nenhuma?|keine?)\b", re.IGNORECASE
)
_REF_WORD: Final = pattern(
    r"(?:requirements?|reqs?\.?|需求|要求|要件|요구\s?사항|требовани[яейюх]+|requisitos?|requerimientos?|anforderung(?:en)?|exigences?)"
    r"\s{0,4}[#№:：]?\s{0,4}(?=\d)|(?-i:[Rr]eqs?|[Rr]equirements?)-(?=\d)",
    re.IGNORECASE,
)
_REF_SPLIT: Final = pattern(r"[,，、;；&]|\s(?:and|und|y|e|et|и)\s|和|及び|および|및")
_CODE_REF: Final = r"[A-Z]{1,10}(?:-[A-Z]{1,10})?[- ]?\d+(?:[.-]\d+)*[a-z]?"
_ANY_REF: Final = rf"(?:\d+(?:[A-Za-z]?\.\d+)*(?:[a-z]|[A-Z](?=\Z))?|{_CODE_REF})"
_REF: Final = pattern(rf"{_ANY_REF}\Z")
_REF_RUN: Final = pattern(rf"{_ANY_REF}(?:\s{{0,4}}[-–—~〜～]\s{{0,4}}{_ANY_REF})?(?=\s|$)")
_RANGE: Final = pattern(r"\s{0,4}[-–—~〜～]\s{0,4}")
_PARENTHESES: Final = pattern(r"[(（][^()（）]*[)）]")
_CODED: Final = r"(?:FR|NFR|SC|REQ|AC|TR|BR|RF|RNF|RN|CR|QR)-\d+(?:\.\d+)*[a-z]?(?!\w)"
_TITLE_REF: Final = pattern(
    rf"(?<![\w-]){_CODED}(?:(?P<gap>\s{{0,2}}(?:[-–—~〜]|\.\.|\bto\b|\bthrough\b)\s{{0,2}})(?P<to>{_CODED}))?"
)
_TITLE_REF_GROUP: Final = pattern(r"\(([^()]*)\)|\[([^\[\]]*)\]")
_TAGGED_REF: Final = pattern(r"\[req:\s*([^\]\s]+)\]", re.IGNORECASE)

_ID_TOKEN: Final = pattern(
    rf"(?<![A-Za-z0-9_.#/-])(?:(?P<word>tasks?|steps?|任务|タスク|작업|задача|tarea|tarefa|aufgabe)?\s{{0,2}}#?(?P<id>{ID}))"
    rf"(?:\s{{0,2}}[-–—~〜～]\s{{0,2}}(?P<to>{ID}))?(?![A-Za-z0-9_/]|[.-][A-Za-z0-9_])",
    re.IGNORECASE,
)
_DEPENDS_IN_TITLE: Final = pattern(
    r"[(（\[][^()（）\[\]]{0,40}?(?:\b(?:depends?(?:\s+on)?|after|blocked\s+by|requires|needs|depende\s+de|зависит\s+от)\b|依赖|依存|前置)"
    r"([^()（）\[\]]*)[)）\]]",
    re.IGNORECASE,
)
_DEPENDS_SENTENCE: Final = pattern(
    r"(?:^|[.;。\s*_(（-])(?:depends?\s+on|depends|dependenc(?:y|ies)|blocked\s+by|depende\s+de|зависит\s+от"
    r"|依赖(?:于)?|依存)"
    r"\s*\**[:：]\s*\**((?:[^.;。()]|\.\d|(?<=[A-Za-z0-9] )\([^()]*\)(?=\s*,))*)",
    re.IGNORECASE,
)
_DEPENDS_PLAIN: Final = pattern(r"\bdepends?\s+on\s+((?:[^.;()]|\.(?=\d))*)", re.IGNORECASE)
_ARROW_END: Final = pattern(rf"(?:→|⇒|⟵|←|->)\s*((?:{ID})(?:\s*(?:,|、|，|&|\band\b|\+)\s*(?:{ID}))*)\s*[).）]?\s*$")
_SURE_ID: Final = pattern(
    r"(?:T\d{1,5}(?:\.\d+)*[A-Za-z]?|\d+(?:\.\d+)+[A-Za-z]?|[A-Z]{1,12}(?:-[A-Z]{1,8})*-\d+(?:\.\d+)*)\Z"
)

_LIST_GAP: Final = pattern(r"\s{0,4}(?:[,、，&+]|and|und|y|e|と|和)?\s{0,4}(?:and\s)?")

_EXTENSIONS: Final = (
    "py|pyi|ts|tsx|js|jsx|mjs|cjs|mts|cts|json|jsonc|json5|toml|yaml|yml|md|mdx|rst|txt|rs|go|java|kt|kts|swift|rb|php|cs|fs"
    "|c|h|cc|cpp|cxx|hpp|m|mm|scala|clj|ex|exs|erl|hs|ml|lua|r|jl|dart|vue|svelte|astro|html|htm|css|scss|sass|less|sql|sh"
    "|bash|zsh|fish|ps1|bat|cmd|xml|gradle|tf|proto|graphql|gql|prisma|ini|cfg|conf|env|lock|csv|tsv|svg|png|ipynb|unity"
    "|prefab|asset|asmdef|csproj|sln|blade|twig|hbs|ejs|pug|feature|bicep|dockerfile|example|template|snap|wasm|rhai|mdc"
)
_KNOWN_NAME: Final = pattern(
    rf"(?:[\w@.+\-\[\](){{}},*$~]+\.(?:{_EXTENSIONS})"
    r"|(?-i:Dockerfile|Makefile|[Jj]ustfile|Procfile|Gemfile|Rakefile|LICENSE|CODEOWNERS)"
    r"|\.(?:gitignore|npmrc|env(?:\.\w+)?|editorconfig|dockerignore|eslintrc(?:\.\w+)?|prettierrc(?:\.\w+)?|gitattributes|nvmrc))\Z",
    re.IGNORECASE,
)
_NO_PATH: Final = pattern(r"[=`<>|;^%\\\"']")
_DRIVE: Final = pattern(r"[A-Za-z]:\\")
_PATH_SIGNS: Final = pattern(r"[\w.@+\-\[\](){},*~/$]+\Z")
_LETTER: Final = pattern(r"[A-Za-z*]")
_NO_FILE: Final = pattern(r"(?:[A-Z][A-Za-z]+\.js|e\.g|i\.e)\Z")
_BACKTICKED: Final = pattern(r"`([^`\r\n]+)`")
_LINKED: Final = pattern(r"\[([^\[\]\r\n]+)\]\([^()\r\n]*\)")
_LINE_SUFFIX: Final = pattern(r"(?::\d+(?:[-–:]\d+)?|#L\d+(?:-L?\d+)?)\Z")
_BARE: Final = pattern(r"(?:\{[^\s`{}\"'<>|]{1,200}\}|[^\s`,;，；、\"'“”‘’<>|])+")
_TRAILING: Final = ".:!?)。"


# Requirements


def requirement_refs(value: str) -> list[str]:
    """References in a Requirements value, in its order: `1.1`, `12.1-12.8`, `FR-001`, `All`; prose is one reference."""
    plain = _PARENTHESES.sub(" ", value).strip().strip("[]").strip()
    if not plain or _NOTHING.match(plain):
        return []
    found: list[str] = []
    other: list[str] = []
    for piece in _REF_SPLIT.split(plain.replace("\n", ", ")):
        text = _REF_WORD.sub("", piece.strip(" \t.*_`。")).strip()
        if not text:
            continue
        runs = _refs_in_run(text)
        if runs:
            found.extend(runs)
        else:
            other.append(text)
    if not found and other:
        return [plain] if len(other) > 1 and not all(len(text) <= 24 for text in other) else other
    return [*found, *(text for text in other if len(text) <= 40)]


def _refs_in_run(text: str) -> list[str]:
    """References at the beginning of a text, separated by blanks alone; what comes behind them is a comment."""
    refs: list[str] = []
    at = 0
    while (match := _REF_RUN.match(text, at)) is not None:
        refs.append(match[0] if _REF.match(match[0]) else _RANGE.sub("-", match[0]))
        at = match.end()
        while at < len(text) and text[at].isspace():
            at += 1
    return refs


def requirements_of(title: str, metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Every requirement that a task refers to, each once, in the order in which they stand."""
    found: dict[str, None] = {}
    if "(" in title or "[" in title:
        for group in _TITLE_REF_GROUP.finditer(title):
            for match in _TITLE_REF.finditer(group[1] or group[2] or ""):
                found[match[0] if match["to"] is None else match[0].replace(match["gap"], "-", 1)] = None
        found.update(dict.fromkeys(match[1] for match in _TAGGED_REF.finditer(title)))
    for key, value in (*metadata.items(), *entries_inside(title)):
        if REQUIREMENT_KEYS.match(key) or (_VALIDATES_KEYS.match(key) and _speaks_of_requirements(value)):
            found.update(dict.fromkeys(requirement_refs(value)))
    return tuple(found)


def _speaks_of_requirements(value: str) -> bool:
    return _REF_WORD.search(value) is not None or _REF_RUN.match(value) is not None


# Dependencies


def ids_in(value: str, known: Sequence[str] | Mapping[str, object], *, strict: bool = True) -> list[str]:
    """Task ids in a text. `strict` wants those that the file has, or shapes that can be nothing else."""
    found: list[str] = []
    for match, named in id_tokens(value, listed=_is_list(value)):
        identifier, last = match["id"], match["to"]
        if identifier.isdigit() and not named:
            continue
        if identifier in known or (not strict and _SURE_ID.match(identifier)):
            found.append(identifier)
        if last is not None:
            found.extend(other for other in ids_between(identifier, last, known) if other not in found)
    return found


def id_tokens(value: str, *, listed: bool = False) -> Iterator[tuple[re.Match[str], bool]]:
    """What looks like a task id (`id`) or a range of ids (`id`, `to`), and whether the words around it say that it is one.

    `listed`: the text is nothing but a list of ids.
    """
    end = -1
    for match in _ID_TOKEN.finditer(value):
        named = (
            match["word"] is not None
            or listed
            or (end >= 0 and _LIST_GAP.fullmatch(value, end, match.start()) is not None)
        )
        end = match.end() if named else -1
        yield match, named


def _is_list(value: str) -> bool:
    return re.fullmatch(r"[\s\d.,、，;&\[\]]*(?:and[\s\d]*)?", value) is not None


def ids_between(first: str, last: str, known: Iterable[str]) -> list[str]:
    """The known ids of a range such as T002-T012, both ends included."""
    low, high = _parts(first), _parts(last)
    if low is None or high is None or low[0] != high[0]:
        return []
    return [
        identifier
        for identifier in known
        if (parts := _parts(identifier)) is not None
        and (parts[0], len(parts[1])) == (low[0], len(low[1]))
        and low[1] <= parts[1] <= high[1]
    ]


def _parts(identifier: str) -> tuple[str, tuple[int, ...]] | None:
    match = re.fullmatch(r"([A-Za-z-]*?)-?(\d+(?:\.\d+)*)[A-Za-z]?", identifier)
    return (match[1], tuple(int(part) for part in match[2].split("."))) if match else None


def dependencies_of(
    own: str | None, title: str, metadata: Mapping[str, str], known: Mapping[str, object]
) -> tuple[str, ...]:
    """Ids that a task says it depends on: in metadata, in parentheses, after `Depends on:`, after an arrow at the end."""
    found: dict[str, None] = {}
    for key, value in (*metadata.items(), *entries_inside(title)):
        if DEPENDENCY_KEYS.match(key):
            found.update(dict.fromkeys(ids_in(value, known, strict=False)))
    low = title.lower()
    if "(" in title or "（" in title or "[" in title:
        for group in _DEPENDS_IN_TITLE.finditer(title):
            found.update(dict.fromkeys(ids_in(group[1], known, strict=False)))
    if "depend" in low or "block" in low or "依" in title or "завис" in low:
        for sentence in (*_DEPENDS_SENTENCE.finditer(title), *_DEPENDS_PLAIN.finditer(title)):
            found.update(dict.fromkeys(ids_in(sentence[1], known, strict=False)))
    if "→" in title or "->" in title or "←" in title or "⇒" in title:
        arrow = _ARROW_END.search(title[-200:])
        if arrow is not None and own is not None:
            found.update(dict.fromkeys(ids_in(arrow[1], known)))
    found.pop(own or "", None)
    return tuple(found)


# Files


def files_of(title: str, metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Paths that a task names: in its title, backticked or bare, and behind `File:` and its relatives."""
    found: dict[str, None] = {}
    if "/" in title or "." in title or "`" in title:
        found.update(dict.fromkeys(paths_in(title)))
    for key, value in metadata.items():
        if FILE_KEYS.match(key):
            found.update(dict.fromkeys(paths_in(value, listed=True)))
    return tuple(found)


def paths_in(text: str, *, listed: bool = False) -> list[str]:
    """Paths in a text, as they are written, without line numbers. `listed`: the text is a list of files."""
    found: list[str] = []

    def from_backticks(match: re.Match[str]) -> str:
        inside = match[1].strip()
        if len(inside) > 2000:
            return " "
        if "{" in inside and " " not in inside:
            found.extend(path for path in [_path(inside, quoted=True)] if path)
        elif " " not in inside or listed:
            found.extend(path for piece in re.split(r"[,\s]+", inside) if (path := _path(piece, quoted=True)))
        return " "

    rest = _BACKTICKED.sub(from_backticks, text)
    rest = _LINKED.sub(lambda match: f" {match[1]} ", rest)
    for word in _BARE.findall(rest):
        if len(word) < 400 and ("." in word or "/" in word):
            found.extend(path for path in [_path(_unwrapped(word), quoted=False)] if path)
    return found


def _unwrapped(word: str) -> str:
    """A word without the brackets and marks around it; brackets that belong to a route folder stay."""
    while word:
        if word[0] in "(*_“【（" and not (word[0] == "(" and ")/" in word) and not (word[0] == "_" and word[-1] != "_"):
            word = word[1:]
        elif word[-1] in "*】）" or (word[-1] == ")" and word.count(")") > word.count("(")) or word[-1] in ".:!?。":
            word = word[:-1]
        elif word[0] == "[" and "]" not in word:
            word = word[1:]
        elif word[-1] == "]" and "[" not in word:
            word = word[:-1]
        else:
            break
    return word


def _path(word: str, *, quoted: bool) -> str | None:
    word = _LINE_SUFFIX.sub("", word.strip().strip("'\""))
    if len(word) < 3 or len(word) > 300 or "://" in word or word.startswith(("-", "@", "http", "#", "$", "~~")):
        return None
    if _NO_PATH.search(word) and not _DRIVE.match(word):
        return None
    name = word.rstrip("/").rpartition("/")[2]
    if "/" in word:
        if _KNOWN_NAME.match(name):
            return word
        if quoted and not word.startswith("/") and _PATH_SIGNS.match(word) and "(" not in word[:1]:
            folder = word.endswith("/") or word.count("/") > 1 or "*" in name
            return word if folder and not name.endswith(")") and _LETTER.search(name) else None
        return word if word.endswith("/") and not word.startswith("/") and word.count("/") > 1 else None
    if not _KNOWN_NAME.match(name):
        return None
    if not quoted and (not _LETTER.search(name.rpartition(".")[0] or name) or _NO_FILE.match(name)):
        return None
    return name
