"""A task carried out by the scriptable ACP agent (acp_agent.py), as a run would have it, outside of any engine."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kiro_lsp.errors import ExecutorError
from kiro_lsp.events import Chunk, Isolation, RunEvent
from kiro_lsp.executors.acp import AcpExecutor
from kiro_lsp.executors.acp_session import Patience
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, Question, Resume
from kiro_lsp.settings import AgentSettings
from tests.support import acp_agent
from tests.support.claude import CountingRun

AGENT = AgentSettings(
    "script",
    type="acp",
    label="Scripted",
    command=sys.executable,
    args=(acp_agent.__file__,),
    billing="subscription",
    network="none",
    login=("script", "login"),
    homes=("~/box",),
)
LEVELS: dict[str, frozenset[Any]] = {
    "bubblewrap": frozenset({"bubblewrap", "overlay", "copy"}),
    "overlay": frozenset({"overlay"}),
    "copy": frozenset({"copy"}),
}


@dataclass
class Played:
    """How it ended, and what both sides saw."""

    run: CountingRun
    log: Path
    result: ExecutorResult | None = None
    error: ExecutorError | None = None
    questions: list[Question] = field(default_factory=list)

    def told(self, name: str) -> list[Any]:
        """What the agent noted down under a name."""
        lines = self.log.read_text("utf-8").splitlines() if self.log.exists() else []
        return [value for noted, value in map(json.loads, lines) if noted == name]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.run.events if isinstance(event, kind)]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.of(Chunk))

    @property
    def staged(self) -> dict[str, bytes | None]:
        return {change.path: change.proposed for change in self.run.changes().files}

    @property
    def level(self) -> str:
        return str(self.of(Isolation)[0].level)


def box(home: Path) -> Path:
    """The agent's own folder in a home folder: its script and its log are there."""
    folder = home / "box"
    folder.mkdir(exist_ok=True)
    return folder


async def play(
    root: Path,
    home: Path,
    script: Any,
    *,
    level: str = "bubblewrap",
    answer: Callable[[Question], Any] | None = None,
    patience: Patience | None = None,
    resume: Resume | None = None,
    started: Callable[[Played], Any] | None = None,
    until: Callable[[RunEvent], bool] | None = None,
    request: dict[str, Any] | None = None,
    **agent: Any,
) -> Played:
    """Carry a task out. With `until`, the run is cancelled at the first event for which that is true.

    Raises what is no ExecutorError: CancelledError for a run that was cancelled.
    """
    folder = box(home)
    (folder / "script.json").write_text(json.dumps(script), "utf-8")
    environ = {"SCRIPT": str(folder / "script.json"), "LOG": str(folder / "log")}
    settings = _replaced(AGENT, env={**environ, **agent.pop("env", {})}, **agent)
    questions: list[Question] = []

    def answered(question: Question) -> Any:
        questions.append(question)
        return answer(question) if answer is not None else ""

    run = CountingRun(root, answer=answered, levels=LEVELS[level], billing="subscription")
    played = Played(run, folder / "log", questions=questions)
    if started is not None:
        started(played)
    asked = ExecutorRequest(root_dir=root, ticket_markdown="Make the number two.", resume=resume, **(request or {}))
    async with run:
        working = asyncio.create_task(AcpExecutor(settings, patience=patience).execute(asked, run))
        if until is not None:
            _watch(run, until, working)
        try:
            played.result = await working
        except ExecutorError as error:
            played.error = error
    return played


def _watch(run: CountingRun, until: Callable[[RunEvent], bool], working: asyncio.Task[Any]) -> None:
    emit = run.emit

    def emitting(event: RunEvent) -> None:
        emit(event)
        if until(event):
            working.cancel()

    run.emit = emitting  # type: ignore[method-assign]


def _replaced(agent: AgentSettings, **more: Any) -> AgentSettings:
    from dataclasses import replace

    return replace(agent, **more)
