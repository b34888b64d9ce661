"""Diffs with several kinds of damage at once, each of which leaves open nothing that a careful reader could not decide.

Whatever is done to a diff here, the text it means stays known: the result is that text, or the edit is refused.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.edits import apply_answer, read_answer
from kiro_lsp.changes.edits.answer import Outcome
from tests.changes.edits.grading import applied
from tests.changes.edits.texts import Change, changes
from tests.support.renderings import as_diff, hides_a_header, lines_of

PATH = "src/example.txt"

Damage = Callable[[random.Random, list[str]], list[str]]


def is_context(row: str) -> bool:
    return row.startswith(" ")


def is_body(row: str) -> bool:
    return row[:1] in (" ", "+", "-") and not row.startswith(("--- a/", "+++ b/"))


def wrong_numbers(dice: random.Random, rows: list[str]) -> list[str]:
    def header() -> str:
        numbers = [dice.randint(0, 60) for _ in range(4)]
        return dice.choice(["@@", "@@ ... @@", "@@ -{},{} +{},{} @@".format(*numbers)])

    return [header() if row.startswith("@@ -") else row for row in rows]


def without_context_marker(dice: random.Random, rows: list[str]) -> list[str]:
    def lost(row: str) -> bool:
        return is_context(row) and row[1:2] not in ("+", "-", "@", "\\") and dice.random() < 0.5

    return [row[1:] if lost(row) else row for row in rows]


def without_trailing_blanks(dice: random.Random, rows: list[str]) -> list[str]:
    return [row.rstrip(" \t") if is_context(row) else row for row in rows]


def with_trailing_blanks(dice: random.Random, rows: list[str]) -> list[str]:
    return [row + dice.choice(["", " ", "\t"]) if is_context(row) and row.strip() else row for row in rows]


def indented(dice: random.Random, rows: list[str]) -> list[str]:
    """Every line of the diff, new ones too, as from a deeper block."""
    return [f"{row[0]}    {row[1:]}" if is_body(row) and row[1:].strip() else row for row in rows]


def with_other_quotes(dice: random.Random, rows: list[str]) -> list[str]:
    return [
        row.replace("'", "\u2019").replace("“", '"').replace("\u00a0", " ") if is_context(row) else row for row in rows
    ]


def without_second_header(dice: random.Random, rows: list[str]) -> list[str]:
    headers = [index for index, row in enumerate(rows) if row.startswith("@@")]
    if len(headers) < 2:
        return rows
    at = dice.choice(headers[1:])
    return rows[:at] + rows[at + 1 :]


def with_carriage_returns(dice: random.Random, rows: list[str]) -> list[str]:
    return [f"{row}\r" for row in rows]


def in_a_fence(dice: random.Random, rows: list[str]) -> list[str]:
    fence = dice.choice(["```", "~~~~"])
    return ["Here is the change:", "", f"{fence}diff", *rows, fence, "", "- it is small", "+ and safe"]


DAMAGES: tuple[Damage, ...] = (
    wrong_numbers,
    without_context_marker,
    without_trailing_blanks,
    with_trailing_blanks,
    indented,
    with_other_quotes,
    without_second_header,
)
WRAPPINGS: tuple[Damage, ...] = (lambda dice, rows: rows, with_carriage_returns, in_a_fence)

_BLANK = re.compile(r"[ \t]+")


def bare(text: str) -> list[str]:
    """Lines without their white space: damage may be to that, never to place or number of lines."""
    return [_BLANK.sub("", row) for row in lines_of(text)]


@given(
    changes(least=8, most=50, keeps_last_end=True),
    st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=3, unique=True),
    st.sampled_from(WRAPPINGS),
    st.randoms(use_true_random=False),
)
@example(
    Change(
        "a line\nb line\nc line\nd line\n\ne line\nf line\ng line\n",
        "A\nb line\nc line\nd line\n\ne line\nF\ng line\n",
        "\n",
    ),
    [without_second_header, without_trailing_blanks],
    WRAPPINGS[0],
    random.Random(1),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_diff_gives_the_text_it_means_or_is_refused(
    change: Change, damages: list[Damage], wrapping: Damage, dice: random.Random
) -> None:
    assume(lines_of(change.after))
    reply = as_diff(PATH, change.before, change.after)
    assume(not hides_a_header(reply))
    rows = reply.removesuffix("\n").split("\n")
    for damage in damages:
        rows = damage(dice, rows)
    found = outcome("\n".join([*wrapping(dice, rows), ""]), change.before)
    if found.ok:
        after = applied({PATH: change.before.encode()}, found.changes)[PATH].decode()
        assert bare(after) == bare(change.after)
    else:
        assert found.changes == ()


def outcome(reply: str, before: str) -> Outcome:
    return apply_answer(read_answer(reply), {PATH: before.encode("utf-8")})


def test_most_damaged_diffs_are_placed() -> None:
    """A reader that refuses everything would never be wrong, either."""
    dice = random.Random(5)
    before = "".join(f"def step_{n}(x):\n    value_{n} = x + {n}\n    return value_{n}\n\n" for n in range(30))
    right = 0
    for number in range(200):
        n = number % 28 + 1
        after = before.replace(f"value_{n} = x + {n}\n", f"value_{n} = x - {n}\n    log(value_{n})\n")
        rows = as_diff(PATH, before, after).removesuffix("\n").split("\n")
        for damage in dice.sample(DAMAGES, 2):
            rows = damage(dice, rows)
        right += outcome("\n".join([*rows, ""]), before).ok
    assert right >= 190
