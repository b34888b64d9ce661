"""Provider processes that the tests of a module share: importing an SDK takes seconds."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kiro_lsp.executors.worker import WorkerPool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    """For tests marked with `pytest.mark.asyncio(loop_scope="module")`."""
    found = WorkerPool(os.environ)
    yield found
    await found.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of two files."""
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "number.py").write_text("NUMBER = 1\n", "utf-8")
    (folder / "README.md").write_text("# Numbers\n\nnaïve 🦊\n", "utf-8")
    return folder
