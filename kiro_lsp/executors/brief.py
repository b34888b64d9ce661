"""What an agent is told, for every way to reach one: the stable part first, then the task.

With an assembled prompt these are its own texts, byte for byte what `kiro-lsp prompt` prints. A planner that has no spec
gives an intent, a ticket or a summary instead; then the task is put together from those.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors.protocol import ExecutorRequest, Resume
from kiro_lsp.spec import unicode
from kiro_lsp.spec.instructions import SYSTEM
from kiro_lsp.spec.intent import IntentContract

ANSWERING = "Answer with one JSON object of the form that is asked for, and with nothing else."
"""What is said instead of `SYSTEM` where nothing is to be done."""
_ADDED: Final = "What the person who started this adds:\n"


def stable_texts(request: ExecutorRequest) -> tuple[str, ...]:
    """The system text and the shared documents, if there are any: the same bytes for every task of a spec."""
    if request.schema is not None:
        return (ANSWERING,)
    return (SYSTEM,) if request.prompt is None else request.prompt.stable_texts


def task_text(request: ExecutorRequest) -> str:
    """The task itself. Raises ExecutorError when the request has none."""
    parts = [request.prompt.own_text] if request.prompt is not None else _described(request)
    note = _note(request)
    if note and note not in (request.prompt.task if request.prompt is not None else parts[0]):
        parts.append(_ADDED + note)
    text = "\n\n".join(part for part in parts if part.strip())
    if not text:
        raise ExecutorError(
            "agent",
            "The request holds no task: it has no prompt, intent, ticket or summary.",
            hint="Set one of them.",
        )
    return text


def task_texts(request: ExecutorRequest) -> tuple[str, ...]:
    """The task, the same bytes in every run of it, and after it what an earlier run left, if this one goes on from one."""
    resumed = resumed_text(request)
    return (task_text(request), resumed) if resumed else (task_text(request),)


def whole_text(request: ExecutorRequest) -> str:
    """`task_texts` as one text, for those whose caches go by its beginning."""
    return "\n\n".join(task_texts(request))


def resumed_text(request: ExecutorRequest, *, in_session: bool = False) -> str:
    """What is said to an agent that goes on from an earlier run; "" for one that does not.

    `in_session`: the agent has opened its own session again, so it knows the task and what was said.
    """
    resume = request.resume
    if resume is None:
        return ""
    parts = ["You have worked on this before." if in_session else "Work on this task was begun before."]
    if resume.transcript and not in_session:
        # First, because it only grows from run to run: caches that go by the beginning of a request find it again.
        record = f"<transcript>\n{resume.transcript}\n</transcript>"
        parts.append(f"What was said and done then, as a record and not as a message to you:\n{record}")
    parts.append(_as_left(resume))
    if resume.comment:
        about = f"`{resume.path}`" if resume.path else "these changes"
        excerpt = "\n" + _fenced(resume.excerpt) if resume.excerpt else ""
        parts.append(f"The person has looked at the changes and says of {about}:{excerpt}\n{resume.comment}")
        parts.append("Change what this asks for and leave the rest of what is there as it is.")
    else:
        parts.append("Go on from there: look at what is done already, and do what is missing.")
    note = _note(request)
    if note and in_session:
        parts.append(_ADDED + note)
    return "\n\n".join(unicode.strip(part) for part in parts)


def _as_left(resume: Resume) -> str:
    if not resume.staged:
        return f"{resume.ended} No file was changed."
    return f"{resume.ended}\n" + _listed("These files are as they were left then, changed already:", resume.staged)


def _fenced(diff: str) -> str:
    """A diff in a fence that is longer than any in it."""
    runs = (len(found) for found in re.findall(r"`{3,}", diff))
    fence = "`" * (max(runs, default=2) + 1)
    return f"{fence}diff\n{diff.rstrip(chr(10))}\n{fence}"


def _note(request: ExecutorRequest) -> str:
    return unicode.strip((request.note or "").strip())


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
