"""What an agent is told, for every way to reach one: the stable part first, then the task.

With an assembled prompt these are its own texts, byte for byte what `kiro-lsp prompt` prints. A planner that has no spec
gives an intent, a ticket or a summary instead; then the task is put together from those.
"""

from __future__ import annotations

from collections.abc import Sequence

from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors.protocol import ExecutorRequest
from kiro_lsp.spec import unicode
from kiro_lsp.spec.instructions import SYSTEM
from kiro_lsp.spec.intent import IntentContract

ANSWERING = "Answer with one JSON object of the form that is asked for, and with nothing else."
"""What is said instead of `SYSTEM` where nothing is to be done."""


def stable_texts(request: ExecutorRequest) -> tuple[str, ...]:
    """The system text and the shared documents, if there are any: the same bytes for every task of a spec."""
    if request.schema is not None:
        return (ANSWERING,)
    return (SYSTEM,) if request.prompt is None else request.prompt.stable_texts


def task_text(request: ExecutorRequest) -> str:
    """The task itself. Raises ExecutorError when the request has none."""
    parts = [request.prompt.own_text] if request.prompt is not None else _described(request)
    note = unicode.strip((request.note or "").strip())
    if note and note not in (request.prompt.task if request.prompt is not None else parts[0]):
        parts.append(f"What the person who started this adds:\n{note}")
    text = "\n\n".join(part for part in parts if part.strip())
    if not text:
        raise ExecutorError(
            "agent",
            "The request holds no task: it has no prompt, intent, ticket or summary.",
            hint="Set one of them.",
        )
    return text


def _described(request: ExecutorRequest) -> list[str]:
    intent, ticket = request.intent, (request.ticket_markdown or "").strip()
    parts = [unicode.strip(ticket) if ticket else ""]
    summary = (request.summary or "").strip()
    if summary and summary not in ticket:
        parts.append(unicode.strip(summary))
    if intent is not None:
        parts += _of_intent(intent, ticket)
    if request.target_files:
        parts.append(_listed("Files that this is about:", request.target_files))
    return parts


def _of_intent(intent: IntentContract, ticket: str) -> list[str]:
    parts = [f"The goal: {intent.goal}"] if intent.goal.strip() and intent.goal not in ticket else []
    if intent.requirements:
        parts.append(_listed("The requirements:", [f"{ref}: {text}" for ref, text in intent.requirements]))
    if intent.acceptance:
        parts.append(_listed("It is done when:", intent.acceptance))
    if intent.allowed_paths:
        parts.append(_listed("Change only files that match:", intent.allowed_paths))
    if intent.forbidden_paths:
        parts.append(_listed("Leave these alone:", intent.forbidden_paths))
    return [unicode.strip(part) for part in parts]


def _listed(title: str, items: Sequence[str]) -> str:
    return "\n".join([title, *(f"- {item}" for item in items)])
