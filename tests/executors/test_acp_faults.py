"""What may go wrong with an agent that speaks ACP: each has a kind, words for a person, a next step; what was done is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kiro_lsp import events
from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors.acp import AcpExecutor
from kiro_lsp.executors.acp_session import Patience
from kiro_lsp.executors.program_failures import kind_of
from kiro_lsp.executors.protocol import ExecutorRequest
from kiro_lsp.settings.redact import Redactor
from tests.support import planted, procs
from tests.support.acp_run import AGENT, play
from tests.support.claude import CountingRun
from tests.support.tree import snapshot

TWO = {"src/number.py": b"NUMBER = 2\n"}
EDIT = {"edit": "src/number.py", "text": "NUMBER = 2\n"}
KEY = planted.KEYS["bearer"]
LOGIN = "`script login`"
REFUSED = '{"error":{"code":401,"message":"API key not valid","status":"UNAUTHENTICATED"}}'

AT_THE_START: list[tuple[Any, str, str, str]] = [
    ({"dies": 3, "says": "unknown option --acp"}, "agent", "(exit code 3): unknown option --acp", "Retry"),
    ({"dies": 1, "says": "You are not logged in."}, "auth", "not logged in", LOGIN),
    ({"dies": 0}, "agent", "ended before it was done (exit code 0)", "Retry"),
    ({"version": 7}, "agent", "speaks version 7", "Retry"),
    ({"initialize": [{"fail": [-32603, "broken"]}]}, "agent", "could not begin: broken", "Retry"),
    ({"initialize": [{"exit": 2, "says": "boom"}]}, "agent", "(exit code 2): boom", "Retry"),
    ({"new": [{"fail": [-32000, "Authentication required"]}]}, "auth", "is not logged in", LOGIN),
    ({"new": [{"fail": [-32603, "oops", {"details": "no disk"}]}]}, "agent", "could not begin: oops: no disk", "Retry"),
    ({"initialize": [{"flood": 10_001, "with": "no JSON\n"}]}, "agent", "no message of the Agent Client", "Retry"),
]
IN_ITS_TURN: list[tuple[Any, str, str, str]] = [
    ({"fail": [401, REFUSED]}, "auth", "It said: API key not valid UNAUTHENTICATED", LOGIN),
    ({"fail": [-32000, "Authentication required"]}, "auth", "is not logged in", LOGIN),
    ({"fail": [402, "no credit"]}, "payment", "failed: no credit", "credit"),
    ({"fail": [429, "slow down"]}, "rate-limit", "failed: slow down", "Wait"),
    ({"fail": [529, "busy"]}, "overloaded", "failed: busy", "Wait"),
    (
        {"fail": [-32603, "Internal error", {"details": "fetch failed"}]},
        "network",
        "Internal error: fetch failed",
        "hosts",
    ),
    ({"fail": [-32603, "prompt is too long"]}, "max-tokens", "prompt is too long", "Split"),
    ({"fail": [-32603, "who knows"]}, "agent", "failed: who knows", "Retry"),
    ({"exit": 1, "says": "panic: $SECRET"}, "agent", "(exit code 1): panic: ", "Retry"),
    ({"exit": 0}, "agent", "ended before it was done (exit code 0)", "Retry"),
    ({"flood": 17 * 1024, "with": "x" * 1024}, "agent", "a message of more than 16384 KiB", "Retry"),
    ({"flood": 10_001, "with": "no JSON\n"}, "agent", "no message of the Agent Client Protocol: no JSON", "Retry"),
    ({"stop": "refusal"}, "refusal", "refused the task. It said: I worked.", "wording"),
    ({"stop": "max_tokens"}, "max-tokens", "reached the limit of its answer", "Split"),
    ({"stop": "max_turn_requests"}, "loop", "reached its limit of requests", "Retry"),
    ({"stop": "cancelled"}, "agent", "gave up its turn", "Retry"),
]


def check(error: ExecutorError | None, kind: str, says: str, hint: str) -> None:
    assert error is not None
    assert (error.kind, says in error.message, hint in error.hint) == (kind, True, True), error
    assert "Scripted" in error.message
    assert "Traceback" not in error.message
    assert KEY not in str(error)
    assert len(error.message) < 800


@pytest.mark.parametrize(("script", "kind", "says", "hint"), AT_THE_START)
async def test_an_agent_that_cannot_begin_says_why(
    root: Path, own_homes: Path, script: Any, kind: str, says: str, hint: str
) -> None:
    played = await play(root, own_homes, {"steps": [EDIT], **script}, env={procs.NAME: "acp-faults"})
    check(played.error, kind, says, hint)
    assert played.staged == {}
    assert not procs.gone_within(procs.marked("acp-faults"))


@pytest.mark.parametrize(("step", "kind", "says", "hint"), IN_ITS_TURN)
async def test_an_agent_that_fails_in_its_turn_says_why_and_what_it_did_is_kept(
    root: Path, own_homes: Path, step: Any, kind: str, says: str, hint: str
) -> None:
    before = snapshot(root)
    redact = {"redact": Redactor((KEY,)).redact}
    steps = [EDIT, {"say": "I worked."}, step, {"say": "never said"}]
    environ = {procs.NAME: "acp-faults", "SECRET": KEY}  # a script with a key in it would be a file with a key in it
    played = await play(root, own_homes, steps, request=redact, env=environ)
    check(played.error, kind, says, hint)
    assert played.staged == TWO
    assert snapshot(root) == before
    assert "never said" not in played.text
    assert not procs.gone_within(procs.marked("acp-faults"))


@pytest.mark.parametrize(
    ("script", "patience", "says"),
    [
        ({"initialize": [{"wait": "for ever"}]}, Patience(start=0.5), "did not answer within 0.5 s"),
        ({"steps": [EDIT, {"wait": "for ever"}]}, Patience(idle=20), "did not answer within 20 s"),
        ({"steps": [EDIT, {"deaf": True}, {"wait": "for ever"}]}, Patience(idle=20), "did not answer within 20 s"),
    ],
)
async def test_an_agent_that_falls_silent_is_ended(
    root: Path, own_homes: Path, script: Any, patience: Patience, says: str
) -> None:
    played = await play(root, own_homes, {"steps": [], **script}, patience=patience, env={procs.NAME: "acp-faults"})
    check(played.error, "timeout", says, "Retry")
    assert played.staged == (TWO if "initialize" not in script else {})
    assert not procs.gone_within(procs.marked("acp-faults"))


@pytest.mark.parametrize("command", ["no-such-agent", "/nowhere/agent"])
async def test_a_program_that_is_not_there_is_named(root: Path, own_homes: Path, command: str) -> None:
    played = await play(root, own_homes, [], command=command, args=())
    check(played.error, "agent", command, "doctor")


async def test_a_request_without_a_task_starts_nothing(root: Path) -> None:
    async with CountingRun(root) as run:
        with pytest.raises(ExecutorError, match="holds no task"):
            await AcpExecutor(AGENT).execute(ExecutorRequest(root_dir=root), run)
        assert run.events == []


@pytest.mark.parametrize(
    "line",
    [
        "Welcome to the agent!",
        "",
        "null",
        "[]",
        '{"jsonrpc": "2.0"}',
        '{"jsonrpc": "2.0", "id": [1], "result": {}}',
        '{"jsonrpc": "2.0", "id": 99, "result": {}}',
        '{"jsonrpc": "2.0", "id": 99, "error": "no"}',
        '{"jsonrpc": "2.0", "id": {}, "method": "session/update"}',
        '{"jsonrpc": "2.0", "method": 7}',
        '{"jsonrpc": "2.0", "method": "session/update", "params": [1]}',
        '{"jsonrpc": "2.0", "method": "session/update", "params": {"update": 4}}',
        '{"jsonrpc": "2.0", "id": 5, "method": "never/heard", "params": {}}',
        '{"jsonrpc": "2.0", "id": 5, "method": "fs/read_text_file"}',
        '{"jsonrpc": "2.0", "id": 5, "method": "session/request_permission", "params": {"options": 4, "toolCall": []}}',
        '{"jsonrpc": "2.0", "id": 5, "method": "terminal/create", "params": {"command": "x", "args": 4}}',
        '{"jsonrpc": "2.0", "id": 5, "method": "terminal/output", "params": {"terminalId": {}}}',
        '{"jsonrpc": "2.0", "id": 5, "method": "fs/write_text_file", "params": {"path": "a", "content": 1}}',
        "[" * 100_000,
        "\\ud800 \x00",
    ],
)
async def test_what_is_no_message_disturbs_nothing(
    root: Path, own_homes: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    played = await play(root, own_homes, [{"raw": line}, EDIT, {"raw": line}, {"say": "Done."}])
    assert played.error is None
    assert played.result is not None
    assert (played.result.summary, played.staged) == ("Done.", TWO)
    assert [record.getMessage() for record in caplog.records if record.name != "asyncio"] == []


async def test_what_an_agent_writes_outside_a_plain_copy_fails_the_run_and_nothing_can_be_accepted(
    root: Path, own_homes: Path
) -> None:
    steps = [EDIT, {"shell": f"echo changed > {root}/README.md"}, {"say": "sly"}, {"wait": "cancel"}]
    played = await play(root, own_homes, steps, level="copy")
    assert played.error is not None
    assert "files were changed that it must not touch" in played.error.message
    assert "README.md" in played.error.message
    assert played.result is None


async def test_a_turn_that_costs_more_than_the_cap_by_the_agents_own_word_is_stopped(
    root: Path, own_homes: Path
) -> None:
    from kiro_lsp.settings import Settings

    spent = {"sessionUpdate": "usage_update", "used": 1, "size": 2, "cost": {"amount": 2.5, "currency": "USD"}}
    steps = [EDIT, {"say": "on"}, {"update": spent}, {"wait": "for ever"}]
    played = await play(
        root,
        own_homes,
        steps,
        billing="metered",
        request={"settings": Settings()},
    )
    assert played.error is not None
    assert played.error.kind == "budget", played.error
    assert "$2.50, more than $2.00" in played.error.message
    assert played.staged == TWO
    assert played.of(events.Chunk)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Please run /login", "auth"),
        ("Invalid API key", "auth"),
        ("HTTP 403", "auth"),
        ("insufficient_quota", "payment"),
        ("RESOURCE_EXHAUSTED", "rate-limit"),
        ("You've hit your usage limit", "rate-limit"),
        ("Overloaded", "overloaded"),
        ("maximum context length", "max-tokens"),
        ("getaddrinfo ENOTFOUND api", "network"),
        ("FileNotFoundError: no such file", "agent"),
        ("4010 files", "agent"),
        ("", "agent"),
    ],
)
def test_the_kind_of_a_failure_is_read_from_a_programs_words(said: str, kind: str) -> None:
    assert kind_of(said) == kind
