"""What a failed request to Ollama means to a person, with the command that helps where there is one.

A local program fails in its own ways: it is not started, the model was never pulled, the memory does not suffice. What a
failed request was charged does not matter: it costs no money.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kiro_lsp.errors import ErrorKind, ExecutorError
from kiro_lsp.executors.toolloop import NotCharged

_SAID_AT_MOST: Final = 500
_Meaning = tuple[ErrorKind, str, str]

_OF_CONNECTION: Final[Mapping[str, _Meaning]] = {
    "unreachable": (
        "network",
        "Ollama does not answer at {url}",
        "Start it with `ollama serve`, or set OLLAMA_HOST or endpoint of [agents.{agent}] to where it runs.",
    ),
    "silent": (
        "timeout",
        "{url} fell silent",
        "A large model may take long to load: `ollama run {model}` shows how far it is. Then retry.",
    ),
    "cut": (
        "network",
        "The connection to {url} was cut",
        "Nothing of the half answer was carried out. Look at Ollama's log, then retry.",
    ),
    "too-large": ("agent", "The answer of {url} is larger than any answer may be", "Retry, or pick another model."),
    "unreadable": (
        "agent",
        "The answer of {url} could not be read",
        "Check that Ollama answers there: `curl {url}/api/version`.",
    ),
}


@dataclass(frozen=True, slots=True)
class Reached:
    """Who was asked and where: what a message has to name."""

    agent: str
    model: str
    url: str


def failure(line: Mapping[str, Any], reached: Reached) -> ExecutorError:
    """The error for an `error` line of the worker."""
    status, said = int(line["status"]), str(line["said"]).strip()[:_SAID_AT_MOST]
    if line["what"] == "status":
        kind, what, hint = _of_status(status, said)
        where = f" ({status})" if status else " (in the middle of its answer)"
    else:
        kind, what, hint = _OF_CONNECTION.get(str(line["what"]), _OF_CONNECTION["unreadable"])
        where = ""
    words = {"url": reached.url, "model": reached.model, "agent": reached.agent}
    message = what.format_map(words) + where + (f": {said}" if said else ".")
    error = ExecutorError if line["sent"] else NotCharged
    return error(kind, message, hint=hint.format_map(words))


def no_model(agent: str) -> ExecutorError:
    return NotCharged(
        "agent",
        f"No model is set for [agents.{agent}].",
        hint="`ollama list` shows the models that are there; set model to one of them.",
    )


def _of_status(status: int, said: str) -> _Meaning:
    lowered = said.lower()
    if status == 404 and (not said or "not found" in lowered):
        return (
            "agent",
            "The model {model} is not there",
            "Get it with `ollama pull {model}`; `ollama list` shows others.",
        )
    if "memory" in lowered:
        return "agent", "The model {model} does not fit into the memory", "Pick a smaller model, or end other programs."
    if "context" in lowered and ("length" in lowered or "exceed" in lowered):
        return (
            "max-tokens",
            "The request is too large for {model}",
            "Split the task, or pick a model with a larger window.",
        )
    if status in (401, 403):
        return "auth", "{url} refuses to answer", "If a gateway stands in front of Ollama, it wants to know who asks."
    if status == 429:
        return "rate-limit", "{url} answers no more requests now", "Wait a little, then retry."
    if status in (503, 529):
        return "overloaded", "Ollama is busy", "Wait until its queue is shorter, then retry; what was staged is kept."
    if status in (408, 504):
        return "timeout", "Ollama took too long", "Retry; what was staged is kept."
    if 300 <= status < 400:
        return "network", "{url} redirects elsewhere", "Set endpoint, or OLLAMA_HOST, to the final address."
    if status >= 500 or not status:
        return "agent", "Ollama failed", "Its log says more; `ollama run {model}` tries the model by itself."
    return "agent", "Ollama refused the request", "Its own words say what it objects to."
