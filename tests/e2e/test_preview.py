"""The preview of a plain editor: edits for the text that the run read, and none for one that changed since."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_lsp import LanguageClient

from tests.e2e.test_clipboard import _type, ask, call, editor_fixture, environ_fixture, folder_fixture
from tests.e2e.test_main_flow import Seen, _open, until

__all__ = ["editor_fixture", "environ_fixture", "folder_fixture"]

LINES = "".join(f"line {number}\n" for number in range(12))
PROPOSED = LINES.replace("line 2\n", "line two\n").replace("line 9\n", "line nine\n")
ANSWER = "\n".join(
    f"notes.txt\n<<<<<<< SEARCH\nline {digit}\n=======\nline {word}\n>>>>>>> REPLACE\n"
    for digit, word in ((2, "two"), (9, "nine"))
)


def staged(folder: Path, environ: dict[str, str]) -> str:
    """A review that waits, of two changes in notes.txt."""
    argv = [sys.executable, "-m", "kiro_lsp", "apply", "--review", "--json"]
    done = subprocess.run(argv, cwd=folder, env=environ, input=ANSWER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = call(folder, environ, "runs")
    return str(run["runId"])


@pytest.mark.parametrize("editor", ["visual-studio-code"], indirect=True)
async def test_a_preview_is_taken_over_and_a_text_that_changed_is_asked_about_and_merged(
    editor: LanguageClient, folder: Path, environ: dict[str, str]
) -> None:
    seen: Seen = editor.seen  # type: ignore[attr-defined]
    notes = folder / "notes.txt"
    notes.write_text(LINES, "utf-8", newline="")
    run_id = await asyncio.to_thread(staged, folder, environ)
    uri = notes.as_uri()
    _open(editor, seen, uri, LINES)
    typed = LINES.replace("line 5\n", "line five\n") + "more\n"
    _type(editor, uri, "above\n" + typed)
    seen.answers[:] = ["Apply"]
    await ask(editor, "openReview", runId=run_id)
    expected = "above\n" + PROPOSED.replace("line 5\n", "line five\n") + "more\n"
    await until(lambda: seen.documents[uri][1] == expected)
    assert len(seen.questions) == 1, "no preview of lines that are elsewhere by now"
    await until(lambda: any("Merged with what changed meanwhile: notes.txt" in m.message for m in editor.messages))
    undone = await ask(editor, "undoRun", runId=run_id)
    assert undone["ok"], undone
    assert seen.documents[uri][1] == "above\n" + typed


@pytest.mark.parametrize("editor", ["visual-studio-code"], indirect=True)
async def test_a_preview_of_an_unchanged_text_needs_no_question(
    editor: LanguageClient, folder: Path, environ: dict[str, str]
) -> None:
    seen: Seen = editor.seen  # type: ignore[attr-defined]
    notes = folder / "notes.txt"
    notes.write_text(LINES, "utf-8", newline="")
    run_id = await asyncio.to_thread(staged, folder, environ)
    uri = notes.as_uri()
    _open(editor, seen, uri, LINES)
    await ask(editor, "openReview", runId=run_id)
    await until(lambda: seen.documents[uri][1] == PROPOSED)
    await until(lambda: any("Applied 1 file" in message.message for message in editor.messages))
    assert seen.questions == []
    assert len(seen.edits) == 1
    assert (await ask(editor, "undoRun", runId=run_id))["ok"]
    assert seen.documents[uri][1] == LINES
