"""Every change on every real task file: never an exception, never another meaning. The files lie beside a development checkout."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from kiro_lsp.spec.details import ids_between
from kiro_lsp.spec.editing import menu, renumber
from kiro_lsp.spec.editing.completing import candidates
from kiro_lsp.spec.editing.context import context_at
from kiro_lsp.spec.editing.continuing import continued
from kiro_lsp.spec.editing.edits import Refused, applied, without_end
from kiro_lsp.spec.editing.places import own_place, references
from kiro_lsp.spec.editing.renaming import rename_task
from kiro_lsp.spec.facts import Facts, facts_of
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.tasks import decode, is_task_file
from kiro_lsp.spec.tasks import parsed as parse
from tests.spec.editing.test_invariants import KINDS, check_kept

SEED = 20261121


@pytest.fixture(scope="module")
def corpus(shared: Path) -> list[Facts]:
    folder = shared / "corpus" / "tasks"
    with (folder / "INDEX.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    found = []
    for row in rows:
        text = decode((folder / row["file"]).read_bytes()).text if (folder / row["file"]).exists() else None
        if text is not None:
            found.append(facts_of(text, row["path"]))
    assert len(found) > 200
    return found


def sampled(facts: Facts, count: int) -> list[Task]:
    tasks = facts.tasks.tasks
    return Random(f"{SEED} {facts.path}").sample(tasks, min(count, len(tasks)))


def test_the_place_of_every_id_is_known_and_every_dependency_found(corpus: list[Facts]) -> None:
    for facts in corpus:
        known = {task.id: None for task in facts.tasks.tasks if task.id is not None}
        for task in facts.tasks.tasks:
            place = own_place(facts.parsed, task)
            assert (place is None) == (task.id is None), (facts.path, task.line)
            if place is not None and "-" not in place.id:
                assert facts.lines[place.line][place.start : place.end] == task.id
        found = set()
        for reference in references(facts.parsed):
            found |= {reference.id, *(ids_between(reference.id, reference.to, known) if reference.to else ())}
        needed = {needed for task in facts.tasks.tasks for needed in task.depends_on if needed in known}
        assert needed <= found, facts.path


def test_every_offer_on_every_file_is_an_edit_or_a_reason(corpus: list[Facts]) -> None:
    outcomes: Counter[tuple[str, str]] = Counter()
    for facts in corpus:
        for number, task in enumerate(sampled(facts, 3)):
            for offer in menu.offers(facts.parsed, facts.path, [task], KINDS if number == 0 else (menu.REWRITE,)):
                change = menu.carried_out(facts.parsed, facts.path, offer, {})
                outcomes[offer.name.partition(" ")[0], type(change).__name__] += 1
                if isinstance(change, Refused):
                    assert change.message
                else:
                    applied(facts.lines, change.edits)
                    check_kept(facts.parsed, change.edits)
    for name in ("status", "cascade", "optional", "split", "add", "renumber"):
        assert outcomes[name, "Change"] > 5, outcomes
        assert outcomes[name, "Change"] > 4 * outcomes[name, "Refused"], outcomes


def test_an_id_can_be_renamed_in_nearly_every_file(corpus: list[Facts]) -> None:
    refused = renamed = 0
    for facts in corpus:
        for task in [task for task in sampled(facts, 4) if task.id is not None][:2]:
            prefix, last, _ = renumber.number_of(task.id or "")
            change = rename_task(facts.parsed, facts.path, task, f"{prefix}{int(last or 0) + 900}", {})
            if isinstance(change, Refused):
                refused += 1
            else:
                renamed += 1
                check_kept(facts.parsed, change.edits)
    assert renamed > 200
    assert refused < 0.05 * renamed


def places(facts: Facts) -> Iterator[tuple[int, int]]:
    for line, text in enumerate(facts.lines):
        yield line, 0
        yield line, len(without_end(text))


def test_completion_at_every_line_of_sampled_files(corpus: list[Facts]) -> None:
    kinds: Counter[str] = Counter()
    for facts in Random(SEED).sample(corpus, 40):
        assert is_task_file(facts.path) or facts.path
        for line, column in places(facts):
            context = context_at(facts.parsed, line, column)
            if context is not None:
                kinds[context.kind] += 1
                assert context.start <= column <= context.end
                candidates(facts, context, ["src/a.py"])
    assert set(kinds) >= {"task", "requirement", "path"}


def test_enter_at_sampled_lines_takes_nothing_away(corpus: list[Facts]) -> None:
    continued_lists = 0
    for facts in Random(SEED).sample(corpus, 60):
        task = next(iter(sampled(facts, 1)), None)
        if task is None:
            continue
        line = without_end(facts.lines[task.line])
        end = facts.lines[task.line][len(line) :] or "\n"
        text = "".join([*facts.lines[: task.line], line, end, end, *facts.lines[task.line + 1 :]])
        typed = parse(text, facts.path)
        edits = continued(typed, task.line + 1)
        after = parse(applied(typed.lines, edits), facts.path)
        kept = [without_end(text) for number, text in enumerate(after.lines) if number != task.line + 1]
        before = [without_end(text) for number, text in enumerate(typed.lines) if number != task.line + 1]
        assert kept == before, facts.path
        continued_lists += bool(edits)
    assert continued_lists > 15
