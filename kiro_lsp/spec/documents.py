"""Which documents of a project matter for a task file, what each is for, and in which order they are sent.

Pure: patterns go out, whoever may read files reads them, texts come in. The order never depends on the task, so that
the stable part of a prompt is the same for every task of a spec; steering that applies to some files only, or only
when it is named, is kept apart for the task's own part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal

Role = Literal[
    "constitution",
    "project",
    "steering",
    "agents",
    "proposal",
    "requirements",
    "plan",
    "design",
    "research",
    "data-model",
    "contract",
    "quickstart",
    "checklist",
    "work-package",
    "base-spec",
]
Inclusion = Literal["always", "fileMatch", "manual", "auto"]

_PRIORITY: dict[Role, int] = {
    "requirements": 0,
    "constitution": 1,
    "design": 2,
    "plan": 2,
    "proposal": 2,
    "work-package": 3,
    "steering": 4,
    "agents": 5,
    "project": 5,
    "data-model": 6,
    "contract": 7,
    "base-spec": 7,
    "quickstart": 8,
    "research": 9,
    "checklist": 10,
}
"""Who gets room first when not all fits: smaller is earlier."""

_SIBLINGS: tuple[tuple[str, Role], ...] = (
    ("proposal.md", "proposal"),
    ("requirements.md", "requirements"),
    ("bugfix.md", "requirements"),
    ("spec.md", "requirements"),
    ("specs/**/*.md", "requirements"),
    ("plan.md", "plan"),
    ("design.md", "design"),
    ("research.md", "research"),
    ("data-model.md", "data-model"),
    ("contracts/**/*", "contract"),
    ("quickstart.md", "quickstart"),
    ("checklists/*.md", "checklist"),
)
_OWN: frozenset[Role] = frozenset({"proposal", "requirements", "plan", "design", "research", "data-model"})
_AGENT_FILES = ("AGENTS.md", "CLAUDE.md", "GEMINI.md")
_CONSTITUTIONS = (
    ".specify/memory/constitution.md",
    ".kittify/constitution/constitution.md",
    ".kittify/memory/constitution.md",
    "memory/constitution.md",
)
_SPEC_WORKFLOW_STEERING = ("product.md", "tech.md", "structure.md")
_TEXT_CONTRACTS = frozenset(
    {
        *("avsc", "graphql", "gql", "http", "json", "jsonc", "md", "mdx", "proto", "py", "raml", "rs", "sql"),
        *("thrift", "toml", "ts", "txt", "wsdl", "xml", "xsd", "yaml", "yml"),
    }
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A root-relative glob (`*` stays in one name, `**` spans folders) and what the files it finds are for."""

    pattern: str
    role: Role


@dataclass(frozen=True, slots=True)
class ContextDocument:
    path: str
    role: Role
    text: str
    """Without front matter."""
    priority: int
    inclusion: Inclusion = "always"
    file_patterns: tuple[str, ...] = ()
    description: str = ""

    @property
    def name(self) -> str:
        """What a person writes after `#` to have it included."""
        return self.path.rpartition("/")[2].removesuffix(".md")


@dataclass(frozen=True, slots=True)
class Selection:
    """`stable` goes into the prompt of every task, in this order; `conditional` only when it applies."""

    stable: tuple[ContextDocument, ...]
    conditional: tuple[ContextDocument, ...]


def spec_folder(task_path: str) -> str:
    """The folder of the spec that a task file belongs to, "" for the root."""
    folder = task_path.rpartition("/")[0]
    # spec-kitty keeps one task file per work package in `tasks/` below the spec.
    if folder.rpartition("/")[2] == "tasks" and re.search(r"(?:^|/)(?:kitty-specs|specs)/", folder):
        return folder.rpartition("/")[0]
    return folder


def wanted(dialect: str, task_path: str) -> tuple[Wanted, ...]:
    """Every document that may matter for a task file, in the order in which they are sent."""
    folder = spec_folder(task_path)
    bases = _bases(task_path)
    found: list[Wanted] = []
    for base in bases:
        found.extend(
            Wanted(base + path, "constitution") for path in _CONSTITUTIONS if _uses_constitution(dialect, task_path)
        )
    found.extend(_project_documents(task_path))
    for base in bases:
        found.extend(_steering(dialect, task_path, base))
    for base in bases:
        found.extend(Wanted(base + name, "agents") for name in _AGENT_FILES)
    prefix = folder + "/" if folder else ""
    found.extend(Wanted(prefix + name, role) for name, role in _SIBLINGS)
    found.extend(_base_specs(task_path))
    if folder != task_path.rpartition("/")[0]:
        # Last: its boxes are ticked between tasks, and what a provider has cached ends where something changed.
        found.append(Wanted(prefix + "tasks.md", "work-package"))
    return tuple(dict.fromkeys(found))


def document_patterns(dialect: str, task_path: str) -> tuple[str, ...]:
    """Root-relative globs of the documents to read for a task file, the ones that matter most first."""
    ordered = sorted(wanted(dialect, task_path), key=lambda item: _PRIORITY[item.role])
    return tuple(dict.fromkeys(item.pattern for item in ordered))


def own_patterns(task_path: str) -> tuple[str, ...]:
    """Root-relative globs of the documents of the spec itself, its requirements first: what its tasks refer to."""
    folder = spec_folder(task_path)
    prefix = folder + "/" if folder else ""
    names = [name for name, role in _SIBLINGS if role in _OWN and (folder or "*" not in name)]
    return tuple(prefix + name for name in names)


def select(dialect: str, task_path: str, docs: Mapping[str, str]) -> Selection:
    """Sort the documents that were read (path → text) into what is always sent and what is sent when it applies.

    Documents that nothing asks for, empty ones and repeats of the same text are left out.
    """
    patterns = wanted(dialect, task_path)
    placed: dict[str, tuple[int, Role]] = {}
    for path in docs:
        for order, item in enumerate(patterns):
            if path != task_path and _role_of(path, item) is not None and matches(path, item.pattern, anchored=True):
                placed[path] = (order, item.role)
                break
    touched = {
        path.split("/")[-2] for path, (_, role) in placed.items() if role == "requirements" and "/specs/" in path
    }
    stable: list[ContextDocument] = []
    conditional: list[ContextDocument] = []
    seen: set[str] = set()
    for path in sorted(placed, key=lambda path: (placed[path][0], path)):
        role = placed[path][1]
        document = _document(path, role, docs[path])
        body = document.text.strip()
        if not body or body in seen or (role == "base-spec" and path.split("/")[-2] not in touched):
            continue
        if document.inclusion == "always":
            seen.add(body)
            stable.append(document)
        else:
            conditional.append(document)
    return Selection(tuple(stable), tuple(conditional))


def applies(document: ContextDocument, files: Sequence[str], words: str) -> bool:
    """Whether conditional steering belongs to a task: by the files it names, or because `#name` stands in its words."""
    if re.search(rf"(?<![\w#])#{re.escape(document.name)}(?![\w-])", words, re.IGNORECASE):
        return True
    return document.inclusion == "fileMatch" and any(
        matches(path, pattern) for path in files for pattern in document.file_patterns
    )


def matches(path: str, pattern: str, *, anchored: bool = False) -> bool:
    """Glob match of a root-relative path: `*` and `?` stay in one name, `**` spans folders, `{a,b}` is either.

    A pattern without a slash matches a name at any depth, as editors and git read it, unless it is `anchored`.
    """
    path = path.removeprefix("./")
    for each in _braces(pattern.removeprefix("./").removeprefix("/")):
        wanted_parts = each.split("/") if anchored or "/" in each or "**" in each else ["**", each]
        if len(wanted_parts) == 1 and "**" in wanted_parts[0]:
            wanted_parts = ["**", wanted_parts[0].replace("**", "*")]
        if _match_parts(path.split("/"), wanted_parts):
            return True
    return False


def front_matter(text: str) -> tuple[dict[str, str | tuple[str, ...]], str]:
    """The keys of a YAML front matter (texts and flat lists; anything else is passed over) and the text after it."""
    match = re.match(r"\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", text, re.DOTALL | re.MULTILINE)
    if match is None:
        return {}, text
    found: dict[str, str | tuple[str, ...]] = {}
    key = ""
    for line in match[1].splitlines():
        item = re.match(r"^\s*-\s+(.*)$", line)
        pair = re.match(r"^([A-Za-z_][\w-]*)\s*:\s*(.*)$", line)
        if item is not None and key:
            before = found.get(key, ())
            found[key] = (*(before if isinstance(before, tuple) else ()), _scalar(item[1]))
        elif pair is not None:
            key, value = pair[1], pair[2].strip()
            if value.startswith("[") and value.rstrip().endswith("]"):
                found[key] = tuple(_scalar(part) for part in _list_items(value.strip()[1:-1]))
            else:
                found[key] = _scalar(value)
    return found, text[match.end() :]


def _document(path: str, role: Role, text: str) -> ContextDocument:
    priority = _PRIORITY[role]
    if role != "steering":
        return ContextDocument(path, role, text, priority)
    keys, body = front_matter(text)
    said = str(keys.get("inclusion", "always")).lower()
    kinds: dict[str, Inclusion] = {"filematch": "fileMatch", "manual": "manual", "auto": "auto"}
    patterns = keys.get("fileMatchPattern", keys.get("fileMatchPatterns", ()))
    return ContextDocument(
        path,
        role,
        body,
        priority,
        kinds.get(said, "always"),
        (patterns,) if isinstance(patterns, str) else patterns,
        str(keys.get("description", "")),
    )


def _bases(task_path: str) -> tuple[str, ...]:
    """Prefixes of project roots for a task file: the repository's and, in a monorepo, the nested one's."""
    parts = task_path.split("/")[:-1]
    markers = (
        ".kiro",
        ".spec-workflow",
        ".specify",
        ".claude",
        ".sce",
        ".windsurf",
        "openspec",
        "kitty-specs",
        "specs",
    )
    for at, part in enumerate(parts):
        if part in markers:
            nested = "/".join(parts[:at])
            return ("", nested + "/") if nested else ("",)
    return ("",)


def _uses_constitution(dialect: str, task_path: str) -> bool:
    return dialect == "spec-kit" or bool(re.search(r"(?:^|/)(?:specs|\.specify|kitty-specs)/", task_path))


def _project_documents(task_path: str) -> list[Wanted]:
    home = _openspec_home(task_path)
    if home is None:
        return []
    return [Wanted(home + name, "project") for name in ("project.md", "AGENTS.md", "config.yaml")]


def _base_specs(task_path: str) -> list[Wanted]:
    """The specs in force that an OpenSpec change modifies; of these only the touched capabilities are sent."""
    home = _openspec_home(task_path)
    return [] if home is None else [Wanted(home + "specs/*/spec.md", "base-spec")]


def _openspec_home(task_path: str) -> str | None:
    match = re.match(r"^((?:.*/)?[^/]+/)changes/(?:archive/)?[^/]+/[^/]*$", task_path)
    return match[1] if match is not None else None


def _steering(dialect: str, task_path: str, base: str) -> list[Wanted]:
    found: list[Wanted] = []
    home = re.search(r"(?:^|/)(\.[\w-]+)/(?:archive/)?specs/", task_path)
    family = home[1] if home is not None else ""
    if family == ".spec-workflow" or (dialect == "spec-workflow" and not family):
        found.extend(Wanted(f"{base}.spec-workflow/steering/{name}", "steering") for name in _SPEC_WORKFLOW_STEERING)
    elif family and family != ".specify":
        found.append(Wanted(f"{base}{family}/steering/*.md", "steering"))
    elif dialect == "kiro":
        found.append(Wanted(f"{base}.kiro/steering/*.md", "steering"))
    return found


def _role_of(path: str, item: Wanted) -> Role | None:
    if item.role == "contract" and path.rpartition(".")[2].lower() not in _TEXT_CONTRACTS:
        return None
    return item.role


def _match_parts(names: Sequence[str], wanted_parts: Sequence[str]) -> bool:
    if not wanted_parts:
        return not names
    if wanted_parts[0] == "**":
        if len(wanted_parts) == 1:
            return bool(names)
        return any(_match_parts(names[skip:], wanted_parts[1:]) for skip in range(len(names)))
    if not names or re.fullmatch(translate(wanted_parts[0]), names[0]) is None:
        return False
    return _match_parts(names[1:], wanted_parts[1:])


def _braces(pattern: str, *, depth: int = 4) -> list[str]:
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None or depth == 0:
        return [pattern]
    options = match[1].split(",")
    return [
        whole
        for option in options[:32]
        for whole in _braces(pattern[: match.start()] + option + pattern[match.end() :], depth=depth - 1)
    ]


def _scalar(value: str) -> str:
    quoted = re.match(r"\s*(?:\"([^\"]*)\"|'([^']*)')\s*(?:#.*)?$", value)
    if quoted is not None:
        return quoted[1] if quoted[1] is not None else quoted[2]
    return re.sub(r"(?:^|\s+)#.*$", "", value).strip()


def _list_items(inner: str) -> list[str]:
    return [match[0] for match in re.finditer(r"\"[^\"]*\"|'[^']*'|[^,\s][^,]*", inner)]
