"""Questions to the person at the terminal, and answers that another program writes to standard input.

A question goes to the terminal itself (/dev/tty, CONIN$ and CONOUT$ on Windows), so that it is seen and answered by a
person also when standard output is piped. Every reader can be given up while it waits, because the same question may be
answered in an editor first. End of input is an answer too: no.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from kiro_lsp.terminal.console import visible

_WINDOWS = sys.platform == "win32"


@dataclass(frozen=True, slots=True)
class Choice:
    """One possible answer. `id` is what the caller gets, `label` what is shown."""

    id: str
    label: str


class Terminal:
    """The controlling terminal: a stream to write to and one to read lines from."""

    def __init__(self, reader: TextIO, writer: TextIO) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> Iterator[Terminal | None]:
        """The terminal of this process, or None where there is none (CI, a pipe started by an editor)."""
        names = ("CONIN$", "CONOUT$") if _WINDOWS else ("/dev/tty", "/dev/tty")
        with contextlib.ExitStack() as stack:
            try:
                reader = stack.enter_context(open(names[0], encoding="utf-8", errors="replace"))
                writer = stack.enter_context(open(names[1], "w", encoding="utf-8", errors="replace"))
            except OSError:
                yield None
                return
            yield cls(reader, writer)

    def show(self, text: str) -> None:
        """Write safe text and have it seen now."""
        self._writer.write(visible(text))
        self._writer.flush()

    def ask(self, question: str, choices: Sequence[Choice], default: str) -> str:
        """Ask until one of the choices is meant; an empty line or end of input means `default`. Blocks."""
        for _ in range(_TRIES):
            self.show(_worded(question, choices))
            line = self._reader.readline()
            chosen = default if not line.strip() else meant(line, choices)
            if chosen is not None:
                return chosen
            self.show("Please type one of the letters or numbers.\n")
        return default

    async def ask_later(self, question: str, choices: Sequence[Choice], default: str) -> str:
        """The same without blocking the loop. Cancelling gives the terminal back and leaves no reader behind."""
        for _ in range(_TRIES):
            self.show(_worded(question, choices))
            line = await self._next_line()
            chosen = default if not line.strip() else meant(line, choices)
            if chosen is not None:
                return chosen
            self.show("Please type one of the letters or numbers.\n")
        return default

    async def ask_words_later(
        self, question: str, choices: Sequence[Choice], default: str, *, words: str
    ) -> tuple[str, str | None]:
        """As `ask_later`, where a line that names no choice is an answer in words: (`words`, the line).

        Who picks that choice by its number or label is asked for the words.
        """
        self.show(_worded(question, choices))
        line = await self._next_line()
        if not line.strip():
            return default, None
        chosen = meant(line, choices)
        if chosen == words:
            said = await self.words_later("Your answer:")
            return (words, said) if said else (default, None)
        return (words, line.strip()) if chosen is None else (chosen, None)

    async def words_later(self, question: str) -> str:
        """What the person types on one line; "" for nothing."""
        self.show(f"{question} ")
        return (await self._next_line()).strip()

    async def _next_line(self) -> str:
        if _WINDOWS:
            return await asyncio.to_thread(self._reader.readline)
        loop = asyncio.get_running_loop()
        line: asyncio.Future[str] = loop.create_future()
        descriptor = self._reader.fileno()

        def readable() -> None:
            # A terminal hands over whole lines, so one read is one answer.
            loop.remove_reader(descriptor)
            if not line.done():
                line.set_result(os.read(descriptor, 4096).decode("utf-8", "replace"))

        loop.add_reader(descriptor, readable)
        try:
            return await line
        finally:
            loop.remove_reader(descriptor)


_TRIES = 5
"""After so many answers that mean nothing the safe one is taken, so that a pasted text cannot answer by luck."""


def _worded(question: str, choices: Sequence[Choice]) -> str:
    lines = [question, *(f"  {number}. {choice.label}" for number, choice in enumerate(choices, start=1)), "> "]
    return "\n".join(lines)


def meant(line: str, choices: Sequence[Choice]) -> str | None:
    """The id of the choice that a typed line names by number, id, label or a beginning that only one label has."""
    text = line.strip().casefold()
    if text.isdecimal():
        number = int(text)
        return choices[number - 1].id if 1 <= number <= len(choices) else None
    for choice in choices:
        if text in (choice.id.casefold(), choice.label.casefold()):
            return choice.id
    starting = [choice.id for choice in choices if text and choice.label.casefold().startswith(text)]
    return starting[0] if len(starting) == 1 else None


class AnswerLines:
    """Lines `{"requestId", "option", "text"?}` from standard input, read only once somebody waits for one.

    `on_answer(request_id, option, text)` and `on_end()` are called on the loop. A line that is not such an object is reported
    through `on_fault` and skipped.
    """

    def __init__(
        self,
        on_answer: Callable[[str, str, str | None], None],
        on_end: Callable[[], None],
        on_fault: Callable[[str], None],
        stream: TextIO | None = None,
    ) -> None:
        self._on_answer, self._on_end, self._on_fault = on_answer, on_end, on_fault
        self._stream = stream if stream is not None else sys.stdin
        self._thread: threading.Thread | None = None
        self._stop_read, self._stop_write = os.pipe()

    def start(self) -> None:
        """Begin to read, if that has not begun."""
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._read, args=(loop,), name="answers", daemon=True)
            self._thread.start()

    def close(self) -> None:
        os.write(self._stop_write, b"x")
        if self._thread is not None and not _WINDOWS:
            # On Windows a read of a pipe cannot be interrupted; the thread is a daemon and ends with the process.
            self._thread.join()
        os.close(self._stop_write)
        if self._thread is None or not self._thread.is_alive():
            os.close(self._stop_read)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        for line in self._lines():
            self._post(loop, self._take, line)
        self._post(loop, self._on_end)

    @staticmethod
    def _post(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *args: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it every question
            loop.call_soon_threadsafe(call, *args)

    def _lines(self) -> Iterator[str]:
        try:
            descriptor = self._stream.fileno()
        except (OSError, ValueError, AttributeError):
            if self._stream is not None:
                yield from self._stream  # standard input is an object of the calling program
            return
        rest = b""
        while not self._stopped(descriptor):
            data = os.read(descriptor, 65536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in lines)
        if rest:
            yield rest.decode("utf-8", "replace")

    def _stopped(self, descriptor: int) -> bool:
        if _WINDOWS:
            return False
        ready, _, _ = select.select([descriptor, self._stop_read], [], [])
        return self._stop_read in ready

    def _take(self, line: str) -> None:
        if not line.strip():
            return
        try:
            value = json.loads(line)
            text = value.get("text")
            text = text if isinstance(text, str) and text else None
            request, option = value["requestId"], value.get("option", "") if text else value["option"]
        except (ValueError, KeyError, TypeError, AttributeError):
            self._on_fault(
                f'An answer must be one line {{"requestId": …, "option": …}}; skipped: {line.strip()[:200]!r}'
            )
            return
        self._on_answer(str(request), str(option), text)
