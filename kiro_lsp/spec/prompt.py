"""What is sent to an agent for one task: a stable prefix (system text and documents) and the task, last.

The stable part has the same bytes for every task of a spec, so that provider caches hit. Pure: documents come in as text,
a Prompt goes out. Which documents matter is documents.py, what a requirement reference means is requirements.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PromptDocument:
    """A context document as it is sent; `text` may be an excerpt, which then says so."""

    path: str
    role: str
    text: str
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What did not fit or does not apply; `tokens` is what it would have cost."""

    path: str
    reason: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Prompt:
    system: str
    documents: tuple[PromptDocument, ...]
    task: str
    left_out: tuple[LeftOut, ...] = ()
    tokens: int = 0
    """An estimate for the whole prompt."""
    limit: int = 0

    @property
    def stable_text(self) -> str:
        """System text and documents: the same bytes for every task of a spec."""
        return self.system + "\n" + "\n".join(document.text for document in self.documents)

    def render(self) -> str:
        """Exactly what is sent, as one text."""
        return self.stable_text + "\n" + self.task
