"""The local server says what the real APIs say: every event is checked against the SDK's own types."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.support.anthropic_server import Step
from tests.support.openai_server import chunks_of, encoded, responses_of

STEPS = [
    Step(text="Hello 🦊"),
    Step(thinking="Hm.", text="x", tools=[("edit", {"path": "a"}), ("read_file", {"path": "b"})]),
    Step(redacted="b3BhcXVl"),
    Step(text="No.", stop="refusal"),
    Step(text="On and", stop="max_output_tokens"),
    Step(text="x", error_event={"type": "server_error", "message": "said"}),
    Step(text="x", error_event={"type": "server_error", "message": "said"}, stop="failed"),
]
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


@pytest.mark.parametrize("step", STEPS)
def test_every_event_of_a_response_is_one_of_the_sdk(step: Step) -> None:
    for number, (name, data) in enumerate(responses_of(step, "m")):
        parsed = EVENT.validate_python(data, strict=False)
        assert (parsed.type, parsed.sequence_number) == (name, number)


@pytest.mark.parametrize("step", [step for step in STEPS if not step.error_event and step.stop != "max_output_tokens"])
def test_every_chunk_is_one_of_the_sdk(step: Step) -> None:
    chunks = list(chunks_of(step, "m"))
    assert chunks[-1] == ("usage", "[DONE]")
    for _name, data in chunks[:-1]:
        parsed = ChatCompletionChunk.model_validate(data)
        assert all(choice.index == 0 for choice in parsed.choices)


def test_events_are_framed_as_the_apis_do() -> None:
    assert encoded("chunk", {"ü": 1}) == 'data: {"ü": 1}\n\n'.encode()
    assert encoded("usage", "[DONE]") == b"data: [DONE]\n\n"
    assert encoded("response.created", {"a": 1}) == b'event: response.created\ndata: {"a": 1}\n\n'
