"""Two language servers and a terminal on one project at once: each can cancel, answer and accept, and nothing is applied twice."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kiro_lsp.demo.editor import Editor
from tests.e2e.test_main_flow import until
from tests.support.anthropic_server import AnthropicServer, Step
from tests.support.program import AFTER, APPLIED, BEFORE, COMMAND, TASK_FILE, TICKED, Project, nobody_left
from tests.support.unsandboxed import path_without_bubblewrap

KIRO = ("kiro/review", "kiro/runEvent")


class Person:
    """An editor with somebody who says yes to the sheet and nothing else."""

    def __init__(self, editor: Editor, events: list[dict[str, Any]], asked: list[str]) -> None:
        self.editor, self.events, self.asked = editor, events, asked

    def types(self, run_id: str) -> list[str]:
        return [event["type"] for event in self.events if event["runId"] == run_id]

    async def execute(self, command: str, **argument: Any) -> dict[str, Any]:
        return await self.editor.execute(f"kiroLsp.{command}", argument)


@asynccontextmanager
async def person(
    project: Project, log: Path, *, answers: bool = True, more: Sequence[str] = ()
) -> AsyncIterator[Person]:
    """`more`: what the editor understands besides."""
    events: list[dict[str, Any]] = []
    asked: list[str] = []

    def heard(method: str, params: dict[str, Any]) -> None:
        if method == "kiro/runEvent":
            events.append(params["event"])

    async def choose(message: str, titles: Sequence[str]) -> str | None:
        asked.append(message)
        if "Run" in titles and answers:
            return "Run"
        await asyncio.Event().wait()  # never answered: somebody else will
        return None

    argv = [sys.executable, "-m", "kiro_lsp", "--stdio"]
    editor = await Editor.start(argv, project.environ, log, heard, choose)
    try:
        await editor.initialize(project.root, [*KIRO, *more])
        yield Person(editor, events, asked)
    finally:
        await editor.close()


async def terminal(project: Project, *arguments: str) -> dict[str, Any]:
    done = await asyncio.to_thread(project.call, *arguments)
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


async def click(who: Person, project: Project, agent: str) -> str:
    uri = await who.editor.open(project.root / TASK_FILE)
    answer = await who.execute("runTask", uri=uri, task="1", agent=agent)
    assert answer["runId"], answer
    return str(answer["runId"])


async def test_a_run_in_one_editor_is_cancelled_from_the_terminal(
    project: Project, provider: AnthropicServer, tmp_path: Path
) -> None:
    provider.steps = [Step(text="thinking about it for long", hold=True)]
    async with person(project, tmp_path / "a.log") as first, person(project, tmp_path / "b.log") as second:
        run_id = await click(first, project, "claude")
        await until(provider.holding.is_set)
        said = await terminal(project, "cancel", run_id)
        assert said["code"] == 0, said
        await until(lambda: "cancelled" in first.types(run_id))
        await until(lambda: "cancelled" in second.types(run_id))  # the other editor hears of it too
        assert project.run_record()["state"] == "cancelled"
    assert project.tree() == BEFORE
    nobody_left(project)


async def test_a_question_in_one_editor_is_answered_from_the_other_and_from_the_terminal(
    project: Project, provider: AnthropicServer, tmp_path: Path
) -> None:
    project.environ["PATH"] = path_without_bubblewrap(tmp_path)  # in a sandbox there would be no question
    other = [*COMMAND[:-1], "open('second.txt', 'w').write('2')"]
    provider.steps = [
        Step(tools=[("run_command", {"argv": COMMAND})]),
        Step(tools=[("run_command", {"argv": other})]),
        Step(text="Both ran."),
    ]
    async with person(project, tmp_path / "a.log") as first, person(project, tmp_path / "b.log") as second:
        run_id = await click(first, project, "claude")

        def open_questions(who: Person) -> list[str]:
            asked = [e["requestId"] for e in who.events if e["type"] == "permission" and e["kind"] == "command"]
            answered = [e["requestId"] for e in who.events if e["type"] == "answer"]
            return [request for request in asked if request not in answered]

        request = (await until(lambda: open_questions(second)))[0]
        assert (await second.execute("answer", runId=run_id, requestId=request, option="once"))["ok"]
        await until(lambda: len([e for e in first.events if e["type"] == "permission" and e["kind"] == "command"]) == 2)
        request = (await until(lambda: open_questions(first)))[0]
        assert (await terminal(project, "answer", run_id, request, "once"))["code"] == 0
        await until(lambda: "complete" in first.types(run_id))
        assert set(project.reviewed(run_id)) == {"made.txt", "second.txt"}
    assert project.tree() == BEFORE
    nobody_left(project)


async def test_accepting_from_everywhere_at_once_applies_once(project: Project, tmp_path: Path) -> None:
    async with person(project, tmp_path / "a.log") as first, person(project, tmp_path / "b.log") as second:
        run_id = await click(first, project, "recorded")
        await until(lambda: "complete" in first.types(run_id))
        answers = await asyncio.gather(
            first.execute("accept", runId=run_id),
            second.execute("accept", runId=run_id),
            terminal(project, "review", run_id, "--accept", "--json"),
        )
        accepted = [answer for answer in answers if answer.get("ok") or answer.get("code") == 0]
        assert len(accepted) == 1, answers
        await until(lambda: "applied" in second.types(run_id))
        assert first.types(run_id).count("applied") == second.types(run_id).count("applied") == 1
        # The task file is open in the first editor: it is ticked there, and the disk follows when it is saved.
        document = first.editor.documents[(project.root / TASK_FILE).as_uri()]
        assert document.text == TICKED
        await first.editor.save_all()
    assert project.tree() in (AFTER, APPLIED | {TASK_FILE: TICKED})
    assert (await terminal(project, "undo", run_id))["code"] == 0
    assert project.tree() == BEFORE


async def test_the_terminal_leaves_applying_to_the_editor_that_has_the_project_open(
    project: Project, tmp_path: Path
) -> None:
    done = await asyncio.to_thread(project.start, "recorded")
    assert done.returncode == 0, done.stderr
    run_id = json.loads(done.stdout.splitlines()[0])["runId"]
    async with person(project, tmp_path / "a.log") as editor:
        uri = await editor.editor.open(project.root / "greeter.py")
        await editor.editor.request("textDocument/codeLens", {"textDocument": {"uri": uri}})
        said = await terminal(project, "review", run_id, "--accept", "--json")
        assert said["code"] == 0, said
        # An open document changes by an edit of the editor, and stays unsaved there; closed files are written.
        assert editor.editor.documents[uri].text == APPLIED["greeter.py"]
        assert project.tree()["greeter.py"] == BEFORE["greeter.py"]
        assert project.tree()["docs/new.md"] == APPLIED["docs/new.md"]
