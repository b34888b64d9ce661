from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kiro_lsp.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    opened = Store.open(folder)
    yield opened
    opened.close()
