"""A tool of an MCP server as an agent: it is called once, with the task, and what it changes in the copy is the change.

    [agents.mine]
    type = "mcp"
    server = "coder"                  # of [mcp.servers], or `command` and `args`, or `endpoint` as an address
    tool = "run_task"
    arguments = { instructions = "{prompt}", folder = "{path}" }

Which server and tool is the person's configuration; nothing is guessed but how the tool's arguments are called, and that
only where `arguments` says nothing. The server runs in the run's copy of the project. One that is reached by HTTP is
outside of every sandbox: it gets the path of a plain copy, or, where no argument of its tool is a path, none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kiro_lsp.errors import ExecutorError
from kiro_lsp.events import Chunk, Phase, Tool
from kiro_lsp.executors import brief
from kiro_lsp.executors.mcp_client import CALL_SECONDS, CONNECT_SECONDS, Offer, Progress, Server, connected
from kiro_lsp.executors.mcp_servers import needs_of_agent, server_of_agent
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, RunContext
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import AgentSettings

if TYPE_CHECKING:
    from kiro_lsp.executors.mcp_client import Session

_PLACES: Final = re.compile(r"\{(prompt|task|title|path)\}")
_PATH_NAMES: Final = frozenset(
    [
        *("path", "cwd", "root", "folder", "directory", "dir", "workspace", "repo", "repository", "project"),
        *("projectpath", "projectdir", "projectroot", "workdir", "workingdir", "workingdirectory"),
        *("workspacepath", "workspaceroot", "rootdir", "rootpath", "repopath", "basepath"),
    ]
)
_TASK_NAMES: Final = frozenset(["task", "taskdescription", "tasktext"])
_TITLE_NAMES: Final = frozenset(["title", "name", "summary", "subject", "taskname", "tasktitle"])
_PROMPT_NAMES: Final = (
    *("prompt", "instructions", "instruction", "message", "query", "input", "text", "request", "goal", "description"),
    *("task", "taskdescription", "tasktext", "question", "content", "userprompt", "command"),
)
"""The first that a tool has gets all of it."""
_SUMMARY: Final = 2000


class McpExecutor:
    """Calls one tool of one server."""

    def __init__(
        self,
        agent: AgentSettings,
        workers: WorkerPool | None = None,  # noqa: ARG002  # what every executor is made with
        environ: Mapping[str, str] | None = None,  # noqa: ARG002
        *,
        connect_seconds: float = CONNECT_SECONDS,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self._agent = agent
        self._connect_seconds = connect_seconds
        self._call_seconds = call_seconds

    async def execute(self, request: ExecutorRequest, run: RunContext) -> ExecutorResult:
        """As Executor.execute. Raises ExecutorError, also where the tool says that it failed."""
        agent = request.agent or self._agent
        if request.schema is not None:
            raise ExecutorError("agent", "A tool of an MCP server answers no question.", hint="Pick another agent.")
        server = server_of_agent(agent)
        values = _values(request)
        async with run.workplace(needs_of_agent(agent, server)) as place:
            async with connected(server, run, place, connect_seconds=self._connect_seconds) as session:
                offer = _named(await session.offers(seconds=self._connect_seconds), agent, server)
                args = _arguments(offer, agent, {**values, "path": str(place.path)})
                said = await self._called(session, offer, args, run)
            changed = await place.absorb()
        return ExecutorResult(
            True,
            changed_files=tuple(change.path for change in changed),
            stop_reason="end_turn",
            summary=said.strip()[-_SUMMARY:] or f"The tool {offer.name} ended without a word.",
        )

    async def _called(self, session: Session, offer: Offer, args: Mapping[str, Any], run: RunContext) -> str:
        """What the tool answered. Raises ExecutorError."""
        name = f"{session.server.name}: {offer.name}"
        run.emit(Phase("running", name))
        run.emit(Tool("mcp-1", "execute", name, "in_progress"))
        failed = True
        try:
            progress = Shown(run, name)
            answer = await session.call(offer.name, args, progress, seconds=self._call_seconds)
            failed = answer.is_error
        finally:
            run.emit(Tool("mcp-1", "execute", name, "failed" if failed else "completed"))
        if answer.is_error:
            raise ExecutorError(
                "agent",
                f"The tool {offer.name} of the MCP server {session.server.name} failed: {answer.text.strip()[:1000]}",
                hint="What it had changed until then can be reviewed. Retry, or pick another agent.",
            )
        if answer.text.strip():
            run.emit(Chunk(answer.text.rstrip("\n") + "\n"))
        return answer.text


@dataclass(slots=True)
class Shown:
    """Progress as the run's events: each word as text, and how far it is as the phase."""

    run: RunContext
    name: str
    _last: str = ""

    def __call__(self, progress: Progress) -> None:
        if str(progress) == self._last:
            return
        self._last = str(progress)
        if progress.message:
            self.run.emit(Chunk(f"{progress.message}\n"))
        self.run.emit(Phase("running", f"{self.name} · {self._last}"))


def _values(request: ExecutorRequest) -> dict[str, str]:
    """What may stand in an argument, but for the path."""
    redact = request.redact or str
    task = "\n\n".join(brief.task_texts(request))
    title = (request.summary or "").strip() or task.strip().partition("\n")[0]
    whole = "\n\n".join([*brief.stable_texts(request), task])
    return {"prompt": redact(whole), "task": redact(task), "title": redact(title)}


def _named(offers: Sequence[Offer], agent: AgentSettings, server: Server) -> Offer:
    """The tool that the person configured, or the only one there is."""
    found = [offer for offer in offers if offer.name == agent.tool] if agent.tool else list(offers)
    if len(found) == 1:
        return found[0]
    there = ", ".join(offer.name for offer in offers[:30]) or "none"
    what = f"has no tool {agent.tool!r}" if agent.tool else "has several tools" if offers else "has no tools"
    raise ExecutorError(
        "agent",
        f"The MCP server {server.name} {what}. There are: {there}.",
        hint=f"Name the one that carries out a task in agents.{agent.name}.tool.",
    )


def _arguments(offer: Offer, agent: AgentSettings, values: Mapping[str, str]) -> dict[str, Any]:
    """The tool's arguments, by what is configured or else by their names. Raises ExecutorError for one without a value."""
    properties: Mapping[str, Any] = offer.schema.get("properties") or {}
    given: dict[str, Any] = {}
    for name, text in agent.arguments.items() or _by_name(properties).items():
        filled = _PLACES.sub(lambda place: values[place[1]], text)
        given[name] = _typed(filled, properties.get(name))
    lost = [name for name in offer.schema.get("required") or () if name not in given]
    if lost:
        raise ExecutorError(
            "agent",
            f"The tool {offer.name} wants {', '.join(lost)}, and nothing says what that is.",
            hint=f"Say it in agents.{agent.name}.arguments: a text for each argument, with {{prompt}}, {{task}}, {{title}} "
            "or {path} in it.",
        )
    return given


def _by_name(properties: Mapping[str, Any]) -> dict[str, str]:
    """Argument → its text, for those whose names say what they are: the whole prompt goes into one of them."""
    plain = {re.sub(r"[^a-z]", "", name.casefold()): name for name, spec in properties.items() if _is_text(spec)}
    prompt = next((name for name in _PROMPT_NAMES if name in plain), None)
    found = {plain[prompt]: "{prompt}"} if prompt is not None else {}
    for names, place in ((_PATH_NAMES, "{path}"), (_TASK_NAMES, "{task}"), (_TITLE_NAMES, "{title}")):
        found |= {plain[name]: place for name in plain if name in names and name != prompt}
    return found


def _is_text(spec: Any) -> bool:
    kinds = spec.get("type", "string") if isinstance(spec, Mapping) else "string"
    return (kinds == "string" or (isinstance(kinds, list) and "string" in kinds)) and "enum" not in (spec or {})


def _typed(text: str, spec: Any) -> Any:
    """A configured text as the type that the tool declares; one that is none of it goes as it is, and is the tool's to
    refuse.
    """
    kind = spec.get("type") if isinstance(spec, Mapping) else None
    try:
        match kind:
            case "boolean" if text.casefold() in ("true", "false"):
                return text.casefold() == "true"
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "array":
                return [text]
    except ValueError:
        return text
    return text
