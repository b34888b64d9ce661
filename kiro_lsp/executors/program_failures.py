"""What went wrong with an agent's program, for a person: a kind, a sentence, what to do next.

Programs say it in their own words, at times with a provider's body in them; the kind is read from those. Secrets are taken
out by whoever knows them (`redact`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from kiro_lsp.errors import ErrorKind, ExecutorError
from kiro_lsp.executors.protocol import Workplace
from kiro_lsp.sandbox.processes import Conversation
from kiro_lsp.settings import AgentSettings

NOT_STARTED: Final = (FileNotFoundError, PermissionError, NotImplementedError)
"""What starting a program raises where there is none, where it may not be run, and on systems where none is supervised yet."""
_SAID: Final = 500


@dataclass(frozen=True, slots=True)
class Program:
    """Whose failure it is: what a message has to name."""

    label: str
    command: str
    login: tuple[str, ...] = ()
    key: str = ""
    """The variable of the key that it was given, where it is paid by use."""
    redact: Callable[[str], str] = str

    @classmethod
    def of(cls, agent: AgentSettings, redact: Callable[[str], str] | None = None) -> Program:
        key = agent.api_key_env or "" if agent.billing == "metered" else ""
        return cls(agent.label or agent.name, agent.command or "", agent.login or (), key, redact or str)

    @property
    def how_to_log_in(self) -> str:
        if self.key:
            return f"Check {self.key}, which it was given because it is paid by use, then retry."
        if self.login:
            return f"Run `{shlex.join(self.login)}` in a terminal, then retry."
        return f"Log in with {self.command} in a terminal, then retry."

    def shown(self, said: str) -> str:
        """What a program said, fit for a message."""
        return " ".join(self.redact(said).split())[:_SAID]


_WORDS: Final[tuple[tuple[ErrorKind, str], ...]] = (
    (
        "auth",
        r"\b401\b|\b403\b|unauthenticated|unauthorized|authenticat|not (?:been )?logged in|log ?in (?:again|first|required)|"
        r"/login|api[ _-]?key|invalid[ _]credentials|token (?:has )?expired",
    ),
    ("payment", r"\b402\b|insufficient[ _]quota|credit balance|billing|payment"),
    ("rate-limit", r"\b429\b|rate[ _-]?limit|resource_exhausted|too many requests|quota|usage limit|limit reached"),
    ("overloaded", r"\b(?:503|529)\b|overloaded"),
    ("max-tokens", r"prompt is too long|context[ _](?:length|window)|maximum context"),
    (
        "network",
        r"\b(?:econnrefused|econnreset|enotfound|etimedout|eai_again|fetch failed|network|socket hang up|connection error|"
        r"error sending request|dns)\b",
    ),
)
_KINDS: Final = tuple((kind, re.compile(words, re.IGNORECASE)) for kind, words in _WORDS)
_HINTS: Final[dict[ErrorKind, str]] = {
    "payment": "Add credit or raise the limit where you pay for it, then retry.",
    "rate-limit": "Wait until the limit is over, or pick another agent, then retry; what was staged is kept.",
    "overloaded": "Wait a little, then retry; what was staged is kept.",
    "max-tokens": "Split the task, shorten the spec's documents, or pick a model with a larger window.",
    "network": "Check the connection, and hosts of the agent if it needs others than its file names, then retry.",
    "agent": "Retry; what was staged is kept. `kiro-lsp doctor` shows which program it is.",
    "timeout": "Retry; what was staged is kept. Started by hand, the program may say what it waits for.",
}


def kind_of(said: str) -> ErrorKind:
    """The kind of failure that a program's words tell of; "agent" where they tell nothing."""
    return next((kind for kind, words in _KINDS if words.search(said)), "agent")


def not_logged_in(program: Program, said: str = "") -> ExecutorError:
    more = f" It said: {shown}" if (shown := program.shown(said)) else ""
    what = "was refused" if program.key else "is not logged in"
    return ExecutorError("auth", f"{program.label} {what}.{more}", hint=program.how_to_log_in)


def failed(program: Program, what: str, said: str = "", *, kind: ErrorKind | None = None) -> ExecutorError:
    """The error for `what` happened, whose kind is read from what was said unless it is known."""
    kind = kind or kind_of(said)
    hint = program.how_to_log_in if kind == "auth" else _HINTS.get(kind, _HINTS["agent"])
    shown = program.shown(said)
    return ExecutorError(kind, f"{what}: {shown}" if shown else f"{what}.", hint=hint)


def not_started(program: Program, error: Exception) -> ExecutorError:
    return failed(program, f"{program.label} cannot be started", str(error), kind="agent")


@asynccontextmanager
async def talking(
    place: Workplace, argv: Sequence[str], environ: Mapping[str, str], program: Program
) -> AsyncIterator[Conversation]:
    """As `Workplace.talk`. Raises ExecutorError where the program cannot be started, and for nothing that comes later."""
    async with AsyncExitStack() as stack:
        try:
            pipes = await stack.enter_async_context(place.talk(argv, extra_env=environ))
        except NOT_STARTED as error:
            raise not_started(program, error) from error
        yield pipes
