"""Edits that a model wrote into its answer instead of calling a tool, staged like those of the edit tool.

All of an answer or nothing: a refusal says per edit what is wrong, and goes back to the model.
"""

from __future__ import annotations

from collections.abc import Callable
from posixpath import basename

from kiro_lsp.changes.edits import apply_answer, read_answer
from kiro_lsp.changes.edits.answer import Answer, Outcome
from kiro_lsp.changes.edits.syntax import broken
from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.tools.definition import ToolResult

_MOST_FILES = 200
"""Files of the project that may be read because an answer could mean them."""


def edits_in(text: str) -> Answer | None:
    """The edits of an answer; None for one that holds none, such as a closing word."""
    answer = read_answer(text)
    return answer if answer.files else None


async def stage(answer: Answer, run: RunContext, allowed: Callable[[str], str]) -> tuple[ToolResult, tuple[str, ...]]:
    """Stage what the answer asks for; the result for the model, and the paths that changed.

    `allowed` gives a path its one spelling; it raises PathRefused for one that no agent may change.
    """
    outcome = apply_answer(answer, await _meant(answer, run))
    if outcome.failures:
        return ToolResult(_refusal(outcome), is_error=True, kind="edit"), ()
    paths = [allowed(path) for change in outcome.changes for path in (change.path, change.to or change.path)]
    for change in outcome.changes:
        if change.proposed is not None:
            await run.write(change.to or change.path, change.proposed)
        if change.action in ("delete", "rename"):
            await run.delete(change.path)
    changed = tuple(dict.fromkeys(paths))
    return ToolResult("\n".join([f"Changed {', '.join(changed)}.", *broken(outcome.changes)]), kind="edit"), changed


async def _meant(answer: Answer, run: RunContext) -> dict[str, bytes]:
    """The files that the names of an answer can mean: those with the same last part."""
    wanted = {
        basename(name.replace("\\", "/")) for section in answer.files for name in (*section.names, section.to or "")
    }
    listed = await run.list("")
    found = [path for path in listed if basename(path) in wanted]
    if not any(section.names for section in answer.files) and len(listed) == 1:
        found = listed
    return {path: await run.read(path) for path in found[:_MOST_FILES]}


def _refusal(outcome: Outcome) -> str:
    lines = ["The edits in your answer could not be used. Nothing was changed."]
    lines += [
        f"Edit {failure.edit + 1} ({failure.path or 'no file'}): {failure.reason}. {failure.hint}"
        for failure in outcome.failures
    ]
    return "\n".join([*lines, "Send all edits again, or use the edit tool."])
