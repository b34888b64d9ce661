"""What diagnostics there are, and how loud each one is: `[diagnostics] duplicate-id = "off"`.

The codes are those of `spec/checks` and of the parser; "default" leaves a code its own severity.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

DiagnosticLevel = Literal["default", "off", "hint", "info", "warning", "error"]
LEVELS: Final[tuple[str, ...]] = get_args(DiagnosticLevel)


@dataclass(frozen=True, slots=True)
class DiagnosticSettings:
    """One level a code; `_` stands for the `-` of the code."""

    box_without_bullet: DiagnosticLevel = "default"
    dependency_cycle: DiagnosticLevel = "default"
    details_box: DiagnosticLevel = "default"
    doubled_box: DiagnosticLevel = "default"
    duplicate_id: DiagnosticLevel = "default"
    empty_file: DiagnosticLevel = "default"
    heading_box: DiagnosticLevel = "default"
    heading_task: DiagnosticLevel = "default"
    id_order: DiagnosticLevel = "default"
    id_parent: DiagnosticLevel = "default"
    invisible_characters: DiagnosticLevel = "default"
    lost_mark: DiagnosticLevel = "default"
    malformed_box: DiagnosticLevel = "default"
    malformed_prompt: DiagnosticLevel = "default"
    missing_file: DiagnosticLevel = "default"
    missing_id: DiagnosticLevel = "default"
    no_run: DiagnosticLevel = "default"
    no_tasks: DiagnosticLevel = "default"
    open_above_done: DiagnosticLevel = "default"
    open_below_done: DiagnosticLevel = "default"
    same_file: DiagnosticLevel = "default"
    several_boxes: DiagnosticLevel = "default"
    table_task: DiagnosticLevel = "default"
    unclosed_comment: DiagnosticLevel = "default"
    unclosed_fence: DiagnosticLevel = "default"
    uncovered_requirement: DiagnosticLevel = "default"
    unknown_dependency: DiagnosticLevel = "default"
    unknown_mark: DiagnosticLevel = "default"
    unknown_requirement: DiagnosticLevel = "default"
    unwritable_mark: DiagnosticLevel = "default"
    waves: DiagnosticLevel = "default"
    waves_missing: DiagnosticLevel = "default"
    waves_unknown: DiagnosticLevel = "default"

    @property
    def levels(self) -> Mapping[str, str]:
        """Code → level, of the codes that were set."""
        values = {field.name.replace("_", "-"): getattr(self, field.name) for field in dataclasses.fields(self)}
        return {code: level for code, level in values.items() if level != "default"}


CODES: Final[Mapping[str, str]] = {
    "box-without-bullet": "A box is no list item, so that it is no task.",
    "dependency-cycle": "Tasks depend on each other in a ring.",
    "details-box": "A box stands directly below an HTML tag, where Markdown does not see it.",
    "doubled-box": "A task has two boxes.",
    "duplicate-id": "Two tasks have the same id; an information where the numbers begin again below another heading.",
    "empty-file": "The file is empty.",
    "heading-box": "A box in a heading is not counted, since the file has tasks in lists.",
    "heading-task": "A task is a heading: it can be run, but its status is the person's to write.",
    "id-order": "A task's id is out of order, in a list that otherwise counts up.",
    "id-parent": "A numbered task stands inside a task whose number it does not extend.",
    "invisible-characters": "Characters that nobody sees and a model reads: bidirectional controls, tags, zero-width and others.",
    "lost-mark": "A task is marked `[X]`, which spec-workflow does not see.",
    "malformed-box": "A box has more than one character between its brackets.",
    "malformed-prompt": "A `_Prompt: …_` is empty, or has no underscore at its end.",
    "missing-file": "A task says that it changes a file that is not there, and no task before it names that file.",
    "missing-id": "A task has no id, though all its neighbours have one.",
    "no-run": "A task is marked in progress, but its last run has ended and nothing works on it.",
    "no-tasks": "No list item with a box was found in the file, and nothing else that is a task.",
    "open-above-done": "All sub-tasks are done, the task itself is not.",
    "open-below-done": "A task is marked done, one of its sub-tasks is not.",
    "same-file": "Two tasks that are marked parallel work on the same file.",
    "several-boxes": "Several boxes stand on one line, where they are not counted.",
    "table-task": "A task is a row of a table: it can be run, but its status is the person's to write.",
    "unclosed-comment": "A comment or raw HTML is never closed, and may hide tasks.",
    "unclosed-fence": "A code block is never closed, and may hide tasks.",
    "uncovered-requirement": "No task refers to a requirement, in a spec whose tasks refer to most of them.",
    "unknown-dependency": "A task depends on an id that no task of the file has.",
    "unknown-mark": "A mark has no fixed meaning in this dialect, and neither a legend nor the task itself explains it.",
    "unknown-requirement": "A task refers to a requirement that the spec's documents do not define.",
    "unwritable-mark": "The mark in a box is no plain character, and is never written.",
    "waves": "The task dependency graph cannot be read.",
    "waves-missing": "The task dependency graph leaves out tasks that are to be done.",
    "waves-unknown": "The task dependency graph names a task that the file does not have.",
}
"""Code → what it says, in one line."""
