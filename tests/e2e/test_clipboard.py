"""What a person pasted from a chat becomes a review like any other, under the capabilities of three editors."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

from tests.e2e.test_main_flow import GREETER, TASKS, Seen, _open, execute, make_client, server_environ, until
from tests.support.anthropic_server import AnthropicServer

EDITORS = ["visual-studio-code", "neovim", "emacs"]
UNSAVED = "# not saved yet\n" + GREETER
BLOCK = "<<<<<<< SEARCH\n    return 'Hey ' + name\n=======\n    return 'Good day, ' + name\n>>>>>>> REPLACE\n"
ANSWER = f"Sure, here it is:\n\ngreeter.py\n```python\n{BLOCK}```\n"
CREATED = "docs/new.md\n<<<<<<< SEARCH\n=======\n# New\n>>>>>>> REPLACE\n"
POLITE = UNSAVED.replace("'Hey '", "'Good day, '")


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A project; Emacs has it open through a link, which its documents and what is applied to them are named by."""
    root = tmp_path / "project"
    if "emacs" in request.node.name:
        (tmp_path / "elsewhere").mkdir()
        root.symlink_to(tmp_path / "elsewhere")
    (root / ".kiro/specs/greeter").mkdir(parents=True)
    (root / ".kiro/specs/greeter/tasks.md").write_text(TASKS, "utf-8", newline="")
    (root / "greeter.py").write_text(GREETER, "utf-8")
    return root


@pytest.fixture(name="environ")
def environ_fixture(tmp_path: Path, provider: AnthropicServer) -> dict[str, str]:
    return server_environ(tmp_path, provider)


@pytest.fixture(name="editor", params=EDITORS)
async def editor_fixture(
    request: pytest.FixtureRequest, environ: dict[str, str], folder: Path
) -> AsyncIterator[LanguageClient]:
    config = ClientServerConfig(
        server_command=[sys.executable, "-m", "kiro_lsp", "--stdio"], client_factory=make_client, server_env=environ
    )
    client: LanguageClient = await config.start()  # type: ignore[assignment]
    capabilities = client_capabilities(request.param)
    params = types.InitializeParams(capabilities=capabilities, root_uri=folder.as_uri(), process_id=os.getpid())
    await client.initialize_session(params)
    yield client
    await client.shutdown_session()


async def paste(client: LanguageClient, *answers: str, **argument: Any) -> dict[str, Any]:
    """Call the command; `answers` are the buttons that the person will press."""
    client.seen.answers[:] = answers  # type: ignore[attr-defined]
    arguments = [argument] if argument else None
    return dict(await execute(client, types.Command("Paste", "kiroLsp.applyFromClipboard", arguments=arguments)))


async def ask(client: LanguageClient, command: str, **argument: Any) -> dict[str, Any]:
    return dict(await execute(client, types.Command(command, f"kiroLsp.{command}", arguments=[argument])))


def _type(client: LanguageClient, uri: str, text: str) -> None:
    """The person replaces the text of a document."""
    seen: Seen = client.seen  # type: ignore[attr-defined]
    version = seen.documents[uri][0] + 1
    seen.documents[uri] = (version, text)
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(version=version, uri=uri),
            [types.TextDocumentContentChangeWholeDocument(text=text)],
        )
    )


def call(folder: Path, environ: dict[str, str], *arguments: str, code: int = 0) -> Any:
    """The same project from a terminal."""
    argv = [sys.executable, "-m", "kiro_lsp", *arguments, "--json"]
    done = subprocess.run(
        argv, cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


async def test_a_pasted_answer_is_reviewed_applied_to_the_open_text_and_undone(
    editor: LanguageClient, folder: Path, environ: dict[str, str]
) -> None:
    seen: Seen = editor.seen  # type: ignore[attr-defined]
    uri = (folder / "greeter.py").as_uri()
    _open(editor, seen, uri, UNSAVED)
    answer = await paste(editor, "Apply", text=ANSWER, uri=uri)
    run_id = answer["runId"]
    assert run_id
    await until(lambda: seen.documents[uri][1] == POLITE)
    await until(lambda: any("Applied 1 file" in message.message for message in editor.messages))
    assert not any("ticked" in message.message for message in editor.messages)
    assert (folder / "greeter.py").read_text("utf-8") == GREETER, "the editor saves, not the server"
    assert (folder / ".kiro/specs/greeter/tasks.md").read_bytes() == TASKS.encode()

    (run,) = call(folder, environ, "runs")
    assert (run["runId"], run["state"], run["way"], run["path"], run["task"]) == (run_id, "applied", "paste", "", "")
    undone = await ask(editor, "undoRun", runId=run_id)
    assert undone["ok"], undone
    assert seen.documents[uri][1] == UNSAVED


@pytest.mark.parametrize("editor", ["neovim"], indirect=True)
async def test_the_terminal_decides_on_it_too(editor: LanguageClient, folder: Path, environ: dict[str, str]) -> None:
    seen: Seen = editor.seen  # type: ignore[attr-defined]
    uri = (folder / "greeter.py").as_uri()
    _open(editor, seen, uri, UNSAVED)
    run_id = (await paste(editor, "", text=ANSWER + "\n" + CREATED, uri=uri))["runId"]
    await until(lambda: len(seen.questions) == 1)
    assert "docs/new.md, greeter.py" in seen.questions[0]
    assert seen.documents[uri][1] == UNSAVED
    assert not (folder / "docs").exists()

    def accept() -> Any:
        return call(folder, environ, "review", run_id, "--accept")

    accepted = await asyncio.to_thread(accept)
    assert (accepted["ok"], accepted["state"], accepted["ticked"]) == (True, "applied", False)
    assert seen.documents[uri][1] == POLITE
    assert (folder / "docs/new.md").read_text("utf-8") == "# New\n"
    await asyncio.to_thread(call, folder, environ, "undo", run_id)
    assert seen.documents[uri][1] == UNSAVED
    assert not (folder / "docs").exists()


@pytest.mark.parametrize("editor", ["neovim"], indirect=True)
async def test_an_answer_that_names_no_file_is_about_the_document(editor: LanguageClient, folder: Path) -> None:
    seen: Seen = editor.seen  # type: ignore[attr-defined]
    uri = (folder / "greeter.py").as_uri()
    _open(editor, seen, uri, UNSAVED)
    assert (await paste(editor, "Apply", text=BLOCK, uri=uri))["runId"]
    await until(lambda: seen.documents[uri][1] == POLITE)


@pytest.mark.parametrize("editor", ["neovim"], indirect=True)
async def test_what_cannot_be_applied_is_refused_with_the_hints(editor: LanguageClient, folder: Path) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({}, "usage", "'text'"),
        ({"text": ""}, "usage", "'text'"),
        ({"text": "No edit at all.\n"}, "edit", "cannot be applied"),
        ({"text": ANSWER.replace("'Hey '", "'Hi '") + "\n" + CREATED}, "edit", "greeter.py, edit 1: not-found"),
        ({"text": f"Then:\n\n```sh\nrm {'x' * 9}\n```\n", "uri": (folder / "greeter.py").as_uri()}, "edit", "no edit"),
        ({"text": ANSWER, "uri": "untitled:Untitled-1"}, "usage", "not a file"),
        ({"text": BLOCK, "uri": (folder / ".kiro/specs/greeter/tasks.md").as_uri()}, "edit", "names no file"),
    ]
    for argument, code, words in cases:
        answer = await paste(editor, **argument)
        assert answer["runId"] is None
        assert answer["refused"]["code"] == code
        assert words in answer["refused"]["message"], answer
    other = folder.parent / "other"
    other.mkdir()
    editor.workspace_did_change_workspace_folders(
        types.DidChangeWorkspaceFoldersParams(
            types.WorkspaceFoldersChangeEvent(added=[types.WorkspaceFolder(other.as_uri(), "other")], removed=[])
        )
    )
    answer = await paste(editor, text=ANSWER)
    assert "Several projects" in answer["refused"]["message"]
    assert (folder / "greeter.py").read_text("utf-8") == GREETER
    assert not (folder / "docs").exists()


@pytest.mark.parametrize("editor", ["neovim"], indirect=True)
async def test_apply_in_a_terminal_leaves_open_documents_to_their_editor(
    editor: LanguageClient, folder: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    seen: Seen = editor.seen  # type: ignore[attr-defined]
    uri = (folder / "greeter.py").as_uri()
    (tmp_path / "answer.md").write_text(ANSWER + "\n" + CREATED, "utf-8")
    command = ("apply", str(tmp_path / "answer.md"), "--write")

    other = UNSAVED.replace("'Hey '", "'Hello '")
    _open(editor, seen, uri, other)
    # A request after the notification: the server has opened the document when it has answered.
    assert not (await paste(editor))["runId"]
    refused = await asyncio.to_thread(call, folder, environ, *command, code=1)
    assert [(failure["path"], failure["reason"]) for failure in refused["failures"]] == [("greeter.py", "conflict")]
    assert seen.documents[uri][1] == other
    assert not (folder / "docs").exists()

    _type(editor, uri, UNSAVED)
    assert not (await paste(editor))["runId"]
    written = await asyncio.to_thread(call, folder, environ, *command)
    assert (written["ok"], written["written"]) == (True, True)
    assert seen.documents[uri][1] == POLITE, "what was typed and what was pasted, merged"
    assert (folder / "greeter.py").read_text("utf-8") == GREETER, "the editor saves, not the server"
    assert (folder / "docs/new.md").read_text("utf-8") == "# New\n"
