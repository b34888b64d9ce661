"""What a failed request to a provider means to a person: a kind, a sentence that says what happened, what to do next.

The facts come from the provider's worker: which way it failed, the status, the provider's own words. Those words
are shown without secrets. What only one provider says in its own way is its `Manner`: it puts its words into a plain
status, and may say itself what that means where a person can do more than with any other provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kiro_lsp.errors import ErrorKind, ExecutorError
from kiro_lsp.executors.toolloop import NotCharged, TryAgain
from kiro_lsp.settings import successor
from kiro_lsp.settings.redact import Redactor

_SAID_AT_MOST: Final = 500

Meaning = tuple[ErrorKind, str, str]
"""Kind, what happened, what to do. Braces name what is known of the request: a field of Reached, or its `better` model."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Who was asked, where and with which variable's key: what a message has to name."""

    label: str
    agent: str
    model: str
    url: str
    key: str
    """The name of the variable, never what it holds."""
    api: str
    """The name of what is spoken there."""
    address: str
    """The variable that moves the address."""


@dataclass(frozen=True, slots=True)
class Manner:
    """What one provider does in its own way."""

    status_of: Callable[[int, str, str], int]
    """Gets the status (0 within a stream), the type and the words of an error; returns the status that they mean."""
    meanings: Mapping[int | str, Meaning] = field(default_factory=dict)
    """Beside or in place of the common ones, by status or by the way a connection failed."""


_REFUSED: Final[Meaning] = (
    "agent",
    "The provider refused the request",
    "Its own words say what it objects to. Check model of [agents.{agent}], or pick another model.",
)
_FAILED: Final[Meaning] = ("agent", "The provider failed", "Retry; the provider's status page may say more.")
_OVERLOADED: Final[Meaning] = (
    "overloaded",
    "The provider is overloaded",
    "Wait a little, then retry; what was staged is kept.",
)
_TOO_LONG: Final[Meaning] = ("timeout", "The provider took too long", "Retry; what was staged is kept.")
_MOVED: Final[Meaning] = (
    "network",
    "{url} redirects elsewhere, and nothing is sent along",
    "Set endpoint, or {address}, to the final address.",
)
_MEANINGS: Final[Mapping[int | str, Meaning]] = {
    401: (
        "auth",
        "{url} refused the key of {label}",
        "Check {key}; `kiro-lsp doctor --live {agent}` tries a new one.",
    ),
    402: (
        "payment",
        "The account cannot pay for the request",
        "Add credit or raise the limit in the provider's console, then retry.",
    ),
    403: (
        "auth",
        "The key of {label} has no right to do this",
        "Check the workspace that {key} belongs to, and that it may use {model}.",
    ),
    404: (
        "agent",
        "{url} does not know the model {model}, or is not {api}",
        "Check model and endpoint of [agents.{agent}].{better}",
    ),
    408: _TOO_LONG,
    413: (
        "max-tokens",
        "The request is too large for the model",
        "Split the task, shorten the spec's documents, or pick a model with a larger window.",
    ),
    429: (
        "rate-limit",
        "Too many requests for the key in {key}, or its spending limit is reached",
        "Wait a minute, then retry; lower execution.max_parallel if it happens often.",
    ),
    503: _OVERLOADED,
    504: _TOO_LONG,
    529: _OVERLOADED,
    "unreachable": (
        "network",
        "{url} cannot be reached",
        "Check the connection, {address} or endpoint, and proxy variables, then retry. Nothing was sent.",
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
        "Retry. If an endpoint of your own answers, check that it speaks {api} with streaming.",
    ),
}
_CERTIFICATE: Final = "A proxy may show a certificate of its own: name its file in SSL_CERT_FILE. Nothing was sent."


def failure(line: Mapping[str, Any], reached: Reached, redactor: Redactor, manner: Manner) -> ExecutorError:
    """The error for an `error` line of the worker; NotCharged where the provider certainly did no work."""
    how, status = str(line["what"]), int(line["status"])
    said = redactor.redact(str(line["said"])).strip()[:_SAID_AT_MOST]
    meanings = {**_MEANINGS, **manner.meanings}
    if how == "status":
        kind, what, hint = _of_status(manner.status_of(status, str(line["type"]), said), meanings)
        where = f" ({status})" if status else " (in the middle of its answer)"
    else:
        kind, what, hint = meanings.get(how, _MEANINGS["unreadable"])
        where = ""
        if how == "unreachable" and "CERTIFICATE" in said.upper():
            hint = _CERTIFICATE
    words = _words(reached)
    message = what.format_map(words) + where + (f": {said}" if said else ".")
    after = line.get("after")
    wait = f" It asks to wait {round(after)} s." if isinstance(after, int | float) and after >= 1 else ""
    again = line.get("again")
    if again is not None:
        return TryAgain(kind, message + wait, hint=hint.format_map(words), seconds=float(again))
    error = ExecutorError if line["sent"] else NotCharged
    return error(kind, message + wait, hint=hint.format_map(words))


def no_key(reached: Reached) -> ExecutorError:
    return NotCharged(
        "auth",
        f"There is no key for {reached.label}: {reached.key} is not set.",
        hint=f"Set {reached.key} where the editor is started or in the trusted project's .env, or pick another "
        "agent; `kiro-lsp doctor` says where it was looked for.",
    )


def _of_status(status: int, meanings: Mapping[int | str, Meaning]) -> Meaning:
    if (meaning := meanings.get(status)) is not None:
        return meaning
    if 300 <= status < 400:
        return _MOVED
    return meanings.get(500, _FAILED) if status >= 500 or not status else meanings.get(400, _REFUSED)


def _words(reached: Reached) -> dict[str, str]:
    better = successor(reached.model)
    return {name: getattr(reached, name) for name in Reached.__dataclass_fields__} | {
        "better": f" Its successor is {better}." if better else ""
    }
