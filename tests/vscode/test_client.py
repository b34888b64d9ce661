"""The extension's sources: types, lint, form, unit tests, and what people read in them. No VS Code is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kiro_lsp.lsp.command_ids import COMMAND_IDS
from tests.support.vscode import npm
from tests.vscode.client import CLIENT, manifest, node, sources, tools, words
from tools.settings_files import REPO, files

pytestmark = pytest.mark.timeout(600)
"""The compiler and eslint read the whole project; beside other work that takes minutes."""


@pytest.mark.parametrize("project", [".", "src/page"])
def test_types_are_strict_and_right(project: str) -> None:
    done = node("node_modules/typescript/bin/tsc", "--noEmit", "-p", project)
    assert done.returncode == 0, done.stdout
    listed = node("node_modules/typescript/bin/tsc", "--showConfig", "-p", project)
    assert '"strict": true' in listed.stdout
    assert '"noUncheckedIndexedAccess": true' in listed.stdout


def test_eslint_has_nothing_to_say() -> None:
    done = node("node_modules/eslint/bin/eslint.js", ".", "--max-warnings", "0")
    assert done.returncode == 0, done.stdout


def test_eslint_finds_words_that_cannot_be_translated(tmp_path: Path) -> None:
    """The rule is looked at with what it is for, since a selector that matches nothing says nothing."""
    code = """\
import * as vscode from 'vscode';
export function shown(item: vscode.StatusBarItem, count: number): void {
  void vscode.window.showErrorMessage('It failed');
  void vscode.window.showErrorMessage(`${count} failed`);
  item.tooltip = 'How many';
  void vscode.window.showQuickPick([{ label: 'First' }], { placeHolder: vscode.l10n.t('Which one?') });
  item.text = `$(sync) ${vscode.l10n.t('{0} runs', count)}`;
  throw new Error(count > 1 ? vscode.l10n.t('They failed') : 'It failed');
}
"""
    # typescript-eslint knows the files of the project only, so what is looked at takes the place of one of them.
    done = node("node_modules/eslint/bin/eslint.js", "--stdin", "--stdin-filename", "src/extension.ts", input=code)
    found = re.findall(r"^\s+(\d+):.*no-restricted-syntax$", done.stdout, re.MULTILINE)
    assert found == ["3", "4", "5", "6", "8"], done.stdout


def test_prettier_would_change_nothing() -> None:
    done = node("node_modules/prettier/bin/prettier.cjs", "--check", "src", "test", "*.mjs")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_tests_pass(record_property: pytest.RecordProperty) -> None:
    done = npm(tools(), "test")
    counts = dict(re.findall(r"^(?:ℹ|#) (tests|pass|fail|skipped|duration_ms) ([\d.]+)$", done.stdout, re.MULTILINE))
    record_property("summary", "unit tests of client-vscode: " + ", ".join(f"{name} {n}" for name, n in counts.items()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(counts["pass"]) == int(counts["tests"]) > 0


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_what_is_made_from_the_servers_settings_is_fresh(path: Path) -> None:
    assert path.read_text("utf-8") == files()[path], f"run python -m tools.settings_files ({path.relative_to(REPO)})"


def test_every_setting_has_words_a_scope_and_a_default() -> None:
    for key, schema in settings().items():
        assert schema["scope"] in ("window", "resource", "machine", "machine-overridable", "application"), key
        assert "default" in schema or schema["type"] == "null", key
        assert re.fullmatch(r"%[\w.-]+%", schema.get("markdownDescription") or schema["description"]), key
        if "enum" in schema:
            assert len(schema.get("enumDescriptions") or schema["markdownEnumDescriptions"]) == len(schema["enum"]), key


def test_what_names_a_program_is_not_taken_from_a_folder_that_is_not_trusted() -> None:
    restricted = manifest()["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"]
    programs = {
        key for key in settings() if re.search(r"(?i)path$|command|args$|env$|agents$|servers$|interpreter", key)
    }
    assert {"kiroLsp.server.path", "kiroLsp.execution.verifyCommand", "kiroLsp.agents"} <= programs
    assert programs <= set(restricted)
    assert {settings()[key]["scope"] for key in programs} <= {"machine", "machine-overridable"}
    assert set(restricted) <= set(settings()), "no setting of this name"


def test_no_word_of_the_manifest_is_fixed() -> None:
    """Everything that people see of it stands in package.nls.json, and nothing else does."""
    text = (CLIENT / "package.json").read_text("utf-8")
    used = set(re.findall(r'"%([\w.-]+)%"', text))
    assert used == set(words("package.nls.json"))
    shown = re.findall(
        r'"(?:title|description|markdownDescription|contextualTitle|contents|label|altText)": "([^"]*)"', text
    )
    assert [word for word in shown if not re.fullmatch(r"%[\w.-]+%|", word)] == []


def test_the_words_in_the_code_are_exported(tmp_path: Path) -> None:
    done = node("node_modules/@vscode/l10n-dev/dist/cli.js", "export", "--outDir", str(tmp_path), "./src")
    assert done.returncode == 0, done.stdout + done.stderr
    exported = (tmp_path / "bundle.l10n.json").read_text("utf-8").strip()
    kept = (CLIENT / "l10n" / "bundle.l10n.json").read_text("utf-8").strip()
    assert kept == exported, "run npm run l10n"


@pytest.mark.parametrize("name", ["package.nls", "l10n/bundle.l10n"])
def test_the_german_translation_is_complete(name: str) -> None:
    english, german = words(f"{name}.json"), words(f"{name}.de.json")
    assert sorted(german) == sorted(english)
    places = re.compile(r"\{\d+\}|\$\([\w~-]+\)|`[^`]*`|\]\([^)]*\)")
    for key, text in english.items():
        assert german[key].strip(), key
        assert sorted(places.findall(german[key])) == sorted(places.findall(text)), key
    same = [key for key, text in english.items() if german[key] == text and re.search(r"[a-z]{3} [a-z]{3}", text)]
    assert same == [], "not translated"


def test_every_command_of_the_manifest_is_registered_and_none_is_the_servers() -> None:
    code = "\n".join(sources().values())
    commands = {command["command"] for command in manifest()["contributes"].get("commands", [])}
    assert commands, "the palette would be empty"
    assert commands & set(COMMAND_IDS) == set(), "those are registered by the language client"
    # By its whole name, or as the key of a table whose commands are registered one after the other.
    tables = "\n".join(text for text in sources().values() if "registerCommand(`kiroLsp.${" in text)
    unregistered = [
        name
        for name in commands
        if not re.search(rf"""['"`]{re.escape(name)}['"`]""", code)
        and not re.search(rf"^ +{name.removeprefix('kiroLsp.')}: ", tables, re.MULTILINE)
    ]
    assert unregistered == []
    registered = set(re.findall(r"registerCommand\(\s*['\"`]([\w.]+)['\"`]", code))
    assert registered & set(COMMAND_IDS) == set()


def test_every_control_says_what_it_is() -> None:
    contributes = manifest()["contributes"]
    commands = {command["command"]: command for command in contributes.get("commands", [])}
    for command in commands.values():
        assert command["title"].startswith("%"), command
        assert command.get("category"), command
    for menu, entries in contributes.get("menus", {}).items():
        for entry in entries:
            if "command" in entry and menu != "commandPalette":
                assert entry["command"] in commands, (menu, entry)
            if entry.get("group", "").startswith(("navigation", "inline")) and "command" in entry:
                assert commands[entry["command"]].get("icon"), (menu, entry)
    for views in contributes.get("views", {}).values():
        assert all(view["name"].startswith("%") for view in views)
    assert all(keys.get("when") for keys in contributes.get("keybindings", [])), (
        "a key without a condition takes it from all"
    )


def test_every_key_is_in_the_guide() -> None:
    guide = (REPO / "docs" / "vscode.md").read_text("utf-8")
    for binding in manifest()["contributes"]["keybindings"]:
        first, _, second = binding["key"].partition(" ")
        assert f"`{'+'.join(part.capitalize() for part in first.split('+'))}`" in guide, binding
        assert not second or f"`{second.upper()}`" in guide, binding


def settings() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for section in manifest()["contributes"]["configuration"]:
        found.update(section["properties"])
    return found
