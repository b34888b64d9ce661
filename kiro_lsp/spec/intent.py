"""The IntentContract: what a run is for, frozen at its start and stored with it, so that it can be reproduced.

Planners and faces speak intent, never raw prompts. Pure values with a JSON round trip; nothing here decides what is
sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kiro_lsp.spec import unicode
from kiro_lsp.spec.documents import select
from kiro_lsp.spec.model import Task, TaskList
from kiro_lsp.spec.prompt import (
    LeftOut,
    Prompt,
    PromptDocument,
    children_of,
    own_prompt,
    requirement_index,
    requirements_of,
)

__all__ = ["IntentContract", "LeftOut", "Prompt", "PromptDocument", "intent_of"]

NEVER_TOUCHED = (".git/**", ".env", ".env.*", ".spec-workflow/kiro.toml")
"""Paths that no task is about."""


@dataclass(frozen=True, slots=True)
class IntentContract:
    goal: str
    requirements: tuple[tuple[str, str], ...] = ()
    """(reference, text) of every requirement that the task names, as the spec had them at the start."""
    allowed_paths: tuple[str, ...] = ()
    """Root-relative globs that the task is about; empty: the whole root."""
    forbidden_paths: tuple[str, ...] = ()
    acceptance: tuple[str, ...] = ()
    budget_usd: Decimal | None = None

    def to_json(self) -> dict[str, object]:
        return {
            "goal": self.goal,
            "requirements": [{"ref": ref, "text": text} for ref, text in self.requirements],
            "allowedPaths": list(self.allowed_paths),
            "forbiddenPaths": list(self.forbidden_paths),
            "acceptance": list(self.acceptance),
            "budgetUsd": None if self.budget_usd is None else str(self.budget_usd),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> IntentContract:
        """The contract as `to_json` wrote it. Raises ValueError for anything else."""
        try:
            requirements = tuple((str(item["ref"]), str(item["text"])) for item in _items(value, "requirements"))
            budget = value.get("budgetUsd")
            return cls(
                goal=str(value["goal"]),
                requirements=requirements,
                allowed_paths=tuple(str(path) for path in _items(value, "allowedPaths")),
                forbidden_paths=tuple(str(path) for path in _items(value, "forbiddenPaths")),
                acceptance=tuple(str(check) for check in _items(value, "acceptance")),
                budget_usd=None if budget is None else Decimal(str(budget)),
            )
        except (KeyError, TypeError, ArithmeticError) as error:
            raise ValueError(f"not an intent contract: {error!r}") from error


def _items(value: Mapping[str, object], name: str) -> list[Any]:
    items = value.get(name, [])
    if not isinstance(items, list):
        raise TypeError(f"{name} is not a list")
    return items


_CHECK_KEYS = re.compile(
    r"^(?:acceptance(?: criteria)?|verif(?:y|ication)|validation|success(?: criteria)?|done when|definition of done"
    r"|completion(?: criteria)?|independent test|test criteria|expected outcome|完了条件|完成标准|验证|验收标准"
    r"|완료\s?조건)$",
    re.IGNORECASE,
)


def intent_of(
    task_list: TaskList,
    task: Task,
    docs: Mapping[str, str],
    *,
    task_path: str = "",
    budget_usd: Decimal | None = None,
) -> IntentContract:
    """What a run of this task is for. `docs` are the spec's documents as they are now, path → text."""
    plain = {path: unicode.strip(text.replace("\r\n", "\n").replace("\r", "\n")) for path, text in docs.items()}
    if task_path:
        plain = {item.path: item.text for item in select(task_list.dialect, task_path, plain).stable}
    found, _ = requirements_of(task_list, task, requirement_index(plain))
    goal = f"{task.id} {task.title}" if task.id else task.title
    return IntentContract(
        goal=unicode.strip(goal),
        requirements=tuple((entry.ref, entry.text) for entry in found),
        allowed_paths=(),
        forbidden_paths=(*NEVER_TOUCHED, *([task_path] if task_path else [])),
        acceptance=_acceptance(task_list, task),
        budget_usd=budget_usd,
    )


def _acceptance(task_list: TaskList, task: Task) -> tuple[str, ...]:
    """The task's own checks: criteria below it, `Verify:` and the like, the `Success:` part of its prompt."""
    checks = [child.title for child in children_of(task_list, task) if child.criterion]
    checks.extend(
        value for key, value in task.metadata.items() if _CHECK_KEYS.match(key.strip("_* ")) and value.strip()
    )
    success = re.search(r"(?:^|\|)\s*Success\s*[:：]\s*([^|]+)", own_prompt(task), re.IGNORECASE)
    if success is not None:
        checks.append(success[1])
    return tuple(dict.fromkeys(unicode.strip(check).strip(" _") for check in checks))
