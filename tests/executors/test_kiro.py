"""Kiro's command-line agent, by a program of our own that behaves as it is documented to (tests/support/kiro_cli.py)."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors import kiro, registry
from kiro_lsp.executors.kiro import ARGUMENT_BYTES, KiroExecutor, prompt_of
from kiro_lsp.executors.protocol import ExecutorRequest, Question
from kiro_lsp.executors.ways import settings_for
from kiro_lsp.settings import ExecutionSettings, Settings
from kiro_lsp.spec.intent import IntentContract
from kiro_lsp.spec.prompt import Prompt, PromptDocument
from tests.support import kiro_cli, planted, procs
from tests.support.acp_run import LEVELS, Played, box
from tests.support.claude import CountingRun
from tests.support.tree import differences, snapshot

OLD, NEW = "1.24.1", "1.26.0"
CHAT = {"release": OLD, "says": "I look.\n\nIt is two now."}
WRITES = {"write": {"src/number.py": "NUMBER = 2\n", "new/ü.txt": "naïve 🦊\n", "README.md": None}}
STEPS = [
    {"edit": "src/number.py", "text": "NUMBER = 2\n"},
    {"edit": "new/ü.txt", "text": "naïve 🦊\n"},
    {"shell": "rm README.md"},
    {"say": "I look.\n\nIt is two now."},
]
STAGED = {"README.md": None, "new/ü.txt": "naïve 🦊\n".encode(), "src/number.py": b"NUMBER = 2\n"}


async def play(
    root: Path,
    home: Path,
    script: dict[str, Any],
    *,
    level: str = "bubblewrap",
    seconds: int = 600,
    answer: Callable[[Question], Any] | None = None,
    cancel_when: str | None = None,
    **request: Any,
) -> Played:
    """Have the program do a task. With `cancel_when` the run is cancelled when it has said that."""
    folder = box(home)
    (folder / "script.json").write_text(json.dumps(script), "utf-8")
    environ = {"SCRIPT": str(folder / "script.json"), "LOG": str(folder / "log")}
    agent = replace(
        settings_for("kiro", Settings()),
        command=sys.executable,
        args=(kiro_cli.__file__,),
        env=environ,
        homes=("~/box",),
        guarded=(),
        network="none",
        model=request.pop("model", ""),
    )
    run = CountingRun(root, answer=answer or (lambda _question: ""), levels=LEVELS[level], billing="subscription")
    played = Played(run, folder / "log")
    settings = Settings(execution=ExecutionSettings(kiro_session_timeout=seconds))
    asked = ExecutorRequest(**{"root_dir": root, "ticket_markdown": "Make it two.", "settings": settings, **request})
    async with run:
        working = asyncio.create_task(KiroExecutor(agent).execute(asked, run))
        if cancel_when is not None:
            async with asyncio.timeout(60):
                while cancel_when not in played.text:
                    await asyncio.sleep(0.01)
            working.cancel()
        try:
            played.result = await working
        except ExecutorError as error:
            played.error = error
    return played


@pytest.mark.parametrize("level", ["bubblewrap", "overlay", "copy"])
@pytest.mark.parametrize("script", [{**CHAT, **WRITES}, {"release": NEW, "steps": STEPS}], ids=["chat", "acp"])
async def test_both_ways_carry_a_task_of_several_files_out_alike(
    root: Path, own_homes: Path, script: dict[str, Any], level: str
) -> None:
    before = snapshot(root)
    # Without a sandbox the session by ACP asks before a command; somebody says yes.
    played = await play(root, own_homes, script, level=level, answer=lambda question: question.options[0][0])
    assert played.error is None
    assert played.result is not None
    assert played.staged == STAGED
    assert differences(before, snapshot(root)) == []
    result = played.result
    assert (result.success, result.error, result.stop_reason) == (True, None, "end_turn")
    assert result.changed_files == ("README.md", "new/ü.txt", "src/number.py")
    assert result.summary == "It is two now."
    assert result.logs[0] == "kiro: session begins"
    assert result.logs[-2:] == ("kiro: session ended", "kiro: changed README.md, new/ü.txt, src/number.py")
    assert "I look." in played.text
    assert "\x1b" not in played.text


# What it is told

GOLDEN = (
    "SYSTEM\n\n"
    '<document path=".kiro/specs/n/design.md" role="design">\nNumbers are ints.\n</document>\n\n'
    "Task 1: Make it two.\nRequirements: 1.1 The number SHALL be two.\n\n"
    "What the person who started this adds:\nMind the tests."
)


def spec_request(**more: Any) -> ExecutorRequest:
    prompt = Prompt(
        "SYSTEM",
        (PromptDocument(".kiro/specs/n/design.md", "design", "Numbers are ints."),),
        "Task 1: Make it two.\nRequirements: 1.1 The number SHALL be two.",
    )
    return ExecutorRequest("/p", prompt=replace(prompt, **more), note="Mind the tests.")


async def test_the_prompt_is_pinned_byte_for_byte(root: Path, own_homes: Path) -> None:
    request = spec_request()
    assert prompt_of(request) == GOLDEN
    played = await play(root, own_homes, CHAT, prompt=request.prompt, note=request.note)
    assert played.told("chat")[0]["prompt"] == GOLDEN
    by_session = await play(root, own_homes, {"release": NEW, "steps": []}, prompt=request.prompt, note=request.note)
    assert "\n\n".join(by_session.told("prompt")[0]) == GOLDEN


def test_without_a_spec_it_is_told_intent_plan_and_context() -> None:
    intent = IntentContract("1 Make it two", (("1.1", "The number SHALL be two."),), acceptance=("It prints 2.",))
    request = ExecutorRequest(
        "/p", intent, ticket_markdown="# Plan\nEdit number.py.", summary="Two", target_files=["src/number.py"]
    )
    _system, _, told = prompt_of(request).partition("# Plan\n")
    assert told == (
        "Edit number.py.\n\nTwo\n\nThe goal: 1 Make it two\n\nThe requirements:\n- 1.1: The number SHALL be two.\n\n"
        "It is done when:\n- It prints 2.\n\nFiles that this is about:\n- src/number.py"
    )


def test_documents_that_are_too_long_for_an_argument_are_named_instead() -> None:
    long = PromptDocument("docs/long.md", "design", "é" * ARGUMENT_BYTES)
    told = prompt_of(spec_request(documents=(long,)))
    assert len(told.encode()) < ARGUMENT_BYTES
    assert told.startswith("SYSTEM\n\nRead these documents of the spec first:\n- docs/long.md\n\nTask 1: Make it two.")
    with pytest.raises(ExecutorError) as refused:
        prompt_of(ExecutorRequest("/p", ticket_markdown="x" * (ARGUMENT_BYTES + 1)))
    assert refused.value.kind == "max-tokens"


async def test_a_long_prompt_reaches_the_chat(root: Path, own_homes: Path) -> None:
    ticket = "Make it two.\n" + "x" * (ARGUMENT_BYTES - 5000)
    played = await play(root, own_homes, CHAT, ticket_markdown=ticket)
    assert played.error is None
    assert played.told("chat")[0]["prompt"].endswith("xxx")


# How it is started


@pytest.mark.parametrize(
    ("level", "flag"),
    [
        ("bubblewrap", "--trust-all-tools"),
        ("overlay", "--trust-tools=fs_read,fs_write"),
        ("copy", "--trust-tools=fs_read,fs_write"),
    ],
)
async def test_all_tools_are_trusted_in_our_sandbox_only(root: Path, own_homes: Path, level: str, flag: str) -> None:
    played = await play(root, own_homes, {**CHAT, "shell": ["echo x > made.txt"]}, level=level, model="sonnet")
    called = played.told("chat")[0]
    assert called["argv"] == ["chat", "--no-interactive", flag, "--model", "sonnet"]
    assert (called["cwd"] == str(root)) is (level != "copy")
    if level == "bubblewrap":
        assert played.staged == {"made.txt": b"x\n"}
    else:
        assert played.staged == {}
        assert played.error is not None
        assert "Tool approval required" in played.error.message


@pytest.mark.parametrize(
    ("version", "mode"),
    [("1.24.9", "chat"), ("1.25.0", "acp"), ("2.0.0", "acp"), ("1.3.0", "chat"), (None, "chat")],
)
async def test_it_is_spoken_to_by_acp_where_its_version_can(
    root: Path, own_homes: Path, version: str | None, mode: str
) -> None:
    played = await play(root, own_homes, {"release": version, "steps": [], "says": "Done."})
    assert played.error is None
    assert bool(played.told("chat")) is (mode == "chat")
    assert bool(played.told("initialize")) is (mode == "acp")


async def test_it_gets_no_key_of_the_person(root: Path, own_homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", planted.KEYS["anthropic"])
    monkeypatch.setenv("KIRO_API_KEY", planted.KEYS["bearer"])
    played = await play(root, own_homes, CHAT)
    known = played.told("environ")[0]
    played.log.unlink()
    assert known.keys().isdisjoint({"ANTHROPIC_API_KEY", "KIRO_API_KEY"})
    assert (known["NO_COLOR"], known["TERM"]) == ("1", "dumb")


# How it goes wrong


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ({"logged_in": False}, "auth", "Kiro is not logged in"),
        ({"says": "error: rate limit reached", "exit": 1}, "rate-limit", "exit code 1"),
        ({"says": "something broke", "exit": 7}, "agent", "something broke"),
    ],
)
async def test_a_failure_of_the_chat_has_its_kind_and_keeps_what_was_done(
    root: Path, own_homes: Path, script: dict[str, Any], kind: str, words: str
) -> None:
    played = await play(root, own_homes, {**CHAT, **WRITES, **script})
    assert played.error is not None
    assert (played.error.kind, words in played.error.message) == (kind, True), played.error
    if kind == "auth":
        assert "kiro-cli login" in played.error.hint
    else:
        assert played.staged == STAGED


async def test_a_program_that_is_not_there_says_so(root: Path) -> None:
    agent = replace(settings_for("kiro", Settings()), command="no-such-kiro-cli", homes=(), guarded=())
    async with CountingRun(root) as run:
        with pytest.raises(ExecutorError, match="Kiro cannot be started"):
            await KiroExecutor(agent).execute(ExecutorRequest(root, ticket_markdown="x"), run)


@pytest.mark.parametrize(
    "script",
    [{**CHAT, "waits": True, **WRITES}, {"release": NEW, "steps": [*STEPS, {"wait": "for ever"}]}],
    ids=["chat", "acp"],
)
async def test_a_session_ends_at_its_time_limit_and_keeps_what_was_done(
    root: Path, own_homes: Path, script: dict[str, Any]
) -> None:
    played = await play(root, own_homes, script, seconds=20)
    assert played.error is not None
    assert played.error.kind == "timeout"
    assert "execution.kiro_session_timeout" in played.error.message
    assert played.staged == STAGED


async def test_waiting_for_the_person_is_not_counted(root: Path) -> None:
    loop = asyncio.get_running_loop()

    async def late(_question: Question) -> str:
        # The clock of the loop itself stands for the time that a person takes.
        await asyncio.sleep(0)
        return "yes"

    question = Question("agent", "May I?", (("yes", "Yes", "allow-once"), ("no", "No", "deny")))
    async with CountingRun(root, answer=late) as run, kiro._limited(run, 100.0) as clocked:
        timeout = clocked._timeout  # type: ignore[attr-defined]
        before = timeout.when() - loop.time()
        assert await clocked.ask(question) == "yes"
        assert timeout.when() - loop.time() >= before - 0.01 * 100
        with clocked._stopped():  # type: ignore[attr-defined]
            assert timeout.when() is None, "no limit while somebody is asked"


async def test_a_cancelled_chat_is_gone_and_what_it_did_is_kept(root: Path, own_homes: Path) -> None:
    with pytest.raises(asyncio.CancelledError):
        await play(root, own_homes, {**CHAT, **WRITES, "waits": True}, cancel_when="It is two now.")
    assert not procs.gone_within(procs.marked(str(own_homes), "HOME"))


async def test_start_end_and_the_changed_files_are_logged(
    root: Path, own_homes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "kiro_lsp.executors.kiro"):
        await play(root, own_homes, {**CHAT, "write": {"a.txt": "x"}})
        await play(root, own_homes, {**CHAT, "exit": 1})
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(" session of run ")[0] for line in said] == ["kiro:"] * 4
    assert "begins" in said[0]
    assert said[1].endswith("ended; kiro: changed a.txt")
    assert said[3].endswith("failed: ExecutorError")


# By configuration alone


@pytest.mark.parametrize(("mode", "expected"), [("kiro", "kiro"), ("builtin", "claude")])
def test_the_configuration_says_who_edits_code(mode: str, expected: str) -> None:
    from kiro_lsp.executors.detection import Found, Program
    from kiro_lsp.settings import Sources, load_settings

    toml = f'[kiro]\ncoder_mode = "{mode}"\ndefault_agent = "auto"\n'
    loaded = load_settings(
        Sources(user_toml=toml, environ={"ANTHROPIC_API_KEY": planted.KEYS["anthropic"]}), trusted=True
    )
    here = Found(programs={"kiro-cli": Program("/usr/bin/kiro-cli", "1.26.0")})
    known = registry.agents(loaded.settings, loaded.secrets, here)
    chosen = registry.recommended(known, loaded.settings)
    assert chosen is not None
    assert chosen.name == expected
    without = registry.agents(loaded.settings, loaded.secrets, Found())
    other = registry.recommended(without, loaded.settings)
    assert (None if other is None else other.name) == (None if mode == "kiro" else "claude")
