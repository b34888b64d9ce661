"""What a failed request to the Gemini API means to a person: a kind, a sentence that says what happened, what to do next.

The facts come from the worker (google_worker.py): which way it failed, the status, the provider's own words. Those words
are shown without secrets and never decide alone, but for the cases that the API tells apart by them only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kiro_lsp.errors import ErrorKind, ExecutorError
from kiro_lsp.executors.toolloop import NotCharged
from kiro_lsp.settings import successor
from kiro_lsp.settings.redact import Redactor

_SAID_AT_MOST: Final = 500


@dataclass(frozen=True, slots=True)
class Reached:
    """Who was asked, where and with which variable's key: what a message has to name."""

    label: str
    agent: str
    model: str
    url: str
    key_name: str


_Meaning = tuple[ErrorKind, str, str]
"""Kind, what happened, what to do; braces name what is known of the request."""

_KEY: Final[_Meaning] = (
    "auth",
    "{url} refused the key of {label}",
    "Check {key}; `kiro-lsp doctor --live {agent}` tries a new one.",
)
_RIGHT: Final[_Meaning] = (
    "auth",
    "The key of {label} has no right to do this",
    "Check the project that {key} belongs to, and that it may use {model}.",
)
_TOO_LARGE: Final[_Meaning] = (
    "max-tokens",
    "The request is too large for the model",
    "Split the task, shorten the spec's documents, or pick a model with a larger window.",
)
_OF_STATUS: Final[tuple[tuple[tuple[int, ...], tuple[str, ...], _Meaning], ...]] = (
    ((401,), ("API_KEY_INVALID", "UNAUTHENTICATED"), _KEY),
    ((403,), ("PERMISSION_DENIED",), _RIGHT),
    (
        (402,),
        ("FAILED_PRECONDITION",),
        (
            "payment",
            "The account cannot use the API as it is",
            "Enable billing for the project of {key}, or check that the API is offered where you are, then retry.",
        ),
    ),
    (
        (429,),
        ("RESOURCE_EXHAUSTED",),
        (
            "rate-limit",
            "The quota of the key in {key} is used up",
            "Wait as long as it says, then retry; lower execution.max_parallel if it happens often.",
        ),
    ),
    (
        (503, 529),
        ("UNAVAILABLE",),
        ("overloaded", "The provider is overloaded", "Wait a little, then retry; what was staged is kept."),
    ),
    (
        (408, 504),
        ("DEADLINE_EXCEEDED",),
        ("timeout", "The provider took too long", "Retry; what was staged is kept."),
    ),
    (
        (404,),
        ("NOT_FOUND",),
        (
            "agent",
            "{url} does not know the model {model}, or is not the Gemini API",
            "Check model and endpoint of [agents.{agent}].{better}",
        ),
    ),
    ((413,), (), _TOO_LARGE),
)
_OF_CONNECTION: Final[Mapping[str, _Meaning]] = {
    "unreachable": (
        "network",
        "{url} cannot be reached",
        "Check the connection, GOOGLE_GEMINI_BASE_URL or endpoint, and proxy variables, then retry. Nothing was sent.",
    ),
    "silent": ("timeout", "{url} fell silent", "Check the connection and the provider's status page, then retry."),
    "cut": (
        "network",
        "The connection to {url} was cut",
        "Nothing of the half answer was carried out. Check the connection, then retry.",
    ),
    "too-large": ("agent", "The answer of {url} is larger than any answer may be", "Retry, or pick another model."),
    "unreadable": (
        "agent",
        "The answer of {url} could not be read",
        "Retry. If an endpoint of your own answers, check that it speaks the Gemini API with streaming.",
    ),
}


def failure(line: Mapping[str, Any], reached: Reached, redactor: Redactor) -> ExecutorError:
    """The error for an `error` line of the worker; NotCharged where the provider certainly did no work."""
    status, type_ = int(line["status"]), str(line["type"])
    said = redactor.redact(str(line["said"])).strip()[:_SAID_AT_MOST]
    if line["what"] == "status":
        kind, what, hint = _meaning(status, type_, said)
        where = f" ({status})" if status else " (in the middle of its answer)"
    else:
        kind, what, hint = _OF_CONNECTION.get(str(line["what"]), _OF_CONNECTION["unreadable"])
        where = ""
        if line["what"] == "unreachable" and "CERTIFICATE" in said.upper():
            hint = "A proxy may show a certificate of its own: name its file in SSL_CERT_FILE. Nothing was sent."
    better = successor(reached.model)
    words = {"url": reached.url, "label": reached.label, "key": reached.key_name, "model": reached.model}
    words |= {"agent": reached.agent, "better": f" Its successor is {better}." if better else ""}
    what, hint = what.format_map(words), hint.format_map(words)
    after = line.get("after")
    wait = f" It asks to wait {round(after)} s." if isinstance(after, int | float) and after >= 1 else ""
    error = ExecutorError if line["sent"] else NotCharged
    return error(kind, (f"{what}{where}: {said}" if said else f"{what}{where}.") + wait, hint=hint)


def no_key(reached: Reached) -> ExecutorError:
    return NotCharged(
        "auth",
        f"There is no key for {reached.label}: {reached.key_name} is not set.",
        hint=f"Set {reached.key_name} where the editor is started or in the trusted project's .env, or pick another "
        "agent; `kiro-lsp doctor` says where it was looked for.",
    )


def _meaning(status: int, type_: str, said: str) -> _Meaning:
    lowered = said.lower()
    # The API answers 400 for these, and only its words or its reason tell them from a malformed request.
    if status == 400 and "token count" in lowered and "exceeds" in lowered:
        return _TOO_LARGE
    if status == 400 and (type_ == "API_KEY_INVALID" or "api key not valid" in lowered):
        return _KEY
    for statuses, types, meaning in _OF_STATUS:
        by_type = type_ in types and (not status or (status == 400 and type_ == "FAILED_PRECONDITION"))
        if status in statuses or by_type:
            return meaning
    if 300 <= status < 400:
        return (
            "network",
            "{url} redirects elsewhere, and a key is not sent along",
            "Set endpoint, or GOOGLE_GEMINI_BASE_URL, to the final address.",
        )
    if status >= 500 or type_ == "INTERNAL":
        return "agent", "The provider failed", "Retry; the provider's status page may say more."
    return (
        "agent",
        "The provider refused the request",
        "Its own words say what it objects to. Check model of [agents.{agent}], or pick another model.",
    )
