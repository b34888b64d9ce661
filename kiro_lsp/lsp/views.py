"""What a feature sees: one version of one document, and everything around it that is known or can be found out.

A view never changes: an edit makes a new one. What costs something is lazy and kept for as long as what it depends on stays the
same, the tasks with the text, the rest as `surroundings.py` says. What is known is answered without a pause of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from kiro_lsp.engine.engine import Engine
from kiro_lsp.errors import KiroError
from kiro_lsp.lsp import convert, documents
from kiro_lsp.lsp.chooser import Chooser
from kiro_lsp.lsp.client import Client
from kiro_lsp.lsp.documents import Document, Encoding
from kiro_lsp.lsp.editor import Editor
from kiro_lsp.lsp.endpoint import CONTENT_MODIFIED, INVALID_PARAMS, Endpoint, ResponseError
from kiro_lsp.lsp.surroundings import Around, Surroundings
from kiro_lsp.settings import Settings
from kiro_lsp.spec import assemble, incremental, tasks
from kiro_lsp.spec.assemble import Draft, Parsed
from kiro_lsp.spec.documents import spec_folder
from kiro_lsp.spec.facts import AgentFact, Facts, RunFact
from kiro_lsp.spec.model import TaskList
from kiro_lsp.spec.requirements import RequirementIndex
from kiro_lsp.spec.skim import Skimmed, skim

Value = TypeVar("Value")

_DERIVED_AT_ONCE_LINES: Final = 1000
"""What features derive from a parsed text of up to so many lines is not worth a thread."""
_SKIMMED_AT_ONCE_LINES: Final = 2000
"""A text of up to so many lines is skimmed on the loop, which takes some milliseconds, once: a thread would add another."""
_READ_AHEAD_SECONDS: Final = 0.2
_READ_SOON_SECONDS: Final = 0.03
AT_ONCE_LINES: Final = 150
"""A text of up to so many lines is parsed on the loop: that takes less than a pause would."""
_SKIMMED: Final = "skimmed"
_AHEAD: Final = "read ahead"
SPEC_DOCUMENTS: Final = frozenset({"requirements.md", "design.md", "spec.md", "bugfix.md", "plan.md", "proposal.md"})
_TRIES: Final = 4
_ABOVE: Final = 4
"""How many folders up the task file of a spec document may lie (`openspec/changes/x/specs/area/spec.md`)."""


class Place(NamedTuple):
    """Where a document lies: its project, and its path in it with `/`."""

    root: Path
    path: str
    is_task_file: bool


class View:
    """One version of one document. `lines` have their ends; positions inside are characters, on the wire the client's units."""

    def __init__(self, views: Views, document: Document, place: Place) -> None:
        self.views = views
        self.root, self.path, is_task_file = place
        self.uri = document.uri
        self.version = document.version if document.version >= 0 else None
        """None for a document that is not open."""
        self.lines: Sequence[str] = document.lines
        self.encoding: Encoding = views.client.encoding
        self.is_task_file = is_task_file
        """Else it is a document of a spec: requirements.md, design.md …"""
        self.cache: dict[str, Any] = {}
        """For features: what they derived from this very text, each under its own name."""
        self.kept: dict[str, Any] = document.kept
        """The same for what they carry from one version of the document to the next, with what it was made of."""
        self._document = document
        self._parsing: asyncio.Task[Parsed] | None = None
        self._parsed: Parsed | None = None
        self._facts: dict[bool, tuple[Facts, int, float]] = {}

    # The text

    @property
    def text(self) -> str:
        return "".join(self.lines)

    @property
    def is_current(self) -> bool:
        """Whether the document still has this text."""
        return self._document.lines is self.lines and self.views.current(self.uri, self._document)

    @property
    def is_unread(self) -> bool:
        """Whether this is a large task file as it was opened, of which nothing is known yet."""
        unread = self._parsed is None and self._parsing is None and self._document.history.base is None
        return unread and self.is_task_file and not self._document.edited and len(self.lines) > AT_ONCE_LINES

    @property
    def client(self) -> Client:
        return self.views.client

    # Positions

    def position(self, wire: Mapping[str, Any]) -> tuple[int, int]:
        """(line, column in characters) of a position of the client. Raises ResponseError for what is none."""
        try:
            return convert.point_in(self.lines, wire, self.encoding)
        except (KeyError, TypeError):
            raise ResponseError(INVALID_PARAMS, "a position is not a position") from None

    def range(self, line: int, start: int, end: int) -> dict[str, Any]:
        """A range inside one line, from columns in characters."""
        return convert.range_in(self.lines, line, start, end, self.encoding)

    def span(self, start: tuple[int, int], end: tuple[int, int]) -> dict[str, Any]:
        """A range from (line, column) to (line, column)."""
        return convert.span_in(self.lines, start, end, self.encoding)

    # What it says

    async def made(self, make: Callable[[], Value]) -> Value:
        """What is derived from the text; of a large one in a thread."""
        return make() if len(self.lines) <= _DERIVED_AT_ONCE_LINES else await asyncio.to_thread(make)

    async def once(self, name: str, make: Callable[[], Value]) -> Value:
        """The same, made once for each text and kept in `cache` under the name."""
        if name not in self.cache:
            self.cache[name] = await self.made(make)
        found: Value = self.cache[name]
        return found

    async def parsed(self) -> Parsed:
        """Lines, blocks and tasks, made once for each text; what takes long is done in a thread.

        Raises ResponseError (ContentModified) when the text was edited meanwhile.
        """
        parsed = await self.read()
        await self.once("tasks", lambda: parsed.task_list)
        return parsed

    async def read(self) -> Parsed:
        """The same with the rows of the tasks only: of a large text `task_list` must not be asked for on the loop.

        Found once for each text, from the edit on where that is possible. Raises as `parsed` does.
        """
        if self._parsed is None:
            if not self.is_current:  # its history tells of later texts
                raise ResponseError(CONTENT_MODIFIED, "the document was edited meanwhile")
            history, lines = self._document.history, self.lines
            base, edit, count = history.base, history.since(), len(history.edits)
            draft: Draft | None = base if base is not None and edit is None else None
            if draft is None and base is not None and edit is not None:
                draft = incremental.within(base, lines, edit)
            if draft is None and len(lines) <= AT_ONCE_LINES:
                draft = assemble.drafted(lines, str(self.root / self.path))
            if draft is None:
                return await self._parsed_aside()
            self._take(draft, base, count)
        assert self._parsed is not None
        return self._parsed

    async def _parsed_aside(self) -> Parsed:
        """One version of a document is parsed at a time, and one that was edited meanwhile not at all."""
        if self._parsing is None:
            self._parsing = asyncio.get_running_loop().create_task(self._parse(), name="parse")
        return await asyncio.shield(self._parsing)

    async def _parse(self) -> Parsed:
        async with self.views.parsing(self.uri):
            if not self.is_current:
                raise ResponseError(CONTENT_MODIFIED, "the document was edited meanwhile")
            history, lines = self._document.history, self.lines
            base, edit, count = history.base, history.since(), len(history.edits)
            if base is not None and edit is not None:
                draft = await asyncio.to_thread(incremental.updated, base, lines, edit)
            else:
                draft = await asyncio.to_thread(assemble.drafted, lines, str(self.root / self.path))
            self._take(draft, base, count)
            return draft

    def _take(self, draft: Draft, base: object, count: int) -> None:
        self._parsed = draft
        self.cache.pop(_SKIMMED, None)
        self._document.history.parsed(draft, base, count, is_current=self.is_current)

    async def skimmed(self) -> Skimmed | None:
        """Headings and tasks of a plainly written file of which nothing is known yet (`is_unread`); None for any other.

        What can be answered from that need not wait until everything about its tasks is found.
        """
        if _SKIMMED not in self.cache and self.is_unread:
            at_once, path = len(self.lines) <= _SKIMMED_AT_ONCE_LINES, str(self.root / self.path)
            self.cache[_SKIMMED] = (
                skim(self.lines, path) if at_once else await asyncio.to_thread(skim, self.lines, path)
            )
        found: Skimmed | None = self.cache.get(_SKIMMED)
        return found

    def read_ahead(self, *, soon: bool = False) -> None:
        """After a pause find the rest of a file that was answered for from a part of it, if it is still open as it is.

        `soon`: it will be asked for next, so only the answer is waited for to be on its way.
        """
        if _AHEAD not in self.cache:
            wait = _READ_SOON_SECONDS if soon else _READ_AHEAD_SECONDS
            self.cache[_AHEAD] = asyncio.get_running_loop().call_later(wait, self._read_ahead)

    def _read_ahead(self) -> None:
        if self.is_current and self.is_unread:
            self.cache[_AHEAD] = asyncio.get_running_loop().create_task(self._read_rest(), name="read ahead")

    async def _read_rest(self) -> None:
        try:
            await self.facts()
        except ResponseError:
            return  # edited meanwhile: whoever asks next has it read as it is

    async def task_list(self) -> TaskList:
        parsed = await self.read()
        return await self.once("tasks", lambda: parsed.task_list)

    # What stands around it

    async def around(self) -> Around:
        """Settings, agents and runs of the project."""
        return await self.views.surroundings.around(self.root)

    async def settings(self) -> Settings:
        return (await self.around()).settings

    async def documents(self) -> Mapping[str, str]:
        """Root-relative path → text of the other documents of this spec; open ones as they are in the editor."""
        found = await self.views.surroundings.spec_texts(self.root, self.path)
        return found if self.path not in found else {path: found[path] for path in found if path != self.path}

    async def requirements(self) -> RequirementIndex:
        return await self.views.surroundings.requirements(self.root, self.path)

    async def exists(self, paths: Iterable[str]) -> Mapping[str, bool]:
        """Whether root-relative paths are there; those that no project may hold are left out."""
        return await self.views.surroundings.existing(self.root, frozenset(paths))

    async def sibling(self, path: str) -> View | None:
        """Another document of the project by its root-relative path, open or not; None if there is none."""
        return await self.views.at(self.root, path)

    async def task_views(self) -> list[View]:
        """The task files of this document's spec: itself, if it is one; else the `tasks.md` beside or above it."""
        if self.is_task_file:
            return [self]
        folder = spec_folder(self.path)
        for _ in range(_ABOVE):
            found = await self.sibling(f"{folder}/tasks.md" if folder else "tasks.md")
            if found is not None:
                return [found]
            if not folder:
                break
            folder = folder.rpartition("/")[0]
        return []

    async def facts(self, *, existing: bool = False) -> Facts:
        """All of it as the one value that checks and answers are functions of; `existing` looks at the paths of all tasks.

        The same object for as long as nothing in it changed.
        """
        known = self.known_facts(existing=existing)
        if known is not None:
            return known
        around, kept = self.views.surroundings, self._facts.get(existing)
        changes, until = around.changes, around.fresh_until
        facts = await self._found(existing=existing)
        if kept is not None and kept[0] == facts:
            facts = kept[0]
        self._facts[existing] = (facts, changes, until)
        return facts

    def known_facts(self, *, existing: bool = False) -> Facts | None:
        """The same if nothing needs to be looked at again."""
        kept = self._facts.get(existing)
        return kept[0] if kept is not None and self.views.surroundings.is_fresh(kept[1], kept[2]) else None

    async def _found(self, *, existing: bool) -> Facts:
        parsed = await self.parsed()
        wanted = frozenset(path for task in parsed.task_list.tasks for path in task.files) if existing else frozenset()
        return await self.facts_about(parsed, await self.exists(wanted) if wanted else {})

    async def facts_about(self, parsed: Parsed, existing: Mapping[str, bool] = MappingProxyType({})) -> Facts:
        """What stands around the document, with as much of it as was read."""
        around = await self.around()
        runs = {
            run.task_key: RunFact(
                *(run.run_id, run.task_key, run.label, run.state, run.phase, run.started_at, run.cost, run.files),
                used=run.used,
            )
            for run in around.runs
            if run.path == self.path
        }
        recommended = around.offer.recommended
        agents = tuple(
            AgentFact(agent.name, agent.label, agent.available, agent.reason, agent == recommended)
            for agent in around.offer.agents
        )
        return Facts(
            self.path,
            parsed,
            await self.documents(),
            await self.requirements(),
            existing,
            runs,
            agents,
            Chooser(around.offer.agents, around.settings, around.offer.in_file(self.path).past),
        )

    def notify(self, method: str, params: Any) -> None:
        """Send a notification about this text; nothing is sent once the document has another."""
        if self.is_current:
            self.views.endpoint.notify(method, params)


class PlaceFinder(Protocol):
    """The session, as far as views need it."""

    def place_of(self, uri: str) -> tuple[Path, Path]:
        """(root, absolute path) of a document. Raises UsageError for a URI that is no file."""
        ...

    def roots(self) -> Sequence[Path]:
        """The projects that are open."""
        ...


class Views:
    """The views of one session."""

    def __init__(self, engine: Engine, editor: Editor, endpoint: Endpoint, places: PlaceFinder) -> None:
        self._engine, self._editor, self._places = engine, editor, places
        self.endpoint = endpoint
        self.surroundings = Surroundings(engine)
        self._known_places: dict[str, Place | None] = {}
        self._closed: dict[str, Document] = {}
        """Documents that are not open, as they were last read."""
        self._parsing: dict[str, asyncio.Lock] = {}
        self._numbers: dict[str, int] = {}
        self.kept: dict[str, Any] = {}
        """For features: what they carry through the session, each under its own name."""

    @property
    def client(self) -> Client:
        return self._editor.client

    def number_of(self, uri: str) -> int:
        """A short name for a document, for what comes back from the client."""
        return self._numbers.setdefault(uri, len(self._numbers))

    async def of_number(self, number: int) -> View | None:
        uri = next((uri for uri, known in self._numbers.items() if known == number), None)
        return None if uri is None else await self.of(uri)

    def parsing(self, uri: str) -> asyncio.Lock:
        """Held by whoever parses a document aside."""
        if len(self._parsing) > _CLOSED_AT_MOST:
            self._parsing = {uri: lock for uri, lock in self._parsing.items() if lock.locked()}
        return self._parsing.setdefault(uri, asyncio.Lock())

    def current(self, uri: str, document: Document) -> bool:
        """Whether a document is the one of this URI. One that was never open still is when it is kept no longer."""
        known = self._editor.documents.get(uri)
        if known is None and document.version < 0:
            known = self._closed.get(uri, document)
        return document.synced and known is document

    def open_documents(self) -> Sequence[Document]:
        return list(self._editor.documents.values())

    def folders_changed(self) -> None:
        """Which project a document belongs to is found out again."""
        self._known_places.clear()
        self._closed.clear()
        for document in self._editor.documents.values():
            document.cache.pop("view", None)
        self.surroundings.forget()

    def known(self, uri: str) -> View | None:
        """The view of an open document that was asked for before, as its text is now."""
        document = self._editor.documents.get(uri)
        view: View | None = document.cache.get("view") if document is not None else None
        return view

    async def of(self, uri: str, *, beside: bool = False) -> View | None:
        """The view of a task file or of a document of a spec; None for every other document, and for one out of step.

        `beside`: the documents beside a task file are wanted next; the thread that finds out where it lies reads them, too.
        """
        document = self._editor.documents.get(uri)
        if document is not None:
            known: View | None = document.cache.get("view")
            if known is not None:
                return known
            if not document.synced:
                return None
        place = await self._place(uri, beside=beside)
        if place is None:
            return None
        return self._view(document, place) if document is not None else await self._of_closed(uri, place)

    async def at(self, root: Path, path: str) -> View | None:
        """The same by root and root-relative path."""
        document = self._editor.at(root / path)
        return await self.of(document.uri if document is not None else convert.uri_of(root / path))

    async def as_it_is(self, view: View, find: Callable[[View], Awaitable[Value]]) -> Value:
        """What is found in a document; in its newer text where it is changed while it is looked at.

        Raises ResponseError (ContentModified) for one that never rests.
        """
        for _ in range(_TRIES):
            try:
                return await find(view)
            except ResponseError as error:
                if error.code != CONTENT_MODIFIED:
                    raise
            view = await self.of(view.uri) or view
        return await find(view)

    async def task_views(self) -> list[View]:
        """Every task file of the projects that are open, as it is in the editor or on disk."""
        found: dict[str, View] = {}
        for root in self._places.roots():  # one may lie in another
            for path in await self.surroundings.task_files(root):
                view = await self.at(root, path)
                if view is not None:
                    found.setdefault(view.uri, view)
        return list(found.values())

    def _view(self, document: Document, place: Place) -> View:
        view: View | None = document.cache.get("view")
        if view is None:
            view = document.cache["view"] = View(self, document, place)
        return view

    async def _of_closed(self, uri: str, place: Place) -> View | None:
        text = await self.surroundings.text_on_disk(place.root, place.path)
        if text is None:
            self._closed.pop(uri, None)
            return None
        known = self._closed.get(uri)
        if known is None or known.saved_text != text:
            known = self._closed[uri] = documents.opened(uri, "markdown", -1, text)
            lines = sum(len(document.lines) for document in self._closed.values())
            while len(self._closed) > _CLOSED_AT_MOST or (lines > _CLOSED_LINES_AT_MOST and len(self._closed) > 1):
                lines -= len(self._closed.pop(next(iter(self._closed))).lines)
        return self._view(known, place)

    async def _place(self, uri: str, *, beside: bool) -> Place | None:
        if uri not in self._known_places:
            if len(self._known_places) > _PLACES_AT_MOST:
                self._known_places.clear()
            find = partial(self._find_place_and_read, self.surroundings.changes) if beside else self._find_place
            self._known_places[uri] = await asyncio.to_thread(find, uri)
        return self._known_places[uri]

    def _find_place_and_read(self, changes: int, uri: str) -> Place | None:
        place = self._find_place(uri)
        if place is not None and place.is_task_file:
            self.surroundings.read_spec_texts(place.root, place.path, changes)
        return place

    def _find_place(self, uri: str) -> Place | None:
        path = convert.file_of(uri)
        if path is None:
            return None
        is_task_file = tasks.is_task_file(path.as_posix())
        if not is_task_file and path.name.lower() not in SPEC_DOCUMENTS:
            return None
        try:
            root, path = self._places.place_of(uri)
            return Place(root, self._engine.workspace(root).relative(path), is_task_file)
        except KiroError:
            return None


_CLOSED_AT_MOST: Final = 1000
_CLOSED_LINES_AT_MOST: Final = 100_000
_PLACES_AT_MOST: Final = 10_000
