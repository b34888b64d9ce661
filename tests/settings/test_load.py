"""Layers, trust classes, problems at their lines, and the digest."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.settings import DEFINITIONS, LoadedSettings, Sources, load_settings
from kiro_lsp.settings.definitions import Definition

KEY = "sk-" + "ant-" + "a1B2" * 8
"""Put together here, so that no scanner takes this file for a leak."""
USER = "~/.config/kiro-lsp/config.toml"


def load(
    project: str | None = None, *, user: str | None = None, trusted: bool = False, root: str = "/p", **more: Any
) -> LoadedSettings:
    sources = Sources(root=root, project_toml=project, user_toml=user, user_path=USER, **more)
    return load_settings(sources, trusted=trusted)


def value_of(loaded: LoadedSettings, key: str) -> object:
    section, _, name = key.rpartition(".")
    settings = loaded.settings
    parts: dict[str, Any] = {
        "kiro": settings.kiro,
        "kiro.cost": settings.cost,
        "execution": settings.execution,
        "safety": settings.safety,
        "routing": settings.routing,
        "diagnostics": settings.diagnostics,
    }
    if section.startswith("agents."):
        return getattr(settings.agents[section.removeprefix("agents.")], name)
    if section.startswith("mcp.servers."):
        return getattr(settings.mcp_servers[section.removeprefix("mcp.servers.")], name)
    return getattr(parts[section], name.replace("-", "_"))


def test_without_any_source_the_defaults_hold_and_nothing_is_asked() -> None:
    loaded = load()
    assert loaded.problems == ()
    assert loaded.trust_values == ()
    assert loaded.settings.kiro.enabled is True
    assert loaded.settings.cost.max_cost_per_run == Decimal(2)


def test_stronger_layers_win() -> None:
    user = '[kiro]\ndefault_agent = "a"\nlenses = "all"\n[execution]\nstream_output = false\n'
    project = '[kiro]\ndefault_agent = "c"\n'
    client = {"lenses": "off", "defaultAgent": "b"}
    assert value_of(load(user=user), "kiro.default_agent") == "a"
    assert value_of(load(user=user, client=client, trusted=True), "kiro.default_agent") == "b"
    assert value_of(load(project, user=user, client=client, trusted=True), "kiro.default_agent") == "c"
    dotenv = "KIRO_DEFAULT_AGENT=d\n"
    assert value_of(load(project, user=user, dotenv=dotenv, trusted=True), "kiro.default_agent") == "d"
    environ = {"KIRO_DEFAULT_AGENT": "e", "KIRO_ENABLED": "false"}
    loaded = load(project, user=user, dotenv=dotenv, environ=environ, trusted=True)
    assert value_of(loaded, "kiro.default_agent") == "e"
    assert loaded.settings.kiro.enabled is False
    assert value_of(load(user=user, client=client), "kiro.lenses") == "off"


def _toml(key: str, value: str) -> str:
    section, _, name = key.rpartition(".")
    return f"[{section}]\n{name} = {value}\n"


def test_levels_of_diagnostics_come_from_the_project_and_in_camel_case_from_the_editor() -> None:
    project = '[diagnostics]\nduplicate-id = "off"\nid-order = "loud"\n'
    loaded = load(project, client={"diagnostics": {"openBelowDone": "hint", "no-run": "default"}})
    assert loaded.settings.diagnostics.levels == {"duplicate-id": "off", "open-below-done": "hint"}
    assert [problem.code for problem in loaded.problems] == ["setting-range"]


def test_a_project_cannot_hide_that_it_hides_characters() -> None:
    text = '[diagnostics]\ninvisible-characters = "off"\n'
    loaded = load(text, trusted=True)
    assert loaded.settings.diagnostics.levels == {}
    assert [problem.code for problem in loaded.problems] == ["not-from-project"]
    assert load(user=text).settings.diagnostics.levels == {"invisible-characters": "off"}


_LOOSER = {"min": "999", "false": "true", "true": "false"}
_USER = {"min": "3", "false": "false", "true": "true"}
_STRICTER = {"min": "1", "false": "false", "true": "true"}
_NARROW = [definition for definition in DEFINITIONS if definition.trust == "N"]


@pytest.mark.parametrize("definition", _NARROW, ids=lambda definition: definition.key)
@pytest.mark.parametrize("source", ["project", "client"])
def test_a_project_cannot_loosen_what_the_person_set(definition: Definition, source: str) -> None:
    key, narrow = definition.key.replace("NAME", "claude"), definition.narrow or ""
    # These have a small range of their own.
    looser = {"execution.max_parallel": "30", "execution.verify_repairs": "9"}.get(key, _LOOSER[narrow])
    user = _toml(key, _USER[narrow])
    loaded = (
        load(_toml(key, looser), user=user, trusted=True)
        if source == "project"
        else load(user=user, client=_nested(key, looser), trusted=True)
    )
    assert value_of(loaded, key) == value_of(load(user=user), key)
    [problem] = loaded.problems
    assert problem.code == "only-narrows"
    assert key in problem.message
    assert USER in problem.message
    assert problem.line == (1 if source == "project" else 0)


@pytest.mark.parametrize("definition", _NARROW, ids=lambda definition: definition.key)
def test_a_project_can_make_it_stricter_without_trust(definition: Definition) -> None:
    key, narrow = definition.key.replace("NAME", "claude"), definition.narrow or ""
    user = _toml(key, {"min": "3", "false": "true", "true": "false"}[narrow])
    loaded = load(_toml(key, _STRICTER[narrow]), user=user)
    assert loaded.problems == ()
    assert str(value_of(loaded, key)).lower() == _STRICTER[narrow]


def _nested(key: str, value: str) -> dict[str, Any]:
    plain: Any = {"true": True, "false": False}.get(value, value)
    tree: Any = int(value) if isinstance(plain, str) else plain
    for part in reversed(key.split(".")):
        tree = {part: tree}
    return dict(tree)


@given(
    user=st.decimals(min_value=0, max_value=100, places=2),
    project=st.decimals(min_value=0, max_value=1000, places=2),
    client=st.decimals(min_value=0, max_value=1000, places=2),
)
def test_a_cap_is_never_above_the_persons_own(user: Decimal, project: Decimal, client: Decimal) -> None:
    loaded = load(
        _toml("kiro.cost.max_cost_per_day", str(project)),
        user=_toml("kiro.cost.max_cost_per_day", str(user)),
        client={"kiro": {"cost": {"maxCostPerDay": float(client)}}},
        trusted=True,
    )
    assert loaded.settings.cost.max_cost_per_day == min(user, project, client)


TRUSTED_VALUES = [
    ("kiro.default_agent", '"mine"'),
    ("kiro.coder_mode", '"kiro"'),
    ("agents.x.type", '"acp"'),
    ("agents.x.label", '"Claude"'),
    ("agents.x.billing", '"local"'),
    ("agents.x.api_key_env", '"AWS_SECRET_ACCESS_KEY"'),
    ("agents.x.endpoint", '"https://evil.example/v1"'),
    ("agents.x.api", '"chat"'),
    ("agents.x.command", '"./agent"'),
    ("agents.x.args", '["--acp"]'),
    ("agents.x.env", '{ A = "1" }'),
    ("agents.x.login", '["agent", "login"]'),
    ("agents.x.recording", '"r.jsonl"'),
    ("agents.x.stream", '"claude"'),
    ("execution.auto_commit", "true"),
    ("execution.verify_command", '"make test"'),
    ("execution.allowed_commands", '["pytest -q"]'),
    ("routing.code_generation", '"x"'),
    ("routing.bug_fix", '"x"'),
    ("routing.refactor", '"x"'),
    ("routing.documentation", '"x"'),
    ("routing.testing", '"x"'),
    ("routing.classifier_model", '"m"'),
    ("routing.retry_model", '"m"'),
    ("mcp.servers.s.command", '"srv"'),
    ("mcp.servers.s.args", '["a"]'),
    ("mcp.servers.s.env", '{ A = "1" }'),
    ("mcp.servers.s.url", '"https://mcp.example/x"'),
    ("mcp.servers.s.hosts", '["api.example.com"]'),
    ("mcp.servers.s.log_implementation", "true"),
    ("agents.x.server", '"s"'),
    ("agents.x.tool", '"run"'),
    ("agents.x.arguments", '{ text = "{prompt}" }'),
]


def test_every_class_t_setting_is_in_the_list_below() -> None:
    listed = {
        key.replace("agents.x.", "agents.NAME.").replace("servers.s.", "servers.NAME.") for key, _ in TRUSTED_VALUES
    }
    assert listed == {definition.key for definition in DEFINITIONS if definition.trust == "T"}


@pytest.mark.parametrize(("key", "value"), TRUSTED_VALUES)
def test_a_class_t_value_waits_for_trust_and_is_part_of_the_digest(key: str, value: str) -> None:
    text = _toml(key, value)
    before, after = load(text), load(text, trusted=True)
    assert before.problems == after.problems == ()
    assert [item.key for item in before.trust_values] == [key]
    assert before.trust_values == after.trust_values
    assert before.digest == after.digest != load().digest
    default = load(_toml(key.rpartition(".")[0] + ".enabled", "true")) if "." in key[7:] and "s." in key else load()
    assert value_of(before, key) == value_of(default, key) != value_of(after, key)
    changed = load(text.replace('"', '"z', 1) if '"' in value else text.replace("true", "false"))
    assert changed.digest != before.digest, "one changed character must be asked for again"


def test_the_digest_is_bound_to_the_place_and_to_nothing_that_is_safe() -> None:
    text = '[execution]\nverify_command = "make"\n'
    assert load(text, root="/a").digest != load(text, root="/b").digest
    assert load(text).digest == load(text + '[kiro]\nlenses = "all"\n').digest
    assert load(text).digest == load("# a comment\n" + text.replace('"make"', '["make"]')).digest


def test_a_value_that_is_already_the_persons_own_is_not_asked_for() -> None:
    text = '[agents.a]\ntype = "acp"\ncommand = "agent"\n'
    assert load(text, user=text).trust_values == ()
    assert load(text, user=text, trusted=True).settings.agents["a"].origins["command"] == "user"
    assert len(load(text.replace('"agent"', '"agent2"'), user=text).trust_values) == 1


def test_a_standard_key_variable_never_asks_and_another_does() -> None:
    assert load('[agents.a]\napi_key_env = "ANTHROPIC_API_KEY"\n').trust_values == ()
    [value] = load('[agents.a]\napi_key_env = "MY_KEY"\n').trust_values
    assert (value.key, value.value, value.source) == ("agents.a.api_key_env", '"MY_KEY"', ".spec-workflow/kiro.toml")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[agents.a]\napi_key = "abcdefgh"\n', 1),
        (f'[agents.a]\nmodel = "{KEY}"\n', 1),
        ('[safety]\nsandbox = "off"\n', 1),
        ("[kiro]\nauto_accept = true\n", 1),
        ('approval = "never"\n', 0),
        ("[dashboard]\nhost = '0.0.0.0'\n", 0),
        ('[agents.a]\ntype = "cli"\nargs = ["-p", "--dangerously-skip-permissions"]\n', 2),
        ('[agents.a]\nargs = ["--permission-mode=bypassPermissions"]\n', 1),
        ('[agents.a]\ncommand = "codex --yolo"\n', 1),
        ('[agents.a]\nenv = { GEMINI_CLI_TRUST_WORKSPACE = "true" }\n', 1),
        ("[execution]\ntrust = true\n", 1),
        ('[agents.a]\nhttps_proxy = "http://x"\n', 1),
    ],
)
@pytest.mark.parametrize("trusted", [False, True])
def test_what_a_project_may_never_set_is_dropped_with_the_place_where_it_belongs(
    text: str, line: int, trusted: bool
) -> None:
    loaded = load(text, trusted=trusted)
    [problem] = [problem for problem in loaded.problems if problem.code == "not-from-project"]
    assert problem.line == line
    assert USER in problem.message or "api_key_env" in problem.message
    assert KEY not in problem.message
    agent = loaded.settings.agents.get("a")
    assert agent is None or (agent.api_key, agent.args, agent.command, dict(agent.env)) == (None, None, None, {})
    assert agent is None or agent.model is None


def test_the_person_may_set_what_a_project_may_not() -> None:
    user = (
        '[safety]\nrequire_confirmation = false\nreview_changes = false\n[agents.a]\napi_key = "abcdefgh"\n'
        'args = ["--yolo"]\n[kiro.cost]\nmax_cost_per_day = 100\n'
    )
    loaded = load(user=user)
    assert loaded.problems == ()
    assert loaded.settings.safety.require_confirmation is False
    assert loaded.settings.cost.max_cost_per_day == 100
    agent = loaded.settings.agents["a"]
    assert agent.api_key is not None
    assert agent.api_key.reveal() == "abcdefgh"
    assert agent.args == ("--yolo",)
    assert agent.origins["args"] == "user"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("[kiro]\nenabeld = true\n", "unknown-setting", (1, 0, 7)),
        ("[kiroo]\nx = 1\n", "unknown-setting", (0, 1, 6)),
        ("[execution]\n\n  timeout_seconds = 'x'\n", "setting-type", (2, 2, 17)),
        ("[execution]\ntimeout_seconds = 0\n", "setting-range", (1, 0, 15)),
        ("[execution]\ntimeout_seconds = 1.5\n", "setting-type", (1, 0, 15)),
        ("execution.timeout_seconds = true\n", "setting-type", (0, 10, 25)),
        ("kiro = 1\n", "setting-type", (0, 0, 4)),
        ("[[agents]]\nname = 'x'\n", "setting-type", (0, 2, 8)),
        ("[agents]\nclaude = 'x'\n", "setting-type", (1, 0, 6)),
        ("[agents.'../x']\nenabled = true\n", "setting-range", (0, 8, 14)),
        ("[kiro]\nlenses = 'some'\n", "setting-range", (1, 0, 6)),
        ("[kiro.cost]\nmax_cost_per_day = nan\n", "setting-range", (1, 0, 16)),
        ("[kiro.cost]\nmax_cost_per_day = inf\n", "setting-range", (1, 0, 16)),
        ("[kiro.cost]\nmax_cost_per_day = -1\n", "setting-range", (1, 0, 16)),
        ("[agents.a]\nendpoint = 'http://evil.example'\n", "setting-range", (1, 0, 8)),
        ("[agents.a]\nendpoint = 'https://me@evil.example'\n", "setting-range", (1, 0, 8)),
        ("[agents.a]\nendpoint = 'file:///etc/passwd'\n", "setting-range", (1, 0, 8)),
        ('[agents.a]\nmodel = "a\\nb"\n', "setting-range", (1, 0, 5)),
        ("[agents.a]\napi_key_env = 'sk-something'\n", "setting-range", (1, 0, 11)),
        ("[execution]\nverify_command = 'make && rm -rf x'\n", "setting-range", (1, 0, 14)),
        ("[execution]\nverify_command = [1]\n", "setting-type", (1, 0, 14)),
        ('"kiro" = { "lenses" = 5 }\n', "setting-type", (0, 11, 19)),
        ('[kiro]\nname = """\n[execution]\n"""\nlenses = 1\n', "setting-type", (4, 0, 6)),
    ],
)
def test_a_fault_is_shown_at_its_key_and_the_default_is_used(text: str, code: str, place: tuple[int, int, int]) -> None:
    loaded = load(text, trusted=True)
    problem = next(problem for problem in loaded.problems if problem.code == code)
    assert (problem.line, problem.column, problem.end_column) == place
    assert problem.severity == "warning"
    assert problem.path == ".spec-workflow/kiro.toml"
    assert loaded.settings.execution == load().settings.execution
    assert loaded.settings.cost == load().settings.cost


def test_a_misspelled_key_is_answered_with_the_right_one() -> None:
    [problem] = load("[execution]\ntimeout_secs = 5\n").problems
    assert "timeout_seconds" in problem.message


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("[kiro]\nenabled = = true\n", 1, 10),
        ("[kiro\n", 0, 5),
        ("[kiro]\nenabled = false\n\n[kiro]\n", 3, 5),
        ("[kiro]\nenabled = 'x\n", 1, 10),
        ("[kiro]\nx = 'a\ny = 1\nz = 2\n", 1, 4),
        ('[kiro]\nx = """a\ny = 1\n\n', 1, 4),
        ("a = [1,\n\n\n", 0, 7),
        ("[kiro]\r\nenabled = = true\r\n", 1, 10),
    ],
)
def test_malformed_toml_is_one_error_at_its_line_and_all_of_it_is_ignored(text: str, line: int, column: int) -> None:
    loaded = load(text, user="[kiro]\nlenses = 'all'\n", trusted=True)
    [problem] = loaded.problems
    assert (problem.code, problem.severity) == ("toml-syntax", "error")
    assert (problem.line, problem.column) == (line, column)
    assert loaded.settings.kiro.enabled is True
    assert loaded.settings.kiro.lenses == "all", "the other layers still count"


@given(st.text(max_size=200))
def test_no_text_can_break_the_loader(text: str) -> None:
    for sources in (
        Sources(project_toml=text, user_toml=text, dotenv=text),
        Sources(project_toml=f"[agents.a]\n{text}", environ={"KIRO_ENABLED": text}),
    ):
        loaded = load_settings(sources, trusted=True)
        assert loaded.settings.safety.require_confirmation is True or "require_confirmation" in text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=10), children, max_size=3),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(["kiro", "agents", "execution", "safety", "mcp", "lenses", "cost", "x", "enabled"]), json_values
    )
)
def test_no_editor_setting_can_break_the_loader(client: dict[str, Any]) -> None:
    loaded = load(client=client)
    assert loaded.settings.safety.require_confirmation is True
    assert loaded.settings.cost.max_cost_per_day <= 10


def test_editor_settings_are_read_in_both_spellings_and_have_a_projects_rights() -> None:
    client: dict[str, Any] = {
        "lenses": "all",
        "execution": {"timeoutSeconds": 60, "max_parallel": 2, "autoCommit": True},
        "agents": {"myAgent": {"maxTokens": 100, "type": "acp", "env": {"someVar": "1"}}},
        "safety": {"requireConfirmation": None},
        "trace": {"server": "off"},
        "path": ["kiro-lsp"],
    }
    loaded = load(client=client, trusted=True)
    assert loaded.problems == ()
    assert loaded.settings.kiro.lenses == "all"
    assert loaded.settings.execution.timeout_seconds == 60
    assert loaded.settings.agents["myAgent"].max_tokens == 100
    assert dict(loaded.settings.agents["myAgent"].env) == {"someVar": "1"}
    assert {value.key for value in loaded.trust_values} == {
        "execution.auto_commit",
        "agents.myAgent.type",
        "agents.myAgent.env",
    }
    untrusted = load(client=client)
    assert untrusted.settings.execution.auto_commit is False
    assert untrusted.settings.agents["myAgent"].type is None
    [problem] = load(client={"agents": {"a": {"apiKey": "abcdefgh"}}}, trusted=True).problems
    assert problem.code == "not-from-project"


def test_the_list_of_protocol_extensions_is_no_setting() -> None:
    assert load(client={"kiro": ["kiro/review"], "lenses": "off"}).problems == ()


@pytest.mark.parametrize(
    ("word", "enabled"), [("0", False), ("no", False), ("TRUE", True), ("", True), ("maybe", True)]
)
def test_an_environment_variable_turns_it_off_and_nonsense_is_reported(word: str, enabled: bool) -> None:
    loaded = load(environ={"KIRO_ENABLED": word})
    assert loaded.settings.kiro.enabled is enabled
    assert [problem.path for problem in loaded.problems] == (
        ["environment variable KIRO_ENABLED"] if word == "maybe" else []
    )


def test_the_environment_speaks_for_the_person() -> None:
    loaded = load("[kiro.cost]\nmax_cost_per_run = 1\n", environ={"KIRO_MAX_COST_PER_RUN": "7.5"})
    assert loaded.settings.cost.max_cost_per_run == Decimal("7.5")


def test_a_dotenv_counts_only_when_trusted_and_cannot_turn_on_what_is_off() -> None:
    dotenv = "KIRO_ENABLED=false\nKIRO_LENSES=off\nKIRO_MAX_COST_PER_DAY=1000\n"
    assert load(dotenv=dotenv).settings.kiro.enabled is True
    loaded = load(dotenv=dotenv, trusted=True)
    assert loaded.settings.kiro.enabled is False
    assert loaded.settings.kiro.lenses == "recommended", "not on the list of allowed names"
    assert loaded.settings.cost.max_cost_per_day == 10
    off = load(user="[kiro]\nenabled = false\n", dotenv="KIRO_ENABLED=true\n", trusted=True)
    assert off.settings.kiro.enabled is False
    assert off.problems == ()


def test_a_refused_user_configuration_is_said_and_not_used() -> None:
    loaded = load(user="[safety]\nreview_changes = false\n", user_refusal="It can be written by others.")
    assert loaded.settings.safety.review_changes is True
    [problem] = loaded.problems
    assert (problem.code, problem.path) == ("user-config-refused", USER)


def test_values_that_are_shown_before_trust_hide_nothing() -> None:
    text = '[agents.a]\ncommand = "./a\\u202e\\u200b   b"\nargs = ["' + "x" * 3000 + '", "", "\\u001b[2K"]\n'
    loaded = load(text.replace(', "\\u001b[2K"', ""))
    shown = {value.key: value.value for value in loaded.trust_values}
    assert shown["agents.a.command"] == '"./a\\u202e\\u200b   b"'
    assert "x" * 3000 in shown["agents.a.args"]
    assert load(text).problems[0].code == "setting-range", "an escape character has no business in an argument"


@pytest.mark.parametrize(
    ("toml", "price"),
    [
        ('[prices."z-ai/glm-4.6"]\ninput = 0.6\noutput = 2.2', ("0.6", "2.2", None, None)),
        ('[prices."z-ai/glm-4.6"]\ninput = 0\noutput = 0\ncached = 0.1', ("0", "0", "0.1", None)),
        ('[prices."z-ai/glm-4.6"]\ninput = 1\noutput = 2\ncached = 0.5\ncache_write = 3', ("1", "2", "0.5", "3")),
    ],
)
def test_a_person_can_say_what_a_model_costs(toml: str, price: tuple[str | None, ...]) -> None:
    loaded = load_settings(Sources(user_toml=toml), trusted=False)
    assert loaded.problems == ()
    stated = loaded.settings.prices["z-ai/glm-4.6"]
    assert (stated.input, stated.output, stated.cached, stated.cache_write) == tuple(
        None if amount is None else Decimal(amount) for amount in price
    )


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[prices.some]\ninput = 1", "nothing of output"),
        ("[prices.some]\noutput = 1\ncached = 1", "nothing of input"),
        ("[prices.some]\ninput = -1\noutput = 1", "between 0"),
        ("[prices.some]\ninput = nan\noutput = 1", "finite"),
        ("[prices.gpt-5.2]\ninput = 1\noutput = 1", '[prices."gpt-5.2"]'),
        ("[prices.'a b']\ninput = 1\noutput = 1", "cannot be a name"),
    ],
)
def test_half_a_price_is_no_price(toml: str, said: str) -> None:
    loaded = load_settings(Sources(user_toml=toml), trusted=False)
    assert any(said in problem.message for problem in loaded.problems)
    assert loaded.settings.prices == {}


def test_a_project_cannot_say_what_a_model_costs() -> None:
    toml = "[prices.some]\ninput = 0\noutput = 0"
    for sources in (
        Sources(project_toml=toml),
        Sources(client={"prices": {"some": {"input": 0, "output": 0}}}),
    ):
        loaded = load_settings(sources, trusted=True)
        assert {problem.code for problem in loaded.problems} == {"not-from-project"}
        assert loaded.settings.prices == {}
