"""init, trust, agents, doctor and costs in a project of their own."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.cli import main
from tests.support import planted

ASKING = """\
[execution]
verify_command = ["make", "check"]

[agents.claude]
endpoint = "http://127.0.0.1:9/"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def asking(project: Path) -> Path:
    config = project / ".spec-workflow" / "kiro.toml"
    config.parent.mkdir()
    config.write_text(ASKING, "utf-8")
    return config


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_init_writes_a_configuration_that_loads_and_a_spec_that_parses(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = run_json(capsys, "init", "--spec", "login")
    assert body["kept"] == []
    assert ".spec-workflow/kiro.toml" in body["created"]
    tomllib.loads((project / ".spec-workflow" / "kiro.toml").read_text("utf-8"))
    (task_file,) = [path for path in body["created"] if path.endswith("tasks.md")]
    (listed,) = run_json(capsys, "tasks", task_file)
    assert listed["tasks"]
    assert listed["problems"] == []
    checks = run_json(capsys, "doctor")["checks"]
    assert [
        check for check in checks if check["name"] == "configuration" and check["status"] in ("warning", "error")
    ] == []


def test_init_overwrites_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    created = run_json(capsys, "init", "--spec", "login")["created"]
    for path in created:
        Path(path).write_text("mine", "utf-8")
    again = run_json(capsys, "init", "--spec", "login")
    assert again == {"created": [], "kept": created}
    assert {Path(path).read_text("utf-8") for path in created} == {"mine"}


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".", "a\nb", "CON"])
def test_init_refuses_a_name_that_is_no_folder_name(
    project: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["init", "--spec", name]) in (1, 2)
    assert capsys.readouterr().err
    assert not (project.parent / "escape").exists()
    assert list(project.rglob("tasks.md")) == []


def test_trust_is_granted_to_exactly_what_was_shown(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = asking(project)
    shown = run_json(capsys, "trust", "--show")
    assert set(shown) == {"root", "state", "digest", "values", "allowedCommands"}
    assert shown["state"] == "untrusted"
    assert all(set(value) == {"key", "value", "source"} for value in shown["values"])
    assert {"execution.verify_command", "agents.claude.endpoint"} <= {value["key"] for value in shown["values"]}

    assert run_json(capsys, "trust", "--yes", "0" * 64, code=1)["refused"]["code"] == "untrusted"
    assert run_json(capsys, "trust", "--show")["state"] == "untrusted"
    assert run_json(capsys, "trust", "--yes", shown["digest"])["state"] == "trusted"
    assert run_json(capsys, "trust", "--show")["state"] == "trusted"

    config.write_text(ASKING.replace("check", "pwn"), "utf-8")
    changed = run_json(capsys, "trust", "--show")
    assert changed["state"] == "untrusted"
    assert changed["digest"] != shown["digest"]


def test_trust_once_ends_with_the_command(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asking(project)
    assert run_json(capsys, "trust", "--once")["state"] == "once"
    assert run_json(capsys, "trust", "--show")["state"] == "untrusted"


def test_trust_can_be_taken_back(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asking(project)
    digest = run_json(capsys, "trust", "--show")["digest"]
    run_json(capsys, "trust", "--yes", digest)
    assert run_json(capsys, "trust", "--revoke")["state"] == "untrusted"


def test_trust_with_nobody_to_ask_names_the_flag(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asking(project)
    refused = run_json(capsys, "trust", code=1)["refused"]
    assert refused["code"] == "untrusted"
    assert f"--yes {refused['digest']}" in refused["hint"]


def test_doctor_without_a_key_says_what_to_do(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = run_json(capsys, "doctor")
    assert set(body) == {"ok", "version", "python", "checks"}
    assert body["ok"] is True
    assert all(set(check) == {"name", "status", "message", "hint"} for check in body["checks"])
    assert all(check["status"] in ("ok", "note", "warning", "error") for check in body["checks"])
    by_name = {check["name"]: check for check in body["checks"]}
    assert "ANTHROPIC_API_KEY" in by_name["recommended agent"]["hint"]
    assert "kiro-lsp demo" in by_name["recommended agent"]["hint"]


def test_doctor_prints_no_key(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", planted.KEYS["anthropic"])
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert "ANTHROPIC_API_KEY is set" in out
    assert "0123456789abcdef" not in out + err
    assert run_json(capsys, "agents") != []
    assert main(["agents"]) == 0
    assert "0123456789abcdef" not in "".join(capsys.readouterr())


def test_doctor_names_what_is_wrong_in_the_configuration_and_fails(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = project / ".spec-workflow" / "kiro.toml"
    config.parent.mkdir()
    config.write_text("[kiro]\nenabled = true\n[execution\n", "utf-8")
    body = run_json(capsys, "doctor", code=1)
    wrong = [check for check in body["checks"] if check["status"] == "error"]
    assert any(f"{config}:3:" in check["message"] for check in wrong)


@pytest.mark.parametrize("place", ["kiro.toml", ".kiro/kiro.toml"])
def test_doctor_says_that_a_configuration_in_the_wrong_place_is_not_read(
    project: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    config = project / place
    config.parent.mkdir(exist_ok=True)
    config.write_text("[limits]\nmax_cost_per_day_usd = 1\n", "utf-8")
    said = [check for check in run_json(capsys, "doctor")["checks"] if check["message"].startswith(f"{config} is not")]
    assert [check["status"] for check in said] == ["warning"]
    assert said[0]["hint"] == f"Move it to {project / '.spec-workflow/kiro.toml'}."


def test_doctor_says_that_running_is_switched_off(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIRO_ENABLED", "false")
    checks = run_json(capsys, "doctor")["checks"]
    assert any(check["name"] == "running tasks" and check["status"] == "warning" for check in checks)


def test_doctor_without_a_state_folder_fails(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", "utf-8")
    monkeypatch.setenv("KIRO_LSP_STATE_DIR", str(blocked))
    body = run_json(capsys, "doctor", code=1)
    assert [check["name"] for check in body["checks"] if check["status"] == "error"] == ["state"]


def test_agents_json_has_the_shape_of_the_contract(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = run_json(capsys, "agents")
    fields = {"name", "label", "type", "way", "model", "available", "reason", "version", "recommended", "estimate"}
    fields |= {"billing", "ways", "traces", "why"}
    assert all(set(agent) == fields for agent in listed)
    claude = next(agent for agent in listed if agent["type"] == "anthropic-api")
    assert claude["available"] is False
    assert "ANTHROPIC_API_KEY" in claude["reason"]
    assert not any(agent["recommended"] for agent in listed if agent["way"] != "replay")


def test_agents_explain_says_which_agent_a_task_would_get_and_why(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task_file = project / "tasks.md"
    task_file.write_text("- [ ] 1. Document the settings\n- [ ] 2. Xyzzy\n", "utf-8")
    assert run_json(capsys, "agents", "--explain", str(task_file), "1", code=1)["agent"] is None
    monkeypatch.setenv("ANTHROPIC_API_KEY", planted.KEYS["anthropic"])
    told = run_json(capsys, "agents", "--explain", str(task_file), "1")
    assert (told["agent"], told["kind"], told["guess"]) == ("claude", "documentation", False)
    assert "'Document'" in told["reason"]
    assert main(["agents", "--explain", str(task_file), "2"]) == 0
    assert "guess" in capsys.readouterr().out


def test_costs_json_has_the_shape_of_the_contract(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = run_json(capsys, "costs")
    assert set(body) == {"day", "spent", "reserved", "unknown", "cap", "warnAt", "capRun", "rows"}
    assert (float(body["spent"]), float(body["reserved"]), body["rows"]) == (0, 0, [])
    assert (float(body["cap"]), float(body["warnAt"])) == (10, 5)


def test_runs_are_empty_at_first_and_an_unknown_run_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_json(capsys, "runs") == []
    assert run_json(capsys, "runs", "20990101", code=1)["refused"]["code"] == "unknown-run"
    for verb in (["undo"], ["restore"], ["cancel"], ["commit"], ["review"]):
        assert run_json(capsys, *verb, "20990101", code=1)["refused"]["code"] == "unknown-run"
    assert run_json(capsys, "review", code=1)["refused"]["code"] == "no-review"


def test_agents_shows_the_ways_behind_a_name_and_asks_for_versions_after_trust_only(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "claude").write_text("#!/bin/sh\necho '2.1.329 (Claude Code)'\n", "utf-8")
    (programs / "claude").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ANTHROPIC_API_KEY", planted.KEYS["anthropic"])
    monkeypatch.setattr("kiro_lsp.executors.detection.VERSION_SECONDS", 60.0)
    assert main(["agents"]) == 0
    before = capsys.readouterr()
    assert f"claude is at {programs}" in before.out
    assert "> api" in before.out
    assert "This project is not trusted" in before.err
    digest = run_json(capsys, "trust", "--show")["digest"]
    assert main(["trust", "--yes", digest]) == 0
    assert main(["agents"]) == 0
    after = capsys.readouterr()
    assert "claude 2.1.329 is at" in after.out
    assert "not trusted:" not in after.err


def test_doctor_says_where_mcp_servers_are_and_starts_none(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    tables = {
        "here": f"command = '{sys.executable}'",
        "gone": "command = 'no-such-server'",
        "web": "url = 'https://mcp.example/x'",
        "empty": "",
        "off": "enabled = false",
    }
    config.write_text("".join(f"[mcp.servers.{name}]\n{line}\n" for name, line in tables.items()), "utf-8")
    config.chmod(0o600)
    monkeypatch.setenv("KIRO_LSP_CONFIG", str(config))
    checks = run_json(capsys, "doctor", code=1)["checks"]
    found = {check["name"].removeprefix("MCP server "): check for check in checks if "MCP" in check["name"]}
    states = {name: check["status"] for name, check in found.items()}
    assert states == {"here": "ok", "gone": "error", "web": "ok", "empty": "error", "off": "note"}
    assert sys.executable in found["here"]["message"]
    assert "outside of every sandbox" in found["web"]["message"]
    assert "[mcp.servers.gone]" in found["gone"]["hint"]
