"""Agents: found by their file, listed with the reason, created lazily."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kiro_lsp.errors import ExecutorError, RunRefused
from kiro_lsp.executors import registry, ways
from kiro_lsp.executors.anthropic import SCRIPT, AnthropicExecutor
from kiro_lsp.executors.detection import NOTHING, Found, Program, Server
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.executors.replay import ReplayExecutor
from kiro_lsp.settings import MODELS, LoadedSettings, Sources, load_settings
from tests.conftest import REPO
from tests.support.claude import KEY


def loaded(toml: str = "", **environ: str) -> LoadedSettings:
    return load_settings(Sources(user_toml=toml, environ=environ), trusted=True)


def listed(given: LoadedSettings, found: Found = NOTHING) -> dict[str, AgentInfo]:
    return {info.name: info for info in registry.agents(given.settings, given.secrets, found)}


def test_without_a_key_claude_says_which_variable_was_looked_for_and_where() -> None:
    claude = listed(loaded())["claude"]
    assert not claude.available
    assert "ANTHROPIC_API_KEY" in claude.reason
    assert "environment variable" in claude.reason
    assert ".env" in claude.reason


def test_with_a_key_claude_is_recommended() -> None:
    given = loaded(ANTHROPIC_API_KEY=KEY)
    claude = listed(given)["claude"]
    assert (claude.label, claude.type, claude.way, claude.billing) == ("Claude", "anthropic-api", "api", "metered")
    assert (claude.available, claude.model) == (True, MODELS["anthropic"].default)
    assert KEY not in claude.reason
    assert registry.recommended(list(listed(given).values()), given.settings) == claude


@pytest.mark.parametrize(
    ("toml", "environ", "available", "reason"),
    [
        ("", {}, False, "OPENAI_API_KEY was not found"),
        ("", {"OPENAI_API_KEY": KEY}, True, "key found"),
        ("[agents.codex]\nendpoint = 'http://127.0.0.1:8000/v1'", {}, True, "needs no key"),
        ("", {"OPENAI_BASE_URL": "http://localhost:1234/v1"}, True, "needs no key"),
        ("[agents.codex]\nendpoint = 'https://vendor.example/v1'", {}, False, "OPENAI_API_KEY was not found"),
    ],
)
def test_a_server_on_this_machine_that_speaks_like_openai_needs_no_key(
    toml: str, environ: dict[str, str], available: bool, reason: str
) -> None:
    codex = listed(loaded(toml, **environ))["codex"]
    assert (codex.label, codex.model, codex.available) == ("Codex", MODELS["openai"].default, available)
    assert reason in codex.reason


def test_nothing_recorded_is_recommended_unless_it_was_chosen() -> None:
    given = loaded()
    infos = listed(given)
    assert (infos["recorded"].label, infos["recorded"].way, infos["recorded"].available) == ("Recorded", "replay", True)
    assert registry.recommended(list(infos.values()), given.settings) is None
    chosen = loaded('[kiro]\ndefault_agent = "recorded"\n')
    found = registry.recommended(list(listed(chosen).values()), chosen.settings)
    assert found is not None
    assert found.name == "recorded"


@pytest.mark.parametrize(
    ("toml", "name", "reason"),
    [
        ("[agents.claude]\nenabled = false", "claude", "enabled = false"),
        ("[agents.mine]\nmodel = 'x'", "mine", "agents.mine.type is not set"),
        ("[agents.mine]\ntype = 'mcp'", "mine", "agents.mine.command is not set"),
        ("[agents.mine]\ntype = 'mcp'\nserver = 'gone'", "mine", "there is no server 'gone' in [mcp.servers]"),
        ("[agents.tape]\ntype = 'replay'\nrecording = '/nowhere/a.run.jsonl'", "tape", "no recording /nowhere"),
        ("[agents.work]\ntype = 'anthropic-api'\napi_key_env = 'WORK_KEY'", "work", "WORK_KEY was not found"),
    ],
)
def test_an_agent_that_cannot_be_used_says_why(toml: str, name: str, reason: str) -> None:
    info = listed(loaded(toml))[name]
    assert not info.available
    assert reason in info.reason


def test_a_second_agent_of_a_known_type_needs_no_code() -> None:
    given = loaded(
        "[agents.work]\ntype = 'anthropic-api'\napi_key_env = 'WORK_KEY'\nlabel = 'Claude at work'\nmodel = 'claude-opus-5-5'",
        WORK_KEY=KEY,
        ANTHROPIC_BASE_URL="http://127.0.0.1:9",
    )
    info = listed(given)["work"]
    assert (info.available, info.label, info.model) == (True, "Claude at work", "claude-opus-5-5")
    settings = registry.settings_for("work", given.settings)
    environ = {"WORK_KEY": KEY, "ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "PATH": "/bin"}
    assert registry.environ_of(settings, environ, given.secrets) == {
        "WORK_KEY": KEY,
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
    }


@pytest.mark.parametrize("variable", ["GOOGLE_API_KEY", "GEMINI_API_KEY"])
def test_gemini_is_found_by_either_of_its_keys(variable: str) -> None:
    given = loaded(**{variable: KEY})
    info = listed(given)["gemini"]
    assert (info.available, info.reason, info.label) == (True, f"key found: {variable}", "Gemini")
    settings = registry.settings_for("gemini", given.settings)
    assert registry.environ_of(settings, {variable: KEY}, given.secrets) == {"GOOGLE_API_KEY": KEY}
    chosen = loaded("[agents.gemini]\napi_key_env = 'GOOGLE_API_KEY'", GEMINI_API_KEY=KEY)
    assert not listed(chosen)["gemini"].available


def test_ollama_waits_for_a_model_to_be_named() -> None:
    assert "enabled = false" in listed(loaded())["ollama"].reason
    assert "agents.ollama.model is not set" in listed(loaded("[agents.ollama]\nmax_tokens = 9"))["ollama"].reason
    given = loaded("[agents.ollama]\nmodel = 'qwen3-coder:30b'", OLLAMA_HOST="127.0.0.1:9")
    info = listed(given)["ollama"]
    assert (info.available, info.billing, info.model) == (True, "local", "qwen3-coder:30b")
    settings = registry.settings_for("ollama", given.settings)
    assert registry.environ_of(settings, {"OLLAMA_HOST": "127.0.0.1:9"}, given.secrets) == {
        "OLLAMA_HOST": "127.0.0.1:9"
    }


def test_an_address_without_https_is_said_before_a_run() -> None:
    info = listed(loaded(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL="http://gateway.example"))["claude"]
    assert not info.available
    assert "https" in info.reason


@pytest.mark.parametrize(
    ("model", "used"), [("claude-sonnet-4", "claude-sonnet-5-5"), ("claude-opus-5-5", "claude-opus-5-5")]
)
def test_a_retired_model_is_replaced_by_its_successor(model: str, used: str) -> None:
    assert listed(loaded(f"[agents.claude]\nmodel = '{model}'"))["claude"].model == used


@pytest.mark.parametrize("name", ["claude", "Claude", "CLAUDE", "anthropic-api"])
def test_an_agent_answers_to_its_name_label_and_type(name: str) -> None:
    assert registry.named(list(listed(loaded()).values()), name).name == "claude"


def test_an_unknown_agent_is_refused_with_those_that_exist() -> None:
    with pytest.raises(RunRefused, match="no agent 'gpt'") as caught:
        registry.named(list(listed(loaded()).values()), "gpt")
    assert caught.value.code == "no-agent"
    assert "claude" in caught.value.hint
    assert "recorded" in caught.value.hint


@pytest.mark.parametrize(
    ("table", "command", "endpoint", "needs"),
    [
        ("command = 'coder'\nargs = ['x']", "coder", None, ("none", ())),
        ("command = 'coder'\nhosts = ['api.example.com']", "coder", None, ("hosts", ("api.example.com",))),
        ("command = 'coder'\nhosts = ['*', 'api.example.com']", "coder", None, ("open", ("api.example.com",))),
        ("url = 'http://127.0.0.1:9/mcp'", None, "http://127.0.0.1:9/mcp", ("none", ())),
        ("command = 'coder'\nenabled = false", None, None, ("open", ())),
    ],
    ids=["no network", "hosts", "everything", "http", "off"],
)
def test_an_agent_that_is_a_tool_of_a_server_is_reached_as_the_server_is(
    table: str, command: str | None, endpoint: str | None, needs: tuple[str, tuple[str, ...]]
) -> None:
    given = loaded(f"[mcp.servers.web]\n{table}\n[agents.mine]\ntype = 'mcp'\nserver = 'web'\ntool = 'run'\n")
    agent = registry.settings_for("mine", given.settings)
    assert (agent.command, agent.endpoint) == (command, endpoint)
    place = ways.needs_of(agent)
    assert (place.network, place.hosts) == needs
    info = listed(given)["mine"]
    assert info.available is (endpoint is not None), info.reason
    assert (endpoint or command or "there is no server 'web'") in info.reason


def test_an_executor_is_created_by_its_type() -> None:
    given = loaded()
    infos = listed(given)
    assert isinstance(registry.create(infos["claude"], given.settings), AnthropicExecutor)
    assert isinstance(registry.create(infos["recorded"], given.settings), ReplayExecutor)
    assert registry.warm_module(infos["claude"]) == SCRIPT
    assert registry.warm_module(infos["recorded"]) is None
    for kind in ("nonsense",):
        odd = replace(infos["claude"], type=kind)
        assert registry.warm_module(odd) is None
        with pytest.raises(ExecutorError, match=f"does not speak '{kind}'"):
            registry.create(odd, given.settings)


def test_a_planner_gets_an_executor_by_name_or_the_reason() -> None:
    assert isinstance(registry.agent_named("claude", environ={"ANTHROPIC_API_KEY": KEY}), AnthropicExecutor)
    with pytest.raises(RunRefused, match="ANTHROPIC_API_KEY was not found"):
        registry.agent_named("claude", environ={})


def test_every_file_of_the_folder_is_an_agent_and_is_valid() -> None:
    files = {path.stem for path in (REPO / "kiro_lsp" / "executors" / "agents").glob("*.toml")}
    assert set(registry.known_builtins()) == files == set(listed(loaded()))


def test_a_new_agent_is_one_file(tmp_path: Path) -> None:
    """In a copy of the package, so that nothing but the file is new."""
    package = tmp_path / "kiro_lsp"
    shutil.copytree(REPO / "kiro_lsp", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "executors" / "agents" / "gateway.toml").write_text(
        'label = "Gateway"\ntype = "anthropic-api"\norder = 20\napi_key_env = "GATEWAY_KEY"\n'
        'endpoint = "https://gateway.example"\nbilling = "metered"\n',
        "utf-8",
    )
    code = (
        "from kiro_lsp.executors import registry, agent_named\n"
        "from kiro_lsp.settings import Sources, load_settings\n"
        "l = load_settings(Sources(environ={'GATEWAY_KEY': 'local-key-1234'}), trusted=True)\n"
        "print([(i.name, i.label, i.available) for i in registry.agents(l.settings, l.secrets)])\n"
        "print(type(agent_named('gateway', environ={'GATEWAY_KEY': 'local-key-1234'})).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "('gateway', 'Gateway', True)" in lines[0]
    assert lines[1] == "AnthropicExecutor"


# What is on the machine


LOGIN_OF_CLAUDE = registry.known_builtins()["claude"].ways[0].login_files or ()


def test_the_ways_behind_a_name_are_listed_in_order_and_the_one_in_use_is_marked() -> None:
    programs = {"claude": Program("/usr/bin/claude", "2.1.329"), "claude-agent-acp": Program(None)}
    traces = {"claude": (".claude",), "": ("AGENTS.md",)}
    found = Found(programs, traces=traces, files=dict.fromkeys(LOGIN_OF_CLAUDE, False))
    claude = listed(loaded(ANTHROPIC_API_KEY=KEY), found)["claude"]
    assert [(way.way, way.command, way.available, way.in_use) for way in claude.ways] == [
        ("cli", "claude", False, False),
        ("acp", "claude-agent-acp", False, False),
        ("api", None, True, True),
    ]
    cli, acp, api = claude.ways
    assert cli.reason == (
        "claude 2.1.329 is at /usr/bin/claude, but you are not logged in to it: run `claude auth login`"
    )
    assert cli.version == "2.1.329"
    assert "not on the PATH" in acp.reason
    assert (claude.way, claude.reason, claude.traces) == ("api", api.reason, (".claude", "AGENTS.md"))
    without = listed(loaded(), found)["claude"]
    assert not any(way.in_use for way in without.ways)
    assert "ANTHROPIC_API_KEY" in without.reason


@pytest.mark.parametrize(
    ("toml", "files", "available"),
    [
        ("", {}, True),  # nobody looked
        ("", dict.fromkeys(LOGIN_OF_CLAUDE, False), False),
        ("", {**dict.fromkeys(LOGIN_OF_CLAUDE, False), LOGIN_OF_CLAUDE[0]: True}, True),
        ("login_files = []", dict.fromkeys(LOGIN_OF_CLAUDE, False), True),
        ("billing = 'metered'", dict.fromkeys(LOGIN_OF_CLAUDE, False), True),  # it is given the key
    ],
)
def test_a_program_without_a_login_is_passed_over(toml: str, files: dict[str, bool], available: bool) -> None:
    given = loaded(f"[agents.claude]\ntype = 'acp'\n{toml}\n")
    claude = listed(given, Found({"claude-agent-acp": Program("/bin/agent")}, files=files))["claude"]
    assert claude.available is available, claude.reason
    assert ("run `claude auth login`" in claude.reason) is not available


def test_a_way_that_is_chosen_by_its_type_keeps_what_the_agents_file_says_of_it() -> None:
    given = loaded("[agents.claude]\ntype = 'acp'\nhosts = ['127.0.0.1:9']\n[agents.claude.env]\nLANG = 'C'\n")
    way = registry.settings_for("claude", given.settings)
    builtin = registry.known_builtins()["claude"].ways[1]
    assert (way.command, way.homes, way.hosts) == ("claude-agent-acp", builtin.homes, ("127.0.0.1:9",))
    assert dict(way.env) == {**builtin.env, "LANG": "C"}
    needs = ways.needs_of(way)
    assert (needs.network, needs.hosts) == ("hosts", ("127.0.0.1:9",))
    assert {f"{home.path}/{name}" for home in needs.homes for name in home.guarded} == set(builtin.guarded or ())


def test_who_configures_a_type_wants_that_way_only() -> None:
    given = loaded("[agents.claude]\ntype = 'acp'\ncommand = 'my-claude'", ANTHROPIC_API_KEY=KEY)
    claude = listed(given, Found({"my-claude": Program("/bin/my-claude")}))["claude"]
    assert [(way.type, way.command) for way in claude.ways] == [("acp", "my-claude")]
    assert claude.available
    assert "my-claude is at /bin/my-claude" in claude.reason


@pytest.mark.parametrize("kind", ["cli", "acp", "mcp", "kiro"])
@pytest.mark.parametrize(("billing", "keys"), [("", {}), ("billing = 'metered'", {"ANTHROPIC_API_KEY": KEY})])
def test_a_program_gets_a_key_only_where_the_person_wants_to_pay_by_use(
    kind: str, billing: str, keys: dict[str, str]
) -> None:
    toml = (
        f"[agents.mine]\ntype = '{kind}'\ncommand = 'mine'\napi_key_env = 'ANTHROPIC_API_KEY'\n{billing}\n"
        f"[agents.mine.env]\nOPENAI_API_KEY = '{KEY}'\nLANG = 'C'\n"
    )
    given = loaded(toml, ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL="http://127.0.0.1:9")
    settings = registry.settings_for("mine", given.settings)
    environ = {"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY, "PATH": "/bin"}
    assert registry.environ_of(settings, environ, given.secrets) == keys
    assert dict(settings.env) == ({"OPENAI_API_KEY": KEY, "LANG": "C"} if keys else {"LANG": "C"})


def test_a_way_that_this_version_can_go_comes_before_the_key_and_gets_none(tmp_path: Path) -> None:
    """In a copy of the package with a module for programs, so that nothing but the module is new."""
    shutil.copytree(REPO / "kiro_lsp", tmp_path / "kiro_lsp", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "kiro_lsp" / "executors" / "command.py").write_text(
        "class CommandExecutor:\n    def __init__(self, agent, workers, environ):\n        self.agent = agent\n",
        "utf-8",
    )
    code = f"""
from kiro_lsp.executors import registry
from kiro_lsp.executors.detection import NOTHING, Found, Program
from kiro_lsp.settings import Sources, load_settings
environ = {{'ANTHROPIC_API_KEY': '{KEY}'}}
l = load_settings(Sources(environ=environ), trusted=True)
for path in ('/usr/bin/claude', None):
    found = Found({{'claude': Program(path, '2.1')}})
    info = next(i for i in registry.agents(l.settings, l.secrets, found) if i.name == 'claude')
    made = registry.create(info, l.settings)
    way = registry.settings_for('claude', l.settings, kind=info.type)
    keys = sorted(registry.environ_of(way, environ, l.secrets))
    print(info.way, info.billing, info.version, type(made).__name__, keys)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "cli subscription 2.1 CommandExecutor []",
        "api metered None AnthropicExecutor ['ANTHROPIC_API_KEY']",
    ]


HERE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("toml", "environ", "place", "server", "available", "says"),
    [
        ("[agents.ollama]\nmodel = 'a:1b'", {"OLLAMA_HOST": HERE}, ("ollama", HERE), None, True, "needs no key"),
        (
            "[agents.ollama]\nmodel = 'a:1b'",
            {"OLLAMA_HOST": HERE},
            ("ollama", HERE),
            Server(False, "nothing answers there"),
            False,
            f"{HERE}: nothing answers there",
        ),
        (
            "[agents.ollama]\nmodel = 'a'",
            {"OLLAMA_HOST": "0.0.0.0:9"},
            ("ollama", HERE),
            Server(True, "answers", "0.9.1", ("a:latest",)),
            True,
            f"a server answers at {HERE}",
        ),
        (
            "[agents.ollama]\nmodel = 'a'",
            {"OLLAMA_HOST": HERE},
            ("ollama", HERE),
            Server(True, "answers", "0.9.1", ("b:7b",)),
            False,
            "has no model a; there are: b:7b",
        ),
        (
            "",
            {},
            ("ollama", "http://localhost:11434"),
            Server(True, "answers", "0.9.1", ("b:7b", "c", "d", "e")),
            False,
            "has b:7b, c, d and 1 more: name one in agents.ollama.model",
        ),
        (
            f"[agents.ollama]\ntype = 'openai-api'\nendpoint = '{HERE}/v1'",
            {},
            ("openai-api", f"{HERE}/v1"),
            Server(False, "nothing answers there"),
            False,
            "nothing answers there",
        ),
        (
            "[agents.ollama]\ntype = 'openai-api'\nendpoint = 'https://vendor.example/v1'",
            {"OPENAI_API_KEY": KEY},
            ("openai-api", "https://vendor.example/v1"),
            Server(False, "no answer within 1.5 s"),
            True,
            "key found: OPENAI_API_KEY; no answer within 1.5 s",
        ),
    ],
)
def test_what_a_server_says_of_itself_decides(
    toml: str, environ: dict[str, str], place: tuple[str, str], server: Server | None, available: bool, says: str
) -> None:
    given = loaded(toml, **environ)
    assert place in registry.places(given.settings, given.secrets).servers
    info = listed(given, Found(servers={place: server} if server is not None else {}))["ollama"]
    assert (info.available, info.version) == (available, server.version if server else None)
    assert says in info.reason


@pytest.mark.parametrize("toml", ["", "[agents.ollama]\nenabled = false", "[agents.codex]\nenabled = false"])
def test_nobody_is_looked_for_who_is_switched_off_and_no_provider_is_called(toml: str) -> None:
    given = loaded(toml, OPENAI_API_KEY=KEY)
    found = registry.places(given.settings, given.secrets)
    ollama = {("ollama", "http://localhost:11434")}
    codex = {"codex", "codex-acp"}
    assert {"claude", "claude-agent-acp", "gemini", "kiro-cli"} <= found.programs
    assert found.programs & codex == (set() if "codex" in toml else codex)
    assert found.servers == (set() if "ollama" in toml else ollama)
    assert ("~/.codex/auth.json" in found.files) is ("codex" not in toml)
