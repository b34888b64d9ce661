"""LocalRun: the run context that planners outside use, and that executors are tested with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import ExecutorError, PathRefused, UnreadableFile
from kiro_lsp.executors.local import LocalRun
from kiro_lsp.executors.protocol import Question, RunContext
from kiro_lsp.executors.workplace import ALL_LEVELS
from kiro_lsp.sandbox.isolation import Level
from tests.conftest import missing


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


LEVELS: dict[str, tuple[frozenset[Level], str, list[str]]] = {
    "bubblewrap": (ALL_LEVELS, "none", []),
    "copy": (
        frozenset({"copy"}),
        "open: it cannot be switched off or limited without bubblewrap; not sandboxed",
        ["Run in a copy of the project (not sandboxed): cat src/made.txt"],
    ),
}


@pytest.mark.parametrize("level", LEVELS)
async def test_a_command_runs_in_a_copy_and_its_changes_are_staged(root: Path, level: str) -> None:
    before = contents(root)
    levels, network, questions = LEVELS[level]
    asked: list[str] = []

    def answer(question: Question) -> str:
        asked.append(question.title)
        return "once"

    async with LocalRun(root, answer=answer, guarded=["tasks.md"], levels=levels) as run:
        await run.write("src/app.py", b"print(2)\n")
        ended = await run.run_command(
            [
                "/usr/bin/python3",
                "-c",
                "open('made.txt', 'w').write(open('app.py').read()); open('../tasks.md', 'a').write('!'); print('ok')",
            ],
            cwd="src",
        )
        isolation = [event for event in run.events if isinstance(event, events.Isolation)]
        if [event.level for event in isolation] != [level]:
            missing(level, str(isolation))
        assert (ended.exit_code, ended.output) == (0, "ok\n")
        assert await run.read("src/made.txt") == b"print(2)\n"
        second = await run.run_command(["cat", "src/made.txt"])
        assert second.output == "print(2)\n"
        assert [change.path for change in run.changes().files] == ["src/app.py", "src/made.txt"]
        assert [event for event in run.events if isinstance(event, events.Isolation)] == isolation
        assert [event.network for event in isolation] == [network]
        assert run._copies is not None
        place = Path(run._copies)
        assert list(place.iterdir())
    assert not place.exists()
    assert asked[1:] == questions
    assert contents(root) == before


async def test_a_denied_command_is_not_run_and_makes_no_copy(root: Path) -> None:
    run = LocalRun(root, levels=frozenset({"copy"}))
    with pytest.raises(PermissionError, match="did not allow"):
        await run.run_command(["touch", str(root / "proof")])
    assert not (root / "proof").exists()
    assert run._copies is None


async def test_a_command_without_a_sandbox_that_writes_outside_its_copy_leaves_nothing_to_accept(root: Path) -> None:
    async with LocalRun(root, answer=lambda _: "once", levels=frozenset({"copy"})) as run:
        await run.write("src/app.py", b"print(2)\n")
        with pytest.raises(ExecutorError, match=r"src/app\.py was changed"):
            await run.run_command(["sh", "-c", f"echo evil > {root}/src/app.py; echo good > good.txt"])
        assert run.changes().files == ()
        for again in (run.write("other.py", b""), run.delete("tasks.md"), run.run_command(["true"])):
            with pytest.raises(ExecutorError, match="Nothing that it did can be accepted"):
                await again
        assert run.changes().files == ()


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
