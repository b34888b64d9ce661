"""An agent's program in the copy of a run: what it sees, what becomes of what it does, and of what it must not do."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp import events
from kiro_lsp.engine.stage import COPIES
from kiro_lsp.errors import ExecutorError, PathRefused
from kiro_lsp.executors.protocol import Needs
from kiro_lsp.sandbox.copy import clean_leftovers
from kiro_lsp.sandbox.isolation import Level
from kiro_lsp.store import Store
from tests.conftest import missing
from tests.sandbox.conftest import LEVELS, git
from tests.support import tree
from tests.support.live_run import LiveRun

each_level = pytest.mark.parametrize("level", LEVELS)
PYTHON = "/usr/bin/python3"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "outer" / "project"
    for path, text in {
        "src/app.py": "print(1)\n",
        "src/old.py": "old\n",
        "tasks.md": "- [ ] 1 one\n",
        "run.sh": "#!/bin/sh\n",
        ".claude/settings.json": "{}",
        ".gitignore": "*.log\n",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "run.sh").chmod(0o644)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


Live = Callable[..., LiveRun]


@pytest.fixture
def live(store: Store, root: Path) -> Live:
    def made(level: str, **more: Any) -> LiveRun:
        levels: frozenset[Level] = frozenset(LEVELS[level])  # type: ignore[arg-type]
        return LiveRun(store, root, levels=levels, **more)

    return made


async def isolated(run: LiveRun, level: str) -> None:
    """What the run says of its isolation is what the level is."""
    (said,) = await run.happened(events.Isolation)
    assert isinstance(said, events.Isolation)
    wanted = "bubblewrap" if "bubblewrap" in LEVELS[level] else "overlay" if "overlay" in LEVELS[level] else "copy"
    if said.level != wanted:
        missing(level, said.level)


WORK = """
import os, pathlib
pathlib.Path('src/app.py').write_text(pathlib.Path('src/app.py').read_text() + 'more\\n')
pathlib.Path('new').mkdir(); pathlib.Path('new/file.bin').write_bytes(b'\\0\\1')
os.rename('src/old.py', 'src/renamed.py'); os.chmod('run.sh', 0o755)
pathlib.Path('tasks.md').write_text('- [x] 1 one\\n'); pathlib.Path('out.log').write_text('ignored')
os.symlink('/etc/passwd', 'link')
print(pathlib.Path('open.txt').read_text(), os.path.exists('.claude'))
"""


@each_level
async def test_what_a_program_changed_is_staged_for_good_and_the_tree_is_equal(
    level: str, live: Live, root: Path, store: Store
) -> None:
    before = tree.snapshot(root)
    run = live(level, buffers={"open.txt": b"not saved"})
    await run.handle.write("src/app.py", b"staged\n")
    async with run.handle.workplace(Needs()) as place:
        await isolated(run, level)
        ended = await place.run([PYTHON, "-c", WORK])
        assert ended.output == "not saved False\n"
        taken = [change.path for change in await place.absorb()]
        assert list(await place.absorb()) == []
    assert taken == ["new/file.bin", "run.sh", "src/app.py", "src/old.py", "src/renamed.py"]
    staged = {change.path: change for change in store.changes("run-1").files}
    assert list(staged) == taken
    assert staged["src/app.py"].proposed == b"staged\nmore\n"
    assert staged["src/app.py"].base == b"print(1)\n"
    assert (staged["src/old.py"].action, staged["src/renamed.py"].action) == ("delete", "create")
    assert stat.S_IMODE(staged["run.sh"].mode or 0) == 0o755
    assert await run.handle.read("new/file.bin") == b"\0\1"
    files = [event for event in await run.happened(events.File) if isinstance(event, events.File)]
    assert [event.path for event in files] == ["src/app.py", *taken]
    said = "".join(event.text for event in await run.happened(events.Thought) if isinstance(event, events.Thought))
    assert "tasks.md; that is left out" in said
    assert "link" in said
    phases = [event.phase for event in await run.happened(events.Phase) if isinstance(event, events.Phase)]
    assert phases == ["copying"]
    await run.handle.stage.close()
    assert [place.name[:5] for place in (store.directory / COPIES).iterdir()] == ["kept-"] * (level.startswith("files"))
    assert tree.differences(before, tree.snapshot(root)) == []


@each_level
async def test_a_program_sees_what_is_staged_while_it_works_and_is_understood_in_its_own_spelling(
    level: str, live: Live, root: Path
) -> None:
    run = live(level)
    async with run.handle.workplace(Needs()) as place:
        async with place.talk([PYTHON, "-uc", "while True: print(open(input()).read().strip())"]) as program:

            async def says(path: str) -> str:
                program.stdin.write(f"{path}\n".encode())
                return (await program.stdout.readline()).decode().strip()

            assert await says("src/app.py") == "print(1)"
            await run.handle.write("src/app.py", b"staged")
            await place.refresh()
            assert await says(f"{place.path}/src/app.py") == "staged"
        assert place.relative(f"{place.path}/src/app.py") == "src/app.py"
        assert place.relative("src/./app.py") == "src/app.py"
        for spelling in ("/etc/passwd", f"{place.path}/../other", "../other", str(place.path)):
            with pytest.raises(PathRefused):
                place.relative(spelling)
    await run.handle.stage.close()


ENDS: dict[str, tuple[type[BaseException], str]] = {
    "failure": (ZeroDivisionError, ""),
    "cancel": (asyncio.CancelledError, ""),
    "timeout": (TimeoutError, ""),
}


@each_level
@pytest.mark.parametrize("end", ENDS)
async def test_what_was_changed_before_a_run_broke_off_is_kept(level: str, end: str, live: Live, store: Store) -> None:
    run = live(level)
    writes = "open('made.txt', 'w').write('made'); print('ready', flush=True); import time; time.sleep(60)"
    ready = asyncio.Event()

    async def work() -> None:
        async with run.handle.workplace(Needs()) as place:
            if end == "failure":
                await place.run([PYTHON, "-c", writes.partition("; import")[0]])
                raise ZeroDivisionError
            async with asyncio.timeout(None) as limit:
                task = asyncio.create_task(ready.wait())
                task.add_done_callback(lambda _: limit.reschedule(0) if end == "timeout" else None)
                await place.run([PYTHON, "-c", writes], on_output=lambda _: ready.set())

    working = asyncio.create_task(work())
    if end == "cancel":
        await ready.wait()
        working.cancel()
    with pytest.raises(ENDS[end][0]):
        await working
    assert [change.path for change in store.changes("run-1").files] == ["made.txt"]
    await run.handle.stage.close()


async def test_commands_and_a_program_share_one_copy_and_a_command_in_a_sandbox_asks_nothing(
    live: Live, root: Path, store: Store
) -> None:
    run = live("overlay in bubblewrap")
    first = await run.handle.run_command(["sh", "-c", "echo one > one.log; cat src/app.py"])
    assert first.output == "print(1)\n"
    async with run.handle.workplace(Needs()) as place:
        assert (await place.run(["cat", "one.log"])).output == "one\n"  # ignored, so never staged: it is the same copy
        await run.handle.run_command(["sh", "-c", "echo two > two.txt"])
        assert (await place.run(["cat", "two.txt"])).output == "two\n"
    await isolated(run, "overlay in bubblewrap")
    assert await run.happened(events.Permission) == []
    assert [change.path for change in store.changes("run-1").files] == ["two.txt"]
    await run.handle.stage.close()


@each_level
async def test_what_a_program_takes_back_is_again_what_the_person_has_not_saved(
    level: str, live: Live, store: Store
) -> None:
    run = live(level, buffers={"src/app.py": b"not saved\n"})
    async with run.handle.workplace(Needs()) as place:
        for script, staged in (("echo more >> src/app.py", ["src/app.py"]), ("echo not saved > src/app.py", [])):
            await place.run(["sh", "-c", script])
            await place.absorb()
            await place.refresh()
            assert [change.path for change in store.changes("run-1").files] == staged
        assert (await place.run(["cat", "src/app.py"])).output == "not saved\n"
    await run.handle.stage.close()


async def test_commands_at_the_same_time_share_the_copy_and_a_program_with_other_needs_gets_another(
    live: Live, root: Path, store: Store
) -> None:
    run = live("overlay in bubblewrap")
    commands = [run.handle.run_command(["sh", "-c", f"echo {number} > {number}.txt"]) for number in range(3)]
    assert [ended.exit_code for ended in await asyncio.gather(*commands)] == [0, 0, 0]
    await isolated(run, "overlay in bubblewrap")
    async with run.handle.workplace(Needs("hosts", ("127.0.0.1:1",))) as place:
        assert place.network == "only 127.0.0.1:1"
        assert (await place.run(["cat", "0.txt", "1.txt", "2.txt"])).output == "0\n1\n2\n"
        before = len(await run.happened(events.Isolation))
        await run.handle.run_command(["true"])
        with pytest.raises(ExecutorError, match="two different places"):
            await run.handle.workplace(Needs("open")).__aenter__()
    assert (before, len(await run.happened(events.Isolation))) == (2, 2)
    assert [change.path for change in store.changes("run-1").files] == ["0.txt", "1.txt", "2.txt"]
    await run.handle.stage.close()


@pytest.mark.parametrize("level", ["overlay", "files"])
async def test_without_a_sandbox_every_command_asks_and_says_so(level: str, live: Live, store: Store) -> None:
    run = live(level)
    for option, output in (("once", "print(1)\n"), ("deny", "")):
        asking = asyncio.create_task(run.handle.run_command(["cat", "src/app.py"]))
        while run.handle.question is None:
            await asyncio.sleep(0)
        assert run.handle.question.title == "Run in a copy of the project (not sandboxed): cat src/app.py"
        run.handle.answer(run.handle.question.request_id, option, "somebody")
        if option == "deny":
            with pytest.raises(PermissionError):
                await asking
        else:
            assert (await asking).output == output
    await run.handle.stage.close()


async def test_what_was_written_outside_a_plain_copy_fails_the_run_and_nothing_of_it_can_be_accepted(
    live: Live, root: Path, store: Store
) -> None:
    run = live("files")
    await run.handle.write("src/app.py", b"staged\n")

    async def work() -> None:
        async with run.handle.workplace(Needs()) as place:
            await place.run(["sh", "-c", "echo good > good.txt"])
            await place.absorb()
            assert [change.path for change in store.changes("run-1").files] == ["good.txt", "src/app.py"]
            await place.run(["sh", "-c", f"echo evil >> {root}/src/old.py"])

    with pytest.raises(ExecutorError, match=r"src/old\.py was changed.*Nothing that it did can be accepted") as failed:
        await work()
    assert failed.value.kind == "agent"
    assert store.changes("run-1").files == ()
    for again in (
        run.handle.write("other.py", b""),
        run.handle.delete("src/old.py"),
        run.handle.stage.copy.absorb(),
        run.handle.stage.copy.command(["true"]),
    ):
        with pytest.raises(ExecutorError, match="Nothing that it did can be accepted"):
            await again
    with pytest.raises(ExecutorError):
        run.handle.stage.must_be_clean()
    await run.handle.stage.close()
    assert store.changes("run-1").files == ()


async def test_files_that_the_person_saves_meanwhile_are_no_trespass(live: Live, root: Path, store: Store) -> None:
    run = live("files")
    async with run.handle.workplace(Needs()) as place:
        (root / "src/old.py").write_text("saved in the editor\n")
        run.handle.stage.copy.saved(["src/old.py"])
        await place.run(["sh", "-c", "echo good > good.txt"])
    assert [change.path for change in store.changes("run-1").files] == ["good.txt"]
    await run.handle.stage.close()


async def test_the_files_of_a_plain_copy_stay_for_the_next_run_and_say_nothing_of_the_last(
    live: Live, root: Path, store: Store
) -> None:
    inodes = []
    for number in range(2):
        run = live("files", run_id=f"run-{number}")
        async with run.handle.workplace(Needs()) as place:
            inodes.append((place.path / "src/old.py").stat().st_ino)
            said = await place.run(["sh", "-c", "cat src/app.py; ls left.txt; echo x > left.txt; echo y > src/app.py"])
            assert said.output.startswith("print(1)\n")
            assert "No such file" in said.output
            # One that works at the same time has a copy of its own.
            other = live("files", run_id=f"other-{number}")
            async with other.handle.workplace(Needs()) as second:
                assert second.path != place.path
            await other.handle.stage.close()
        await run.handle.stage.close()
        assert [change.path for change in store.changes(f"run-{number}").files] == ["left.txt", "src/app.py"]
        assert clean_leftovers(store.directory / COPIES) == 0
    assert inodes[0] == inodes[1]
    (kept,) = (store.directory / COPIES).iterdir()
    os.utime(kept / "copy.json", (0, 0))
    assert clean_leftovers(store.directory / COPIES) == 1
    assert list((store.directory / COPIES).iterdir()) == []
