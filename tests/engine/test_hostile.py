"""An agent that does what it must not, from the click to the review: it is gone, the tree is equal, nothing bad is accepted."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kiro_lsp import events
from kiro_lsp.engine.engine import Engine
from kiro_lsp.engine.execute import StartRun
from kiro_lsp.errors import RunRefused
from kiro_lsp.store import RunRecord, Store
from tests.conftest import missing
from tests.sandbox.conftest import LEVELS, git, listener
from tests.sandbox.test_isolation_hostile import HOSTILE, living
from tests.support import fake_agent, procs, tree

__all__ = ["listener"]

TASK_FILE = ".kiro/specs/one/tasks.md"
FILES = {
    "src/app.py": "print(1)\n",
    "src/lib.py": "x = 1\n",
    "old/one.txt": "1\n",
    "run.sh": "#!/bin/sh\n",
    "AGENTS.md": "be kind\n",
    TASK_FILE: "- [ ] 1. one\n",
}


class Bench:
    """A project in a repository, a person's home with an agent in it, and an engine in this process."""

    def __init__(self, tmp_path: Path, engine: Engine, level: str) -> None:
        self.root, self.home, self.engine, self.level = tmp_path / "outer/ws", tmp_path / "home", engine, level

    async def start(self) -> str:
        run_id = await self.engine.start(StartRun(self.root, TASK_FILE, "1", "fake", trust="once", confirmed=True))
        self.engine.handles[run_id].stage.levels = frozenset(LEVELS[self.level])  # type: ignore[arg-type]
        return run_id

    async def ended(self, run_id: str) -> RunRecord:
        await self.engine.run_ended(run_id)
        return self.engine.store.run(run_id)

    def happened(self, run_id: str, kind: type[events.RunEvent]) -> list[events.RunEvent]:
        return [item.event for item in self.engine.store.events(run_id) if isinstance(item.event, kind)]

    def isolated(self, run_id: str) -> None:
        said = self.happened(run_id, events.Isolation)
        wanted = (
            "bubblewrap" if "bubblewrap" in LEVELS[self.level] else "overlay" if self.level == "overlay" else "copy"
        )
        if [event.level for event in said if isinstance(event, events.Isolation)] != [wanted]:
            missing(self.level, str(said))


@asynccontextmanager
async def bench(tmp_path: Path, level: str, body: str, config: str = "") -> AsyncIterator[Bench]:
    root, home = tmp_path / "outer/ws", tmp_path / "home"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    (root / "src/lib.py").write_text("x = 'stashed'\n")
    git(root, "stash")
    (root / "src/lib.py").write_text("x = 2  # not committed\n")
    settings = tmp_path / "config.toml"
    settings.write_text(config or fake_agent.CONFIG)
    settings.chmod(0o600)
    environ: Mapping[str, str] = {
        "PATH": f"{fake_agent.install(home, body)}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "KIRO_LSP_CONFIG": str(settings),
    }
    store = Store.open(tmp_path / "state")
    try:
        async with Engine(store, face="test", environ=environ) as engine:
            yield Bench(tmp_path, engine, level)
    finally:
        store.close()


def hostile(root: Path, port: int, token: str) -> str:
    """The hostile program, with what it needs in its arguments, as the body of an agent."""
    return f"sys.argv = ['-c', {str(root)!r}, {str(port)!r}, {token!r}]\n{HOSTILE}"


@pytest.mark.parametrize("level", [level for level in LEVELS if level != "files"])
async def test_a_hostile_agent_is_gone_after_cancel_and_the_tree_is_equal(
    level: str, tmp_path: Path, listener: tuple[int, Callable[[], int]]
) -> None:
    port, _connected = listener
    token = f"hostile-{secrets.token_hex(8)}"
    async with bench(tmp_path, level, hostile(tmp_path / "outer/ws", port, token)) as here:
        shutil.copy("/usr/bin/python3", here.home / ".local/bin" / token)  # its name tells its processes
        script = here.home / ".local/bin" / fake_agent.NAME
        script.write_text(script.read_text().replace("#!/usr/bin/python3", f"#!{here.home}/.local/bin/{token}", 1))
        before, around = tree.snapshot(here.root), sorted(os.listdir(here.root.parent))
        run_id = await here.start()
        async with asyncio.timeout(60):
            while len(await asyncio.to_thread(living, token)) < 4:
                pass
        here.isolated(run_id)
        async with asyncio.timeout(procs.GONE_WITHIN):
            await here.engine.cancel(run_id, by="somebody")
            record = await here.ended(run_id)
        assert living(token) == set()
        assert record.state == "cancelled"
        assert tree.differences(before, tree.snapshot(here.root)) == []
        assert sorted(os.listdir(here.root.parent)) == around
        assert not (here.home / ".profile").exists()
        staged = {change.path: change for change in here.engine.review(run_id).changes.files}
        assert staged["planted.txt"].proposed == b"evil"
        assert not [path for path in staged if path.startswith((".git/", "outside"))]
        assert {"way-out", "alias"}.isdisjoint(staged)


async def test_what_a_hostile_agent_did_in_a_plain_copy_is_named_and_can_never_be_accepted(tmp_path: Path) -> None:
    body = f"open('good.txt', 'w').write('good'); open({str(tmp_path / 'outer/ws/src/app.py')!r}, 'a').write('evil')"
    async with bench(tmp_path, "files", body) as here:
        run_id = await here.start()
        record = await here.ended(run_id)
        here.isolated(run_id)
        assert record.state == "failed"
        (error,) = here.happened(run_id, events.Error)
        assert isinstance(error, events.Error)
        assert error.kind == "agent"
        assert "src/app.py was changed" in error.message
        assert "restore them from your version control" in error.hint
        assert here.happened(run_id, events.Complete) == []
        assert (record.files, here.engine.review(run_id).changes.files) == (0, ())
        with pytest.raises(RunRefused):
            await here.engine.accept(run_id, by="somebody")
        assert (here.root / TASK_FILE).read_text() == FILES[TASK_FILE]
        assert not (here.root / "good.txt").exists()
        assert here.engine.store.run(run_id).state == "failed"


async def test_what_the_person_saves_while_an_agent_works_in_a_plain_copy_is_theirs(tmp_path: Path) -> None:
    theirs = tmp_path / "outer/ws/src/lib.py"
    body = f"while 'saved' not in open({str(theirs)!r}).read(): pass\nopen('good.txt', 'w').write('good')"
    async with bench(tmp_path, "files", body) as here:
        run_id = await here.start()
        async with asyncio.timeout(60):
            async for item in here.engine.follow(run_id):
                if isinstance(item.event, events.Session):
                    break
        theirs.write_text("saved\n")
        here.engine.saved([theirs])
        record = await here.ended(run_id)
        here.isolated(run_id)
        assert (record.state, record.files) == ("review", 1)
        assert here.engine.review(run_id).proposed("good.txt") == b"good"


async def test_an_agent_that_says_that_it_is_not_logged_in_is_told_how_to(tmp_path: Path) -> None:
    body = "end('Invalid API key · Please run /login', is_error=True)"
    async with bench(tmp_path, "overlay in bubblewrap", body) as here:
        run_id = await here.start()
        assert (await here.ended(run_id)).state == "failed"
        (error,) = here.happened(run_id, events.Error)
        assert isinstance(error, events.Error)
        assert error.kind == "auth"
        assert "`fake-agent login`" in error.hint
