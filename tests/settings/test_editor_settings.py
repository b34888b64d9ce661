"""What the person set in the editor for themselves, where the client tells it from what a workspace sets."""

from __future__ import annotations

from decimal import Decimal

from tests.settings.test_load import KEY, load, value_of


def test_what_the_person_set_in_the_editor_has_the_rights_of_their_configuration() -> None:
    user = '[kiro]\ndefault_agent = "a"\n[kiro.cost]\nmax_cost_per_run = 1\n'
    own = {"cost": {"maxCostPerRun": 5}, "defaultAgent": "b", "execution": {"verifyCommand": "make check"}}
    loaded = load(user=user, editor=own)
    assert loaded.settings.cost.max_cost_per_run == Decimal(5), "it may be raised"
    assert value_of(loaded, "kiro.default_agent") == "b"
    assert loaded.settings.execution.verify_command == ("make", "check")
    assert loaded.problems == ()
    assert loaded.trust_values == (), "nobody is asked about their own settings"
    assert loaded.digest == load().digest
    narrowed = load(user=user, editor=own, client={"cost": {"maxCostPerRun": 3}, "defaultAgent": "c"})
    assert narrowed.settings.cost.max_cost_per_run == Decimal(3)
    assert value_of(narrowed, "kiro.default_agent") == "b", "the workspace's has to be trusted first"
    raised = load(user=user, editor=own, client={"cost": {"maxCostPerRun": 9}})
    assert raised.settings.cost.max_cost_per_run == Decimal(5)
    assert [problem.code for problem in raised.problems] == ["only-narrows"]


def test_what_is_never_taken_from_a_project_is_not_taken_from_the_editor() -> None:
    """Editors carry settings from machine to machine, and a key would travel with them."""
    own = {"agents": {"claude": {"apiKey": KEY, "homes": ["~/.ssh"], "args": ["--dangerously-skip-permissions"]}}}
    loaded = load(editor=own, trusted=True)
    assert [problem.code for problem in loaded.problems] == ["not-from-project"] * 3
    assert loaded.settings.agents["claude"].api_key is None
    assert loaded.settings.agents["claude"].homes is None
    assert loaded.settings.agents["claude"].args is None
