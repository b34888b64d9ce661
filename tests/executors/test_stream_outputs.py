"""What the lines of agent programs say of commands: their output is told once they are over."""

from __future__ import annotations

from typing import Any

import pytest

from kiro_lsp.events import Tool
from tests.executors.test_streams import RUN, claude_result, claude_says, codex_item, opencode
from tests.support.streams import read

RAN = {"type": "tool_use", "tool_name": "run_shell_command", "tool_id": "g1", "parameters": {"command": "make"}}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("claude", [claude_says(RUN), claude_result("t2")]),
        (
            "claude",
            [
                claude_says(RUN),
                {
                    "type": "user",
                    "message": {
                        "content": [
                            {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "…"}]}
                        ]
                    },
                },
            ],
        ),
        ("codex", [codex_item("command_execution", command="make", status="completed", aggregated_output="…\n")]),
        (
            "gemini",
            [RAN, {"type": "tool_result", "tool_id": "g1", "status": "success", "output": "…"}],
        ),
        (
            "opencode",
            [
                opencode(
                    "tool_use",
                    tool="bash",
                    callID="c",
                    state={"status": "completed", "input": {"command": "make"}, "output": "…"},
                )
            ],
        ),
    ],
)
def test_what_a_command_printed_is_told_once_it_is_over(name: str, lines: list[Any]) -> None:
    _told, events = read(name, lines)
    calls = [event for event in events if isinstance(event, Tool)]
    assert [(call.title, call.output) for call in calls if call.output is not None] == [("make", "…")]
    assert calls[-1].output == "…"
