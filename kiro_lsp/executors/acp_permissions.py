"""Who decides what an agent that speaks ACP asks leave for: the sandbox where it makes the question idle, else the person.

In a sandbox every edit of the project is reviewed anyway, and a command can reach nothing that it should not. Elsewhere, and
for what goes beyond the project, the person gets the agent's own options; a command is asked for as every command is, by its
exact words. Nothing that is allowed here lasts longer than the run, whatever the agent calls it.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from kiro_lsp.errors import PathRefused
from kiro_lsp.events import OptionKind, Thought
from kiro_lsp.executors.acp_terminals import line_of
from kiro_lsp.executors.acp_updates import Call, paths_of
from kiro_lsp.executors.acp_wire import Refused
from kiro_lsp.executors.protocol import Question, RunContext, Workplace
from kiro_lsp.spec import unicode

_FILES: Final = frozenset({"read", "search", "edit", "delete", "move"})
_READS: Final = frozenset({"read", "search"})
_KINDS: Final[Mapping[str, OptionKind]] = {
    "allow_once": "allow-once",
    "allow_always": "allow-run",
    "reject_once": "deny",
    "reject_always": "deny",
}
_OPTIONS: Final = 12
_LABEL: Final = 120
_TITLE_BYTES: Final = 4096
_DENY: Final = "kiro-lsp-deny"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SHELL: Final = re.compile(r"[|&;<>()$`\n\\*?\[\]{}~#!]")

Answer = TypeVar("Answer")
Option = tuple[str, str, OptionKind]


@dataclass(slots=True)
class Permissions:
    """Belongs to one session. `stop` ends every open question with no answer."""

    run: RunContext
    place: Workplace
    stopped: bool = False
    denied: bool = False
    """The person, or nobody in their place, has said no to something."""
    _allowed: set[tuple[str, str]] = field(default_factory=set)
    """(kind, what exactly) that the person allowed for the rest of the run."""
    _asking: set[asyncio.Task[Any]] = field(default_factory=set)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def waiting(self) -> bool:
        return bool(self._asking)

    @property
    def contained(self) -> bool:
        """Whether nothing but the copy can be written to."""
        return self.place.level in ("bubblewrap", "overlay")

    @property
    def closed(self) -> bool:
        """Whether a command can do no harm: it sees no other process, and reaches no host but the agent's own."""
        return self.place.level == "bubblewrap" and not self.place.network.startswith("open")

    async def decide(self, call: Call, params: Mapping[str, Any]) -> str | None:
        """The id of the agent's option to answer with, None for a question that is withdrawn."""
        options = _options(params.get("options"))
        given = params.get("toolCall")
        told = given if isinstance(given, Mapping) else {}
        if self._is_idle(call, told):
            option = _of_kind(options, "allow-once") or _of_kind(options, "allow-run")
            if option is not None:
                return option
        if call.kind == "execute" and call.command:
            allowed = await self._command(argv_of_line(call.command), {})
            return _of_kind(options, "allow-once" if allowed else "deny")
        return await self._asked(call, options)

    async def allow(self, argv: Sequence[str], env: Mapping[str, str], folder: str) -> None:
        """Return when a terminal may run a command. Raises Refused when it may not."""
        if not self.closed and not await self._command(argv, env, folder):
            raise Refused("The person did not allow this command.")

    def stop(self) -> None:
        self.stopped = True
        for asking in self._asking:
            asking.cancel()

    def _is_idle(self, call: Call, told: Mapping[str, Any]) -> bool:
        """Whether asking a person would protect nothing."""
        if call.kind == "execute":
            return self.closed
        if call.kind not in _FILES or not self._all_inside(told):
            return False
        return self.contained or call.kind in _READS

    def _all_inside(self, told: Mapping[str, Any]) -> bool:
        try:
            for path in paths_of(told):
                self.place.relative(path)
        except PathRefused:
            return False
        return True

    async def _command(self, argv: Sequence[str], env: Mapping[str, str], folder: str = "") -> bool:
        """Whether the person allows exactly this command, there."""
        where = "not sandboxed" if self.place.level == "copy" else f"network {self.place.network}"
        if len(line_of(argv, env).encode()) > _TITLE_BYTES:
            return self._refuse("a command that is too long to be looked at")
        try:
            await self._answered(self.run.allow_command(argv, cwd=folder, env=env, where=where))
        except PermissionError:
            self.denied = True
            return False
        return not self.stopped

    async def _asked(self, call: Call, options: list[Option]) -> str | None:
        key = (call.kind, "" if call.kind in _FILES else call.title)
        if key in self._allowed:
            return _of_kind(options, "allow-once") or _of_kind(options, "allow-run")
        about = call.path or ""
        named = f" ({about})" if about and about not in call.title else ""
        title = shown(f"Allow: {call.title or call.kind}{named}")
        if len(title.encode()) > _TITLE_BYTES:
            self._refuse("what is too long to be looked at")
            return _of_kind(options, "deny")
        whole = tuple(options) if _of_kind(options, "deny") else (*options, (_DENY, "Deny", "deny"))
        chosen = await self._answered(self.run.ask(Question("agent", title, whole)))
        if chosen is None:
            return None
        kind = next((kind for identifier, _label, kind in whole if identifier == chosen), "deny")
        if kind == "deny":
            self.denied = True
            return None if chosen == _DENY else chosen
        if kind == "allow-run":
            self._allowed.add(key)
            # Some agents write what is "always" allowed into their settings, which would outlive the run.
            return _of_kind(options, "allow-once") or chosen
        return chosen

    def _refuse(self, what: str) -> bool:
        self.run.emit(Thought(f"\nRefused without asking: {what}.\n"))
        self.denied = True
        return False

    async def _answered(self, question: Awaitable[Answer]) -> Answer | None:
        """The answer of a person, one question at a time; None when everything is stopped meanwhile."""

        async def one_at_a_time() -> Answer:
            async with self._turn:
                return await question

        asking = asyncio.create_task(one_at_a_time())
        self._asking.add(asking)
        try:
            return await asking
        except asyncio.CancelledError:
            if self.stopped and asking.cancelled():
                return None
            asking.cancel()
            raise
        finally:
            self._asking.discard(asking)


def argv_of_line(line: str) -> tuple[str, ...]:
    """The argument list that a command line means, where no shell is needed to tell; else a shell with the line."""
    if not _SHELL.search(line):
        try:
            argv = tuple(shlex.split(line))
        except ValueError:
            argv = ()
        if argv and "=" not in argv[0]:
            return argv
    return ("sh", "-c", line)


def shown(text: str) -> str:
    """A text in which nothing is hidden: control characters and invisible ones stand there by name."""
    return _CONTROL.sub(lambda sign: repr(sign[0])[1:-1], unicode.visible(text))


def _options(listed: object) -> list[Option]:
    """The agent's options with their meaning for us; one that cannot be read is none."""
    found: list[Option] = []
    for entry in listed if isinstance(listed, list) else []:
        if not isinstance(entry, Mapping) or len(found) >= _OPTIONS:
            continue
        identifier, name = entry.get("optionId"), entry.get("name")
        kind = _KINDS.get(str(entry.get("kind")))
        if isinstance(identifier, str) and identifier and kind is not None and identifier not in {o[0] for o in found}:
            label = shown(name if isinstance(name, str) and name else identifier)[:_LABEL]
            found.append((identifier, f"{label} (this run)" if kind == "allow-run" else label, kind))
    return found


def _of_kind(options: Sequence[Option], wanted: OptionKind) -> str | None:
    return next((identifier for identifier, _label, kind in options if kind == wanted), None)
