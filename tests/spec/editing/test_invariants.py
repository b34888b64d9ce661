"""What holds for every change of a task file, whatever the file: nothing else moves, and references mean what they meant."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kiro_lsp.spec import checks
from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.editing import menu, numbering, renumber, splitting, status
from kiro_lsp.spec.editing.completing import candidates
from kiro_lsp.spec.editing.context import context_at
from kiro_lsp.spec.editing.continuing import continued
from kiro_lsp.spec.editing.edits import Refused, TextEdit, applied, without_end
from kiro_lsp.spec.editing.renaming import rename_task
from kiro_lsp.spec.editing.renumber import Change
from kiro_lsp.spec.facts import facts_of
from kiro_lsp.spec.model import Problem, Task, TaskList
from kiro_lsp.spec.tasks import parsed as parse
from tests.support.edits import text_of

PATHS = (".kiro/specs/a/tasks.md", "specs/001-x/tasks.md", ".spec-workflow/specs/a/tasks.md", "tasks.md")
KINDS = (menu.REWRITE, menu.ADD_IDS, menu.RENUMBER)

REPEATED_IN_A_WAVE = (
    "# Plan 😀\n- [ ] 0. Do\n## Phase\n- [ ] 1. Do\n## Phase\n- [ ] 0. Do\n"
    '\n```json\n{"waves": [{"id": 0, "tasks": ["0", "1"]}]}\n```'
)
"""Headings with one name are one section, in which 1 would become 0."""
REPEATED_AND_NEEDED = (
    "# Plan\n- [ ] 1. Do\n- [ ] 2. Do\n- [ ] 2. Do\n- [ ] 3. Do (depends on 2)\n"
    '\n```json\n{"waves": [["1"], ["2"], [3]]}\n```\n'
)
REPEATED_OUT_OF_ORDER = "# Plan 😀\n- [ ] 0. Do\n- [ ] 2. Do\n- [ ] 3. Do\n- [ ] 1. Do\n## Phase\n- [ ] 1. Do"
BEGINNING_AGAIN = "# Plan\n- [ ] 1. Do\n## Phase\n- [ ] 1. Do\n- [ ] 2. Do (depends on 1)\n- [ ] 3. Do\n- [ ] 4. Do\n"
REPEATED_AT_THE_END = "# Plan\n- [ ] 1. Do\n## Phase\n- [ ] 2. Do\n- [ ] 3. Do\n- [ ] 7. Do\n- [ ] 5. Do\n- [ ] 1. Do\n"
"""One task out of order is found, two are none that could be told from the others."""


@st.composite
def plans(draw: st.DrawFn) -> str:
    """Task files as people write them: two levels, references in several forms, sections, waves, odd characters, line ends."""
    end = draw(st.sampled_from(["\n", "\r\n"]))
    indent = draw(st.sampled_from(["  ", "    ", "\t", ""]))
    coded = draw(st.booleans())
    lines, ids = ["# Plan 😀"], []
    numbers = draw(st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=draw(st.booleans())))
    for number in numbers:
        identifier = f"T{number:03d}" if coded else str(number)
        separator = " " if coded else ". "
        tail = draw(st.sampled_from(["", " 😀", f" (depends on {draw(st.sampled_from(ids))})" if ids else "", " é漢"]))
        mark = draw(st.sampled_from([" ", "x", "-", "X", "~"]))
        if draw(st.integers(0, 5)) == 0:
            lines.append("## Phase")
        lines.append(f"- [{mark}] {identifier}{separator}Do{tail}")
        ids.append(identifier)
        for child in [] if coded else draw(st.lists(st.integers(1, 9), max_size=3, unique=True)):
            star = draw(st.sampled_from(["", "*"]))
            lines.append(f"{indent}- [{draw(st.sampled_from(' x'))}]{star} {identifier}.{child} Inner")
            ids.append(f"{identifier}.{child}")
            if draw(st.booleans()):
                lines.append(f"{indent}  - _Depends: {', '.join(draw(st.lists(st.sampled_from(ids), max_size=3)))}_")
    if draw(st.booleans()):
        wave = ", ".join(f'"{identifier}"' for identifier in dict.fromkeys(ids))
        lines += ["", "```json", f'{{"waves": [{{"id": 0, "tasks": [{wave}]}}]}}', "```"]
    if draw(st.booleans()):
        lines += ["", f"{ids[0]} → {ids[-1]}", f"Notes on task {ids[-1]} and tasks {ids[0]}, {ids[-1]}"]
    return end.join(lines) + draw(st.sampled_from(["", end]))


def meaning(task_list: TaskList) -> list[object]:
    """What a file says without its ids: every reference is the places of the tasks that it means.

    Of several tasks with one id a task means the nearest above it, else the first, and a wave all of them.
    """
    places: dict[str | None, list[int]] = defaultdict(list)
    for number, task in enumerate(task_list.tasks):
        places[task.id].append(number)

    def meant(name: str, by: int) -> int:
        return max((place for place in places[name] if place < by), default=min(places[name], default=-1))

    return [
        (
            re.sub(r"T?\d[\d.]*", "#", task.title),
            (task.status, task.mark, task.line, task.optional, task.parallel, task.criterion, task.section),
            {meant(needed, number) for needed in task.depends_on} - {number},
        )
        for number, task in enumerate(task_list.tasks)
    ] + [{place for member in wave for place in places[member]} for wave in task_list.waves]


def check_ids(parsed: Parsed, path: str, change: Change) -> TaskList:
    """The file after new ids: only digits and letters of ids differ, and it means the same."""
    text = applied(parsed.lines, change.edits)
    after = parse(text, path).task_list
    assert meaning(after) == meaning(parsed.task_list)
    assert [without_end(line) == "" for line in parsed.lines] == [without_end(line) == "" for line in parse(text).lines]
    assert re.findall(r"[\r\n\t]", text) == re.findall(r"[\r\n\t]", "".join(parsed.lines))
    return after


@given(plans(), st.sampled_from(PATHS))
@example(REPEATED_IN_A_WAVE, PATHS[0])
@example(REPEATED_AND_NEEDED, PATHS[0])
@settings(max_examples=150, deadline=None)
def test_renumbered_tasks_stay_the_same_tasks(text: str, path: str) -> None:
    parsed = parse(text, path)
    new = renumber.in_order(parsed.task_list, renumber.levels(parsed.task_list))
    change = renumber.change_of(parsed, path, new, {})
    if isinstance(change, Change):
        after = check_ids(parsed, path, change)
        assert [task.id for task in after.tasks] == [new.get(task.key, task.id) for task in parsed.task_list.tasks]
        if len({task.id for task in parsed.task_list.tasks}) == len(parsed.task_list.tasks):
            assert renumber.in_order(after, renumber.levels(after)) == {}, "in order is in order"


def test_renumbering_is_refused_for_few_plans() -> None:
    outcomes = []

    @given(plans())
    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    def collect(text: str) -> None:
        parsed = parse(text, PATHS[0])
        new = renumber.in_order(parsed.task_list, renumber.levels(parsed.task_list))
        if new:
            outcomes.append(isinstance(renumber.change_of(parsed, PATHS[0], new, {}), Change))

    collect()
    assert sum(outcomes) > 0.8 * len(outcomes) > 40


@given(plans(), st.randoms(use_true_random=False), st.sampled_from(["7", "99", "3.4", "T077", "12.5.1"]))
@settings(max_examples=150, deadline=None)
def test_a_renamed_task_is_the_same_task(text: str, random: Random, name: str) -> None:
    parsed = parse(text, PATHS[0])
    task = random.choice([task for task in parsed.task_list.tasks if task.id is not None] or [None])  # type: ignore[list-item]
    if task is None:
        return
    held = {other.id for other in parsed.task_list.tasks}
    change = rename_task(parsed, PATHS[0], task, name, {})
    if isinstance(change, Refused):
        assert change.message
        return
    assert name not in held or name == task.id
    after = check_ids(parsed, PATHS[0], change)
    assert after.tasks[parsed.task_list.tasks.index(task)].id == name


@given(st.randoms(use_true_random=False), st.sampled_from(PATHS))
@settings(max_examples=150, deadline=None)
def test_whatever_is_offered_for_any_text_is_an_edit_or_a_reason(random: Random, path: str) -> None:
    text = text_of(random)
    facts = facts_of(text, path)
    tasks = facts.tasks.tasks
    around = random.sample(tasks, min(len(tasks), random.choice([1, 1, 2])))
    for offer in menu.offers(facts.parsed, path, around, KINDS):
        change = menu.carried_out(facts.parsed, path, offer, {"design.md": "Task 1 and T004\n" + text})
        if isinstance(change, Change):
            assert change.edits
            applied(facts.lines, change.edits)
            check_kept(facts.parsed, change.edits)


def check_kept(parsed: Parsed, edits: Sequence[TextEdit]) -> None:
    """No line end is touched, and nothing is taken away but ids, marks and stars."""
    for edit in edits:
        assert edit.start[0] == edit.end[0], "an edit stays in its line"
        removed = parsed.lines[edit.start[0]][edit.start[1] : edit.end[1]]
        assert re.fullmatch(r"[\w.\- –—~*\\/!<>✅]{0,24}", removed), removed
        assert "\n" not in edit.new
        assert "\r" not in edit.new


@given(plans(), st.sampled_from(PATHS), st.sampled_from(status.WRITTEN), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_a_status_changes_one_character_of_each_task(text: str, path: str, wanted: str, random: Random) -> None:
    parsed = parse(text, path)
    some: list[Task] = random.sample(list(parsed.task_list.tasks), random.randint(1, len(parsed.task_list.tasks)))
    edits = status.with_status(parsed, path, some, wanted)  # type: ignore[arg-type]
    if isinstance(edits, Problem):
        assert edits.code == "no-mark"
        return
    changed = applied(text, edits)
    assert len(changed) == len(text)
    differing = [at for at in range(len(text)) if text[at] != changed[at]]
    assert len(differing) == len(edits)
    assert all(text[at - 1] == "[" and text[at + 1] == "]" for at in differing)
    after = parse(changed, path).task_list.tasks
    assert all(after[parsed.task_list.tasks.index(task)].status == wanted for task in some)


@given(plans(), st.sampled_from(PATHS))
@settings(max_examples=60, deadline=None)
def test_optional_and_back_is_what_it_was(text: str, path: str) -> None:
    parsed = parse(text, path)
    required = [task for task in parsed.task_list.tasks if not task.optional]
    starred = parse(applied(text, status.made_optional(parsed, required, optional=True)), path)
    lines = {task.line for task in required}
    back = [task for task in starred.task_list.tasks if task.line in lines]
    assert all(task.optional for task in back)
    assert applied(starred.lines, status.made_optional(starred, back, optional=False)) == text


@given(st.randoms(use_true_random=False), st.sampled_from(PATHS))
@settings(max_examples=150, deadline=None)
def test_completion_and_enter_answer_for_any_place_of_any_text(random: Random, path: str) -> None:
    facts = facts_of(text_of(random), path)
    for line, text in enumerate([*facts.lines, ""]):
        inside = without_end(text)
        for column in {0, len(inside), random.randint(0, len(inside))}:
            context = context_at(facts.parsed, line, column)
            if context is not None:
                assert 0 <= context.start <= column <= context.end <= len(inside)
                for candidate in candidates(facts, context, ["src/a.py", "docs/b c.md"]).items:
                    assert candidate.new
                    assert "\n" not in candidate.new
        edits = continued(facts.parsed, line)
        after = applied(facts.lines, edits)
        for word in re.findall(r"[^\W\d_]{3,}", "".join(facts.lines)):
            assert word in after, "words are never taken away"


@given(plans(), st.sampled_from(PATHS))
@settings(max_examples=60, deadline=None)
def test_added_ids_are_new_and_leave_the_rest_alone(text: str, path: str) -> None:
    end = "\r\n" if "\r\n" in text else "\n"
    parsed = parse(f"{text.rstrip()}{end}- [ ] Without 😀{end}- [x] Without too", path)
    lacking = numbering.without_id(parsed.task_list)
    edits = numbering.with_ids(parsed, path, lacking)
    if isinstance(edits, Refused) or not lacking:
        return
    after = parse(applied(parsed.lines, edits), path).task_list
    assert numbering.without_id(after) == []
    old = [task.id for task in parsed.task_list.tasks]
    added = [task.id for task, before in zip(after.tasks, old, strict=True) if before is None]
    assert len(set(added)) == len(added)
    assert not set(added) & set(old)
    assert meaning(after) == meaning(parsed.task_list)


@given(
    st.lists(st.sampled_from(["first 😀", "second `a.py`", "_Requirements: 1.1_", "Files: a.py", "third"]), max_size=6)
)
@settings(deadline=None)
def test_a_split_task_keeps_its_metadata(details: list[str]) -> None:
    text = "- [ ] 1. Whole\n" + "".join(f"  - {detail}\n" for detail in details) + "- [ ] 2. Next\n"
    parsed = parse(text, PATHS[0])
    steps = [detail for detail in details if ":" not in detail]
    change = splitting.split(parsed, PATHS[0], parsed.task_list.tasks[0])
    if len(steps) < splitting.FEWEST:
        assert isinstance(change, Refused)
        return
    assert not isinstance(change, Refused)
    after = parse(applied(text, change), PATHS[0]).task_list
    made = [task for task in after.tasks if task.parent == "1"]
    assert [task.title for task in made] == steps
    assert [task.id for task in made] == [f"1.{number}" for number in range(1, len(steps) + 1)]


@given(plans(), st.sampled_from(PATHS))
@example(REPEATED_OUT_OF_ORDER, PATHS[0])
@example(BEGINNING_AGAIN, PATHS[0])
@example(REPEATED_AT_THE_END, PATHS[0])
@settings(max_examples=150, deadline=None)
def test_a_finding_that_is_settled_is_gone_and_brings_no_other(text: str, path: str) -> None:
    facts = facts_of(text, path)
    before = Counter(finding.code for finding in checks.findings(facts))
    for finding in checks.findings(facts):
        for offer in menu.settling(facts.parsed, finding.code, finding.line):
            change = menu.carried_out(facts.parsed, path, offer, {})
            if isinstance(change, Refused):
                continue
            after = Counter(found.code for found in checks.findings(facts_of(applied(text, change.edits), path)))
            assert after[finding.code] < before[finding.code]
            if before["duplicate-id"]:
                del after["waves-missing"]  # tasks that shared an id count for themselves now
            assert after <= before, (finding.code, offer.title)
