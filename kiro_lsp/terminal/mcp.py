"""`mcp`: this project's tasks, prompts and runs as an MCP server over standard input and output.

An agent that the person already talks to can see the spec and ask for a run. What it can see and ask is `mcp_answers.py`;
this is the protocol's half. The log goes to the log file, standard output belongs to the client.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from kiro_lsp import __version__
from kiro_lsp.errors import KiroError, UsageError
from kiro_lsp.terminal.console import Console
from kiro_lsp.terminal.mcp_answers import Answers
from kiro_lsp.terminal.project import project_root, with_engine

if TYPE_CHECKING:
    from mcp import types
    from mcp.server.lowlevel import Server

Given = Mapping[str, Any]
Told = Callable[[str], Awaitable[None]]

INSTRUCTIONS: Final = """\
The tasks of this project's specs, and runs of them. Look with list_tasks, get_task and get_prompt; ask for a run with
run_task. A run works in a copy of the project. Whether its change is accepted, and whether a task is done, is decided by the
person in their editor or terminal, never here: tell them what waits for them. Do not write into task files yourself."""
_SCHEME: Final = "kiro-lsp:///"
_LINE_BYTES: Final = 16 * 1024 * 1024
_WATCH_SECONDS: Final = 30
_PATH: Final = {"type": "string", "description": "The task file, relative to the project."}
_TASK: Final = {
    "type": "string",
    "description": "The task: its key, its id, or its line number (:12 is always line 12).",
}
_RUN: Final = {"type": "string", "description": "The run's id."}
_SECONDS: Final = {
    "type": "integer",
    "minimum": 0,
    "maximum": 600,
    "description": f"How long to watch it before answering ({_WATCH_SECONDS}). It goes on in any case.",
}


@dataclass(frozen=True, slots=True)
class _Tool:
    description: str
    properties: Mapping[str, Mapping[str, Any]]
    required: tuple[str, ...]
    answer: Callable[[Answers, Given, Told], Awaitable[Any]]
    reads: bool = True
    """It changes nothing."""

    @property
    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": dict(self.properties),
            "required": list(self.required),
            "additionalProperties": False,
        }


def _looks(method: str, *names: str) -> Callable[[Answers, Given, Told], Awaitable[Any]]:
    """An answer that is read from disk or store, in a thread."""

    async def answer(answers: Answers, given: Given, _told: Told) -> Any:
        return await asyncio.to_thread(getattr(answers, method), *(given.get(name) for name in names))

    return answer


async def _start(answers: Answers, given: Given, told: Told) -> Any:
    seconds = given.get("waitSeconds", _WATCH_SECONDS)
    wanted = {name: given.get(name) for name in ("agent", "model", "note")}
    return await answers.start(given["path"], given["task"], seconds=seconds, told=told, **wanted)


async def _cancel(answers: Answers, given: Given, _told: Told) -> Any:
    return await answers.cancel(given["run"])


TOOLS: Final[Mapping[str, _Tool]] = {
    "list_tasks": _Tool(
        "The tasks of the project's task files, with their status.", {"path": _PATH}, (), _looks("task_list", "path")
    ),
    "get_task": _Tool(
        "One task with its body, requirements, dependencies, and its newest run.",
        {"path": _PATH, "task": _TASK},
        ("path", "task"),
        _looks("task", "path", "task"),
    ),
    "get_prompt": _Tool(
        "Exactly what an agent would be sent for a task: instructions, documents of the spec, and the task.",
        {"path": _PATH, "task": _TASK},
        ("path", "task"),
        _looks("prompt", "path", "task"),
    ),
    "list_agents": _Tool("The agents that can carry out a task here, and why others cannot.", {}, (), _looks("agents")),
    "run_task": _Tool(
        "Ask for a run of a task. It works in a copy and ends in a review that only the person can accept. It costs what its "
        "agent costs, within the person's caps; where the person has to be asked first, it waits for them.",
        {
            "path": _PATH,
            "task": _TASK,
            "agent": {"type": "string", "description": "Which agent (list_agents); without one, the recommended."},
            "model": {"type": "string", "description": "Which model."},
            "note": {"type": "string", "description": "Something to add to the task for this run."},
            "waitSeconds": _SECONDS,
        },
        ("path", "task"),
        _start,
        reads=False,
    ),
    "run_status": _Tool(
        "How a run stands: its state, cost, what it waits for, and what the person can do next.",
        {"run": _RUN},
        ("run",),
        _looks("run", "run"),
    ),
    "run_diff": _Tool("What a run proposes, as a unified diff.", {"run": _RUN}, ("run",), _looks("diff", "run")),
    "list_runs": _Tool("The newest runs of this project.", {}, (), _looks("runs")),
    "cancel_run": _Tool(
        "Stop a run. What it has staged stays reviewable.", {"run": _RUN}, ("run",), _cancel, reads=False
    ),
}


def mcp(args: argparse.Namespace, console: Console) -> int:  # noqa: ARG001  # standard output is the protocol's
    """Serve one MCP client until its end of our input is closed."""
    from kiro_lsp.terminal.logfile import keep_log

    keep_log(None, "info")
    root = project_root(args.root)
    return with_engine(lambda engine: _serve(Answers(engine, root)))


async def _serve(answers: Answers) -> int:
    server = await asyncio.to_thread(_server, answers)
    async with _standard_streams() as (arriving, leaving):
        await server.run(arriving, leaving, server.create_initialization_options())
    return 0


def _server(answers: Answers) -> Server[Any]:
    """The SDK's server with our handlers. Blocking: it imports the SDK."""
    from mcp.server.lowlevel import Server

    handlers = _Handlers(answers)
    return Server(
        "kiro-lsp",
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=handlers.tools,
        on_call_tool=handlers.call,
        on_list_resources=handlers.resources,
        on_read_resource=handlers.resource,
        on_list_prompts=handlers.prompts,
        on_get_prompt=handlers.prompt,
    )


@dataclass(frozen=True, slots=True)
class _Handlers:
    """The requests of the protocol. The first argument of each is the SDK's context of the request."""

    answers: Answers

    async def tools(self, _context: Any, _params: Any) -> types.ListToolsResult:
        from mcp import types

        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=name,
                    description=tool.description,
                    input_schema=tool.schema,
                    annotations=types.ToolAnnotations(read_only_hint=tool.reads, destructive_hint=False),
                )
                for name, tool in TOOLS.items()
            ]
        )

    async def call(self, context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        return await _called(self.answers, context, params.name, params.arguments or {})

    async def resources(self, _context: Any, _params: Any) -> types.ListResourcesResult:
        from mcp import types

        documents = await asyncio.to_thread(self.answers.documents)
        return types.ListResourcesResult(
            resources=[
                types.Resource(uri=_uri(path), name=path, title=title, mime_type="text/markdown")
                for path, title in documents.items()
            ]
        )

    async def resource(self, _context: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        from mcp import types

        text = await _refused(asyncio.to_thread(self.answers.document, _path(str(params.uri))))
        contents = types.TextResourceContents(uri=params.uri, text=text, mime_type="text/markdown")
        return types.ReadResourceResult(contents=[contents])

    async def prompts(self, _context: Any, _params: Any) -> types.ListPromptsResult:
        from mcp import types

        arguments = [
            types.PromptArgument(name=name, description=str(spec["description"]), required=True)
            for name, spec in (("path", _PATH), ("task", _TASK))
        ]
        words = "What an agent is sent for a task, to carry it out in this conversation."
        prompt = types.Prompt(name="implement-task", description=words, arguments=arguments)
        return types.ListPromptsResult(prompts=[prompt])

    async def prompt(self, _context: Any, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        from mcp import types

        given = params.arguments or {}
        text = await _refused(asyncio.to_thread(self.answers.prompt, given.get("path", ""), given.get("task", "")))
        message = types.PromptMessage(role="user", content=types.TextContent(text=text))
        return types.GetPromptResult(messages=[message])


async def _called(answers: Answers, context: Any, name: str, given: Given) -> types.CallToolResult:
    """A tool's answer as text and as data; a refusal is an answer that says so."""
    from mcp.types import CallToolResult, TextContent

    steps = 0

    async def told(line: str) -> None:
        nonlocal steps
        steps += 1
        await context.session.report_progress(steps, None, line)

    try:
        found = await _checked(name, given).answer(answers, given, told)
    except KiroError as refusal:
        return CallToolResult(content=[TextContent(text=str(refusal))], is_error=True)
    text = found if isinstance(found, str) else orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
    structured = None if isinstance(found, str) else found
    return CallToolResult(content=[TextContent(text=text)], structured_content=structured)


def _checked(name: str, given: Given) -> _Tool:
    """The tool, when the arguments are such that it can be called. Raises UsageError."""
    tool = TOOLS.get(name)
    if tool is None:
        raise UsageError(f"There is no tool {name!r}.", hint=f"There are: {', '.join(TOOLS)}.")
    problems = [f"{each} is missing" for each in tool.required if each not in given]
    problems += [f"there is no argument {each!r}" for each in given if each not in tool.properties]
    for each, spec in tool.properties.items():
        value = given.get(each)
        if spec["type"] == "integer" and value is not None:
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not spec["minimum"] <= value <= spec["maximum"]:
                problems.append(f"{each} must be a whole number from {spec['minimum']} to {spec['maximum']}")
        elif value is not None and not isinstance(value, str):
            problems.append(f"{each} must be a text")
    if problems:
        raise UsageError(f"{name} was not carried out: {'; '.join(problems)}.")
    return tool


async def _refused(work: Awaitable[str]) -> str:
    """A refusal as the protocol's error."""
    from mcp import MCPError
    from mcp.types import INVALID_PARAMS

    try:
        return await work
    except KiroError as refusal:
        raise MCPError(INVALID_PARAMS, str(refusal)) from refusal


def _uri(path: str) -> str:
    from urllib.parse import quote

    return _SCHEME + quote(path)


def _path(uri: str) -> str:
    from urllib.parse import unquote

    return unquote(uri.removeprefix(_SCHEME))


@asynccontextmanager
async def _standard_streams() -> AsyncIterator[tuple[Any, Any]]:
    """Messages from standard input and to standard output. The SDK's own streams cannot be left while a read waits."""
    import anyio
    from mcp.shared.message import SessionMessage
    from mcp.types import jsonrpc_message_adapter

    arriving, incoming = anyio.create_memory_object_stream[Any](0)
    outgoing, leaving = anyio.create_memory_object_stream[SessionMessage](0)
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_read_lines, args=(loop, lines), daemon=True).start()

    async def read() -> None:
        async with arriving:
            while (line := await lines.get()) is not None:
                try:
                    await arriving.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))
                except ValueError as error:
                    await arriving.send(error)

    async def write() -> None:
        async with leaving:
            async for message in leaving:
                line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await asyncio.to_thread(_write, line.encode() + b"\n")

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        group.start_soon(write)
        try:
            yield incoming, outgoing
        finally:
            group.cancel_scope.cancel()


def _read_lines(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[bytes | None]) -> None:
    """Lines of standard input until its end. Read without a buffer of Python's, whose lock a waiting thread would hold."""
    rest = b""
    with suppress(OSError, RuntimeError):  # RuntimeError: the loop is closed, nobody listens any more
        while data := os.read(0, 65536):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                if line.strip():
                    loop.call_soon_threadsafe(lines.put_nowait, line)
            if len(rest) > _LINE_BYTES:
                break
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(lines.put_nowait, None)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
