"""The commands `kiroLsp.*`: one object argument each, answered at once, every refusal an answer with a reason.

What a command does is the engine's; what lenses offer and what commands exist is kept together by a test.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from kiro_lsp.budget import about
from kiro_lsp.engine import checks, followup, repairs
from kiro_lsp.engine.engine import Engine, StartRun
from kiro_lsp.engine.prices import estimates
from kiro_lsp.engine.settle import Settled
from kiro_lsp.errors import KiroError, RunRefused, UsageError
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.lsp.background import Background
from kiro_lsp.lsp.endpoint import INVALID_PARAMS, Endpoint, ResponseError
from kiro_lsp.lsp.forward import Forwarder
from kiro_lsp.lsp.reviews import Reviews, refusal
from kiro_lsp.lsp.views import Views
from kiro_lsp.sandbox import paths
from kiro_lsp.spec import tasks

WITH_NOTE = "Run with note…"
Args = Mapping[str, Any]
_BY = "editor"


class Places(Protocol):
    """Where a document belongs, and what is seen of it."""

    @property
    def views(self) -> Views: ...

    def place_of(self, uri: str) -> tuple[Path, Path]:
        """(root, absolute path) of a document. Raises UsageError for a URI that is no file."""
        ...

    def only_root(self, *, strict: bool = False) -> Path:
        """The project, when there is one; of several the first, or none when `strict`. Raises UsageError when it must
        be named.
        """
        ...


class Commands:
    """Command id → what it does. The ids are announced from this table."""

    def __init__(  # noqa: PLR0917  # the parts of the server, each once
        self,
        engine: Engine,
        places: Places,
        endpoint: Endpoint,
        forwarder: Forwarder,
        reviews: Reviews,
        group: Background,
    ) -> None:
        self._engine, self._places, self._endpoint = engine, places, endpoint
        self._forwarder, self._reviews, self._group = forwarder, reviews, group

    async def execute(self, command: str, arguments: object, token: int | str | None) -> Any:
        """Carry a command out. Raises ResponseError for an unknown one or wrong arguments."""
        method = COMMANDS.get(command)
        if method is None:
            raise ResponseError(INVALID_PARAMS, f"there is no command {command!r}")
        given = arguments if isinstance(arguments, list) else []
        if len(given) > 1 or (given and not isinstance(given[0], Mapping)):
            raise ResponseError(INVALID_PARAMS, f"{command} takes one object")
        args: Args = given[0] if given else {}
        starts = command in _STARTING
        try:
            return await method(self, args, token)
        except KiroError as error:
            return {"runId": None, "refused": refusal(error)} if starts else {"ok": False, "message": str(error)}

    # Starting

    async def run_task(self, args: Args, token: int | str | None) -> Any:
        root, path = self._places.place_of(_text(args, "uri"))
        start = StartRun(
            root,
            str(path),
            _text(args, "task"),
            _maybe(args, "agent"),
            _maybe(args, "model"),
            note=_maybe(args, "note"),
            by=_BY,
            verify=await self._check(args, root),
        )
        return await self._started(await self._engine.start(start), token)

    async def _check(self, args: Args, root: Path) -> tuple[str, ...] | None:
        """What a run is asked to be verified with; None for the configured command. Raises RunRefused."""
        given = args.get("verify")
        if given is False:
            return ()
        if given is not True and not isinstance(given, str):
            return None
        asked = await asyncio.to_thread(self._engine.workspace(root).asked_for)
        configured = asked.settings.execution.verify_command
        return await asyncio.to_thread(checks.asked_for, "" if given is True else given, configured, root)

    async def verify_run(self, args: Args, _token: object) -> Any:
        record = self._engine.store.run(_text(args, "runId"))
        argv = await self._check({"verify": True, **args}, Path(record.root))
        await self._engine.verify(record.run_id, argv or ())
        return _ok(f"Verifying: {shlex.join(argv or ())}")

    async def repair_run(self, args: Args, token: int | str | None) -> Any:
        return await self._started(await repairs.asked_for(self._engine, _text(args, "runId"), by=_BY), token)

    async def retry_run(self, args: Args, token: int | str | None) -> Any:
        return await self._started(
            await followup.retry(self._engine, _text(args, "runId"), fresh=args.get("fresh") is True, by=_BY), token
        )

    async def follow_up(self, args: Args, token: int | str | None) -> Any:
        if "text" not in args and self._asks_for_words:
            self._group.create_task(self._told(self._comment(args)), name="comment on a change")
            return {"runId": None, "ok": True}
        run_id = await followup.follow_up(
            self._engine,
            _text(args, "runId"),
            _text(args, "text"),
            path=_maybe(args, "path"),
            hunk=_maybe(args, "hunk"),
            by=_BY,
        )
        return await self._started(run_id, token)

    async def continue_in_terminal(self, args: Args, _token: object) -> Any:
        """What to run in a terminal: a language server has none. A client that can opens one with `command` in `cwd`."""
        record = self._engine.store.run(_text(args, "runId"))
        await asyncio.to_thread(followup.session_of, self._engine, record)
        line = f"kiro-lsp continue {record.run_id}"
        if not self._reviews.client.is_ours:
            self._endpoint.notify("window/showMessage", {"type": 3, "message": f"In a terminal: {line}"})
        command = [sys.executable, "-m", "kiro_lsp", "continue", record.run_id]
        return {"ok": True, "message": line, "command": command, "cwd": record.root}

    async def _comment(self, args: Args) -> None:
        """Ask what shall be different, then have it changed."""
        about = _maybe(args, "path") or "the change"
        words = await self._words(f"What shall be different in {about}?", run_id=_text(args, "runId"))
        if words is not None:
            await self.follow_up({**args, "text": words}, None)

    @property
    def _asks_for_words(self) -> bool:
        return self._reviews.client.understands("kiro/input")

    async def _words(self, title: str, *, run_id: str | None = None) -> str | None:
        """What the person types; None when they type nothing, or close the question."""
        about = {} if run_id is None else {"runId": run_id}
        answer = await self._endpoint.request("kiro/input", {**about, "title": title})
        text = answer.get("text") if isinstance(answer, Mapping) else None
        return text if isinstance(text, str) and text.strip() else None

    async def _started(self, run_id: str, token: int | str | None) -> Any:
        handle = self._engine.handles.get(run_id)
        title = f"{handle.agent.label}: {handle.record.title}" if handle is not None else run_id
        begin = self._forwarder.begin(run_id, title[:120], token)
        if token is not None:
            await begin  # the client's token is good only while the request is open
        else:
            self._group.create_task(begin, name=f"progress of {run_id}")
        return {"runId": run_id}

    async def apply_from_clipboard(self, args: Args, _token: object) -> Any:
        """An answer that the person pasted becomes a pending review, and is brought before them like any other."""
        from kiro_lsp.engine import pasted  # reads edit formats, which nobody else in a starting server needs

        text, uri = _text(args, "text"), _maybe(args, "uri")
        if uri is None:
            root, beside = self._places.only_root(strict=True), None
        else:
            root, path = self._places.place_of(uri)
            beside = await asyncio.to_thread(_file_beside, root, path)
        project = pasted.of_project(self._engine, root)
        outcome = await asyncio.to_thread(pasted.read, text, project, beside=beside)
        run_id = await pasted.record(self._engine, root, outcome)
        self._group.create_task(self._open(run_id), name=f"review of {run_id}")
        return {"runId": run_id}

    # Runs

    async def cancel_run(self, args: Args, _token: object) -> Any:
        return _ok(await self._engine.cancel(_text(args, "runId"), by=_BY))

    async def answer(self, args: Args, _token: object) -> Any:
        text = _maybe(args, "text")
        option = (_maybe(args, "option") or "") if text is not None else _text(args, "option")
        await self._engine.answer(_text(args, "runId"), _text(args, "requestId"), option, by=_BY, text=text)
        return _ok("Answered.")

    async def open_review(self, args: Args, _token: object) -> Any:
        run_id = self._engine.store.run(_text(args, "runId")).run_id
        self._group.create_task(self._open(run_id), name=f"review of {run_id}")
        return _ok("")

    async def _open(self, run_id: str) -> None:
        try:
            line = await self._reviews.open(run_id)
        except (KiroError, ResponseError) as error:
            line = str(error)
        if line:
            self._endpoint.notify("window/showMessage", {"type": 3, "message": line})

    # Settling

    async def accept(self, args: Args, _token: object) -> Any:
        return _settled(await self._engine.accept(_text(args, "runId"), **_selection(args), by=_BY))

    async def reject(self, args: Args, _token: object) -> Any:
        return _settled(await self._engine.reject(_text(args, "runId"), **_selection(args), by=_BY))

    async def undo_run(self, args: Args, _token: object) -> Any:
        return _settled(await self._engine.undo(_text(args, "runId"), by=_BY))

    async def restore_backup(self, args: Args, _token: object) -> Any:
        return _settled(await self._engine.restore(_text(args, "runId"), by=_BY))

    async def commit(self, args: Args, _token: object) -> Any:
        return _settled(await self._engine.commit(_text(args, "runId"), _maybe(args, "message"), by=_BY))

    # Tasks and projects

    async def set_status(self, args: Args, _token: object) -> Any:
        root, path = self._places.place_of(_text(args, "uri"))
        status = _text(args, "status")
        if status not in ("open", "in-progress", "done"):
            raise UsageError(f"{status!r} is not a status.", hint="Use open, in-progress or done.")
        return _ok(await self._engine.set_status(root, str(path), _text(args, "task"), status))  # type: ignore[arg-type]

    async def copy_prompt(self, args: Args, _token: object) -> Any:
        """The prompt as the answer's message, for a client to put into its clipboard; others are shown it."""
        root, path = self._places.place_of(_text(args, "uri"))
        workspace = self._engine.workspace(root)

        def rendered() -> str:
            file = workspace.read_tasks(str(path))
            prompt, _intent = workspace.prompt(file, tasks.find(file.tasks, _text(args, "task")))
            return workspace.as_sent(prompt)

        return _ok(await asyncio.to_thread(rendered))

    async def pick_agent(self, args: Args, _token: object) -> Any:
        """Other agents for a task: a question with one button for each that is available, then the run."""
        root, path = self._places.place_of(_text(args, "uri"))
        known = await asyncio.to_thread(self._engine.workspace(root).agents)
        prices = await asyncio.to_thread(self._prices, root, path, args, known)
        offered = {_titled(info, prices.get(info.name)): info for info in known if info.available}
        if not offered:
            reasons = "; ".join(f"{info.label}: {info.reason}" for info in known)
            raise RunRefused(f"No agent is available. {reasons}", code="no-agent")
        checked = await asyncio.to_thread(self._check_to_offer, root)
        self._group.create_task(self._pick(args, offered, checked), name="agent picker")
        return {"runId": None, "ok": True}

    def _prices(self, root: Path, path: Path, args: Args, known: Sequence[AgentInfo]) -> Mapping[str, str | None]:
        """Agent → what the task may cost with it; empty where the task cannot be found, which the run will say."""
        try:
            return estimates(self._engine.workspace(root), path, _text(args, "task"), known)
        except KiroError:
            return {}

    def _check_to_offer(self, root: Path) -> str:
        """A check that the project seems to have, where none is configured: a button asks for it. "" for none."""
        if self._engine.workspace(root).asked_for().settings.execution.verify_command:
            return ""
        return next((shlex.join(check.argv) for check in checks.checks_of(root)), "")

    async def _pick(self, args: Args, offered: Mapping[str, Any], check: str) -> None:
        message = f"Run task {args.get('task')} with which agent?"
        with_note = [WITH_NOTE] if self._asks_for_words else []
        verified = [f"Run, then verify: {check}"] if check else []
        actions = [{"title": title} for title in [*offered, *verified, *with_note, "Cancel"]]
        try:
            answer = await self._endpoint.request(
                "window/showMessageRequest", {"type": 3, "message": message, "actions": actions}
            )
            title = answer.get("title") if isinstance(answer, Mapping) else None
            if isinstance(title, str) and title in offered:
                await self.run_task({**args, "agent": offered[title].name}, None)
            elif title in verified:
                await self.run_task({**args, "verify": check}, None)
            elif title == WITH_NOTE:
                words = await self._words(f"What shall the agent know for task {args.get('task')}?")
                if words is not None:
                    await self.run_task({**args, "note": words}, None)
        except (KiroError, ResponseError) as error:
            self._endpoint.notify("window/showMessage", {"type": 1, "message": str(error)})

    async def show_tasks(self, args: Args, _token: object) -> Any:
        """The tasks that cover a requirement, in a client that does not show them itself, or one task."""
        from kiro_lsp.lsp import requirement_lenses  # what only a click needs

        views, uri, task = self._places.views, _text(args, "uri"), _maybe(args, "task")
        if task is not None:
            shown = requirement_lenses.show_task(views, uri, task)
        else:
            shown = requirement_lenses.show_tasks(views, uri, _text(args, "requirement"))
        self._group.create_task(self._told(shown), name="tasks of a requirement")
        return _ok("")

    async def _told(self, shown: Awaitable[None]) -> None:
        try:
            await shown
        except (KiroError, ResponseError) as error:
            self._endpoint.notify("window/showMessage", {"type": 1, "message": str(error)})

    async def trust_workspace(self, args: Args, _token: object) -> Any:
        named = _maybe(args, "root")
        root = (
            self._places.only_root()
            if named is None
            else self._places.place_of(named)[0]
            if "://" in named
            else Path(named)
        )
        workspace = self._engine.workspace(root)
        digest = _maybe(args, "digest")
        if digest is not None:
            await asyncio.to_thread(workspace.grant, digest)
            self._group.create_task(self._engine.warm_up(root), name="warm up")
        asked = await asyncio.to_thread(workspace.asked_for)
        values = [{"key": value.key, "value": value.value, "source": value.source} for value in asked.trust_values]
        return {"state": await asyncio.to_thread(workspace.trust), "digest": asked.digest, "values": values}

    async def doctor(self, _args: Args, _token: object) -> Any:
        """What is found and missing, in short; `kiro-lsp doctor` says all of it."""
        root = self._places.only_root()
        known = await asyncio.to_thread(self._engine.workspace(root).agents)
        lines = [
            f"{info.label}: {'available' if info.available else 'not available'} ({info.reason})" for info in known
        ]
        message = "\n".join([*lines, "The whole report: kiro-lsp doctor"])
        if not self._reviews.client.is_ours:
            self._endpoint.notify("window/showMessage", {"type": 3, "message": message})
        return _ok(message)


Method = Callable[[Commands, Args, Any], Awaitable[Any]]
COMMANDS: Mapping[str, Method] = {
    "kiroLsp.runTask": Commands.run_task,
    "kiroLsp.retryRun": Commands.retry_run,
    "kiroLsp.followUp": Commands.follow_up,
    "kiroLsp.continueInTerminal": Commands.continue_in_terminal,
    "kiroLsp.repairRun": Commands.repair_run,
    "kiroLsp.verifyRun": Commands.verify_run,
    "kiroLsp.applyFromClipboard": Commands.apply_from_clipboard,
    "kiroLsp.cancelRun": Commands.cancel_run,
    "kiroLsp.answer": Commands.answer,
    "kiroLsp.openReview": Commands.open_review,
    "kiroLsp.accept": Commands.accept,
    "kiroLsp.reject": Commands.reject,
    "kiroLsp.undoRun": Commands.undo_run,
    "kiroLsp.restoreBackup": Commands.restore_backup,
    "kiroLsp.commit": Commands.commit,
    "kiroLsp.setStatus": Commands.set_status,
    "kiroLsp.copyPrompt": Commands.copy_prompt,
    "kiroLsp.pickAgent": Commands.pick_agent,
    "kiroLsp.showTasks": Commands.show_tasks,
    "kiroLsp.trustWorkspace": Commands.trust_workspace,
    "kiroLsp.doctor": Commands.doctor,
}
_STARTING = frozenset(
    {
        "kiroLsp.runTask",
        "kiroLsp.retryRun",
        "kiroLsp.followUp",
        "kiroLsp.repairRun",
        "kiroLsp.pickAgent",
        "kiroLsp.applyFromClipboard",
    }
)


def _file_beside(root: Path, path: Path) -> str | None:
    """The file that an answer was pasted beside; None for a folder, and for tasks, which no answer is about without
    saying so. Raises PathRefused.
    """
    return None if path.is_dir() or tasks.is_task_file(path.as_posix()) else paths.resolve(root, str(path))


def _titled(info: AgentInfo, estimate: str | None) -> str:
    """An agent on a button, with its model and about what the task costs with it."""
    more = [part for part in (info.model, estimate and about(estimate)) if part]
    return f"{info.label} ({', '.join(more)})" if more else info.label


def _text(args: Args, name: str) -> str:
    value = args.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise UsageError(
            f"The command needs {name!r}.", hint="It takes one object; click a lens, or see docs/protocol.md."
        )
    return value


def _maybe(args: Args, name: str) -> str | None:
    value = args.get(name)
    return value if isinstance(value, str) and value else None


def _selection(args: Args) -> dict[str, Any]:
    revision, hunks = args.get("revision"), args.get("hunks")
    if hunks is not None and not (isinstance(hunks, list) and all(isinstance(item, str) for item in hunks)):
        raise UsageError("'hunks' is a list of hunk ids.")
    return {"revision": revision if isinstance(revision, int) else None, "path": _maybe(args, "path"), "hunks": hunks}


def _ok(message: str) -> dict[str, Any]:
    return {"ok": True, "message": message} if message else {"ok": True}


def _settled(settled: Settled) -> dict[str, Any]:
    return {
        "ok": settled.ok,
        "message": settled.message,
        "state": settled.state,
        "files": list(settled.files),
        "conflicts": list(settled.conflicts),
        "merged": list(settled.merged),
        "ticked": settled.ticked,
    }
