"""From run events to the editor: progress, notifications, questions, the words at the end. Coalesced, never decided here.

At most ten progress reports a second, the latest wins, one begin and one end for each token the client accepted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kiro_lsp import events
from kiro_lsp.budget import used_in_words
from kiro_lsp.engine.engine import Engine
from kiro_lsp.engine.verdicts import line_of
from kiro_lsp.errors import KiroError
from kiro_lsp.events import Envelope, Permission
from kiro_lsp.lsp.background import Background
from kiro_lsp.lsp.editor import Editor
from kiro_lsp.lsp.endpoint import Endpoint, ResponseError
from kiro_lsp.lsp.reviews import Reviews

log = logging.getLogger(__name__)

REPORT_SECONDS: Final = 0.1
_MESSAGE_CHARACTERS: Final = 120
ERROR, WARNING, INFO = 1, 2, 3


@dataclass(slots=True)
class _Progress:
    token: int | str
    message: str = ""
    sent: str = ""
    timer: asyncio.TimerHandle | None = None
    used: str = ""
    """What the run has cost so far, in words."""


class Forwarder:
    """Follows all runs of the engine for one client."""

    def __init__(self, engine: Engine, editor: Editor, endpoint: Endpoint, reviews: Reviews, group: Background) -> None:
        self._engine, self._editor, self._endpoint = engine, editor, endpoint
        self._reviews, self._group = reviews, group
        self._progress: dict[str, _Progress] = {}
        self._tokens: dict[int | str, str] = {}
        self._started_here: set[str] = set()
        self._questions: dict[str, asyncio.Task[None]] = {}
        """Questions in front of the person, by request id."""

    async def follow(self) -> None:
        """Forward until the engine closes."""
        async for envelope in self._engine.follow(None):
            try:
                self._forward(envelope)
            except Exception:  # what follows is forwarded all the same
                log.exception("an event of run %s was not forwarded", envelope.run_id)

    # Progress

    async def begin(self, run_id: str, title: str, token: int | str | None) -> None:
        """Show a run's progress under the client's token, or under one of ours that the client accepts."""
        self._started_here.add(run_id)
        if token is None:
            if not self._editor.client.shows_progress:
                return
            token = f"kiro-lsp/{run_id}"
            try:
                await self._endpoint.request("window/workDoneProgress/create", {"token": token})
            except ResponseError:
                return
        self._progress[run_id] = _Progress(token)
        self._tokens[token] = run_id
        self._send(token, {"kind": "begin", "title": title, "cancellable": True, "message": "starting"})
        if run_id not in self._engine.handles:
            self._end(run_id, "")

    def run_of(self, token: int | str) -> str | None:
        """The run that a progress token stands for."""
        return self._tokens.get(token)

    def end_all(self) -> None:
        for run_id in list(self._progress):
            self._end(run_id, "")

    def _report(self, run_id: str, message: str) -> None:
        shown = self._progress.get(run_id)
        if shown is None:
            return
        line = " ".join(message.split())
        line = line if len(line) <= _MESSAGE_CHARACTERS else line[: _MESSAGE_CHARACTERS - 1] + "…"
        shown.message = f"{line} · {shown.used}" if shown.used else line
        if shown.timer is None:
            self._flush(run_id)
            shown.timer = asyncio.get_running_loop().call_later(REPORT_SECONDS, self._tick, run_id)

    def _tick(self, run_id: str) -> None:
        shown = self._progress.get(run_id)
        if shown is None:
            return
        shown.timer = None
        if shown.message != shown.sent:
            self._flush(run_id)
            shown.timer = asyncio.get_running_loop().call_later(REPORT_SECONDS, self._tick, run_id)

    def _flush(self, run_id: str) -> None:
        shown = self._progress[run_id]
        if shown.message != shown.sent:
            shown.sent = shown.message
            self._send(shown.token, {"kind": "report", "message": shown.message})

    def _end(self, run_id: str, message: str) -> None:
        shown = self._progress.pop(run_id, None)
        if shown is None:
            return
        if shown.timer is not None:
            shown.timer.cancel()
        self._tokens.pop(shown.token, None)
        message = " · ".join(part for part in (message, shown.used) if part)
        self._send(shown.token, {"kind": "end", **({"message": message} if message else {})})

    def _send(self, token: int | str, value: Mapping[str, Any]) -> None:
        self._endpoint.notify("$/progress", {"token": token, "value": value})

    # Events

    def _forward(self, envelope: Envelope) -> None:  # noqa: PLR0912  # one branch for each kind of event
        client = self._editor.client
        if client.understands("kiro/runEvent"):
            self._endpoint.notify("kiro/runEvent", {"event": events.to_wire(envelope)})
        run_id, event = envelope.run_id, envelope.event
        match event:
            case events.Phase():
                self._report(run_id, f"{event.phase} {event.detail}" if event.detail else event.phase)
            case events.Chunk():
                self._report(run_id, event.text.strip() or "…")
            case events.Tool(status="in_progress"):
                self._report(run_id, event.title)
            case Permission() if run_id in self._engine.handles:
                self._report(run_id, "waiting for you")
                asking = self._group.create_task(self._ask(run_id, event), name=f"question of {run_id}")
                self._questions[event.request_id] = asking
            case events.Answer():
                answered = self._questions.pop(event.request_id, None)
                if answered is not None:
                    answered.cancel()  # it was answered elsewhere: the client's prompt goes away
            case events.UsageReport() if run_id in self._progress:
                tokens = event.input_tokens + event.output_tokens
                words = used_in_words(event.billing, event.cost, "0", tokens, event.turns or 0)
                self._progress[run_id].used = words
            case events.Complete():
                self._completed(run_id, event)
            case events.Error():
                self._end(run_id, event.message)
                if run_id in self._started_here:
                    self._message(ERROR, f"{event.message} {event.hint}".strip())
            case events.Cancelled():
                self._end(run_id, "cancelled")
            case events.Warned() if run_id in self._started_here:
                self._message(WARNING, f"{event.message} {event.hint}".strip())
            case events.Verify():
                self._verified(run_id, event)
            case events.Start(continues=str(earlier)) if earlier in self._started_here:
                self._started_here.add(run_id)
            case events.Applied() | events.Rejected() | events.ConflictFound() | events.Undone():
                self._settled(run_id)
            case events.State(to="interrupted"):
                self._end(run_id, "interrupted")
        if isinstance(event, events.State) and client.understands("kiro/runsChanged"):
            self._endpoint.notify("kiro/runsChanged", {})

    def _completed(self, run_id: str, event: events.Complete) -> None:
        count = len(event.files_changed)
        files = f"{count} file" + ("" if count == 1 else "s")
        self._end(run_id, f"{files} to review")
        if run_id not in self._started_here:
            return
        client = self._editor.client
        if client.is_ours:
            self._settled(run_id)
        elif client.confirms_annotated_edits:
            self._message(INFO, f"{files} to review. Use the lens “Review {files}” or the code action on the task.")
        else:
            self._group.create_task(self._offer(run_id), name=f"review of {run_id}")

    def _verified(self, run_id: str, verdict: events.Verify) -> None:
        """The verdict comes when the review is open already, or decided on."""
        self._settled(run_id)
        if run_id in self._started_here:
            self._message(INFO if verdict.ok else WARNING, line_of(verdict))

    async def _offer(self, run_id: str) -> None:
        """On a client without a review of its own the question comes to the person."""
        try:
            line = await self._reviews.open(run_id)
        except ResponseError:
            line = None  # a client that cannot ask: lenses and code actions remain
        except KiroError as error:
            line = str(error)
        if line:
            self._message(INFO, line)

    def _settled(self, run_id: str) -> None:
        if self._editor.client.understands("kiro/reviewChanged"):
            _decisions, revision = self._engine.store.decisions(run_id)
            self._endpoint.notify("kiro/reviewChanged", {"runId": run_id, "revision": revision})

    async def _ask(self, run_id: str, question: Permission) -> None:
        """Bring a question to the person; no answer, an error or a lost client is the deny option."""
        options = {option.label: option for option in question.options}
        text = None
        try:
            if self._editor.client.understands("kiro/permission"):
                _type, body = events.body_to_wire(question)
                answer = await self._endpoint.request("kiro/permission", {"runId": run_id, **body})
                given = answer if isinstance(answer, Mapping) else {}
                option, text = given.get("option"), given.get("text")
            else:
                shown = {
                    "type": WARNING,
                    "message": exact(question),
                    "actions": [{"title": label} for label in options],
                }
                answer = await self._endpoint.request("window/showMessageRequest", shown)
                title = answer.get("title") if isinstance(answer, Mapping) else None
                option = options[title].id if title in options else None
        except ResponseError:
            option = None
        known = {item.id for item in question.options}
        denied = next((item.id for item in question.options if item.kind == "deny"), "deny")
        try:
            chosen, words = option if option in known else denied, text if isinstance(text, str) and text else None
            await self._engine.answer(run_id, question.request_id, chosen, by="editor", text=words)
        except KiroError:
            return  # answered from elsewhere, or the run has ended: nothing is open any more

    def _message(self, kind: int, text: str) -> None:
        self._endpoint.notify("window/showMessage", {"type": kind, "message": text})


def exact(question: Permission) -> str:
    """A question with the whole command, one argument a line and control characters visible, never cut."""
    if question.detail is None:
        return question.title
    lines = [ascii(part)[1:-1] if not part.isprintable() else part for part in question.detail.argv]
    return "\n".join(
        [question.title.split(":")[0] + ":", *(f"  {line}" for line in lines), f"in {question.detail.cwd}"]
    )
