"""LocalRun: the run context that planners outside use, and that executors are tested with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import PathRefused, UnreadableFile
from kiro_lsp.executors.local import LocalRun
from kiro_lsp.executors.protocol import Question, RunContext


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in {
        "src/app.py": "print(1)\n",
        "tasks.md": "- [ ] 1 one\n",
        ".gitignore": "*.log\n",
        "a.log": "x",
    }.items():
        (tmp_path / "ws" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "ws" / path).write_text(text)
    return tmp_path / "ws"


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_reads_see_staged_writes_and_the_disk_stays_as_it_is(root: Path) -> None:
    before = contents(root)
    run: RunContext = LocalRun(root)
    assert isinstance(run, LocalRun)
    await run.write("./src//app.py", b"print(2)\n")
    await run.write("new/file.py", b"x = 1\n")
    await run.delete("tasks.md")
    assert await run.read("src/app.py") == b"print(2)\n"
    with pytest.raises(FileNotFoundError):
        await run.read("tasks.md")
    assert await run.list() == [".gitignore", "new/file.py", "src/app.py"]
    assert await run.list("src") == ["src/app.py"]
    assert [(match.path, match.line) for match in await run.search("print|x =")] == [
        ("new/file.py", 1),
        ("src/app.py", 1),
    ]
    assert await run.search("print.1") == []
    assert run.changes().files == (
        FileChange("new/file.py", "create", None, b"x = 1\n", None, None),
        FileChange("src/app.py", "modify", b"print(1)\n", b"print(2)\n", 0o644, 0o644),
        FileChange("tasks.md", "delete", b"- [ ] 1 one\n", None, 0o644, None),
    )
    assert [(event.action, event.path) for event in run.events if isinstance(event, events.File)] == [
        ("modify", "src/app.py"),
        ("create", "new/file.py"),
        ("delete", "tasks.md"),
    ]
    assert contents(root) == before


async def test_what_leaves_the_root_or_is_no_text_file_is_refused(root: Path) -> None:
    run = LocalRun(root, guarded=["tasks.md"])
    for path in ("../x", "/etc/passwd", ".git/config"):
        with pytest.raises(PathRefused):
            await run.read(path)
        with pytest.raises(PathRefused):
            await run.write(path, b"")
        with pytest.raises(PathRefused):
            await run.delete(path)
    with pytest.raises(PathRefused, match="guarded"):
        await run.write("tasks.md", b"- [x] 1 one\n")
    with pytest.raises(PathRefused):
        await run.list("..")
    with pytest.raises(FileNotFoundError):
        await run.delete("nothing")
    os.mkfifo(root / "pipe")
    with pytest.raises(UnreadableFile):
        await run.read("pipe")
    with pytest.raises(ValueError, match="regular expression"):
        await run.search("(")
    assert run.changes().files == ()


async def test_questions_are_denied_unless_somebody_answers_with_an_option(root: Path) -> None:
    question = Question("kind", "title", (("a", "Allow", "allow-once"), ("d", "Deny", "deny")))

    async def later(_question: Question) -> str:
        return "a"

    assert await LocalRun(root).ask(question) == "d"
    assert await LocalRun(root, answer=lambda _question: "a").ask(question) == "a"
    assert await LocalRun(root, answer=later).ask(question) == "a"
    assert await LocalRun(root, answer=lambda _question: "no such option").ask(question) == "d"


async def test_a_command_runs_in_a_copy_after_a_yes_and_its_changes_are_staged(root: Path) -> None:
    before = contents(root)
    asked: list[str] = []

    def answer(question: Question) -> str:
        asked.append(question.title)
        return "once"

    async with LocalRun(root, answer=answer, guarded=["tasks.md"]) as run:
        await run.write("src/app.py", b"print(2)\n")
        ended = await run.run_command(
            [
                sys.executable,
                "-c",
                "open('made.txt', 'w').write(open('app.py').read()); open('../tasks.md', 'a').write('!'); print('ok')",
            ],
            cwd="src",
        )
        assert (ended.exit_code, ended.output) == (0, "ok\n")
        assert await run.read("src/made.txt") == b"print(2)\n"
        second = await run.run_command(["cat", "src/made.txt"])
        assert second.output == "print(2)\n"
        assert [change.path for change in run.changes().files] == ["src/app.py", "src/made.txt"]
        isolation = [event for event in run.events if isinstance(event, events.Isolation)]
        assert isolation == [events.Isolation("copy", "not restricted: not sandboxed")]
        assert run._copy is not None
        place = run._copy.path
    assert not place.exists()
    assert all("not sandboxed" in title for title in asked)
    assert len(asked) == 2
    assert contents(root) == before


async def test_a_denied_command_is_not_run_and_makes_no_copy(root: Path) -> None:
    run = LocalRun(root)
    with pytest.raises(PermissionError, match="did not allow"):
        await run.run_command(["touch", str(root / "proof")])
    assert not (root / "proof").exists()
    assert run._copy is None


async def test_spending_counts_what_was_used_or_else_what_was_reserved(root: Path) -> None:
    run = LocalRun(root)
    async with run.spend("model", Usage(100, 50)) as request:
        await request.used(Usage(10, 5, 4))
    with pytest.raises(RuntimeError):
        async with run.spend("model", Usage(100, 50)):
            raise RuntimeError("the stream was cut")
    assert run.usage == Usage(110, 55, 4)
    assert run.events[-1] == events.UsageReport(110, 55, 4, None, "metered")


async def test_changes_to_start_with_are_seen_and_kept(root: Path) -> None:
    run = LocalRun(root, [FileChange("src/app.py", "modify", b"print(0)\n", b"staged\n", 0o644, 0o644)])
    assert await run.read("src/app.py") == b"staged\n"
    assert run.changes().files[0].base == b"print(0)\n"
