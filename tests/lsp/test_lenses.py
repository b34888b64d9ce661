"""What stands above a task, in the very words; and that code actions offer the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kiro_lsp.engine.engine import LiveRun
from kiro_lsp.events import CommandDetail, Permission, PermissionOption
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.lsp.command_ids import COMMAND_IDS
from kiro_lsp.lsp.commands import COMMANDS
from kiro_lsp.lsp.lenses import Lens, Offer, lenses, to_wire
from kiro_lsp.settings import KiroSettings, Settings
from kiro_lsp.spec import tasks

NOW = datetime(2026, 1, 2, 3, 4, 42, tzinfo=UTC)
URI = "file:///p/tasks.md"
TASKS = "# Plan\n\n- [ ] 1. First\n- [x] 2. Second\n- [ ] ~~3. Third~~ withdrawn\n\n```\n- [ ] 4. In a fence\n```\n"


def agent(name: str, label: str, *, available: bool = True, way: Any = "api") -> AgentInfo:
    return AgentInfo(name, label, "t", way, "m", "metered", available, "because")


CLAUDE, CODEX = agent("claude", "Claude"), agent("codex", "Codex")
GEMINI, QWEN = agent("gemini", "Gemini"), agent("qwen", "Qwen")
RECORDED = agent("recorded", "Recorded", way="replay")


def offer(*agents: AgentInfo, mode: str = "recommended", enabled: bool = True, why_not: str = "") -> Offer:
    real = [info for info in agents if info.available and info.way != "replay"]
    return Offer(agents, real[0] if real else None, mode, enabled, why_not)


def run(state: Any, phase: str = "", used: str = "", files: int = 0, question: Permission | None = None) -> LiveRun:
    started = (NOW - timedelta(seconds=42)).isoformat()
    return LiveRun(
        "r1", "tasks.md", "1", "First", "claude", "Claude", state, phase, started, "0", files, question, used
    )


def check(expected: list[str], offered: Offer, run_of_first: LiveRun | None = None, text: str = TASKS) -> list[Lens]:
    """The titles above the first task."""
    runs = {} if run_of_first is None else {"1": run_of_first}
    found = lenses(URI, tasks.parse(text, "/p/.kiro/specs/a/tasks.md"), runs, offered, NOW)
    assert [lens.title for lens in found if lens.line == 2] == expected
    assert {lens.line for lens in found} <= {2}, "a done, withdrawn or fenced line has no lens of its own"
    assert {lens.command for lens in found} <= set(COMMANDS)
    return found


def question(kind: str, detail: CommandDetail | None = None) -> Permission:
    return Permission(
        "q", kind, "Run “First” with Claude?\nmore", (PermissionOption("once", "Allow once", "allow-once"),), detail
    )


def test_an_open_task_can_be_run_by_the_recommended_agent_or_another() -> None:
    first, more = check(["▶ Run with Claude", "⋯"], offer(CLAUDE, CODEX))
    assert (first.command, first.argument) == ("kiroLsp.runTask", {"uri": URI, "task": "1"})
    assert more.command == "kiroLsp.pickAgent"


def test_all_shows_up_to_three_agents() -> None:
    check(["▶ Run with Claude", "▶ Codex", "▶ Gemini", "⋯"], offer(CLAUDE, CODEX, GEMINI, QWEN, mode="all"))


def test_without_an_agent_the_file_is_not_empty() -> None:
    missing = agent("claude", "Claude", available=False)
    setup, trial = check(["▶ Run with Claude (set up)", "▶ Try it (recorded)"], offer(missing, RECORDED))
    assert setup.command == "kiroLsp.doctor"
    assert trial.argument == {"uri": URI, "task": "1", "agent": "recorded"}


@pytest.mark.parametrize("offered", [offer(CLAUDE, mode="off"), offer(CLAUDE, enabled=False)])
def test_switched_off_there_is_no_run_lens(offered: Offer) -> None:
    check([], offered)


def test_a_restricted_folder_says_why_it_cannot_run() -> None:
    check(
        ["▶ Not run here: the folder is not trusted in the editor"],
        offer(CLAUDE, why_not="Not run here: the folder is not trusted in the editor"),
    )


@pytest.mark.parametrize(
    ("live", "titles"),
    [
        (run("running", "editing auth.py", "$0.03"), ["● Claude · editing auth.py · 42 s · $0.03 — Stop"]),
        (run("queued", "queued"), ["● Claude · queued · 42 s — Stop"]),
        (run("waiting", question=question("consent")), ["? Claude asks: Run “First” with Claude?", "Stop"]),
        (
            run("waiting", question=question("command", CommandDetail(("pytest", "-q"), ".", {}, "d"))),
            ["? Claude asks: run pytest -q", "Stop"],
        ),
        (run("review", files=3), ["Review 3 files", "Accept", "Reject"]),
        (run("review", files=1), ["Review 1 file", "Accept", "Reject"]),
        (run("conflict", files=2), ["Conflict, review 2 files", "Accept", "Reject"]),
        (run("applied", files=3), ["✓ View changes", "⋯"]),
        (run("failed"), ["✗ Claude failed — Retry", "▶ Run with Claude", "⋯"]),
        (run("running", "thinking", "cost unknown"), ["● Claude · thinking · 42 s · cost unknown — Stop"]),
        (run("review", files=3, used="$0.12"), ["Review 3 files", "Accept", "Reject", "$0.12"]),
        (run("applied", files=3, used="12k tokens, 8 turns"), ["✓ View changes", "⋯", "12k tokens, 8 turns"]),
        (
            run("budget", used="cost unknown, charged as $1.90"),
            ["✗ Claude stopped at the budget — Retry", "cost unknown, charged as $1.90", "▶ Run with Claude", "⋯"],
        ),
        (run("budget"), ["✗ Claude stopped at the budget — Retry", "▶ Run with Claude", "⋯"]),
        (run("interrupted", files=2), ["Review 2 files", "Accept", "Reject", "Retry"]),
        (run("rejected", files=2), ["▶ Run with Claude", "⋯"]),
        (run("undone", files=2), ["▶ Run with Claude", "⋯"]),
    ],
)
def test_a_run_is_shown_as_it_stands(live: LiveRun, titles: list[str]) -> None:
    check(titles, offer(CLAUDE), live)


def test_of_two_tasks_with_one_id_each_lens_runs_its_own() -> None:
    text = "# P\n\n- [ ] 1. First\n- [ ] 1. Again\n"
    task_list = tasks.parse(text, "/p/.kiro/specs/a/tasks.md")
    found = lenses(URI, task_list, {}, offer(CLAUDE), NOW)
    named = [lens.argument["task"] for lens in found if lens.command == "kiroLsp.runTask" and lens.argument]
    assert [tasks.find(task_list, selector).line for selector in named] == [2, 3]


WAITING = """# P

- [ ] 1. First
- [ ] 2. Second (depends on 1)
- [ ] 3. Third
- [ ] 4. Fourth (depends on 5)
- [x] 5. Fifth
- [ ] 6. Sixth (depends on no one)
- [ ] 7. Seventh
  - [ ] 7.1 Inner (depends on 3, 2)
"""


def test_what_a_task_depends_on_is_said_beside_its_run_lens() -> None:
    found = lenses(URI, tasks.parse(WAITING, "/p/.kiro/specs/a/tasks.md"), {}, offer(CLAUDE), NOW)
    said = {lens.line: (lens.title, lens.argument) for lens in found if lens.title.startswith("waits")}
    assert said == {
        3: ("waits for 1", {"uri": URI, "task": "1"}),
        8: ("waits for 3", {"uri": URI, "task": "3"}),
        9: ("waits for 3", {"uri": URI, "task": "3"}),
    }
    assert [lens.title for lens in found if lens.line == 3] == ["▶ Run with Claude", "⋯", "waits for 1"]
    running = lenses(URI, tasks.parse(WAITING, "tasks.md"), {"2": run("review", files=1)}, offer(CLAUDE), NOW)
    assert [lens.title for lens in running if lens.line == 3] == ["Review 1 file", "Accept", "Reject"]


@pytest.mark.parametrize(
    ("state", "verified", "more"),
    [
        ("verifying", None, ["● verifying… — Stop"]),
        ("review", None, []),
        ("review", True, ["✓ verified"]),
        ("review", False, ["✗ verify failed", "Repair"]),
        ("conflict", False, ["✗ verify failed"]),
    ],
)
def test_a_verdict_stands_beside_what_can_be_decided(state: str, verified: bool | None, more: list[str]) -> None:
    pending = replace(run(state, files=3), verified=verified)
    review = "Conflict, review 3 files" if state == "conflict" else "Review 3 files"
    found = check([review, "Accept", "Reject", *more], offer(CLAUDE), pending)
    commands = {lens.title: lens.command for lens in found}
    assert commands.get("● verifying… — Stop", "kiroLsp.cancelRun") == "kiroLsp.cancelRun"
    assert commands.get("Repair", "kiroLsp.repairRun") == "kiroLsp.repairRun"


def test_where_kiro_edits_code_it_is_kiro_that_is_to_be_set_up() -> None:
    kiro = replace(agent("kiro", "Kiro", available=False), type="kiro")
    settings = Settings(kiro=KiroSettings(coder_mode="kiro"))
    setup, _trial = check(
        ["▶ Run with Kiro (set up)", "▶ Try it (recorded)"],
        Offer((CLAUDE, kiro, RECORDED), CLAUDE, "recommended", True, "", settings),
    )
    assert setup.command == "kiroLsp.doctor"


def test_lenses_are_complete_and_their_commands_announced() -> None:
    found = to_wire(check(["▶ Run with Claude", "⋯"], offer(CLAUDE)))
    assert all(lens["command"]["command"] in COMMAND_IDS and lens["command"]["arguments"] for lens in found)
    assert all(lens["range"]["start"]["line"] == lens["range"]["end"]["line"] for lens in found)
    assert list(COMMAND_IDS) == list(COMMANDS)


def test_the_lenses_of_a_large_file_take_one_walk_through_it() -> None:
    class Counting(tuple[tasks.Task, ...]):
        walks = 0

        def __iter__(self) -> Any:
            Counting.walks += 1
            return super().__iter__()

    text = "# P\n\n" + "".join(f"- [ ] {number}. Task\n" for number in range(200))
    task_list = tasks.parse(text, "/p/.kiro/specs/a/tasks.md")
    counted = replace(task_list, tasks=Counting(task_list.tasks))
    assert len(lenses(URI, counted, {}, offer(CLAUDE), NOW)) == 400
    assert Counting.walks < 10
