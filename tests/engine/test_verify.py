"""Verifying a change: real commands in the run's isolation, decisions meanwhile, what a verdict is about, and repairs."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kiro_lsp import events
from kiro_lsp.engine.engine import Engine, StartRun
from kiro_lsp.engine.wire import review_json
from kiro_lsp.errors import RunRefused
from kiro_lsp.store import Store
from tests.support import planted, procs, tree
from tests.support.acp_run import LEVELS

TASK_FILE = ".kiro/specs/greet/tasks.md"
TASKS = "- [ ] 1. Greet by name\n- [ ] 2. Say goodbye\n"
OLD = "def greet():\n    return 'hello'\n\n\n\n\n\n\n\ndef bye():\n    return 'bye'\n"
NEW = OLD.replace("greet()", "greet(name)").replace("'bye'", "'goodbye'")
CHECK = "import greet, sys\nsys.exit(0 if greet.greet('x') == 'hello' else 'greets wrongly')\n"
PYTHON = [sys.executable, "-B"]


@dataclass
class Project:
    root: Path
    folder: Path
    verify: Sequence[str] = (*PYTHON, "check.py")
    execution: str = ""
    more: str = ""

    def configure(self) -> dict[str, str]:
        """The environment of the engine: a recorded agent that changes two places of one file and adds another."""
        recording = self.folder / "agent.run.jsonl"
        rows = [
            {"kiroRun": 1, "pace": 0, "summary": "Greets by name."},
            {"write": {"path": "greet.py", "text": NEW}},
            {"write": {"path": "fresh.py", "text": "FRESH = 1\n"}},
        ]
        recording.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        config = self.folder / "config.toml"
        config.write_text(
            '[kiro]\ndefault_agent = "recorded"\n'
            f'[agents.recorded]\ntype = "replay"\nrecording = {json.dumps(str(recording))}\n'
            f"[execution]\nverify_command = {json.dumps(list(self.verify))}\n{self.execution}\n{self.more}\n",
            "utf-8",
        )
        config.chmod(0o600)
        return dict(os.environ) | {"KIRO_LSP_CONFIG": str(config), "ANTHROPIC_API_KEY": planted.KEYS["anthropic"]}

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[Engine]:
        store = Store.open(self.folder / "state")
        try:
            async with Engine(store, face="test", environ=self.configure()) as engine:
                yield engine
        finally:
            store.close()


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Project:
    (root / TASK_FILE).parent.mkdir(parents=True)
    (root / TASK_FILE).write_text(TASKS, "utf-8")
    (root / "greet.py").write_text(OLD, "utf-8")
    (root / "check.py").write_text(CHECK, "utf-8")
    return Project(root, tmp_path)


async def completed(engine: Engine, project: Project, **more: object) -> str:
    """Run the task; returns when the agent has ended and the review is open."""
    start = StartRun(project.root, TASK_FILE, "1", trust="once", confirmed=True, **more)  # type: ignore[arg-type]
    run_id = await engine.start(start)
    await engine.run_ended(run_id)
    return run_id


async def reported(engine: Engine, project: Project, **more: object) -> tuple[str, events.Verify]:
    run_id = await completed(engine, project, **more)
    await engine.verifications.ended(run_id)
    return run_id, verdict_of(engine, run_id)


def verdict_of(engine: Engine, run_id: str) -> events.Verify:
    last = engine.store.last_event(run_id, "verify")
    assert last is not None
    assert isinstance(last.event, events.Verify)
    return last.event


def shown(engine: Engine, run_id: str) -> dict[str, object]:
    """`verify` of the review as every face gets it."""
    verify = review_json(engine.store, engine.store.run(run_id), engine.review(run_id))["verify"]
    assert isinstance(verify, dict)
    return verify


def told(engine: Engine, run_id: str) -> list[events.RunEvent]:
    return [envelope.event for envelope in engine.store.events(run_id)]


def script(text: str) -> list[str]:
    """A command whose processes a test can find: its last argument is like no other."""
    return [*PYTHON, "-c", text, f"mark-{uuid.uuid4().hex}"]


WAITS = "import signal, sys; signal.signal(signal.SIGUSR1, lambda *_: sys.exit()); signal.pause()"
"""Ends well when it gets the signal."""


async def alive(command: Sequence[str]) -> int:
    """The process of a command, as soon as there is one."""
    async with asyncio.timeout(30):
        while not (found := {pid for pid in running(command) if "SIGUSR1" not in command[-2] or _waits(pid)}):
            await asyncio.sleep(0.01)
    return min(found)


def _waits(pid: int) -> bool:
    """Whether a process has got as far as to wait for the signal."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) & 1 << (signal.SIGUSR1 - 1))


def running(command: Sequence[str]) -> set[int]:
    """Pids of the Python programs that were started with this command."""
    mark, found = command[-1].encode(), set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and not procs.is_dead(int(entry.name)):
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in arguments and arguments[0].endswith(Path(sys.executable).name.encode()):
                found.add(int(entry.name))
    return found


# The verdict


async def test_the_review_is_open_while_the_change_is_verified(project: Project) -> None:
    project.verify = script(WAITS)
    before = tree.snapshot(project.root)
    async with project.engine() as engine:
        run_id = await completed(engine, project)
        pid = await alive(project.verify)
        assert engine.store.run(run_id).state == "verifying"
        assert [change.path for change in engine.review(run_id).changes.files] == ["fresh.py", "greet.py"]
        now = shown(engine, run_id)
        assert (now["ok"], now["running"], now["command"]) == (None, True, list(project.verify))
        os.kill(pid, signal.SIGUSR1)
        await engine.verifications.ended(run_id)
        assert engine.store.run(run_id).state == "review"
        assert shown(engine, run_id)["ok"] is True
        kinds = [type(event).__name__ for event in told(engine, run_id)]
    assert kinds[kinds.index("Complete") :] == ["Complete", "Isolation", "Verify", "State", "Phase"]
    assert kinds.count("Complete") == 1
    assert tree.differences(before, tree.snapshot(project.root)) == []


@pytest.mark.parametrize(
    ("command", "result", "failing"),
    [
        ([*PYTHON, "check.py"], "greet() missing 1 required", "TypeError"),
        (["no-such-program-of-ours"], "It could not be started", "no-such-program-of-ours"),
        ([*PYTHON, "-c", "raise SystemExit(3)"], "exit code 3, no output", ""),
        ([*PYTHON, "-c", "print('ok so far', flush=True); import os; os.kill(os.getpid(), 11)"], "ok so far", ""),
    ],
)
async def test_a_failure_says_what_failed(project: Project, command: list[str], result: str, failing: str) -> None:
    (project.root / "check.py").write_text("import greet\ngreet.greet()\n", "utf-8")
    project.verify = command
    async with project.engine() as engine:
        run_id, verdict = await reported(engine, project)
        assert not verdict.ok
        assert result in verdict.summary.partition("\n")[0]
        assert failing in verdict.summary
        assert engine.store.run(run_id).state == "review"
        assert verdict.command == tuple(command)


async def test_what_the_command_writes_is_no_part_of_the_change(project: Project) -> None:
    project.verify = [
        *PYTHON,
        "-c",
        "import os; os.mkdir('cache'); open('cache/x', 'w').write('x'); open('greet.py', 'a').write('#'); os.remove('fresh.py')",
    ]
    before = tree.snapshot(project.root)
    async with project.engine() as engine:
        run_id, verdict = await reported(engine, project)
        assert verdict.ok, verdict.summary
        changes = {change.path: change.proposed for change in engine.review(run_id).changes.files}
        assert changes == {"fresh.py": b"FRESH = 1\n", "greet.py": NEW.encode()}
        assert shown(engine, run_id)["outdated"] is False
        assert not list((project.folder / "state" / "copies").glob(f"{run_id}*"))
    assert tree.differences(before, tree.snapshot(project.root)) == []


async def test_a_command_that_is_asked_for_goes_before_the_configured_one(project: Project) -> None:
    async with project.engine() as engine:
        _, verdict = await reported(engine, project, verify=[*PYTHON, "-c", "print('mine')"])
        assert (verdict.ok, verdict.summary) == (True, "mine")
        without = await completed(engine, project, verify=())
        assert engine.store.run(without).state == "review"
        assert engine.store.last_event(without, "verify", "verifying") is None


async def test_no_secret_is_in_a_verdict(project: Project) -> None:
    key = planted.KEYS["anthropic"]
    text = f"import sys, os; print({key[::-1]!r}[::-1]); print(dict(os.environ)); sys.exit(1)"
    project.verify = [*PYTHON, "-c", text]
    async with project.engine() as engine:
        _, verdict = await reported(engine, project)
        assert not verdict.ok
        assert verdict.summary
        assert key not in verdict.summary


@pytest.mark.parametrize("level", ["bubblewrap", "overlay", "copy"])
async def test_at_every_level_the_change_is_there_and_the_tree_is_left_alone(project: Project, level: str) -> None:
    project.verify = [*PYTHON, "-c", "import greet, fresh; print(greet.bye()); open('made.txt', 'w').write('x')"]
    before = tree.snapshot(project.root)
    async with project.engine() as engine:
        engine.verifications.levels = LEVELS[level]
        run_id, verdict = await reported(engine, project)
        assert (verdict.ok, verdict.summary) == (True, "goodbye")
        isolation = [event for event in told(engine, run_id) if isinstance(event, events.Isolation)][-1]
        assert isolation.level == level
        assert ("not sandboxed" in isolation.network) is (level == "copy")
    assert tree.differences(before, tree.snapshot(project.root)) == []


async def test_without_a_sandbox_what_is_written_to_the_tree_is_named(project: Project) -> None:
    project.verify = [*PYTHON, "-c", f"open({str(project.root / 'greet.py')!r}, 'w').write('spoilt')"]
    async with project.engine() as engine:
        engine.verifications.levels = LEVELS["copy"]
        run_id, verdict = await reported(engine, project)
        assert not verdict.ok
        assert "greet.py" in verdict.summary
        assert "must not touch" in verdict.summary
        assert engine.store.run(run_id).state == "review"
        assert len(engine.review(run_id).changes.files) == 2, "the change was made before, and stays"


async def test_in_a_project_that_is_not_trusted_nothing_is_verified(project: Project) -> None:
    async with project.engine() as engine:
        run_id, _ = await reported(engine, project)
    async with project.engine() as engine:
        with pytest.raises(RunRefused) as refused:
            await engine.verify(run_id, ["true"])
        assert refused.value.code == "untrusted"
        assert engine.store.run(run_id).state == "review"


# Commands that do not behave


async def test_a_command_that_does_not_end_is_stopped_with_all_it_started(project: Project) -> None:
    project.verify = script(
        "import os, signal\nsignal.signal(15, signal.SIG_IGN)\nif os.fork(): os.fork()\nelse: os.setsid()\nwhile 1: signal.pause()"
    )
    project.execution = "verify_timeout = 1"
    async with project.engine() as engine:
        _, verdict = await reported(engine, project)
        assert not verdict.ok
        assert "(execution.verify_timeout)" in verdict.summary
        assert procs.gone_within(running(project.verify)) == set()


async def test_a_process_that_stays_behind_is_gone_with_the_verdict(project: Project) -> None:
    project.verify = script("import os, signal\nif os.fork() == 0:\n    os.setsid()\n    while 1: signal.pause()")
    async with project.engine() as engine:
        _, verdict = await reported(engine, project)
        assert verdict.ok
        assert procs.gone_within(running(project.verify)) == set()


async def test_of_a_flood_the_end_is_kept(project: Project) -> None:
    flood = (
        "for n in range(200000): print('line', n, 'x' * 50)\nprint('FAILED test_it - the reason')\nraise SystemExit(1)"
    )
    project.verify = [*PYTHON, "-c", flood]
    async with project.engine() as engine:
        _, verdict = await reported(engine, project)
        assert not verdict.ok
        assert "the reason" in verdict.summary
        assert len(verdict.summary) < 10_000


async def test_a_verification_is_cancelled_and_the_review_stays(project: Project) -> None:
    project.verify = script("import signal; signal.signal(15, signal.SIG_IGN); signal.pause()")
    async with project.engine() as engine:
        run_id = await completed(engine, project)
        await alive(project.verify)
        assert "stopped" in await engine.cancel(run_id, by="test")
        await engine.verifications.ended(run_id)
        assert running(project.verify) == set()
        assert engine.store.run(run_id).state == "review"
        now = shown(engine, run_id)
        assert (now["ok"], now["running"], now["summary"]) == (None, False, "stopped before it had ended")
        assert (await engine.accept(run_id, by="test")).ticked


async def test_leaving_ends_the_command_and_leaves_the_review(project: Project) -> None:
    project.verify = script("import signal; signal.pause()")
    async with project.engine() as engine:
        run_id = await completed(engine, project)
        await alive(project.verify)
    assert procs.gone_within(running(project.verify)) == set()
    async with project.engine() as engine:
        assert engine.store.run(run_id).state == "review"
        assert (await engine.accept(run_id, by="test")).ok


async def test_a_run_whose_process_died_while_verifying_waits_for_review(project: Project) -> None:
    project.verify = script("import signal; signal.pause()")
    async with project.engine() as engine:
        run_id = await completed(engine, project)
        await alive(project.verify)
    # As a killed process leaves it.
    store = Store.open(project.folder / "state")
    store.append(run_id, [events.State("review", "verifying")], durable=True, at="2026-11-21T00:00:00Z").result()
    store.close()
    async with project.engine() as engine:
        record = engine.store.run(run_id)
        assert record.state == "review"
        assert isinstance(engine.store.events(run_id)[-1].event, events.Phase)
        assert (await engine.accept(run_id, by="test")).ticked


# Decisions meanwhile, and what the verdict is about


async def test_what_is_accepted_before_the_verdict_is_recorded_as_unverified_and_the_verdict_comes_later(
    project: Project,
) -> None:
    project.verify = script(WAITS)
    async with project.engine() as engine:
        run_id = await completed(engine, project)
        pid = await alive(project.verify)
        settled = await engine.accept(run_id, by="test")
        assert (settled.state, settled.ticked) == ("applied", True)
        assert "not verified" in settled.message
        applied = next(event for event in told(engine, run_id) if isinstance(event, events.Applied))
        assert applied.verified is False
        os.kill(pid, signal.SIGUSR1)
        await engine.verifications.ended(run_id)
        assert verdict_of(engine, run_id).ok
        assert engine.store.run(run_id).state == "applied"
    assert (project.root / "greet.py").read_text("utf-8") == NEW


@pytest.mark.parametrize(("code", "expected"), [(0, True), (1, False)])
async def test_an_accept_after_the_verdict_says_how_it_went(project: Project, code: int, expected: bool) -> None:
    project.verify = [*PYTHON, "-c", f"raise SystemExit({code})"]
    async with project.engine() as engine:
        run_id, _ = await reported(engine, project)
        await engine.accept(run_id, by="test")
        applied = next(event for event in told(engine, run_id) if isinstance(event, events.Applied))
        assert applied.verified is expected


Decide = Callable[[Engine, str], Awaitable[object]]


async def _reject_one(engine: Engine, run_id: str) -> object:
    hunk = engine.review(run_id).hunks("greet.py")[1].id
    return await engine.reject(run_id, hunks=[hunk], by="test")


async def _edit(engine: Engine, run_id: str) -> object:
    return await engine.edit_proposed(run_id, "fresh.py", "FRESH = 2\n")


async def _accept_one(engine: Engine, run_id: str) -> object:
    hunk = engine.review(run_id).hunks("greet.py")[1].id
    return await engine.accept(run_id, hunks=[hunk], by="test")


@pytest.mark.parametrize(
    ("decide", "outdated"), [(_reject_one, True), (_edit, True), (_accept_one, False)], ids=["reject", "edit", "accept"]
)
async def test_a_verdict_is_about_the_change_as_it_was_when_the_command_began(
    project: Project, decide: Decide, outdated: bool
) -> None:
    project.verify = script(WAITS)
    async with project.engine() as engine:
        run_id = await completed(engine, project)
        pid = await alive(project.verify)
        began = engine.review(run_id).revision
        await decide(engine, run_id)
        assert engine.store.run(run_id).state == "verifying"
        os.kill(pid, signal.SIGUSR1)
        await engine.verifications.ended(run_id)
        now = shown(engine, run_id)
        assert (now["revision"], now["outdated"], engine.store.run(run_id).state) == (began, outdated, "review")
        assert engine.review(run_id).revision == began + 1
        await engine.accept(run_id, by="test")
        applied = [event for event in told(engine, run_id) if isinstance(event, events.Applied)][-1]
        assert applied.verified is not outdated


async def test_verifying_again_is_about_what_is_left(project: Project) -> None:
    project.verify = [*PYTHON, "-c", "import greet; print(greet.bye())"]
    async with project.engine() as engine:
        run_id, verdict = await reported(engine, project)
        assert verdict.summary == "goodbye"
        await _reject_one(engine, run_id)
        await engine.verify(run_id, project.verify)
        await engine.verifications.ended(run_id)
        assert verdict_of(engine, run_id).summary == "bye"
        assert shown(engine, run_id)["outdated"] is False
        await engine.reject(run_id, by="test")
        with pytest.raises(RunRefused, match="no open review"):
            await engine.verify(run_id, project.verify)


async def test_a_rejected_change_is_not_verified_any_longer(project: Project) -> None:
    project.verify = script("import signal; signal.pause()")
    async with project.engine() as engine:
        run_id = await completed(engine, project)
        await alive(project.verify)
        assert (await engine.reject(run_id, by="test")).state == "rejected"
        await engine.verifications.ended(run_id)
        assert running(project.verify) == set()
        assert engine.store.run(run_id).state == "rejected"


async def test_another_process_decides_by_itself_while_one_verifies(project: Project) -> None:
    project.verify = script("import signal; signal.pause()")
    async with project.engine() as engine:
        run_id = await completed(engine, project)
        await alive(project.verify)
        async with project.engine() as other:
            assert engine.owner != other.owner
            hunk = other.review(run_id).hunks("greet.py")[1].id
            assert (await other.accept(run_id, hunks=[hunk], by="other")).state == "review", "it does not verify"
            record = other.store.run(run_id)
            assert (record.owner, record.state) == (other.owner, "review")


async def test_the_task_of_a_run_that_is_verified_can_be_run_again(project: Project) -> None:
    project.verify = script("import signal; signal.pause()")
    async with project.engine() as engine:
        first = await completed(engine, project)
        await alive(project.verify)
        second = await completed(engine, project, verify=())
        assert engine.store.run(second).state == "review"
        assert engine.store.run(first).state == "verifying"


@pytest.mark.parametrize(("code", "state"), [(0, "applied"), (1, "review")])
async def test_without_a_review_only_what_is_verified_is_applied(project: Project, code: int, state: str) -> None:
    project.verify = [*PYTHON, "-c", f"raise SystemExit({code})"]
    project.more = "[safety]\nreview_changes = false\n"
    async with project.engine() as engine:
        run_id, _ = await reported(engine, project)
        assert engine.store.run(run_id).state == state
    assert (project.root / "greet.py").read_text("utf-8") == (NEW if code == 0 else OLD)


def test_the_command_is_in_the_phase_as_a_person_would_type_it() -> None:
    from kiro_lsp.engine.verdicts import opening

    phase = opening(["a b", "-q"])[1]
    assert isinstance(phase, events.Phase)
    assert shlex.split(phase.detail or "") == ["a b", "-q"]
