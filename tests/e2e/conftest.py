"""A local provider, and a project with the real program in it, for the tests that go all the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.anthropic_server import AnthropicServer
from tests.support.program import Project


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Programs are started one after the other; what hangs is found by the waits in the tests."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture
def provider() -> Iterator[AnthropicServer]:
    """It answers with the steps that a test gives it."""
    with AnthropicServer() as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, provider: AnthropicServer) -> Project:
    return Project(tmp_path, provider)
