"""What the lines of agent programs mean: what is shown, what was used, how the work ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kiro_lsp.budget import Usage
from kiro_lsp.events import Chunk, Phase, Plan, RunEvent, Thought, Tool
from kiro_lsp.executors.program_failures import kind_of
from kiro_lsp.executors.streams import reader_of
from tests.support.streams import ROOT, read


def shown(events: Sequence[RunEvent]) -> list[str]:
    """A line an event, without phases."""
    found = []
    for event in events:
        match event:
            case Chunk(text=text):
                found.append(f"says {text.strip()}")
            case Thought(text=text):
                found.append(f"thinks {text.strip()}")
            case Tool(kind=kind, title=title, status=status, path=path):
                found.append(f"{kind} {title} {status}" + (f" @{path}" if path else ""))
            case Plan(entries=entries):
                found.append("plans " + ", ".join(f"{entry.text}: {entry.status}" for entry in entries))
    return found


def claude_says(*blocks: Any, identifier: str = "m1", **more: Any) -> Any:
    message = {"id": identifier, "model": "claude-opus-5-5", "role": "assistant", "content": list(blocks), **more}
    return {"type": "assistant", "message": message, "parent_tool_use_id": None, "session_id": "s-1"}


def claude_result(identifier: str, *, error: bool = False) -> Any:
    block = {"type": "tool_result", "tool_use_id": identifier, "content": "…", "is_error": error}
    return {"type": "user", "message": {"role": "user", "content": [block]}}


def claude_piece(**event: Any) -> Any:
    return {"type": "stream_event", "event": event, "parent_tool_use_id": None, "session_id": "s-1"}


def claude_end(**more: Any) -> Any:
    return {"type": "result", "subtype": "success", "is_error": False, "result": "Done.", "session_id": "s-1", **more}


READ = {"type": "tool_use", "id": "t1", "name": "Read", "input": {"file_path": f"{ROOT}/a.py"}}
RUN = {"type": "tool_use", "id": "t2", "name": "Bash", "input": {"command": "make", "description": "d"}}
EDIT = {"type": "tool_use", "id": "t3", "name": "Edit", "input": {"file_path": "a.py", "old_string": "1"}}
TODO = {
    "type": "tool_use",
    "id": "t4",
    "name": "TodoWrite",
    "input": {"todos": [{"content": "look", "status": "completed"}, {"content": "edit", "status": "in_progress"}]},
}


def codex_item(kind: str, done: bool = True, **more: Any) -> Any:
    return {"type": "item.completed" if done else "item.started", "item": {"id": "i1", "type": kind, **more}}


def opencode(kind: str, **part: Any) -> Any:
    return {"type": kind, "timestamp": 1, "sessionID": "ses_1", "part": part}


def opencode_tool(name: str, status: str = "completed", error: str = "", **given: Any) -> Any:
    return opencode("tool_use", tool=name, callID=f"c-{name}", state={"status": status, "input": given, "error": error})


SHOWN: dict[str, tuple[str, list[Any], list[str]]] = {
    "claude whole messages": (
        "claude",
        [
            claude_says({"type": "thinking", "thinking": "Hm."}),
            claude_says({"type": "text", "text": "I look."}),
            claude_says(READ, RUN, EDIT),
            claude_result("t1"),
            claude_result("t2", error=True),
            claude_says(TODO, identifier="m2"),
        ],
        [
            "thinks Hm.",
            "says I look.",
            f"read Read {ROOT}/a.py in_progress @a.py",
            "execute make in_progress",
            "edit Edit a.py in_progress @a.py",
            f"read Read {ROOT}/a.py completed @a.py",
            "execute make failed",
            "plans look: completed, edit: in_progress",
        ],
    ),
    "claude pieces are not said twice": (
        "claude",
        [
            claude_piece(type="message_start", message={"id": "m1", "model": "claude-opus-5-5", "usage": {}}),
            claude_piece(type="content_block_delta", delta={"type": "thinking_delta", "thinking": "Hm."}),
            claude_piece(type="content_block_delta", delta={"type": "text_delta", "text": "I lo"}),
            claude_piece(type="content_block_delta", delta={"type": "text_delta", "text": "ok."}),
            claude_says({"type": "text", "text": "I look."}, READ),
        ],
        ["thinks Hm.", "says I lo", "says ok.", f"read Read {ROOT}/a.py in_progress @a.py"],
    ),
    "claude's agents speak to it and not to people": (
        "claude",
        [{**claude_says({"type": "text", "text": "inner"}, READ), "parent_tool_use_id": "t9"}],
        [f"read Read {ROOT}/a.py in_progress @a.py"],
    ),
    "claude's own error texts are no words of the model": (
        "claude",
        [claude_says({"type": "text", "text": "API Error: 529"}, model="<synthetic>")],
        [],
    ),
    "codex": (
        "codex",
        [
            codex_item("reasoning", text="Hm."),
            codex_item("agent_message", text="I look."),
            codex_item("command_execution", done=False, command="make", status="in_progress"),
            codex_item("command_execution", command="make", status="failed", exit_code=2),
            codex_item("todo_list", items=[{"text": "look", "completed": True}, {"text": "edit", "completed": False}]),
            codex_item("mcp_tool_call", server="docs", tool="find", status="completed"),
            codex_item("error", message="no metadata"),
        ],
        [
            "thinks Hm.",
            "says I look.",
            "execute make in_progress",
            "execute make failed",
            "plans look: completed, edit: pending",
            "other docs.find completed",
            "thinks no metadata",
        ],
    ),
    "codex patches of several files": (
        "codex",
        [
            codex_item(
                "file_change",
                status="completed",
                changes=[
                    {"path": f"{ROOT}/a.py", "kind": "update"},
                    {"path": f"{ROOT}/b.py", "kind": "delete"},
                    {"path": "/etc/hosts", "kind": "add"},
                ],
            )
        ],
        [
            f"edit update {ROOT}/a.py completed @a.py",
            f"delete delete {ROOT}/b.py completed @b.py",
            "edit add /etc/hosts completed",
        ],
    ),
    "gemini": (
        "gemini",
        [
            {"type": "message", "role": "user", "content": "the whole prompt"},
            {"type": "message", "role": "assistant", "content": "I lo", "delta": True},
            {"type": "tool_use", "tool_name": "replace", "tool_id": "r1", "parameters": {"file_path": "a.py"}},
            {"type": "tool_result", "tool_id": "r1", "status": "success"},
            {"type": "tool_use", "tool_name": "run_shell_command", "tool_id": "r2", "parameters": {"command": "make"}},
            {"type": "tool_result", "tool_id": "r2", "status": "error", "error": {"type": "x", "message": "boom"}},
            {"type": "error", "severity": "warning", "message": "looping"},
        ],
        [
            "says I lo",
            "edit replace a.py in_progress @a.py",
            "edit replace a.py completed @a.py",
            "execute make in_progress",
            "execute make failed",
            "thinks looping",
        ],
    ),
    "opencode": (
        "opencode",
        [
            opencode("reasoning", text="Hm."),
            opencode("text", text="I look."),
            opencode_tool("edit", filePath=f"{ROOT}/a.py"),
            opencode_tool("bash", command="make"),
            opencode_tool("todowrite", todos=[{"content": "look", "status": "completed"}]),
        ],
        [
            "thinks Hm.",
            "says I look.",
            f"edit edit {ROOT}/a.py completed @a.py",
            "execute make completed",
            "plans look: completed",
        ],
    ),
}


@pytest.mark.parametrize("case", SHOWN)
def test_lines_are_shown_as(case: str) -> None:
    name, lines, expected = SHOWN[case]
    _told, events = read(name, lines)
    assert shown(events) == expected


def gemini_end(status: str = "success", **more: Any) -> Any:
    return {"type": "result", "status": status, **more}


STEP = {"reason": "stop", "tokens": {"input": 10, "output": 5, "reasoning": 2, "cache": {"read": 100, "write": 20}}}
ENDS: dict[str, tuple[str, list[Any], str]] = {
    "claude done": ("claude", [claude_end()], "done"),
    "claude 401 calls itself a success": (
        "claude",
        [claude_end(is_error=True, api_error_status=401, result="Invalid token", terminal_reason="api_error")],
        "auth: Invalid token",
    ),
    "claude 529": ("claude", [claude_end(is_error=True, api_error_status=529, result="Overloaded.")], "overloaded"),
    "claude 402": ("claude", [claude_end(is_error=True, api_error_status=402, result="Your balance")], "payment"),
    "claude a limit of the subscription": (
        "claude",
        [
            {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected"}},
            claude_end(is_error=True, result="You've hit your session limit · resets 3am"),
        ],
        "rate-limit",
    ),
    "claude without a network": (
        "claude",
        [claude_end(is_error=True, result="API Error: Unable to connect to API (ECONNREFUSED)")],
        "network",
    ),
    "claude out of turns": ("claude", [claude_end(subtype="error_max_turns", is_error=True, result=None)], "loop"),
    "claude broke": (
        "claude",
        [claude_end(subtype="error_during_execution", is_error=True, result=None, errors=["it broke"])],
        "agent: it broke",
    ),
    "claude refused": ("claude", [claude_end(stop_reason="refusal", result="No.")], "refusal"),
    "claude cut off": ("claude", [claude_end(stop_reason="max_tokens", result="half")], "max-tokens"),
    "claude in the middle": ("claude", [claude_says(READ)], "not over"),
    "codex done": ("codex", [{"type": "turn.completed", "usage": {}}], "done"),
    "codex tried again and went on": (
        "codex",
        [
            {"type": "error", "message": "Reconnecting... 1/5 (unexpected status 503)"},
            codex_item("agent_message", text="Here."),
            {"type": "turn.completed", "usage": {}},
        ],
        "done",
    ),
    "codex 401": (
        "codex",
        [{"type": "turn.failed", "error": {"message": "unexpected status 401 Unauthorized: wrong"}}],
        "auth: unexpected status 401 Unauthorized: wrong",
    ),
    "codex 429": (
        "codex",
        [{"type": "turn.failed", "error": {"message": "exceeded retry limit, last status: 429 Too Many Requests"}}],
        "rate-limit",
    ),
    "codex 503": ("codex", [{"type": "turn.failed", "error": {"message": "unexpected status 503"}}], "overloaded"),
    "codex quota": (
        "codex",
        [{"type": "turn.failed", "error": {"message": "Quota exceeded. Check your plan and billing details."}}],
        "payment",
    ),
    "codex said only an error": ("codex", [{"type": "error", "message": "stream error: 401"}], "auth, not over"),
    "gemini done": ("gemini", [gemini_end()], "done"),
    "gemini 401": (
        "gemini",
        [gemini_end("error", error={"type": "unknown", "message": '[API Error: {"error":{"code":401}}]'})],
        "auth",
    ),
    "gemini 429": (
        "gemini",
        [gemini_end("error", error={"type": "unknown", "message": "RESOURCE_EXHAUSTED"})],
        "rate-limit",
    ),
    "gemini out of turns": (
        "gemini",
        [gemini_end("error", error={"type": "FatalTurnLimitedError", "message": "Reached max"})],
        "loop",
    ),
    "opencode done": ("opencode", [opencode("step_finish", **STEP)], "done"),
    "opencode after a tool": ("opencode", [opencode("step_finish", reason="tool-calls", tokens={})], "not over"),
    "opencode cut off": ("opencode", [opencode("step_finish", reason="length", tokens={})], "max-tokens"),
    "opencode 401": (
        "opencode",
        [{"type": "error", "error": {"name": "APIError", "data": {"message": "wrong", "statusCode": 401}}}],
        "auth: wrong",
    ),
    "opencode 529": (
        "opencode",
        [{"type": "error", "error": {"name": "APIError", "data": {"message": "busy", "statusCode": 529}}}],
        "overloaded",
    ),
    "opencode without a key": (
        "opencode",
        [{"type": "error", "error": {"name": "ProviderAuthError", "data": {"message": "none"}}}],
        "auth",
    ),
    "opencode broke": ("opencode", [{"type": "error", "error": {"name": "UnknownError"}}], "agent: UnknownError"),
}


@pytest.mark.parametrize("case", ENDS)
def test_the_work_ended(case: str) -> None:
    name, lines, expected = ENDS[case]
    told, _events = read(name, lines)
    failure = told.failure
    kind = "done" if failure is None else failure.kind or kind_of(failure.said)
    if not told.over:
        kind = "not over" if failure is None else f"{kind}, not over"
    words = f": {failure.said}" if failure is not None and ": " in expected else ""
    assert f"{kind}{words}" == expected


CLAUDE_USAGE = {"input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}
CLAUDE_TOTAL = {"inputTokens": 15, "cacheReadInputTokens": 100, "cacheCreationInputTokens": 20, "outputTokens": 9}
CLAUDE_ANSWER = [
    claude_piece(type="message_start", message={"id": "m1", "model": "opus", "usage": {**CLAUDE_USAGE}}),
    claude_piece(type="message_delta", usage={"output_tokens": 7, "input_tokens": 10}),
    claude_piece(type="message_stop"),
]
USED: dict[str, tuple[str, list[Any], list[tuple[str, Usage]]]] = {
    "claude by answer, then the rest": (
        "claude",
        [*CLAUDE_ANSWER, claude_end(modelUsage={"opus": CLAUDE_TOTAL, "haiku": {"inputTokens": 3, "outputTokens": 1}})],
        [("opus", Usage(130, 7, 100, 20)), ("opus", Usage(5, 2)), ("haiku", Usage(3, 1))],
    ),
    "claude under another name of the model": (
        "claude",
        [*CLAUDE_ANSWER, claude_end(modelUsage={"opus[1m]": {**CLAUDE_TOTAL, "canonicalModel": "opus"}})],
        [("opus", Usage(130, 7, 100, 20)), ("opus[1m]", Usage(5, 2))],
    ),
    "claude an hour": (
        "claude",
        [
            claude_end(
                modelUsage={
                    "opus": {
                        "inputTokens": 1,
                        "outputTokens": 1,
                        "cacheCreationInputTokens": 20,
                        "cacheCreationEphemeral1hInputTokens": 15,
                    }
                }
            )
        ],
        [("opus", Usage(21, 1, 0, 20, 15))],
    ),
    "codex, whose input holds what was cached": (
        "codex",
        [
            {
                "type": "turn.completed",
                "usage": {
                    "input_tokens": 130,
                    "cached_input_tokens": 100,
                    "cache_write_input_tokens": 20,
                    "output_tokens": 7,
                },
            }
        ],
        [("", Usage(130, 7, 100, 20))],
    ),
    "gemini by model": (
        "gemini",
        [
            gemini_end(
                stats={
                    "models": {
                        "flash": {"input_tokens": 130, "output_tokens": 7, "cached": 100},
                        "lite": {"input_tokens": 0, "output_tokens": 0, "cached": 0},
                    }
                }
            )
        ],
        [("flash", Usage(130, 7, 100))],
    ),
    "opencode by step": ("opencode", [opencode("step_finish", **STEP)], [("", Usage(130, 7, 100, 20))]),
}


@pytest.mark.parametrize("case", USED)
def test_what_was_used(case: str) -> None:
    name, lines, expected = USED[case]
    told, _events = read(name, lines)
    assert told.usages == expected


@pytest.mark.parametrize("case", ["claude by answer, then the rest", "codex, whose input holds what was cached"])
def test_totals_of_a_resumed_session_are_not_charged_again(case: str) -> None:
    name, lines, _expected = USED[case]
    told, _events = read(name, lines, resumed=True)
    assert told.usages == ([("opus", Usage(130, 7, 100, 20))] if name == "claude" else [])


@pytest.mark.parametrize(
    ("name", "line", "session"),
    [
        ("claude", {"type": "system", "subtype": "init", "session_id": "s-1"}, "s-1"),
        ("codex", {"type": "thread.started", "thread_id": "th-1"}, "th-1"),
        ("gemini", {"type": "init", "session_id": "s-1"}, "s-1"),
        ("opencode", opencode("step_start"), "ses_1"),
    ],
)
def test_the_session_is_known_and_nothing_has_begun(name: str, line: Any, session: str) -> None:
    told, _events = read(name, [line])
    assert (told.session_id, told.began, told.over) == (session, False, False)


@pytest.mark.parametrize(
    ("name", "lines", "denied"),
    [
        (
            "claude",
            [
                claude_end(
                    permission_denials=[
                        {"tool_name": "Bash", "tool_use_id": "t2", "tool_input": {"command": "make"}},
                        {"tool_name": "Edit", "tool_use_id": "t3", "tool_input": {"file_path": "a.py"}},
                    ]
                )
            ],
            ["Bash make", "Edit a.py"],
        ),
        (
            "gemini",
            [
                {"type": "tool_use", "tool_name": "run_shell_command", "tool_id": "r", "parameters": {"command": "ls"}},
                {
                    "type": "tool_result",
                    "tool_id": "r",
                    "status": "error",
                    "error": {"type": "policy_violation", "message": "Tool execution denied by policy."},
                },
            ],
            ["ls"],
        ),
        (
            "opencode",
            [opencode_tool("bash", "error", "The user rejected permission to use this tool.", command="ls")],
            ["ls"],
        ),
        ("opencode", [opencode_tool("bash", "error", "No such file.", command="ls")], []),
    ],
)
def test_what_was_not_allowed_is_named(name: str, lines: list[Any], denied: list[str]) -> None:
    told, _events = read(name, lines)
    assert told.denied == denied


def test_a_try_again_is_a_phase_and_waiting_for_a_network_is_known() -> None:
    retry = {"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 10, "error": "overloaded"}
    assert read("claude", [retry])[1] == [Phase("waiting", "overloaded, attempt 1 of 10")]
    told, events = read("codex", [{"type": "error", "message": "Reconnecting... waiting for network"}])
    assert told.offline
    assert events == [Phase("waiting", "Reconnecting... waiting for network")]
    told, _events = read(
        "codex",
        [{"type": "error", "message": "Reconnecting... waiting for network"}, codex_item("reasoning", text="x")],
    )
    assert not told.offline


def test_what_gemini_waits_for_stands_on_its_error_output() -> None:
    said = (
        "Warning: x\nAttempt 1 failed with status 429. Retrying\n    at y\nAttempt 2 failed with status 503. Retrying\n"
    )
    assert reader_of("gemini").waiting(said) == "Attempt 2 failed with status 503"
    assert reader_of("gemini").waiting("Warning: x") == ""
    assert reader_of("codex").waiting(said) == ""


def test_an_exit_code_counts_where_nothing_else_was_said() -> None:
    assert [reader_of("gemini").exited(code) for code in (41, 53, 1)] == ["auth", "loop", None]
    assert [reader_of(name).exited(1) for name in ("claude", "codex", "opencode")] == [None, None, None]
