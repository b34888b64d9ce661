"""What a failed request to a provider means to a person: a kind, a sentence that says what happened, what to do next.

The facts come from the provider's worker: which way it failed, the status, the provider's own words. Those words
are shown without secrets. What only one provider says in its own way, its module puts into a plain status first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    api: str
    """The name of what is spoken there."""
    address_name: str
    """The variable that moves the address."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    kind: ErrorKind
    what: str
    hint: str


_MEANINGS: Final[tuple[tuple[tuple[int, ...], tuple[str, ...], tuple[ErrorKind, str, str]], ...]] = (
    (
        (401,),
        ("authentication_error",),
        (
            "auth",
            "{url} refused the key of {label}",
            "Check {key}; `kiro-lsp doctor --live {agent}` tries a new one.",
        ),
    ),
    (
        (403,),
        ("permission_error",),
        (
            "auth",
            "The key of {label} has no right to do this",
            "Check the workspace that {key} belongs to, and that it may use {model}.",
        ),
    ),
    (
        (402,),
        ("billing_error",),
        (
            "payment",
            "The account cannot pay for the request",
            "Add credit or raise the limit in the provider's console, then retry.",
        ),
    ),
    (
        (429,),
        ("rate_limit_error",),
        (
            "rate-limit",
            "Too many requests for the key in {key}, or its spending limit is reached",
            "Wait a minute, then retry; lower execution.max_parallel if it happens often.",
        ),
    ),
    (
        (503, 529),
        ("overloaded_error",),
        ("overloaded", "The provider is overloaded", "Wait a little, then retry; what was staged is kept."),
    ),
    (
        (408, 504),
        ("timeout_error",),
        ("timeout", "The provider took too long", "Retry; what was staged is kept."),
    ),
    (
        (404,),
        ("not_found_error",),
        (
            "agent",
            "{url} does not know the model {model}, or is not {api}",
            "Check model and endpoint of [agents.{agent}].{better}",
        ),
    ),
    (
        (413,),
        ("request_too_large",),
        (
            "max-tokens",
            "The request is too large for the model",
            "Split the task, shorten the spec's documents, or pick a model with a larger window.",
        ),
    ),
)
"""(statuses, types of an error in the stream, what it means); braces name what `_of_status` knows of the request."""


def failure(
    line: Mapping[str, Any], reached: Reached, redactor: Redactor, meaning_of: Callable[[int, str, str], int]
) -> ExecutorError:
    """The error for an `error` line of the worker; NotCharged where the provider certainly did no work.

    `meaning_of` gets the status (0 within a stream), the type and the words, and returns the status that they mean.
    """
    status, type_ = int(line["status"]), str(line["type"])
    said = redactor.redact(str(line["said"])).strip()[:_SAID_AT_MOST]
    if line["what"] == "status":
        meant = meaning_of(status, type_, said)
        meaning = _of_status(meant, type_, reached)
        where = f" ({status})" if status else " (in the middle of its answer)"
    else:
        meaning = _of_connection(str(line["what"]), said, reached)
        where = ""
    message = f"{meaning.what}{where}: {said}" if said else f"{meaning.what}{where}."
    after = line.get("after")
    wait = f" It asks to wait {round(after)} s." if isinstance(after, int | float) and after >= 1 else ""
    error = ExecutorError if line["sent"] else NotCharged
    return error(meaning.kind, message + wait, hint=meaning.hint)


def no_key(reached: Reached) -> ExecutorError:
    return NotCharged(
        "auth",
        f"There is no key for {reached.label}: {reached.key_name} is not set.",
        hint=f"Set {reached.key_name} where the editor is started or in the trusted project's .env, or pick another "
        "agent; `kiro-lsp doctor` says where it was looked for.",
    )


def _of_connection(what: str, said: str, reached: Reached) -> _Meaning:
    if what == "unreachable":
        if "CERTIFICATE" in said.upper():
            hint = "A proxy may show a certificate of its own: name its file in SSL_CERT_FILE. Nothing was sent."
        else:
            hint = f"Check the connection, {reached.address_name} or endpoint, and proxy variables, then retry. Nothing was sent."
        return _Meaning("network", f"{reached.url} cannot be reached", hint)
    if what == "silent":
        return _Meaning(
            "timeout", f"{reached.url} fell silent", "Check the connection and the provider's status page, then retry."
        )
    if what == "cut":
        return _Meaning(
            "network",
            f"The connection to {reached.url} was cut",
            "Nothing of the half answer was carried out. Check the connection, then retry.",
        )
    if what == "too-large":
        return _Meaning(
            "agent", f"The answer of {reached.url} is larger than any answer may be", "Retry, or pick another model."
        )
    return _Meaning(
        "agent",
        f"The answer of {reached.url} could not be read",
        f"Retry. If an endpoint of your own answers, check that it speaks {reached.api} with streaming.",
    )


def _of_status(status: int, type_: str, reached: Reached) -> _Meaning:
    for statuses, types, (kind, what, hint) in _MEANINGS:
        if status in statuses or (not status and type_ in types):
            words = {
                "url": reached.url,
                "label": reached.label,
                "key": reached.key_name,
                "model": reached.model,
                "api": reached.api,
            }
            better = successor(reached.model)
            words |= {"agent": reached.agent, "better": f" Its successor is {better}." if better else ""}
            return _Meaning(kind, what.format_map(words), hint.format_map(words))
    if 300 <= status < 400:
        return _Meaning(
            "network",
            f"{reached.url} redirects elsewhere, and a key is not sent along",
            f"Set endpoint, or {reached.address_name}, to the final address.",
        )
    if status >= 500 or type_ in ("api_error", "server_error"):
        return _Meaning("agent", "The provider failed", "Retry; the provider's status page may say more.")
    return _Meaning(
        "agent",
        "The provider refused the request",
        f"Its own words say what it objects to. Check model of [agents.{reached.agent}], or pick another model.",
    )
