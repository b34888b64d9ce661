from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.budget import Usage, to_nano
from kiro_lsp.engine.prices import estimates, price_of
from kiro_lsp.engine.workspace import Workspace
from kiro_lsp.errors import UnknownTask
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.settings import Sources, load_settings
from kiro_lsp.store import Store

MILLION = Usage(10**6, 0)
FILE = ".kiro/specs/a/tasks.md"


def agent(name: str, type_: str, model: str, **changed: Any) -> AgentInfo:
    values: dict[str, Any] = {"billing": "metered", "available": True, "reason": ""}
    return AgentInfo(name, name.title(), type_, "api", model, **values | changed)


ROUTER = '[agents.router]\ntype = "openai-api"\nendpoint = "https://openrouter.ai/api/v1"\n'
STATED = '[prices.own]\ninput = 3\noutput = 9\n[prices."claude-sonnet-5-5"]\ninput = 7\noutput = 9\n'


@pytest.mark.parametrize(
    ("toml", "info", "dollars"),
    [
        ("", agent("claude", "anthropic-api", "claude-sonnet-5-5"), "2"),
        (STATED, agent("claude", "anthropic-api", "claude-sonnet-5-5"), "7"),
        (STATED, agent("claude", "anthropic-api", "own"), "3"),
        ("", agent("claude", "anthropic-api", "own"), None),
        (ROUTER, agent("router", "openai-api", "claude-sonnet-5-5"), None),
        (ROUTER + STATED, agent("router", "openai-api", "claude-sonnet-5-5"), "7"),
    ],
)
def test_the_price_is_what_the_person_says_else_what_the_address_asks(
    toml: str, info: AgentInfo, dollars: str | None
) -> None:
    settings = load_settings(Sources(user_toml=toml), trusted=True).settings
    assert price_of(info, settings, MILLION) == (None if dollars is None else to_nano(dollars))


def test_an_estimate_is_there_for_metered_agents_with_a_price_and_follows_it(root: Path, store: Store) -> None:
    config = root.parent / "config.toml"
    config.write_text("[prices.own]\ninput = 3\noutput = 9\n[prices.dear]\ninput = 30\noutput = 90\n", "utf-8")
    config.chmod(0o600)
    (root / FILE).parent.mkdir(parents=True)
    (root / FILE).write_text("# Plan\n\n- [ ] 1. Greet\n", "utf-8")
    workspace = Workspace(root, store, {}, config)
    agents = [
        agent("cheap", "openai-api", "own"),
        agent("dear", "openai-api", "dear"),
        agent("unknown", "openai-api", "nobody-knows"),
        agent("login", "cli", "own", billing="subscription"),
        agent("here", "ollama", "own", billing="local"),
    ]
    found = estimates(workspace, FILE, "1", agents)
    assert [name for name, cost in found.items() if cost is not None] == ["cheap", "dear"]
    assert Decimal(found["cheap"] or 0) > 0
    assert Decimal(found["dear"] or 0) == 10 * Decimal(found["cheap"] or 0)
    assert estimates(workspace, FILE, "1", []) == {}
    with pytest.raises(UnknownTask):
        estimates(workspace, FILE, "9", agents)
