"""The IntentContract: what a run is for, frozen at its start and stored with it, so that it can be reproduced.

Planners and faces speak intent, never raw prompts. Pure values with a JSON round trip; nothing here decides what is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kiro_lsp.spec.prompt import LeftOut, Prompt, PromptDocument

__all__ = ["IntentContract", "LeftOut", "Prompt", "PromptDocument"]


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
