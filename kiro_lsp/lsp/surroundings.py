"""What stands around task files: the documents of their specs, paths that exist, runs, agents, settings.

Everything here is found out in threads and kept until something changes that we are told of (`forget`). After a second, or
twenty times what finding it out took, it is looked at again beside the answer that asked for it, since not everything that
changes on disk is told; if it changed, `on_change` says so. A value that was found to be the same stays the same object, so
that whoever keeps something made of it can tell.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final, TypeVar, cast

from kiro_lsp.engine.engine import Engine, LiveRun
from kiro_lsp.engine.workspace import DOCUMENT_LIMIT, Workspace
from kiro_lsp.errors import PathRefused, UnreadableFile
from kiro_lsp.executors import choice
from kiro_lsp.lsp.lenses import Offer
from kiro_lsp.sandbox import files, listing, paths
from kiro_lsp.settings import Settings
from kiro_lsp.spec import tasks
from kiro_lsp.spec.facts import requirements_in
from kiro_lsp.spec.requirements import RequirementIndex

log = logging.getLogger(__name__)

FRESH_SECONDS: Final = 1.0
_STALE_SECONDS: Final = 30.0
"""How much longer what was known is given at once while it is looked at again."""
_COST_FACTOR: Final = 20
_KEPT_AT_MOST: Final = 500
_OF_A_FILE: Final = frozenset({"file", "disk"})
"""What there may be thousands of, and costs little: it goes first."""
_WITHOUT_TEXTS: Final = frozenset({"around"})
"""What no task file says anything about, and that costs most."""
_BESIDE_SECONDS: Final = 0.02
"""How long looking again waits, so that it does not keep the answer waiting that it is done beside."""
_CHANGING: Final = frozenset({"existing"})
"""What has another key with nearly every edit; of it only the last few are kept."""
_CHANGING_AT_MOST: Final = 8
_WALK_DEPTH: Final = 8
_WALK_AT_MOST: Final = 100_000
"""Entries that are looked at for task files."""
FILES_AT_MOST: Final = 100_000
"""Paths that completion can offer."""
_NEVER_ENTERED: Final = frozenset({".git", "node_modules", ".venv", "venv", "__pycache__", "target", "dist", "build"})

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Around:
    """What a project offers and what is going on in it."""

    settings: Settings
    offer: Offer
    runs: Sequence[LiveRun]
    """The newest run of every task that has one."""


@dataclass(slots=True)
class _Kept:
    value: Any
    changes: int
    until: float


class Surroundings:
    """`changes` counts what we were told of; equal before and after means that nothing was."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: dict[tuple[object, ...], _Kept] = {}
        self._loop = asyncio.get_running_loop()
        self._looking: dict[tuple[object, ...], asyncio.Task[None]] = {}
        self.changes = 0
        self.on_change: Callable[[], None] = lambda: None
        """Called on the loop when something changed."""
        self.on_difference: Callable[[], None] = lambda: None
        """Called as well when that was found by looking, so that nobody else knows."""

    def forget(self) -> None:
        """Something changed: find everything out again when it is asked for."""
        self.changes += 1
        self.on_change()

    def forget_texts(self) -> None:
        """A document was opened or closed that sets nothing: texts may differ from what is on the disk, the rest stays."""
        before, self.changes = self.changes, self.changes + 1
        for key, kept in self._kept.items():
            if key[0] in _WITHOUT_TEXTS and kept.changes == before:
                kept.changes = self.changes
        self.on_change()

    def stop(self) -> None:
        for looking in self._looking.values():
            looking.cancel()

    def is_fresh(self, changes: int, until: float) -> bool:
        return changes == self.changes and self._loop.time() < until

    @property
    def fresh_until(self) -> float:
        return self._loop.time() + FRESH_SECONDS

    async def around(self, root: Path) -> Around:
        return await self._keep(("around", root), lambda: self._around(root))

    async def spec_texts(self, root: Path, task_path: str) -> Mapping[str, str]:
        """Root-relative path → text of the documents of a task file's own spec. Open documents as they are in the editor."""
        workspace = self._engine.workspace(root)
        return await self._keep(("texts", root, task_path), lambda: self._spec_texts(workspace, task_path))

    def read_spec_texts(self, root: Path, task_path: str, changes: int) -> None:
        """For a thread: have them known before it is through, as of `changes`."""
        key, begun = ("texts", root, task_path), perf_counter()
        texts = self._spec_texts(self._engine.workspace(root), task_path)
        self._loop.call_soon_threadsafe(self._found, key, texts, changes, perf_counter() - begun)

    async def requirements(self, root: Path, task_path: str) -> RequirementIndex:
        """What those documents define."""
        texts = await self.spec_texts(root, task_path)
        known = self._kept.get(("requirements", root, task_path))
        if known is None or known.value[0] is not texts:
            index = await asyncio.to_thread(requirements_in, texts) if texts else RequirementIndex()
            known = self._put(("requirements", root, task_path), (texts, index), self.changes, 0.0)
        return cast("RequirementIndex", known.value[1])

    async def existing(self, root: Path, wanted: frozenset[str]) -> Mapping[str, bool]:
        """Whether paths, relative to the root, are there. Those that no project may hold are left out."""
        return await self._keep(("existing", root, wanted), lambda: _existing(root, wanted)) if wanted else {}

    async def task_files(self, root: Path) -> Sequence[str]:
        """Root-relative paths of the task files of a project, also of those that git ignores."""
        return await self._keep(("task files", root), lambda: _task_files(root))

    async def project_files(self, root: Path) -> Sequence[str]:
        """Root-relative paths of the project's files that are not ignored, at most `FILES_AT_MOST` of them."""
        return await self._keep(("project files", root), lambda: self._project_files(root))

    async def text_on_disk(self, root: Path, path: str) -> str | None:
        """The text of a file that is not open, None when there is none that can be read."""
        return await self._keep(("file", root, path), lambda: self._disk_text(root, path))

    async def _keep(self, key: tuple[object, ...], find: Callable[[], Value]) -> Value:
        known, now = self._kept.get(key), self._loop.time()
        if known is not None and known.changes == self.changes:
            if now < known.until:
                return cast("Value", known.value)
            if now < known.until + _STALE_SECONDS:  # nobody said that it changed: look again, and say so if it did
                if key not in self._looking:
                    self._looking[key] = self._loop.create_task(self._look_again(key, find, known.value))
                return cast("Value", known.value)
        return await self._find(key, find)

    async def _find(self, key: tuple[object, ...], find: Callable[[], Value]) -> Value:
        changes, begun = self.changes, perf_counter()
        value = await asyncio.to_thread(find)
        return self._found(key, value, changes, perf_counter() - begun)

    def _found(self, key: tuple[object, ...], value: Value, changes: int, seconds: float) -> Value:
        """Keep what it took so long to find; what it was before, if it is the same."""
        known = self._kept.get(key)
        if known is not None and known.value == value:
            value = known.value
        lasting = max(FRESH_SECONDS, _COST_FACTOR * seconds)
        return cast("Value", self._put(key, value, changes, self._loop.time() + lasting).value)

    async def _look_again(self, key: tuple[object, ...], find: Callable[[], Value], before: Value) -> None:
        try:
            await asyncio.sleep(_BESIDE_SECONDS)
            found = await self._find(key, find)
            if found is not before and found != before:  # it may have been found anew, and be the same
                self.on_change()
                self.on_difference()
        except Exception:  # nobody waits for it: the next who asks will be told
            log.exception("looking again at %s failed", key[0])
        finally:
            del self._looking[key]

    def _put(self, key: tuple[object, ...], value: object, changes: int, until: float) -> _Kept:
        self._kept.pop(key, None)
        while len(self._kept) >= _KEPT_AT_MOST:
            del self._kept[next((known for known in self._kept if known[0] in _OF_A_FILE), next(iter(self._kept)))]
        alike = [known for known in self._kept if known[0] == key[0]] if key[0] in _CHANGING else []
        for known in alike[: 1 - _CHANGING_AT_MOST]:
            del self._kept[known]
        kept = self._kept[key] = _Kept(value, changes, until)
        return kept

    # In threads

    def _around(self, root: Path) -> Around:
        workspace = self._engine.workspace(root)
        loaded = workspace.settings()
        if workspace.trust() == "untrusted" and not workspace.restricted:
            loaded = workspace.asked_for()  # shown only: what a click would offer once it was consented to
        known = workspace.agents_of(loaded)
        offer = Offer(
            known,
            workspace.recommended_of(known, loaded),
            str(loaded.settings.kiro.lenses),
            loaded.settings.kiro.enabled,
            "Not run here: the folder is not trusted in the editor" if workspace.restricted else "",
            loaded.settings if choice.can_differ(known) else None,
            pasts=self._engine.pasts(root),
        )
        return Around(loaded.settings, offer, self._engine.live(root))

    def _project_files(self, root: Path) -> list[str]:
        workspace = self._engine.workspace(root)
        trusted = workspace.trust() != "untrusted" and not workspace.restricted
        return listing.list_files(root, trusted=trusted)[:FILES_AT_MOST]

    def _spec_texts(self, workspace: Workspace, task_path: str) -> dict[str, str]:
        found = {}
        for path in workspace.spec_documents(task_path):
            text = workspace.buffer_text(workspace.root / path)
            if text is None:
                text = self._disk_text(workspace.root, path)
            if text is not None:
                found[path] = text
        return found

    def _disk_text(self, root: Path, path: str) -> str | None:
        """Read only when the file's stamp changed."""
        try:
            status = os.stat(root / path)
        except OSError:
            return None
        stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        known = self._kept.get(("disk", root, path))
        if known is not None and known.value[0] == stamp:
            return cast("str | None", known.value[1])
        try:
            data = files.safe_read(root, path, limit=DOCUMENT_LIMIT)
        except (PathRefused, UnreadableFile):
            data = None
        text = None if data is None else tasks.decode(data).text
        self._loop.call_soon_threadsafe(self._put, ("disk", root, path), (stamp, text), 0, 0.0)
        return text


def _task_files(root: Path) -> list[str]:
    found: list[str] = []
    seen = 0
    for folder, folders, names in os.walk(root):
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        deep = relative.count("/") >= _WALK_DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if name not in _NEVER_ENTERED)
        paths_here = (name if relative == "." else f"{relative}/{name}" for name in sorted(names))
        found += [path for path in paths_here if tasks.is_task_file(path)]
        seen += len(names) + 1
        if seen > _WALK_AT_MOST:
            break
    return found


def _existing(root: Path, wanted: Iterable[str]) -> dict[str, bool]:
    found = {}
    for path in wanted:
        try:
            parts = paths.normalise(path.removeprefix("./"))
        except PathRefused:
            continue
        found[path] = os.path.lexists(os.path.join(root, *parts))
    return found
