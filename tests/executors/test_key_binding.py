"""An agent gets its key only for an address that the key is bound to."""

from __future__ import annotations

import pytest

from kiro_lsp.executors import registry
from kiro_lsp.settings import Sources, load_settings

ENVIRON = {"ANTHROPIC_API_KEY": "the-persons-key"}


@pytest.mark.parametrize(
    ("project", "user", "environ", "given"),
    [
        ("", "", {}, True),
        ('endpoint = "https://gateway.example"', "", {}, False),
        ('endpoint = "http://127.0.0.1:9"', "", {}, True),
        ("", 'endpoint = "https://gateway.example"', {}, True),
        ('endpoint = "https://gateway.example"', 'endpoint = "https://mine.example"', {}, False),
        ("", "", {"ANTHROPIC_BASE_URL": "https://gateway.example"}, True),
        ("", "", {"ANTHROPIC_BASE_URL": "http://gateway.example"}, False),
    ],
)
def test_a_trusted_projects_address_does_not_get_the_persons_key(
    project: str, user: str, environ: dict[str, str], given: bool
) -> None:
    everything = ENVIRON | environ
    loaded = load_settings(
        Sources(
            project_toml=f"[agents.claude]\n{project}\n", user_toml=f"[agents.claude]\n{user}\n", environ=everything
        ),
        trusted=True,
    )
    agent = registry.settings_for("claude", loaded.settings)
    handed = registry.environ_of(agent, everything, loaded.secrets)
    assert (handed.get("ANTHROPIC_API_KEY") == "the-persons-key") is given
    info = next(info for info in registry.agents(loaded.settings, loaded.secrets) if info.name == "claude")
    if project and not given:
        assert not info.available
        assert "comes from the project" in info.reason
