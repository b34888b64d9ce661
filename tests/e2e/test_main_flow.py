"""The main job under the capability sets that real editors announce, with the real SDK against a local provider.

Click a lens, watch progress, review the edit, accept, and the box is ticked by the tool. The client (pytest-lsp) validates
what the server sends; its documents change only by the edits that it was sent.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities, make_test_lsp_client

from kiro_lsp.changes.textedits import TextEdit, apply_edits
from tests.support import planted
from tests.support.anthropic_server import AnthropicServer, Fault, Step, edits

SECONDS = 60
TASKS = "# Plan\r\n\r\n- [ ] 1. Greet politely\r\n  - _Requirements: 1.1_\r\n- [ ] 2. Say goodbye\r\n"
TICKED = TASKS.replace("- [ ] 1.", "- [x] 1.")
REQUIREMENTS = (
    "# Requirements\n\n### Requirement 1: Greeting\n\n#### Acceptance Criteria\n\n1. THE greeter SHALL be polite\n"
)
GREETER = "def greet(name):\n    return 'Hey ' + name\n"
POLITE = "def greet(name):\n    return 'Good day, ' + name\n"


@dataclass
class Seen:
    """What the client was sent and how it behaves."""

    edits: list[types.ApplyWorkspaceEditParams] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=lambda: ["Run", "Apply"])
    """Button titles, in the order of the questions."""
    documents: dict[str, tuple[int, str]] = field(default_factory=dict)
    apply: bool = True


def make_client() -> LanguageClient:
    client = make_test_lsp_client()
    seen = client.seen = Seen()  # type: ignore[attr-defined]

    @client.feature(types.WORKSPACE_APPLY_EDIT)
    async def apply_edit(params: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
        seen.edits.append(params)
        if seen.apply:
            for uri, changes in _edits_of(params.edit):
                _edit(client, seen, uri, changes)
        return types.ApplyWorkspaceEditResult(applied=seen.apply)

    @client.feature(types.WORKSPACE_CODE_LENS_REFRESH)
    def refresh(_params: Any) -> None:
        return None

    @client.feature(types.WINDOW_SHOW_MESSAGE_REQUEST)
    def show_message_request(params: types.ShowMessageRequestParams) -> types.MessageActionItem | None:
        seen.questions.append(params.message)
        offered = {action.title: action for action in params.actions or []}
        wanted = seen.answers.pop(0) if seen.answers else ""
        return offered.get(wanted)

    return client


def _edits_of(edit: types.WorkspaceEdit) -> Iterator[tuple[str, list[Any]]]:
    for change in edit.document_changes or []:
        assert isinstance(change, types.TextDocumentEdit), "no resource operation was announced as wanted"
        yield change.text_document.uri, list(change.edits)
    yield from (edit.changes or {}).items()


def _edit(client: LanguageClient, seen: Seen, uri: str, changes: list[Any]) -> None:
    """Edit a document as an editor does, opening it when it is closed, and tell the server."""
    if uri not in seen.documents:
        text = Path(uri.removeprefix("file://")).read_text("utf-8", newline="")
        _open(client, seen, uri, text)
    version, text = seen.documents[uri]
    edited = apply_edits(
        text,
        [
            TextEdit(
                edit.range.start.line,
                edit.range.start.character,
                edit.range.end.line,
                edit.range.end.character,
                edit.new_text,
            )
            for edit in changes
        ],
    )
    seen.documents[uri] = (version + 1, edited)
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(version=version + 1, uri=uri),
            [types.TextDocumentContentChangeWholeDocument(text=edited)],
        )
    )


def _open(client: LanguageClient, seen: Seen, uri: str, text: str) -> None:
    seen.documents[uri] = (1, text)
    item = types.TextDocumentItem(uri=uri, language_id="markdown", version=1, text=text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(item))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / ".kiro" / "specs" / "greeter").mkdir(parents=True)
    (root / ".kiro/specs/greeter/tasks.md").write_text(TASKS, "utf-8", newline="")
    (root / ".kiro/specs/greeter/requirements.md").write_text(REQUIREMENTS, "utf-8")
    (root / "greeter.py").write_text(GREETER, "utf-8")
    return root


@pytest.fixture
def provider() -> Iterator[AnthropicServer]:
    with AnthropicServer(edits("greeter.py", "'Hey '", "'Good day, '", summary="The greeting is polite.")) as server:
        yield server


def server_environ(tmp_path: Path, provider: AnthropicServer) -> dict[str, str]:
    """What a server is started with: homes of its own, a key that opens only the local provider."""
    homes = {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("STATE", "CONFIG", "CACHE", "DATA")}
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "ANTHROPIC_API_KEY": planted.KEYS["anthropic"],
        **planted.ENVIRON,
        "ANTHROPIC_BASE_URL": provider.url,
        **homes,
    }


@pytest.fixture(params=["visual-studio-code", "neovim", "emacs"])
async def client(
    request: pytest.FixtureRequest, tmp_path: Path, project: Path, provider: AnthropicServer
) -> AsyncIterator[LanguageClient]:
    config = ClientServerConfig(
        server_command=[sys.executable, "-m", "kiro_lsp", "--stdio"],
        client_factory=make_client,
        server_env=server_environ(tmp_path, provider),
    )
    language_client: LanguageClient = await config.start()  # type: ignore[assignment]
    capabilities = client_capabilities(request.param)
    params = types.InitializeParams(capabilities=capabilities, root_uri=project.as_uri(), process_id=os.getpid())
    await language_client.initialize_session(params)
    yield language_client
    await language_client.shutdown_session()


async def until(condition: Any) -> Any:
    """The first true value of a condition; the test's own time limit ends a condition that never comes."""
    async with asyncio.timeout(SECONDS):
        while not (value := condition()):
            await asyncio.sleep(0.02)
        return value


async def lenses(client: LanguageClient, uri: str) -> dict[str, types.Command]:
    """Title → command of the lenses above the first task."""
    found = await client.text_document_code_lens_async(types.CodeLensParams(types.TextDocumentIdentifier(uri)))
    return {lens.command.title: lens.command for lens in found or [] if lens.command and lens.range.start.line == 2}


async def execute(client: LanguageClient, command: types.Command) -> Any:
    params = types.ExecuteCommandParams(command=command.command, arguments=command.arguments)
    answer = await client.workspace_execute_command_async(params)
    return answer if isinstance(answer, dict) else answer._asdict()


async def run_to_review(client: LanguageClient, project: Path) -> str:
    """Open the task file, click the lens, and wait until the change is to be reviewed; returns the run."""
    uri = (project / ".kiro/specs/greeter/tasks.md").as_uri()
    _open(client, client.seen, uri, TASKS)  # type: ignore[attr-defined]
    offered = await lenses(client, uri)
    assert list(offered) == ["▶ Run with Claude", "⋯"]
    answer = await execute(client, offered["▶ Run with Claude"])
    run_id = answer["runId"]
    await until(lambda: any(_kinds(reports)[-1] == "end" for reports in client.progress_reports.values() if reports))
    return str(run_id)


def _kinds(reports: list[Any]) -> list[str]:
    return [report.kind for report in reports]


async def test_from_the_lens_to_the_ticked_box(
    client: LanguageClient, project: Path, provider: AnthropicServer, request: pytest.FixtureRequest
) -> None:
    seen: Seen = client.seen  # type: ignore[attr-defined]
    editor = request.node.callspec.params["client"]
    task_file = project / ".kiro/specs/greeter/tasks.md"
    _open(client, seen, (project / "greeter.py").as_uri(), GREETER)

    run_id = await run_to_review(client, project)

    # One sheet was shown; progress began once and ended once; the tree and the buffers are as they were.
    assert "Claude" in seen.questions[0]
    assert "$2" in seen.questions[0]
    ((_token, reports),) = client.progress_reports.items()
    assert _kinds(reports).count("begin") == _kinds(reports).count("end") == 1
    assert reports[0].percentage is None
    assert reports[0].cancellable
    assert (project / "greeter.py").read_text() == GREETER

    if editor == "visual-studio-code":
        offered = await lenses(client, task_file.as_uri())
        assert list(offered)[:3] == ["Review 1 file", "Accept", "Reject"]
        await execute(client, offered["Review 1 file"])
    else:  # without annotated edits the person is asked
        await until(lambda: len(seen.questions) == 2)
        assert "greeter.py" in seen.questions[1]

    greeter, task = (project / "greeter.py").as_uri(), task_file.as_uri()
    await until(lambda: seen.documents[greeter][1] == POLITE and seen.documents[task][1] == TICKED)
    assert task_file.read_bytes() == TASKS.encode()  # an open document changes in the editor, which saves it
    check_edit_shape(seen.edits[0], editor)
    await until(lambda: any("ticked" in message.message for message in client.messages))
    assert run_id
    assert [request["messages"][-1]["role"] for request in provider.requests] == ["user"] * 3
    assert "THE greeter SHALL be polite" in str(provider.requests[0])


def check_edit_shape(params: types.ApplyWorkspaceEditParams, editor: str) -> None:
    """Documents with versions where that was announced, annotations only where they are understood."""
    edit = params.edit
    if editor == "neovim":
        assert edit.document_changes is None
        assert edit.changes
        return
    (change,) = edit.document_changes or []
    assert isinstance(change, types.TextDocumentEdit)
    assert change.text_document.version == 1
    if editor == "visual-studio-code":
        assert edit.change_annotations
        assert all(annotation.needs_confirmation for annotation in edit.change_annotations.values())
        assert all(item.annotation_id in edit.change_annotations for item in change.edits)  # type: ignore[union-attr]
    else:
        assert edit.change_annotations is None


WRITE = ("write_file", {"path": "first.txt", "content": "first"})
FAILURES: list[tuple[list[Step], list[Fault], str]] = [
    ([], [Fault(401, "authentication_error")], "ANTHROPIC_API_KEY"),
    ([], [Fault(402, "billing_error")], "credit"),
    ([], [Fault(429, "rate_limit_error", headers={"retry-after-ms": "1"})], "retry"),
    ([], [Fault(529, "overloaded_error", headers={"retry-after-ms": "1"})], "retry"),
    ([], [Fault(500, "api_error", headers={"retry-after-ms": "1"})], "Retry"),
    ([Step(tools=[WRITE], cut_after=900)], [], "retry"),
    ([Step(tools=[WRITE], stop="max_tokens")], [], "max_tokens"),
    ([Step(text="I will not do that.", stop="refusal")], [], "refused"),
    ([Step()], [], "empty"),
]


async def test_every_failure_of_a_provider_is_told_in_the_editor(
    client: LanguageClient, project: Path, provider: AnthropicServer
) -> None:
    uri = (project / ".kiro/specs/greeter/tasks.md").as_uri()
    _open(client, client.seen, uri, TASKS)  # type: ignore[attr-defined]
    for number, (steps, faults, wanted) in enumerate(FAILURES, 1):
        provider.steps, provider.faults = steps, faults
        told = len(client.messages)
        offered = await lenses(client, uri)
        await execute(client, offered["▶ Run with Claude"])
        await until(lambda told=told: len(client.messages) > told)
        assert wanted.casefold() in client.messages[-1].message.casefold(), (number, client.messages[-1].message)
        await until(lambda number=number: [_kinds(r)[-1] for r in client.progress_reports.values()] == ["end"] * number)
        assert any(title.startswith("✗ Claude failed") for title in await lenses(client, uri))
    assert client.seen.edits == []  # type: ignore[attr-defined]
    assert not (project / "first.txt").exists()
    assert (project / "greeter.py").read_text() == GREETER
