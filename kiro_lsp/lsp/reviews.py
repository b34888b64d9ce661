"""Reviews for editors: the `kiro/*` requests, contents of `kiro-review:` documents, and the flows of plain clients.

How an accept reaches the files is chosen here by what the client announced; the rules of a review are the engine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from kiro_lsp.changes.changeset import is_binary, unified_diff
from kiro_lsp.changes.lineends import same_text, text_of
from kiro_lsp.changes.merge import merge_into, with_markers
from kiro_lsp.changes.model import FileChange
from kiro_lsp.changes.moved import Moved, moved
from kiro_lsp.changes.review import Review
from kiro_lsp.changes.taken import taken_hunks
from kiro_lsp.engine.disk import Disk
from kiro_lsp.engine.engine import Engine
from kiro_lsp.engine.plan import foreseen
from kiro_lsp.engine.verdicts import in_words, verify_json
from kiro_lsp.engine.wire import review_json, whole_lines
from kiro_lsp.errors import KiroError
from kiro_lsp.lsp import convert
from kiro_lsp.lsp.client import Client
from kiro_lsp.lsp.editor import Editor
from kiro_lsp.lsp.endpoint import INVALID_PARAMS, Endpoint, ResponseError
from kiro_lsp.store import RunRecord

APPLY, DIFF, DISCARD = "Apply", "Show diff", "Discard"
SCHEME = "kiro-review"
_SIDES: Final[Mapping[str, Callable[[Review, str], bytes | None]]] = {
    "base": Review.current,
    "proposed": Review.proposed,
    "merged": Review.proposed,
    "original": Review.original,
    "suggested": Review.suggested,
    "now": Review.current,
    "result": Review.proposed,
}
_NOW: Final = frozenset({"now", "result"})
"""Sides of which the file itself is a part, where it is another than what the run read."""


class Reviews:
    """What a client can do with pending changes."""

    def __init__(self, engine: Engine, editor: Editor, endpoint: Endpoint) -> None:
        self._engine, self._editor, self._endpoint = engine, editor, endpoint
        self._open: set[str] = set()
        """Runs whose review is in front of the person: a second one would discard the first."""

    @property
    def client(self) -> Client:
        return self._editor.client

    def _root(self, record: RunRecord) -> Path:
        """The project as the client spells it: it may have been opened through a link."""
        return self._engine.workspace(Path(record.root)).root

    # Requests

    async def review(self, run_id: str) -> dict[str, Any]:
        """`kiro/review`: with how each file stands now, while there is something to decide."""
        record = self._engine.store.run(run_id)
        review = await asyncio.to_thread(self._engine.review, record.run_id)
        root = self._root(record)
        documents = self._documents(root, review)

        def answered() -> dict[str, Any]:
            wire = review_json(self._engine.store, record, review, root)
            if review.pending:
                _add_now(wire, root, documents, review)
            return wire

        return await asyncio.to_thread(answered)

    async def content(self, uri: str) -> dict[str, Any]:
        """`kiro/reviewContent`: the text of a `kiro-review:/RUN/REVISION/SIDE/PATH` document."""
        run_id, side, path = parse_uri(uri)
        review = await asyncio.to_thread(self._engine.review, run_id)
        if side in _NOW and (found := await self._moved(run_id, review, path)) is not None:
            text = found.now if side == "now" else found.result
            return {"text": text, "languageId": _language(path)}
        data = _SIDES[side](review, path)
        text = "" if data is None or is_binary(data) else data.decode("utf-8-sig")
        if side == "merged":
            ours = await self._now(Path(self._engine.store.run(run_id).root) / path) or ""
            text = with_markers(merge_into(ours, _text(review.current(path)), text), ("yours", "before", "proposed"))
        return {"text": text, "languageId": _language(path)}

    async def edit(self, run_id: str, path: str, text: str, onto: str | None = None) -> dict[str, Any]:
        """`kiro/reviewEdit`: the person changed the proposed side of a file, or merged it with what the file holds."""
        await self._engine.edit_proposed(run_id, path, text, onto)
        return await self.review(run_id)

    def _documents(self, root: Path, review: Review) -> dict[str, str]:
        """The texts of the files of a review that are open."""
        texts = {path: self._editor.text(root / path) for path in review.touched()}
        return {path: text for path, text in texts.items() if text is not None}

    async def _moved(self, run_id: str, review: Review, path: str) -> Moved | None:
        text = await self._now(Path(self._engine.store.run(run_id).root) / path)
        return None if text is None else await asyncio.to_thread(moved, review, path, text)

    # Opening a review

    async def open(self, run_id: str) -> str | None:
        """Bring a review before the person, in the way their client can; a line to show when there is nothing to do."""
        record = self._engine.store.run(run_id)
        review = self._engine.review(record.run_id)
        client = self._editor.client
        if client.is_ours:
            self._endpoint.notify("kiro/reviewChanged", {"runId": record.run_id, "revision": review.revision})
            return None
        if record.run_id in self._open:
            return "This review is open already."
        self._open.add(record.run_id)
        try:
            texts = [change for change in review.changes.files if _is_text_change(review, change)]
            previewed = review.pending and texts and client.confirms_annotated_edits and client.applies_edits
            # Edits of a text that changed since would land on other lines: an accept merges it, or names it.
            if previewed and await self._are_as_read(record, review, texts):
                return await self._annotated(record, review, texts)
            return await self._asked(record, review)
        finally:
            self._open.discard(record.run_id)

    async def _annotated(self, record: RunRecord, review: Review, texts: list[FileChange]) -> str:
        """One annotated edit of all files; then the texts, and not the answer, say what was taken."""
        edit = self._annotated_edit(record, review, texts)
        verdict = in_words(verify_json(self._engine.store, record, review)).partition("\n")[0]
        label = " · ".join(part for part in (f"{record.title} ({record.run_id})", verdict) if part)
        answer = await self._endpoint.request("workspace/applyEdit", {"label": label, "edit": edit})
        if not isinstance(answer, Mapping) or answer.get("applied") is not True:
            return "Nothing was applied; the review stays open."
        taken = await self._taken(record, review, texts)
        if not taken:
            return "No change was taken over; the review stays open."
        complete = taken >= {identifier for change in texts for identifier in _pending_of(review, change)}
        if complete:
            taken |= set(review.pending)
        settled = await self._engine.accept(
            record.run_id,
            revision=review.revision,
            hunks=sorted(taken),
            taken=[change.path for change in texts],
            by="editor",
        )
        return settled.message

    def _annotated_edit(self, record: RunRecord, review: Review, texts: list[FileChange]) -> dict[str, Any]:
        annotations: dict[str, Any] = {}
        changes: list[dict[str, Any]] = []
        others = [change for change in review.changes.files if change not in texts]
        also = "; with it: " + ", ".join(f"{change.action} {change.path}" for change in others) if others else ""
        for number, change in enumerate(texts):
            path = self._root(record) / change.path
            document = self._editor.at(path)
            current, proposed = _text(review.current(change.path)), _text(review.proposed(change.path))
            if document is not None and document.synced:
                current = document.text if same_text(document.text, current) else current
            annotation = f"kiro-{number}"
            annotations[annotation] = {
                "label": f"{record.title}{also}",
                "description": f"{change.action} {change.path}",
                "needsConfirmation": True,
            }
            edits = convert.text_edits(current, proposed, self._editor.client.encoding)
            changes.append(
                {
                    "textDocument": {
                        "uri": document.uri if document else convert.uri_of(path),
                        "version": document.version if document else None,
                    },
                    "edits": [edit | {"annotationId": annotation} for edit in edits],
                }
            )
        return {"documentChanges": changes, "changeAnnotations": annotations}

    async def _are_as_read(self, record: RunRecord, review: Review, texts: list[FileChange]) -> bool:
        """Whether documents and files still hold what the review starts from."""
        for change in texts:
            text = await self._now(self._root(record) / change.path)
            if text is None or not same_text(text, _text(review.current(change.path))):
                return False
        return True

    async def _now(self, path: Path) -> str | None:
        """The text of an open document, else of the file; None for what is no text."""
        text = self._editor.text(path)
        return text_of(await asyncio.to_thread(_read, path)) if text is None else text

    async def _taken(self, record: RunRecord, review: Review, texts: list[FileChange]) -> set[str]:
        """The pending hunks that the files hold now, each found by its content."""
        found: set[str] = set()
        for change in texts:
            path = self._root(record) / change.path
            await self._arrived(path, _text(review.proposed(change.path)))
            text = await self._now(path)
            if text is not None and change.base is not None:
                found |= (taken_hunks(review, change.path, text) or frozenset()) & set(_pending_of(review, change))
        return found

    async def _arrived(self, path: Path, wanted: str) -> None:
        """Wait a moment for the document to be what a complete yes makes of it; a partial yes is as good."""
        await self._editor.settle(path, wanted)

    async def _asked(self, record: RunRecord, review: Review) -> str:
        """A question with three buttons, for clients without annotated edits."""
        files = ", ".join(change.path for change in review.changes.files) or "no files; accepting ticks the task"
        verdict = in_words(verify_json(self._engine.store, record, review))
        message = f"{record.title}: {len(review.changes.files)} file(s) to review: {files}"
        message = f"{verdict}\n{message}" if verdict else message
        while True:
            actions = [{"title": APPLY}, {"title": DIFF}, {"title": DISCARD}]
            answer = await self._endpoint.request(
                "window/showMessageRequest", {"type": 3, "message": message, "actions": actions}
            )
            chosen = answer.get("title") if isinstance(answer, Mapping) else None
            if chosen == DIFF:
                await self._show_diff(record, review)
                continue
            if chosen == APPLY:
                return (await self._engine.accept(record.run_id, revision=review.revision, by="editor")).message
            if chosen == DISCARD:
                return (await self._engine.reject(record.run_id, revision=review.revision, by="editor")).message
            return "The review stays open."

    async def _show_diff(self, record: RunRecord, review: Review) -> None:
        """The diff as a document where the client can show one, else as a message."""
        verdict = in_words(verify_json(self._engine.store, record, review))
        above = "".join(f"# {line}\n" for line in verdict.splitlines())
        text = above + "".join(unified_diff(change) for change in review.changes.files)
        if not self._editor.client.shows_documents:
            self._endpoint.notify("window/showMessage", {"type": 3, "message": text[:20_000]})
            return
        folder = self._engine.store.directory / "diffs"
        file = folder / f"{record.run_id}.diff"
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread(file.write_text, text, "utf-8")
        await self._endpoint.request("window/showDocument", {"uri": convert.uri_of(file), "takeFocus": True})


def parse_uri(uri: str) -> tuple[str, str, str]:
    """(run id, one of the sides, path) of a review document. Raises ResponseError."""
    scheme, _colon, rest = uri.partition(":")
    parts = rest.lstrip("/").split("/", 3)
    if scheme != SCHEME or len(parts) != 4 or parts[2] not in _SIDES:
        raise ResponseError(INVALID_PARAMS, f"{uri!r} is not a review document")
    return unquote(parts[0]), parts[2], unquote(parts[3])


def refusal(error: KiroError) -> dict[str, Any]:
    """A KiroError as the `refused` of a command's answer."""
    found: dict[str, Any] = {"code": error.code, "message": str(error)}
    digest = getattr(error, "digest", "")
    return found | ({"digest": digest} if digest else {})


def _is_text_change(review: Review, change: FileChange) -> bool:
    """Whether pending hunks of the file can be shown as text edits of an existing file."""
    contents = (change.base, change.proposed)
    return (
        change.action == "modify"
        and all(data is not None and not is_binary(data) for data in contents)
        and bool(_pending_of(review, change))
        and all(hunk.operation == "edit" for hunk in review.hunks(change.path))
    )


def _pending_of(review: Review, change: FileChange) -> list[str]:
    return [hunk.id for hunk in review.hunks(change.path) if review.status(change.path, hunk.id) == "pending"]


def _add_now(wire: dict[str, Any], root: Path, documents: Mapping[str, str], review: Review) -> None:
    """Give each file that is not any more what its change starts from its `now`, and its hunks their places in that."""
    reasons, disk = foreseen(root, documents, review), Disk(root, "review")
    for file in wire["files"]:
        path = file["path"]
        text = documents[path] if path in documents else text_of(disk.look(path).data)
        found = None if text is None else moved(review, path, text)
        reason = reasons.get(path) or reasons.get(file.get("to", path))
        now: dict[str, Any] = {}
        if found is not None:
            now = {
                "baseUri": file["baseUri"].replace("/base/", "/now/", 1),
                "proposedUri": file["proposedUri"].replace("/proposed/", "/result/", 1),
            }
            for hunk in file["hunks"]:
                placed = found.hunks[hunk["id"]]
                ranges = {"baseRange": whole_lines(placed.base), "proposedRange": whole_lines(placed.proposed)}
                hunk["now"] = ranges | {"conflict": placed.conflict}
        if reason is not None:
            now["conflict"] = reason
        if now:
            file["now"] = now


def _language(path: str) -> str:
    return Path(path).suffix.lstrip(".") or "plaintext"


def _text(data: bytes | None) -> str:
    return "" if data is None else data.decode("utf-8-sig")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
