"""Bytes of an agent's program become lines whatever comes, and what real programs have said is understood."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.errors import ExecutorError
from kiro_lsp.events import Tool
from kiro_lsp.executors.program_failures import kind_of
from kiro_lsp.executors.streams import Lines, known, reader_of
from tests.support.streams import read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(
    """
    type subtype event message content id delta usage item part state error data status models stats tool_use_id
    session_id thread_id sessionID text name input model modelUsage permission_denials changes items tokens cache todos
    """.split()  # noqa: SIM905  # lists to read
)
TYPES = st.sampled_from(
    """
    system stream_event assistant user result message_start content_block_delta message_delta message_stop tool_use
    tool_result item.started item.completed turn.completed turn.failed error init message step_finish text reasoning
    file_change command_execution todo_list rate_limit_event
    """.split()  # noqa: SIM905
)
ODD = st.recursive(
    TYPES | JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner | TYPES, max_size=5),
    max_leaves=20,
)


@pytest.mark.parametrize("name", known())
@settings(max_examples=50)
@given(lines=st.lists(st.dictionaries(WORDS, ODD, max_size=6), max_size=5))
def test_no_line_breaks_a_reader(name: str, lines: list[dict[str, Any]]) -> None:
    told, _events = read(name, lines)
    assert all(min(usage.input_tokens, usage.output_tokens) >= 0 for _model, usage in told.usages)


def test_an_unknown_format_is_refused_with_those_that_exist() -> None:
    for name in ("klaud", "__init__", "../claude", ""):
        with pytest.raises(ExecutorError, match="no stream format") as refused:
            reader_of(name)
        assert "claude, codex, gemini, opencode" in refused.value.hint


# Bytes to lines


def fed(pieces: Iterable[bytes], **more: Any) -> tuple[list[Any], Lines]:
    lines = Lines(**more)
    found = [line for piece in (*pieces, b"") for line in lines.feed(piece)]
    return found, lines


@given(
    values=st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3), max_size=5),
    sizes=st.lists(st.integers(1, 40), min_size=1),
    ending=st.sampled_from(["\n", "\r\n"]),
    closed=st.booleans(),
)
def test_lines_are_the_same_however_the_bytes_come(
    values: list[Any], sizes: list[int], ending: str, closed: bool
) -> None:
    data = ending.join([*(json.dumps(value, ensure_ascii=False) for value in values), ""]).encode("utf-8", "replace")
    if not closed:
        data = data.rstrip(b"\r\n")
    pieces, start = [], 0
    while start < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[start : start + size])
        start += size
    whole, _lines = fed([data])
    assert fed(pieces)[0] == whole
    assert len(whole) == len(values)


def test_what_is_no_json_object_is_passed_over_and_counted() -> None:
    found, lines = fed([b'warning: x\n[1]\n"a"\n\n  {"a": 1}  \n{"a": \n{"b": 2}'])
    assert found == [{"a": 1}, {"b": 2}]
    assert lines.passed_over == 4


def test_broken_utf8_costs_no_line() -> None:
    found, _lines = fed([b'{"type": "result", "result": "\xff\xfe ok"}\n'])
    assert found == [{"type": "result", "result": "�� ok"}]


def test_a_line_of_fifty_megabytes_is_passed_over_and_not_kept() -> None:
    piece = b"x" * 65536
    lines = Lines()
    largest = 0
    assert list(lines.feed(b'{"a": "')) == []
    for _ in range(800):
        assert list(lines.feed(piece)) == []
        largest = max(largest, sum(map(len, lines._held)))
    assert list(lines.feed(b'"}\n{"b": 2}\n')) == [{"b": 2}]
    assert lines.passed_over == 1
    assert largest <= lines.longest


# What the programs themselves said

RECORDED = {
    "claude-stream": "done",
    "claude-denied": "done, denied",
    "claude-401": "auth",
    "claude-529": "overloaded",
    "codex-exec": "done",
    "codex-exec-bypass": "done",
    "codex-readonly": "done",
    "codex-401": "auth",
    "codex-429": "rate-limit",
    "codex-503": "overloaded",
    "gemini-stream": "done",
    "gemini-default-denied": "done",
    "gemini-401": "auth",
    "gemini-429": "not over",
    "opencode-run": "done",
    "opencode-ask": "done, denied",
    "opencode-401": "auth",
}


@pytest.mark.parametrize("case", RECORDED)
def test_recorded_streams_end_as_they_did(case: str, shared: Path) -> None:
    name = case.partition("-")[0]
    data = (shared / "agent_traffic" / f"{case}.jsonl").read_bytes()
    found, lines = fed([data])
    told, events = read(name, found)
    failure = told.failure
    kind = "done" if failure is None else failure.kind or kind_of(failure.said)
    assert RECORDED[case] == (kind + (", denied" if told.denied else "") if told.over else "not over")
    assert lines.passed_over == 0
    assert told.session_id
    if kind == "done" and told.over:
        assert told.usages
    if case in ("claude-stream", "codex-exec", "gemini-stream", "opencode-run"):
        assert "edit" in {event.kind for event in events if isinstance(event, Tool)}
        assert all(
            event.status == "completed" for event in events if isinstance(event, Tool) and event.status != "in_progress"
        )
