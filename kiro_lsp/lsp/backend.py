"""Everything of the server that needs the engine; imported in a thread after `initialize` was answered.

It puts the parts together: store, engine, session, reviews, forwarding, commands, and pygls for the cold methods.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from kiro_lsp.engine.engine import Engine
from kiro_lsp.engine.pick import choice_for
from kiro_lsp.engine.prices import estimates
from kiro_lsp.engine.wire import agent_json, costs_json, run_json
from kiro_lsp.errors import KiroError, RunRefused
from kiro_lsp.events import to_wire
from kiro_lsp.lsp.answers import Answers
from kiro_lsp.lsp.background import Background
from kiro_lsp.lsp.capabilities import NAME
from kiro_lsp.lsp.client import Client
from kiro_lsp.lsp.commands import Commands
from kiro_lsp.lsp.editor import Editor
from kiro_lsp.lsp.editor_keys import EditorKeys
from kiro_lsp.lsp.endpoint import INVALID_PARAMS, REQUEST_FAILED, Endpoint, ResponseError
from kiro_lsp.lsp.features import Features
from kiro_lsp.lsp.features.code_lens import FIRST_LENSES
from kiro_lsp.lsp.forward import Forwarder
from kiro_lsp.lsp.keeper import Keeper
from kiro_lsp.lsp.reviews import Reviews
from kiro_lsp.lsp.session import Session
from kiro_lsp.lsp.specs import specs_json
from kiro_lsp.store import By, Store, local_day, state_dir

if TYPE_CHECKING:
    from kiro_lsp.executors.choice import Choice
    from kiro_lsp.executors.protocol import AgentInfo
    from kiro_lsp.lsp.cold import ColdMethod, ColdSide

_COLD_PAUSE_SECONDS: Final = 2.0
_COLD_LATEST_SECONDS: Final = 60.0
"""Then pygls is imported although there was no pause: who clicks should not wait for it."""
_BY: Final[tuple[By, ...]] = ("day", "agent", "spec", "task")


class Backend:
    """Made by `open`; `close` interrupts what runs and keeps what was staged."""

    def __init__(
        self,
        engine: Engine,
        session: Session,
        reviews: Reviews,
        forwarder: Forwarder,
        commands: Commands,
        *,
        answers: Answers,
        keys: EditorKeys | None = None,
    ) -> None:
        self.engine, self.session, self.reviews, self.answers = engine, session, reviews, answers
        self.forwarder, self.commands, self.keys = forwarder, commands, keys
        self.cold: ColdSide | None = None
        self._cold_wanted, self._cold_ready = asyncio.Event(), asyncio.Event()
        self._cold_trouble = ""

    @classmethod
    async def open(
        cls,
        editor: Editor,
        endpoint: Endpoint,
        environ: Mapping[str, str],
        group: Background,
        client: Client,
        *,
        features: Features,
    ) -> Backend:
        """Open the store and enter the engine. Raises StoreError."""
        store = await asyncio.to_thread(Store.open, state_dir(environ))
        settings, own = dict(client.settings), dict(client.own_settings)
        started_with, environ = environ, dict(environ)
        engine = Engine(
            store,
            face="editor",
            environ=environ,
            buffers=editor,
            client_settings=lambda _root: settings,
            own_settings=lambda: own,
            restricted=lambda _root: client.trusted is False,
        )
        await engine.__aenter__()
        session = Session(engine, editor, endpoint, group, settings, own_settings=own)
        session.views.kept[FIRST_LENSES] = Keeper(engine, state_dir(environ), started_with, client)
        reviews = Reviews(engine, editor, endpoint)
        forwarder = Forwarder(engine, editor, endpoint, reviews, group)
        commands = Commands(engine, session, endpoint, forwarder, reviews, group)
        group.create_task(forwarder.follow(), name="forward events")
        if client.pulls_configuration:
            group.create_task(_pull_settings(endpoint, session), name="settings of the editor")
        keys: EditorKeys | None = None
        if client.understands("kiro/secret"):
            keys = EditorKeys(endpoint, session, environ)
            group.create_task(keys.ask(), name="keys of the editor")
        answers = Answers(features, session.views, group)
        return cls(engine, session, reviews, forwarder, commands, answers=answers, keys=keys)

    @property
    def notices(self) -> list[str]:
        """What went wrong with the record of runs and was mended."""
        return self.engine.store.notices

    async def close(self) -> None:
        self.session.stop()
        self.answers.stop()
        self.forwarder.end_all()
        await self.engine.__aexit__(None, None, None)
        await asyncio.to_thread(self.engine.store.close)

    def cancel_progress(self, token: int | str) -> None:
        run_id = self.forwarder.run_of(token)
        handle = self.engine.handles.get(run_id) if run_id is not None else None
        if handle is not None:
            handle.cancel("editor")

    async def configuration_changed(self, settings: object) -> None:
        """A change that was pushed; a client that only says that something changed is asked for it."""
        section = settings.get("kiroLsp") if isinstance(settings, Mapping) else None
        if isinstance(section, Mapping):
            await self.session.configuration_changed(section)
        elif self.session.client.pulls_configuration:
            await _pull_settings(self.session.endpoint, self.session)

    async def look_again(self) -> None:
        """Keys were set or removed in the editor, or something was installed: all of it is looked at anew."""
        if self.keys is not None:
            await self.keys.ask()
        self.session.keys_changed()

    # The cold side

    async def start_cold(self, initialize: Mapping[str, Any], send: Callable[[bytes], None]) -> None:
        """Import pygls in a thread and hand it the `initialize` that was answered already.

        Once somebody needs it, or in the first pause in which nothing is asked: importing it takes the processor from answers.
        """
        loop = asyncio.get_running_loop()
        latest = loop.time() + _COLD_LATEST_SECONDS
        while not self._cold_wanted.is_set() and loop.time() < latest:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_COLD_PAUSE_SECONDS):
                    await self._cold_wanted.wait()
            if loop.time() - self.answers.last_asked >= _COLD_PAUSE_SECONDS:
                break
        await self.answers.import_rest()
        try:
            cold = await asyncio.to_thread(_make_cold, self._methods(), send)
            cold.replay(initialize)
            self.cold = cold
        except ImportError as error:
            self._cold_trouble = f"pygls cannot be imported: {error}"
        finally:
            self._cold_ready.set()

    async def need_cold(self) -> ColdSide:
        self._cold_wanted.set()
        await self._cold_ready.wait()
        if self.cold is None:
            raise ResponseError(REQUEST_FAILED, self._cold_trouble)
        return self.cold

    def _methods(self) -> dict[str, ColdMethod]:
        return {
            "workspace/executeCommand": self._execute,
            "workspace/textDocumentContent": self._text_document_content,
            "kiro/review": _told(self._review),
            "kiro/reviewContent": _told(self._review_content),
            "kiro/reviewEdit": _told(self._review_edit),
            "kiro/follow": _told(self._follow),
            "kiro/runs": _told(self._runs),
            "kiro/specs": _told(self._specs),
            "kiro/agents": _told(self._agents),
            "kiro/costs": _told(self._costs),
        }

    async def _execute(self, params: Any) -> Any:
        token = params.get("workDoneToken")
        return await self.commands.execute(params["command"], params.get("arguments"), token)

    async def _text_document_content(self, params: Any) -> Any:
        return {"text": (await _told(self._review_content)(params))["text"]}

    async def _review(self, params: Any) -> Any:
        return await self.reviews.review(_field(params, "runId"))

    async def _review_content(self, params: Any) -> Any:
        return await self.reviews.content(_field(params, "uri"))

    async def _review_edit(self, params: Any) -> Any:
        onto = params.get("onto")
        return await self.reviews.edit(
            _field(params, "runId"),
            _field(params, "path"),
            str(params.get("text", "")),
            onto if isinstance(onto, str) else None,
        )

    async def _follow(self, params: Any) -> Any:
        run_id = self.engine.store.run(_field(params, "runId")).run_id
        since = params.get("since")
        found = await asyncio.to_thread(self.engine.store.events, run_id, since if isinstance(since, int) else 0)
        return {"events": [to_wire(envelope) for envelope in found], "lastSeq": found[-1].seq if found else since or 0}

    async def _runs(self, params: Any) -> Any:
        return await asyncio.to_thread(self._listed, self._root(params), self.session.roots())

    def _listed(self, root: Path | None, opened: Sequence[Path]) -> list[dict[str, object]]:
        """Runs, each with its project as the client spells it: that may be open through a link."""
        spelled = {os.path.realpath(folder): str(folder) for folder in opened}
        return [run_json(run) | {"root": spelled.get(run.root, run.root)} for run in self.engine.runs(root)]

    async def _specs(self, params: Any) -> Any:
        uri = params.get("uri")
        return await specs_json(self.session.views, self._root(params), uri if isinstance(uri, str) else None)

    def _root(self, params: Any) -> Path | None:
        """The project that is asked about, by its folder or by the URI of a file in it; None for all."""
        root = params.get("root")
        if not isinstance(root, str):
            return None
        return self.session.place_of(root)[0] if "://" in root else Path(root)

    async def _agents(self, params: Any) -> Any:
        uri = params.get("uri")
        root = self.session.place_of(uri)[0] if isinstance(uri, str) else self.session.only_root()
        workspace = self.engine.workspace(root)
        known = await asyncio.to_thread(workspace.agents, thorough=True)
        estimates = await self._estimates(known, uri, params.get("task"))
        chosen = await self._chosen(known, uri, params.get("task"))
        recommended = chosen.agent if chosen else await asyncio.to_thread(workspace.recommended)
        why = chosen.reason if chosen else None
        return [agent_json(info, recommended, estimates.get(info.name), why) for info in known]

    async def _estimates(self, known: Sequence[AgentInfo], uri: object, task: object) -> Mapping[str, str | None]:
        """Agent → what the task may cost with it."""
        if not isinstance(uri, str) or not isinstance(task, str) or not task:
            return {}
        root, path = self.session.place_of(uri)
        return await asyncio.to_thread(estimates, self.engine.workspace(root), path, task, known)

    async def _chosen(self, known: Sequence[AgentInfo], uri: object, task: object) -> Choice | None:
        """The agent that a plain click on a task uses, with the reason; None where that cannot be said."""
        if not isinstance(uri, str) or not isinstance(task, str) or not task:
            return None
        root, path = self.session.place_of(uri)
        try:
            return await asyncio.to_thread(choice_for, self.engine.workspace(root), path, task, known)
        except RunRefused:
            return None  # the task asks for one that is not available; the list says why

    async def _costs(self, params: Any) -> Any:
        by = params.get("by", "day")
        if by not in _BY:
            raise ResponseError(INVALID_PARAMS, f"'by' is one of {', '.join(_BY)}")
        settings = self.engine.workspace(self.session.only_root()).settings().settings
        return await asyncio.to_thread(costs_json, self.engine.store, settings, cast("By", by), local_day())


def _make_cold(methods: Mapping[str, ColdMethod], send: Callable[[bytes], None]) -> ColdSide:
    from kiro_lsp import __version__
    from kiro_lsp.lsp.cold import ColdSide

    return ColdSide(NAME, __version__, methods, send)


async def _pull_settings(endpoint: Endpoint, session: Session) -> None:
    """The section `kiroLsp` of the editor's settings; without one what came with `initialize` stays in force.

    A client that tells the person's own settings from the workspace's is asked for both.
    """
    try:
        if session.client.understands("kiro/settings"):
            given = await endpoint.request("kiro/settings", {})
            answer = given if isinstance(given, Mapping) else {}
            shared, own = answer.get("settings"), answer.get("ownSettings")
            if isinstance(shared, Mapping) and isinstance(own, Mapping):
                await session.configuration_changed(shared, own)
            return
        answer = await endpoint.request("workspace/configuration", {"items": [{"section": "kiroLsp"}]})
    except ResponseError:
        return
    section = answer[0] if isinstance(answer, list) and answer else None
    if isinstance(section, Mapping) and section:
        await session.configuration_changed(section)


def _told(method: ColdMethod) -> ColdMethod:
    """A method whose refusals are told to the client as errors with the reason."""

    async def carry_out(params: Any) -> Any:
        try:
            return await method(params if isinstance(params, Mapping) else {})
        except KiroError as error:
            raise ResponseError(REQUEST_FAILED, str(error), {"code": error.code}) from error

    return carry_out


def _field(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise ResponseError(INVALID_PARAMS, f"the parameters have no {name!r}")
    return value
