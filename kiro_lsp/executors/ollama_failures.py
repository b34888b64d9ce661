"""What Ollama says in its own way, with the command that helps: it is not started, a model is not there, memory is short."""

from __future__ import annotations

from typing import Final

from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors.provider_failures import Manner
from kiro_lsp.executors.toolloop import NotCharged

_NO_MEMORY: Final = 507


def no_model(agent: str) -> ExecutorError:
    return NotCharged(
        "agent",
        f"No model is set for [agents.{agent}].",
        hint="`ollama list` shows the models that are there; set model to one of them.",
    )


def _status_of(status: int, _type: str, said: str) -> int:
    lowered = said.lower()
    if status == 404:
        return 404 if not said or "not found" in lowered else 400
    if "memory" in lowered:
        return _NO_MEMORY
    return 413 if "context" in lowered and ("length" in lowered or "exceed" in lowered) else status


MANNER: Final = Manner(
    _status_of,
    {
        401: ("auth", "{url} refuses to answer", "A gateway stands in front of Ollama, and wants to know who asks."),
        403: (
            "auth",
            "{url} refuses to answer",
            "Ollama, or a gateway in front of it, takes no requests from this machine.",
        ),
        404: (
            "agent",
            "The model {model} is not there",
            "Get it with `ollama pull {model}`; `ollama list` shows others.",
        ),
        429: ("rate-limit", "{url} answers no more requests now", "Wait a little, then retry."),
        500: ("agent", "Ollama failed", "Its log says more; `ollama run {model}` tries the model by itself."),
        503: ("overloaded", "Ollama is busy", "Wait until its queue is shorter, then retry; what was staged is kept."),
        _NO_MEMORY: (
            "agent",
            "The model {model} does not fit into the memory",
            "Pick a smaller model, or end other programs.",
        ),
        "unreachable": (
            "network",
            "{url} cannot be reached: Ollama does not answer there",
            "Start it with `ollama serve`, or set {address} or endpoint of [agents.{agent}] to where it runs. Nothing "
            "was sent.",
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
        "unreadable": (
            "agent",
            "The answer of {url} could not be read",
            "Check that {api} answers there: `curl {url}/api/version`.",
        ),
    },
)
