"""The first minutes of a person who has the extension and nothing else: the offer, the installation, keys, the walkthrough."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.vscode import Editor
from tests.support.wheelhouse import UNCOMPILED
from tests.vscode.explore import TASK_FILE, lay_out
from tests.vscode.window import Window

KEY = "kept-in-the-editor-0123456789"
INSTALL = "Install the language server"


@pytest.fixture
def pip(tmp_path: Path) -> Path:
    """pip's configuration, as it is without a network: an index that nobody answers for."""
    written = tmp_path / "pip.conf"
    written.write_text("[global]\nindex_url = http://127.0.0.1:9/simple\n", "utf-8")
    return written


@pytest.fixture
def bare(tmp_path: Path, pip: Path) -> Iterator[Editor]:
    """An editor on a machine with a Python and no server."""
    (tmp_path / "bin").mkdir()
    for name in ("python3", f"python3.{sys.version_info.minor}"):
        (tmp_path / "bin" / name).symlink_to(os.path.realpath(sys.executable))
    (tmp_path / "bin/git").symlink_to(shutil.which("git") or "/usr/bin/git")
    # A person's PATH may lead into the project itself, here to what tells that it was run.
    path = f"{trapped(tmp_path / 'project/tools', tmp_path / 'was-run')}:{tmp_path / 'bin'}:/usr/bin:/bin"
    environ = {"PATH": path, "PIP_CONFIG_FILE": str(pip), "KIRO_LSP_STATE_DIR": str(tmp_path / "state"), **UNCOMPILED}
    folder = tmp_path / "vscode"
    with Editor(folder, environ=environ, everything=True) as editor:
        editor.configure(**{"kiroLsp.server.path": None})
        yield editor
    # Nothing in it is ours, and it is as large as a suite's files.
    shutil.rmtree(folder / "data/User/globalStorage/kiro-lsp.kiro-lsp/server", ignore_errors=True)


def trapped(folder: Path, told: Path) -> Path:
    """A folder with programs that nobody asked for."""
    folder.mkdir(parents=True)
    for name in ("kiro-lsp", "python3", "python3.13", "uv"):
        (folder / name).write_text(f"#!/bin/sh\necho {name} >> {told}\nexit 1\n", "utf-8")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def window(bare: Editor, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Window]:
    opened = Window(bare, lay_out(tmp_path / "project"), name=request.node.name.removeprefix("test_")).show(TASK_FILE)
    yield opened
    if request.session.testsfailed:
        opened.keep_evidence()
    opened.close()


def test_from_nothing_to_the_demo(window: Window, bare: Editor, pip: Path, house: Path) -> None:
    """One person's way: no server, no network, a network, a key, the walkthrough, the recorded demo."""
    assert window.see_toast("is not installed").buttons == ("Install", "Set Path…")
    window.see_lens(INSTALL, at="# Plan")
    window.screenshot("offer")
    assert bare.servers() == []

    window.click_lens(INSTALL, at="# Plan")
    failed = window.see_toast("could not be installed")
    assert "127.0.0.1 could not be reached" in failed.text
    assert failed.buttons == ("Retry", "Show Log")
    window.screenshot("offline")

    pip.write_text(f"[global]\nno-index = true\nfind-links = {house}\n", "utf-8")
    window.click_toast("Retry")
    window.saw("installing the server")
    assert not any("nstalling" in toast.text for toast in window.toasts()), "no pop-up while it goes on"
    # Language features are there while what the agents need is still being installed.
    window.see_lens("▶ Try it (recorded)", at="1. Greet")
    window.saw("installing what the agents need")
    window.screenshot("language-features-first")
    window.until(lambda: not any("installing" in one for one in window.status_bar()), "all is installed")
    window.see_status("Kiro LSP 0.1.0")

    window.run_command("Kiro: Set API Key…")
    window.choose("ANTHROPIC_API_KEY")
    box = window.page.locator(".quick-input-widget:visible input[type=password]")
    box.wait_for()
    box.fill(KEY)
    window.press("Enter")
    window.until(lambda: "▶ Run with Claude" in window.titles("1. Greet"), "Claude has a key")
    server = window.server()
    assert KEY.encode() not in Path(f"/proc/{server}/environ").read_bytes()
    window.run_command("Kiro: Connect an Agent…")
    window.until(lambda: any("Ready: key found" in one for one in window.choice_details()), "Claude is ready")
    window.screenshot("agents")
    window.choose("Codex")
    window.until(lambda: any("Log in: codex login" in one for one in window.choices()), "a way to log in")
    window.press("Escape")
    window.run_command("Kiro: Remove API Key…")
    window.choose("ANTHROPIC_API_KEY")
    window.until(lambda: "▶ Run with Claude" not in window.titles("1. Greet"), "the key is forgotten")

    demonstrated(window, bare)


def demonstrated(window: Window, bare: Editor) -> None:
    """The walkthrough's first step, up to a task that runs."""
    window.run_command("Kiro: Get Started")
    window.page.locator(".gettingStartedContainer", has_text="Run your first task").wait_for()
    window.screenshot("walkthrough")
    before = len(bare.context.pages)
    window.page.locator("text=Open the Demo Project").first.click()
    window.choose("In the storage of this extension")
    window.until(lambda: len(bare.context.pages) > before and "folder=" in bare.context.pages[-1].url, "another window")
    opened = bare.context.pages[-1]
    demo = Window(bare, Path(opened.url.partition("folder=")[2]), name=f"{window.name}-demo")
    demo.page.close()
    demo.page = opened
    try:
        demo.click_lens("▶ Run with Recorded", at="2. Hand out")
        sheet = demo.see_dialog("with Recorded?")
        demo.screenshot("consent")
        assert "fair-split.run.jsonl" in sheet, "what the project itself asks for is named"
        demo.click_dialog("Run")
        demo.see_lens("Review 3 files", at="2. Hand out")
        demo.screenshot("review")
    finally:
        demo.close()


def test_a_server_that_ends_again_and_again_is_told_once_and_started_on_request(window: Window, bare: Editor) -> None:
    bare.configure()
    window.see_lens("▶ Try it (recorded)", at="1. Greet")
    for _ in range(3):
        before = window.server()
        os.kill(before, signal.SIGKILL)
        window.until(lambda before=before: window.server() != before, "another one")
        window.see_lens("▶ Try it (recorded)", at="1. Greet")
        assert not any("does not run" in toast.text for toast in window.toasts())
    os.kill(window.server(), signal.SIGKILL)
    assert window.see_toast("several times within minutes").buttons == ("Restart", "Show Log")
    window.see_lens("Kiro LSP does not run: try again", at="# Plan")
    window.screenshot("told")
    assert bare.servers() == []
    window.click_toast("Restart", "several times")
    window.see_lens("▶ Try it (recorded)", at="1. Greet")

    def told_of_one_that_never_answers() -> bool:
        for server in bare.servers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)
        return any("several times within minutes" in toast.text for toast in window.toasts())

    window.until(told_of_one_that_never_answers, "a message after some servers that ended while they were started")
    # The offer of the beginning may still be in view.
    told = [toast.text for toast in window.toasts() if "is not installed" not in toast.text]
    assert len(told) == 1, "nobody else tells it, too"
    window.see_lens("Kiro LSP does not run: try again", at="# Plan")
    window.click_toast("Restart", "several times")
    window.see_lens("▶ Try it (recorded)", at="1. Greet")


def test_nothing_of_a_folder_that_is_not_trusted_is_run(bare: Editor, tmp_path: Path, pip: Path, house: Path) -> None:
    pip.write_text(f"[global]\nno-index = true\nfind-links = {house}\n", "utf-8")
    trust = {"enabled": True, "startupPrompt": "never", "emptyWindow": False}
    settings = {f"security.workspace.trust.{name}": value for name, value in trust.items()}
    bare.configure(**{"kiroLsp.server.path": None}, **settings)
    window = Window(bare, lay_out(tmp_path / "project"), name="untrusted").show(TASK_FILE)
    try:
        window.click_lens(INSTALL, at="# Plan")
        window.see_lens("not trusted", at="1. Greet")
        assert not (tmp_path / "was-run").exists()
    finally:
        window.close()


def test_the_setting_that_names_nothing_is_named(window: Window, bare: Editor, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere/kiro-lsp"
    bare.configure(**{"kiroLsp.server.path": str(nowhere)})
    assert window.see_toast(f"There is no program {nowhere}").buttons == ("Set Path…", "Show Log")
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho kiro-lsp 0.0.3\n", "utf-8")
    old.chmod(0o755)
    bare.configure(**{"kiroLsp.server.path": str(old)})
    window.see_toast("0.0.3")
    window.screenshot("too-old")
    bare.configure(**{"kiroLsp.server.path": str(bare.launcher)})
    window.see_lens("▶ Try it (recorded)", at="1. Greet")


PYTHON_EXTENSION = """
const { Uri } = require('vscode');
const uri = Uri.file(%s);
exports.activate = () => ({
  environments: {
    getActiveEnvironmentPath: () => ({ path: uri.fsPath }),
    resolveEnvironment: async ({ path }) => (path === uri.fsPath ? { executable: { uri } } : undefined),
  },
});
"""


def python_extension(target: Path, interpreter: str) -> Path:
    """An extension with the part of the Python extension's public API that tells the selected interpreter."""
    manifest = {
        "name": "python",
        "publisher": "ms-python",
        "version": "1.0.0",
        "engines": {"vscode": "^1.91.0"},
        "main": "./main.js",
        "activationEvents": [],
        "extensionKind": ["workspace"],
    }
    with zipfile.ZipFile(target, "w") as vsix:
        vsix.writestr("extension/package.json", json.dumps(manifest))
        vsix.writestr("extension/main.js", PYTHON_EXTENSION % json.dumps(interpreter))
    return target


def test_the_interpreter_that_is_selected_goes_before_the_path(bare: Editor, tmp_path: Path) -> None:
    bare.install(python_extension(tmp_path / "python.vsix", sys.executable))
    window = Window(bare, lay_out(tmp_path / "project"), name="interpreter").show(TASK_FILE)
    try:
        window.see_lens("▶ Try it (recorded)", at="1. Greet")
        server = window.server()
        assert Path(f"/proc/{server}/cmdline").read_bytes().split(b"\0")[:4] == [
            *(os.fsencode(sys.executable), b"-P", b"-m", b"kiro_lsp")
        ]
        assert not (tmp_path / "was-run").exists(), "the PATH was not needed"
    finally:
        window.close()
