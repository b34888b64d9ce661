"""Asking a person at a terminal (a real pseudo terminal) and a program on standard input."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Iterator

import pytest

from kiro_lsp.terminal.questions import AnswerLines, Choice, Terminal, meant

if sys.platform == "win32":
    pytest.skip("pseudo terminals are POSIX", allow_module_level=True)

CHOICES = (Choice("once", "Allow once"), Choice("run", "Allow for this run"), Choice("deny", "Deny"))


@pytest.mark.parametrize(
    ("line", "choice"),
    [
        ("1\n", "once"),
        ("3", "deny"),
        ("0", None),
        ("4", None),
        ("deny\n", "deny"),
        ("D\n", "deny"),
        ("ONCE", "once"),
        ("Allow once", "once"),
        ("allow", None),
        ("allow f", "run"),
        ("yes", None),
        ("²", None),
    ],
)
def test_an_answer_means_one_choice_or_none(line: str, choice: str | None) -> None:
    assert meant(line, CHOICES) == choice


class Pair:
    """A terminal and the keyboard that types into it."""

    def __init__(self) -> None:
        self.keyboard, far = os.openpty()
        self._far = os.dup(far)
        self.terminal = Terminal(os.fdopen(os.dup(far), encoding="utf-8"), os.fdopen(far, "w", encoding="utf-8"))

    def type(self, text: str) -> None:
        os.write(self.keyboard, text.encode())

    def shown(self) -> str:
        """All that was shown so far: a mark is written behind it, since one read may give a part only."""
        mark = b"<that was all>"
        os.write(self._far, mark)
        found = b""
        while mark not in found:
            found += os.read(self.keyboard, 65536)
        return found.partition(mark)[0].decode()

    def close(self) -> None:
        os.close(self.keyboard)
        os.close(self._far)


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def test_a_question_is_asked_until_it_is_answered(pair: Pair) -> None:
    pair.type("maybe\n2\n")
    assert pair.terminal.ask("Run it?", CHOICES, "deny") == "run"
    shown = pair.shown()
    assert "Run it?" in shown
    assert "1. Allow once" in shown
    assert "Please type" in shown


@pytest.mark.parametrize("typed", ["\n", "maybe\n" * 5, "\x04"])
def test_an_empty_line_nonsense_and_end_of_input_mean_the_default(pair: Pair, typed: str) -> None:
    pair.type(typed)
    assert pair.terminal.ask("Run it?", CHOICES, "deny") == "deny"


async def test_a_question_can_be_asked_without_blocking(pair: Pair) -> None:
    asking = asyncio.create_task(pair.terminal.ask_later("Run it?", CHOICES, "deny"))
    await asyncio.sleep(0)
    assert not asking.done()
    pair.type("1\n")
    assert await asking == "once"


async def test_a_question_that_was_answered_elsewhere_gives_the_terminal_back(pair: Pair) -> None:
    asking = asyncio.create_task(pair.terminal.ask_later("Run it?", CHOICES, "deny"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    pair.type("2\n")
    assert await pair.terminal.ask_later("And this?", CHOICES, "deny") == "run"


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("Blue, please.\n", ("once", "Blue, please.")),
        ("1\nBlue.\n", ("once", "Blue.")),
        ("1\n\n", ("deny", None)),
        ("3\n", ("deny", None)),
        ("\n", ("deny", None)),
    ],
)
async def test_a_question_for_words_takes_a_line_that_is_none_of_the_choices(
    pair: Pair, typed: str, answer: tuple[str, str | None]
) -> None:
    asking = asyncio.create_task(pair.terminal.ask_words_later("Which colour?", CHOICES, "deny", words="once"))
    for line in typed.splitlines(keepends=True):
        pair.type(line)
        await asyncio.sleep(0)
    assert await asking == answer


def test_a_question_cannot_paint_the_terminal(pair: Pair) -> None:
    pair.type("3\n")
    pair.terminal.ask("harmless\x1b[2K\rrm -rf ~", CHOICES, "deny")
    shown = pair.shown()
    assert "\x1b[2K" not in shown
    assert "rm -rf ~" in shown


class Heard:
    def __init__(self) -> None:
        self.answers: list[tuple[str, str, str | None]] = []
        self.faults: list[str] = []
        self.ended = asyncio.Event()

    def lines(self, stream: object) -> AnswerLines:
        return AnswerLines(lambda *answer: self.answers.append(answer), self.ended.set, self.faults.append, stream)  # type: ignore[arg-type]


async def test_answers_are_read_as_json_lines_until_the_end() -> None:
    read, write = os.pipe()
    heard = Heard()
    with os.fdopen(read) as stream:
        lines = heard.lines(stream)
        os.write(write, b'{"requestId": "a1", "option": "once"}\n\nnonsense\n[1]\n{"requestId": "b2"}\n')
        os.write(
            write, b'{"requestId": "c3", "option": "deny", "text": "use tox"}\n{"requestId": "d4", "text": "Blue."}\n'
        )
        lines.start()
        os.write(write, '{"requestId": "ü", "option": "deny"}'.encode())
        os.close(write)
        await heard.ended.wait()
        lines.close()
    assert heard.answers == [("a1", "once", None), ("c3", "deny", "use tox"), ("d4", "", "Blue."), ("ü", "deny", None)]
    assert len(heard.faults) == 3
    assert "nonsense" in heard.faults[0]


async def test_reading_can_be_given_up_while_nobody_writes() -> None:
    read, write = os.pipe()
    heard = Heard()
    with os.fdopen(read) as stream:
        lines = heard.lines(stream)
        lines.start()
        lines.close()
        assert heard.answers == []
    os.close(write)


async def test_standard_input_may_be_an_object_of_the_caller() -> None:
    heard = Heard()
    lines = heard.lines(io.StringIO('{"requestId": "a1", "option": "once"}\n'))
    lines.start()
    await heard.ended.wait()
    lines.close()
    assert heard.answers == [("a1", "once", None)]
