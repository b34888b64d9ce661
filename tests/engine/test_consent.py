"""The sheet at the first click: what it says follows from pressing Run."""

from __future__ import annotations

import pytest

from kiro_lsp.engine.execute import consent_sheet
from kiro_lsp.executors import registry
from kiro_lsp.settings import Sources, load_settings
from tests.support import planted

ASKS = "[routing]\nclassifier_model = 'claude-haiku-5-5'\n"


@pytest.mark.parametrize(
    ("toml", "is_named", "is_said"), [(ASKS, False, True), (ASKS, True, False), ("", False, False)]
)
def test_that_a_model_is_asked_before_an_agent_is_chosen_is_said(toml: str, is_named: bool, is_said: bool) -> None:
    loaded = load_settings(
        Sources(user_toml=toml, environ={"ANTHROPIC_API_KEY": planted.KEYS["anthropic"]}), trusted=True
    )
    claude = registry.named(registry.agents(loaded.settings, loaded.secrets), "claude")
    sheet = consent_sheet(claude, "Greet", loaded, with_values=False, is_named=is_named)
    assert ("claude-haiku-5-5 is asked what kind of work it is" in sheet) is is_said
    assert "Agent: Claude by api, model claude-sonnet-5-5." in sheet
