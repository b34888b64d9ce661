"""The documents say what the code does: commands, requests, events, verbs, dependencies, links."""

from __future__ import annotations

import dataclasses
import os
import re

import pytest

from kiro_lsp import events
from kiro_lsp.cli import MODULE_OF
from kiro_lsp.errors import ERROR_KINDS
from kiro_lsp.lsp.command_ids import COMMAND_IDS
from tests.conftest import REPO
from tests.test_architecture import PACKAGE, dependencies, sources

PROTOCOL = (REPO / "docs" / "protocol.md").read_text("utf-8")


def words(text: str) -> set[str]:
    """Everything that stands in backquotes."""
    return set(re.findall(r"`([^`]+)`", text))


def test_every_command_is_documented_and_no_other() -> None:
    assert set(re.findall(r"`(kiroLsp\.\w+)`", PROTOCOL)) == set(COMMAND_IDS)


def test_every_request_and_notification_of_ours_is_documented_and_no_other() -> None:
    used = {
        name
        for path in sources(".py", below=PACKAGE / "lsp")
        for name in re.findall(r'"(kiro/\w+)"', path.read_text("utf-8"))
    }
    assert set(re.findall(r"`(kiro/\w+)`", PROTOCOL)) == used


@pytest.mark.parametrize("name", sorted(events._CLASS_OF))
def test_every_event_is_documented_with_its_fields(name: str) -> None:
    row = next(line for line in PROTOCOL.splitlines() if re.match(rf"\| [^|]*`{name}`[^|]*\|", line))
    fields = {events._camel(field.name) for field in dataclasses.fields(events._CLASS_OF[name])}
    documented = {word.rstrip("?") for word in words(row.split("|", 2)[2])}
    assert fields <= documented, fields - documented


@pytest.mark.parametrize(
    ("start", "values"), [("States of a run:", events.RUN_STATES), ("Kinds of error:", ERROR_KINDS)]
)
def test_every_value_of_a_vocabulary_is_documented(start: str, values: tuple[str, ...]) -> None:
    paragraph = PROTOCOL.partition(start)[2].partition("\n\n")[0]
    assert words(paragraph) == set(values)


def test_every_verb_is_in_the_readme() -> None:
    text = (REPO / "README.md").read_text("utf-8")
    assert [verb for verb in MODULE_OF if not re.search(rf"`(?:kiro-lsp )?{verb}\b|\bkiro-lsp {verb}\b", text)] == []


def test_every_dependency_has_its_reason() -> None:
    section = (REPO / "docs" / "architecture.md").read_text("utf-8").partition("## Dependencies")[2]
    explained = set(re.findall(r"^\| `([\w-]+)` \| \w", section, re.MULTILINE))
    assert explained == dependencies()


def test_links_and_places_lead_somewhere() -> None:
    lost = [
        f"{path.relative_to(REPO)}: {target}"
        for path in sources(".md")
        if path.parent in (REPO, REPO / "docs")
        for target in [
            *re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8")),
            *(f"{REPO}/{place}" for place in re.findall(r"`((?:kiro_lsp|tests)/[\w/.]*\w)", path.read_text("utf-8"))),
        ]
        if not (path.parent / target).exists()
    ]
    assert lost == []


def readme_commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (REPO / "README.md").read_text("utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("python3 -m venv")]


def test_ci_runs_both_commands_of_the_readme() -> None:
    demo, tests = readme_commands()
    script = (REPO / ".ci" / "run").read_text("utf-8")
    assert tests in script.splitlines(), "the test command is run character for character"
    install, _, play = demo.rpartition(" && ")
    assert install in script
    assert play in script
    assert os.access(REPO / ".ci" / "run", os.X_OK)


def test_the_changelog_keeps_its_form() -> None:
    text = (REPO / "CHANGELOG.md").read_text("utf-8")
    assert text.startswith("# Changelog\n")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
