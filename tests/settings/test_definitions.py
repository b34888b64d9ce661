"""The table of settings is whole: every field of every section stands in it, with a trust class and a default."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from kiro_lsp.settings import DEFINITIONS, Sources, load_settings
from kiro_lsp.settings.definitions import SECTION_DOCS, SECTIONS, Definition, shown_default
from kiro_lsp.settings.diagnostics import CODES
from kiro_lsp.settings.dotenv import ALLOWED_KEYS
from kiro_lsp.settings.models import MODELS, successor
from kiro_lsp.settings.providers import STANDARD_KEYS
from kiro_lsp.settings.templates import init_config_text, settings_reference
from tests.conftest import REPO, SHARED

_NOT_SETTINGS = {"agents.NAME": {"name", "origins"}, "mcp.servers.NAME": {"name"}}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_field_of_a_section_is_defined_once(section: str) -> None:
    fields = {field.name for field in dataclasses.fields(SECTIONS[section])} - _NOT_SETTINGS.get(section, set())
    defined = [definition.field for definition in DEFINITIONS if definition.section == section]
    assert sorted(defined) == sorted(fields)
    assert SECTION_DOCS[section].endswith(".")


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.key)
def test_every_setting_has_a_trust_class_and_a_sentence(definition: Definition) -> None:
    assert definition.trust in ("X", "T", "N", "S")
    assert definition.doc.endswith(".")
    assert (definition.narrow is not None) == (definition.trust == "N"), "class N says which way is narrower"
    if definition.kind in ("int", "money"):
        assert definition.minimum is not None
        assert definition.maximum is not None
    if definition.kind == "choice":
        assert definition.choices
    assert shown_default(definition) or definition.example or definition.trust == "X"


TRUST_CLASSES = {
    "X": {
        "agents.NAME.api_key", "diagnostics.invisible-characters", "agents.NAME.login_files", "agents.NAME.network",
        "agents.NAME.hosts", "agents.NAME.homes", "agents.NAME.guarded", "agents.NAME.sandbox_mode", "agents.NAME.auth_method",
        *(f"agents.NAME.{name}" for name in ("sandbox_args", "copy_args", "model_args", "resume_args", "copy_env")),
        "agents.NAME.continue_command",
        *(f"agents.NAME.{name}" for name in ("meter", "base_url_env", "base_url_args")),
        "prices.NAME.input", "prices.NAME.output", "prices.NAME.cached", "prices.NAME.cache_write",
    },
    "N": {
        "kiro.enabled", "kiro.cost.max_cost_per_day", "kiro.cost.warn_at_cost", "kiro.cost.max_cost_per_run",
        "agents.NAME.enabled", "agents.NAME.max_tokens", "execution.auto_save", "execution.timeout_seconds",
        "execution.max_parallel", "execution.kiro_session_timeout", "execution.verify_timeout",
        "execution.verify_repairs", "safety.require_confirmation",
        "safety.review_changes", "safety.backup_before_execution", "mcp.servers.NAME.enabled",
    },
    "S": {
        "kiro.lenses", "kiro.cost.prefer_cheap_for_simple_tasks", "kiro.cost.cache_prompts", "kiro.cost.reuse_context",
        "agents.NAME.model", "execution.stream_output", "execution.mark_in_progress",
        *(f"diagnostics.{code}" for code in CODES if code != "invisible-characters"),
    },
}  # fmt: skip


def test_trust_classes_change_only_on_purpose() -> None:
    """The security decision, written down a second time: moving a setting to a weaker class must be said twice."""
    found: dict[str, set[str]] = {"X": set(), "N": set(), "S": set()}
    for definition in DEFINITIONS:
        if definition.trust != "T":
            found[definition.trust].add(definition.key)
    assert found == TRUST_CLASSES


def test_standard_keys_are_what_a_dotenv_may_hold() -> None:
    assert set(STANDARD_KEYS) == ALLOWED_KEYS
    assert {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"} <= ALLOWED_KEYS


def test_the_configuration_page_is_fresh() -> None:
    page = (REPO / "docs" / "configuration.md").read_text("utf-8")
    match = re.search(r"<!-- settings:begin.*?-->\n(.*?)<!-- settings:end -->", page, re.DOTALL)
    assert match is not None
    assert match[1] == settings_reference(), "put the output of settings_reference() between the markers"


def test_the_file_that_init_writes_loads_without_a_problem() -> None:
    for trusted in (False, True):
        loaded = load_settings(Sources(project_toml=init_config_text()), trusted=trusted)
        assert loaded.problems == ()
        assert loaded.trust_values == ()


def test_every_line_that_init_comments_out_is_valid_when_it_is_not() -> None:
    text = re.sub(r"(?m)^# ((?:\[[\w.]+\]|[a-z_-]+ = .*))$", r"\1", init_config_text())
    loaded = load_settings(Sources(project_toml=text), trusted=True)
    assert loaded.problems == ()
    missing = [d.key for d in DEFINITIONS if d.trust != "X" and f"\n{d.key.rpartition('.')[2]} = " not in text]
    assert missing == []
    assert loaded.settings.agents["claude"].type == "anthropic-api"
    assert loaded.settings.mcp_servers["files"].command == "mcp-server-filesystem"


@pytest.mark.parametrize(
    ("model", "new"),
    [
        ("claude-sonnet-4", "claude-sonnet-5-5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-5-5"),
        ("claude-opus-4-0", "claude-opus-5-5"),
        ("claude-3-5-haiku-latest", "claude-haiku-5-5"),
        ("anthropic/claude-sonnet-4", "anthropic/claude-sonnet-5-5"),
        ("gpt-4", "gpt-6.1-sol"),
        ("GPT-4-0613", "gpt-6.1-sol"),
        ("gpt-4-turbo", "gpt-6.1-sol"),
        ("gemini-2.0-flash-exp", "gemini-3.8-flash"),
        ("gemini-2.0-flash-lite", "gemini-3.5-flash-lite"),
        ("claude-sonnet-4-5", None),
        ("claude-sonnet-4-6", None),
        ("claude-opus-4-8", None),
        ("gpt-4o", None),
        ("gpt-4.1", None),
        ("gemini-2.5-flash", None),
        ("codellama:13b", None),
        ("", None),
    ],
)
def test_retired_models_have_a_successor_and_others_do_not(model: str, new: str | None) -> None:
    assert successor(model) == new


def test_no_default_model_is_retired_or_without_a_price() -> None:
    from genai_prices import Usage, calc_price

    for provider, models in MODELS.items():
        for model in (models.default, models.cheap):
            assert successor(model) is None
            priced = calc_price(Usage(input_tokens=1000, output_tokens=10), model, provider_id=provider)
            assert priced.total_price > 0


def test_the_example_of_the_product_loads_with_no_warning_but_its_retired_models(shared: Path) -> None:
    seed = next((shared / "seeds").glob("000_*.txt")).read_text("utf-8", "replace")
    blocks = re.findall(r"```toml\n(.*?)```", seed, re.DOTALL)
    assert shared == SHARED
    assert len(blocks) == 2
    for text in (*blocks, "\n".join(blocks)):
        for trusted in (False, True):
            loaded = load_settings(Sources(project_toml=text), trusted=trusted)
            assert {problem.code for problem in loaded.problems} <= {"retired-model"}
            assert [text.split("\n")[problem.line].split(" ")[0] for problem in loaded.problems] == (
                ["model"] * len(loaded.problems)
            )
    loaded = load_settings(Sources(project_toml=blocks[0]), trusted=True)
    assert len(loaded.problems) == 3
    agents = loaded.settings.agents
    assert {name: agent.model for name, agent in agents.items()} == {
        "claude": "claude-sonnet-5-5",
        "codex": "gpt-6.1-sol",
        "gemini": "gemini-3.8-flash",
        "local": "codellama:13b",
    }
    assert agents["local"].enabled is False
    assert agents["local"].endpoint == "http://localhost:11434"
    assert loaded.settings.execution.timeout_seconds == 300
