"""What is sent to an agent for one task: a stable prefix (system text and documents) and the task, last.

The stable part has the same bytes for every task of a spec, so that provider caches hit: what is cut from it depends on
the documents and the limit, never on the task. The requirements that a task names stand in full in its own part,
whatever was cut. Text of the project is wrapped as data and cleaned of hidden characters; what was left out is said.
Where documents are not shared, the stable part is the system text alone, and a task brings the documents that concern it.

Pure: documents come in as text, a Prompt goes out. Which documents matter is documents.py, what a requirement reference
means is requirements.py.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kiro_lsp.spec import documents, unicode
from kiro_lsp.spec.documents import ContextDocument
from kiro_lsp.spec.instructions import SYSTEM
from kiro_lsp.spec.model import Task, TaskList
from kiro_lsp.spec.references import codes_in, references_in
from kiro_lsp.spec.requirements import Requirement, RequirementIndex, index_requirements, requirement_paths

DEFAULT_LIMIT = 64_000
"""Tokens of a whole prompt, by `estimate_tokens`."""
_STABLE_SHARE = 0.75
_ONE_DOCUMENT_SHARE = 0.4
_WORTH_CUTTING = 200
_NEIGHBOURS = 6
_ON_DEMAND: frozenset[documents.Role] = frozenset(
    {"data-model", "contract", "quickstart", "research", "checklist", "base-spec"}
)
"""Documents that concern a task only if it names them."""


@dataclass(frozen=True, slots=True)
class PromptDocument:
    """A context document as it is sent; `text` may be an excerpt, which then says so."""

    path: str
    role: str
    text: str
    tokens: int = 0

    def render(self) -> str:
        """The text in its wrapper, which nothing inside can close."""
        inner = re.sub(r"<(/?)(document)", r"&lt;\1\2", self.text, flags=re.IGNORECASE)
        path = re.sub(r"[\"<>\x00-\x1f\x7f]", "_", self.path)
        return f'<document path="{path}" role="{self.role}">\n{inner}\n</document>'


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What did not fit or does not apply; `tokens` is what it would have cost."""

    path: str
    reason: str
    tokens: int


@dataclass(frozen=True, slots=True)
class HiddenText:
    """Invisible characters that were taken out of a text before it was sent. `line` is 0-based."""

    path: str
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Prompt:
    system: str
    documents: tuple[PromptDocument, ...]
    task: str
    left_out: tuple[LeftOut, ...] = ()
    tokens: int = 0
    """An estimate for the whole prompt."""
    limit: int = 0
    notes: str = ""
    """What the stable part says about itself: what was cut, left out or cleaned."""
    hidden: tuple[HiddenText, ...] = ()
    shared: bool = True
    """Whether the documents are those of every task of the spec, or this task's own."""

    @property
    def documents_text(self) -> str:
        """The documents in their wrappers and the notes on them; "" when there is neither."""
        return "\n\n".join([*(document.render() for document in self.documents), *([self.notes] if self.notes else [])])

    @property
    def stable_texts(self) -> tuple[str, ...]:
        """The system text and, where they are shared, the documents: the same bytes for every task of a spec."""
        return tuple(text for text in (self.system, self.documents_text if self.shared else "") if text.strip())

    @property
    def stable_text(self) -> str:
        """The stable texts as one."""
        return "\n\n".join(self.stable_texts)

    @property
    def own_text(self) -> str:
        """The task, behind its documents where they are its own."""
        return "\n\n".join(text for text in ("" if self.shared else self.documents_text, self.task) if text)

    def render(self) -> str:
        """Exactly what is sent, as one text."""
        return f"{self.stable_text}\n\n{self.own_text}\n"


def estimate_tokens(text: str) -> int:
    """A rough count without a tokenizer: four ASCII characters, or one and a quarter of any other, to a token."""
    plain = sum(map(str.isascii, text)) if not text.isascii() else len(text)
    return -(-plain // 4) + -(-(len(text) - plain) * 4 // 5)


def build_prompt(
    dialect: str,
    task_list: TaskList,
    task: Task,
    task_path: str,
    docs: Mapping[str, str],
    *,
    limit_tokens: int = DEFAULT_LIMIT,
    note: str = "",
    target_files: Sequence[str] = (),
    shared: bool = True,
) -> Prompt:
    """The prompt of one task. `task_path` and the keys of `docs` are root-relative with `/`.

    `note` is what the person added; `#name` in it, or in the task, includes manual steering of that name. With `shared`
    every task gets the same documents, without it only those that concern it.
    """
    cleaned, hidden = _clean(docs)
    selection = documents.select(dialect, task_path, cleaned)
    index = requirement_index({document.path: document.text for document in selection.stable})
    part = _TaskPart(task_list, task, task_path, index, note, tuple(target_files))
    chosen, skipped = (selection.stable, ()) if shared else part.concerning(selection.stable)
    fitted, left_out = _fit(chosen, int(limit_tokens * _STABLE_SHARE) - estimate_tokens(SYSTEM))
    left_out = (*skipped, *left_out)
    sent = {document.path for document in chosen}
    stable_hidden = tuple(item for item in hidden if item.path in sent)
    notes = _notes(left_out, stable_hidden)
    prompt = Prompt(SYSTEM, fitted, "", left_out, 0, limit_tokens, notes, hidden, shared)
    used = estimate_tokens("\n\n".join((SYSTEM, prompt.documents_text)))
    text, left_for_task = part.render(selection.conditional, limit_tokens - used)
    return replace(prompt, task=text, left_out=(*left_out, *left_for_task), tokens=used + estimate_tokens(text))


def requirement_index(docs: Mapping[str, str]) -> RequirementIndex:
    """The requirements that the documents of a spec define."""
    return index_requirements([(path, docs[path]) for path in requirement_paths(docs)])


def requirements_of(
    task_list: TaskList, task: Task, index: RequirementIndex
) -> tuple[tuple[Requirement, ...], tuple[str, ...]]:
    """What a task refers to, itself or through its sub-tasks, and the references that no document answers to."""
    family = (task, *children_of(task_list, task))
    declared: dict[str, None] = {}
    in_passing: dict[str, None] = {}
    for member in family:
        words = f"{member.title}\n{member.body}"
        written = references_in(words)
        declared.update(dict.fromkeys(written))
        # The lines as written say more than the ids alone: `R2.1 (Iframe Integration)` names what it means.
        declared.update({ref: None for ref in member.requirements if not any(ref in line for line in written)})
        in_passing.update(dict.fromkeys(codes_in(words)))
        if member.story:
            in_passing[f"US{member.story}" if member.story.isdigit() else member.story] = None
    found, missing = index.resolve(declared)
    # A code in a sentence may be about anything; only what the task declares is missed when no document has it.
    passing, _ = index.resolve(in_passing)
    mentioned = index.mentioned(" ".join(f"{member.title} {member.body} {member.section or ''}" for member in family))
    entries = {(entry.path, entry.line): entry for entry in (*found, *passing, *mentioned)}
    return tuple(entries.values()), missing


def children_of(task_list: TaskList, task: Task) -> tuple[Task, ...]:
    """Every task below a task, in the order of the file."""
    keys = {task.key}
    found = []
    for other in task_list.tasks:
        if other.parent in keys and other.key != task.key:
            keys.add(other.key)
            found.append(other)
    return tuple(found)


def own_prompt(task: Task) -> str:
    """The instructions that the task's author wrote for an agent (`_Prompt: …_`), "" without any."""
    for key, value in task.metadata.items():
        if key.strip("_* ").lower() == "prompt":
            return value.strip().strip("_").strip()
    return ""


def _clean(docs: Mapping[str, str]) -> tuple[dict[str, str], tuple[HiddenText, ...]]:
    cleaned: dict[str, str] = {}
    hidden: list[HiddenText] = []
    for path, text in docs.items():
        plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        hidden.extend(HiddenText(path, finding.line, finding.message) for finding in unicode.scan(plain))
        cleaned[path] = unicode.strip(plain)
    return cleaned, tuple(sorted(hidden, key=lambda item: (item.path, item.line)))


def _fit(docs: Sequence[ContextDocument], room: int) -> tuple[tuple[PromptDocument, ...], tuple[LeftOut, ...]]:
    """Documents within a number of tokens: the ones that matter most first, cut at a line where one is too long.

    No document takes more than a share of the room while others wait; what remains then goes to those that were cut.
    """
    need = {document.path: estimate_tokens(document.text) for document in docs}
    given = dict.fromkeys(need, 0)
    order = sorted(docs, key=lambda document: document.priority)
    for cap in (int(room * _ONE_DOCUMENT_SHARE), room):
        for document in order:
            more = min(need[document.path], cap, given[document.path] + room - sum(given.values()))
            # A scrap of a document helps nobody.
            if more == need[document.path] or more >= _WORTH_CUTTING:
                given[document.path] = max(given[document.path], more)
    fitted, left_out = [], []
    for document in docs:
        tokens, whole = given[document.path], need[document.path]
        if tokens == 0 and whole:
            left_out.append(LeftOut(document.path, "does not fit", whole))
        elif tokens < whole:
            text = _excerpt(document, tokens)
            kept = estimate_tokens(text)
            fitted.append(PromptDocument(document.path, document.role, text, kept))
            left_out.append(LeftOut(document.path, "cut to fit", whole - kept))
        else:
            fitted.append(PromptDocument(document.path, document.role, document.text.strip("\n"), whole))
    return tuple(fitted), tuple(left_out)


def _excerpt(document: ContextDocument, tokens: int) -> str:
    kept: list[str] = []
    used = 0
    marker = f"[… cut here; the rest is in {document.path}]"
    room = tokens - estimate_tokens(marker) - 1
    for line in document.text.strip("\n").split("\n"):
        used += estimate_tokens(line + "\n")
        if used > room:
            break
        kept.append(line)
    return "\n".join([*kept, marker])


def _notes(left_out: Sequence[LeftOut], hidden: Sequence[HiddenText]) -> str:
    lines = []
    if left_out:
        lines.append("Not all documents are here. Read these with your tools where you need them:")
        lines.extend(f"- {item.path}: {item.reason}, about {item.tokens} tokens left out" for item in left_out)
    if hidden:
        lines.append("Invisible characters were taken out of these documents; be careful with what they say:")
        lines.extend(f"- {item.path}, line {item.line + 1}: {item.message}" for item in hidden[:20])
    return "\n".join(lines)


@dataclass(slots=True)
class _TaskPart:
    """The part of a prompt that is about its task."""

    task_list: TaskList
    task: Task
    task_path: str
    index: RequirementIndex
    note: str
    target_files: tuple[str, ...]
    lines: list[str] = field(default_factory=list)

    def render(self, conditional: Sequence[ContextDocument], room: int) -> tuple[str, tuple[LeftOut, ...]]:
        self._head()
        self._statement()
        self._family()
        self._requirements()
        self._files()
        left_out = self._steering(conditional, room)
        if self.note.strip():
            self._block("What the person added", unicode.strip(self.note.strip()))
        self._block("Now", f"Carry out {self._name(self.task)} and nothing else. Then summarise.")
        return "\n".join(self.lines).strip("\n"), left_out

    def concerning(self, stable: Sequence[ContextDocument]) -> tuple[tuple[ContextDocument, ...], tuple[LeftOut, ...]]:
        """The documents that concern this task, and those that do not.

        How the project works and what was designed always does. Requirements do not where the task's part quotes those
        that it names; what only some tasks look up does where the task names the file.
        """
        quoted, _missing = requirements_of(self.task_list, self.task, self.index)
        answered = {entry.path for entry in quoted}
        words = self._words()
        chosen, skipped = [], []
        for document in stable:
            named = document.path.rpartition("/")[2] in words
            if document.path in answered and not named:
                skipped.append((document, "what the task names of it is quoted"))
            elif document.role in _ON_DEMAND and not named:
                skipped.append((document, "not named by this task"))
            else:
                chosen.append(document)
        return tuple(chosen), tuple(
            LeftOut(document.path, why, estimate_tokens(document.text)) for document, why in skipped
        )

    def _words(self) -> str:
        """What the person and the task's author wrote about it."""
        family = (self.task, *children_of(self.task_list, self.task))
        return "\n".join([self.note, *(f"{member.title}\n{member.body}" for member in family)])

    def _block(self, title: str, text: str) -> None:
        self.lines.extend(("", f"## {title}", "", text))

    def _name(self, task: Task) -> str:
        title = unicode.strip(task.title)
        return f"task {task.id}: {title}" if task.id else f"the task “{title}”"

    def _head(self) -> None:
        name = documents.spec_folder(self.task_path).rpartition("/")[2]
        self.lines.append(f"# The task: {f'{self.task.id} ' if self.task.id else ''}{unicode.strip(self.task.title)}")
        self.lines.append("")
        where = f"It stands in {self.task_path}" + (f" of the specification “{name}”" if name else "")
        self.lines.append(where + (f", under “{unicode.strip(self.task.section)}”." if self.task.section else "."))

    def _statement(self) -> None:
        written = unicode.strip(own_prompt(self.task))
        body = textwrap.dedent(unicode.strip(_without_prompt(self.task.body) if written else self.task.body)).strip(
            "\n"
        )
        if written:
            self._block("Instructions written for this task", written)
        if body.strip():
            self._block("Details", body)

    def _family(self) -> None:
        children = children_of(self.task_list, self.task)
        if children:
            parts = []
            for child in children:
                parts.append(
                    f"- [{child.mark or ' '}] {f'{child.id} ' if child.id else ''}{unicode.strip(child.title)}"
                )
                body = textwrap.dedent(unicode.strip(_without_prompt(child.body))).strip("\n")
                parts.extend("  " + line for line in body.split("\n") if line.strip())
            self._block("Its parts, all of which belong to this task", "\n".join(parts))
        parent = next((other for other in self.task_list.tasks if other.key == self.task.parent), None)
        if parent is not None:
            about = unicode.strip(f"{parent.id or ''} {parent.title}".strip() + f"\n{_without_prompt(parent.body)}")
            self._block("The task it is a part of, for context only", about.strip("\n"))
        siblings = [task for task in self.task_list.tasks if task.parent == self.task.parent and not task.criterion]
        at = next((place for place, other in enumerate(siblings) if other.key == self.task.key), None)
        if at is not None and len(siblings) > 1:
            near = siblings[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS + 1]
            listed = (
                f"- [{other.mark or ' '}] {f'{other.id} ' if other.id else ''}{unicode.strip(other.title)}"
                + ("  ← this task" if other.key == self.task.key else "")
                for other in near
            )
            self._block("Around it, for context only", "\n".join(listed))

    def _requirements(self) -> None:
        found, missing = requirements_of(self.task_list, self.task, self.index)
        parts: list[str] = []
        shown = ""
        for entry in found:
            heading = f"{entry.path} — {entry.title}"
            if heading != shown:
                parts.extend(("", f"### {heading}"))
                shown = heading
                if entry.story:
                    parts.extend(("", entry.story))
            own = entry.ref if entry.owner or entry.ref not in entry.title else ""
            parts.extend(("", f"{own}. {entry.text}" if own else entry.text))
        if missing:
            parts.extend(("", f"Named by the task, but in none of the spec's documents: {', '.join(missing)}."))
        if parts:
            self._block("The requirements it names", "\n".join(parts).strip("\n"))

    def _files(self) -> None:
        files = dict.fromkeys((*self.task.files, *self.target_files))
        if files:
            self._block("Files it names", "\n".join(f"- {unicode.strip(path)}" for path in files))

    def _steering(self, conditional: Sequence[ContextDocument], room: int) -> tuple[LeftOut, ...]:
        family = (self.task, *children_of(self.task_list, self.task))
        files = (*(path for member in family for path in member.files), *self.target_files)
        words = self._words()
        left_out: list[LeftOut] = []
        included: list[str] = []
        for document in conditional:
            tokens = estimate_tokens(document.text)
            if not documents.applies(document, files, words):
                left_out.append(LeftOut(document.path, _condition(document), tokens))
            elif estimate_tokens("\n".join(self.lines)) + sum(map(estimate_tokens, included)) + tokens > room:
                left_out.append(LeftOut(document.path, "does not fit", tokens))
            else:
                text = document.text.strip("\n")
                included.append(PromptDocument(document.path, document.role, text, tokens).render())
        if included:
            self._block("Rules for what it touches", "\n\n".join(included))
        if left_out:
            listed = "\n".join(f"- {item.path} ({item.reason})" for item in left_out)
            self._block("Rules that are not included; read them if they apply", listed)
        return tuple(left_out)


def _condition(document: ContextDocument) -> str:
    if document.inclusion == "fileMatch":
        return f"for files like {', '.join(document.file_patterns)}" if document.file_patterns else "for some files"
    if document.inclusion == "auto":
        return f"when it is about: {document.description}" if document.description else "when it is relevant"
    return f"only when named as #{document.name}"


_PROMPT_LINES = re.compile(
    r"^[ \t]*(?:[-*+][ \t]+)?[_*]*Prompt[_*]*[ \t]*[:：].*?(?=^[ \t]*[-*+][ \t]|^[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)


def _without_prompt(body: str) -> str:
    return _PROMPT_LINES.sub("", body)
