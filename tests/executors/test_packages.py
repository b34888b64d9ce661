"""Agents whose packages are not there yet: they say so, and are there as soon as the packages are."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiro_lsp.executors import packages
from kiro_lsp.executors.registry import agents
from kiro_lsp.settings import Sources, load_settings
from tests.support import planted


def of(kind: str) -> tuple[bool, str]:
    loaded = load_settings(Sources(environ={"ANTHROPIC_API_KEY": planted.KEYS["anthropic"]}), trusted=True)
    (found,) = [info for info in agents(loaded.settings, loaded.secrets) if info.type == kind]
    return found.available, found.reason


@pytest.fixture
def on_its_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "installing").write_text("", "utf-8")
    monkeypatch.setenv(packages.INSTALLING, str(tmp_path / "installing"))
    monkeypatch.setattr(packages, "_found", set())
    monkeypatch.setattr(packages, "_NEEDED", {"anthropic-api": ("package_on_its_way",)})
    return tmp_path


def test_all_of_them_are_there_where_the_suite_runs() -> None:
    assert {kind: reason for kind in packages._NEEDED if (reason := packages.lacking(kind))} == {}


def test_an_agent_whose_package_is_being_installed_says_so_until_it_is_there(on_its_way: Path) -> None:
    assert of("anthropic-api") == (False, "being installed: its package 'package_on_its_way' comes in a moment")
    (on_its_way / "package_on_its_way.py").write_text("", "utf-8")
    assert of("anthropic-api")[0]


def test_an_agent_whose_package_will_not_come_says_what_to_do(on_its_way: Path) -> None:
    (on_its_way / "installing").unlink()
    reason = "its package 'package_on_its_way' is not installed: install kiro-lsp again, with all it needs"
    assert of("anthropic-api") == (False, reason)
