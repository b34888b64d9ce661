"""The main job in the real Neovim, headless, through the Neovim client: lens, run, review tabs, accept, tick."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynvim
import pytest

from tests.conftest import REPO, missing
from tests.e2e.test_main_flow import GREETER, POLITE, TASKS, TICKED, server_environ
from tests.support.anthropic_server import AnthropicServer, edits

SECONDS = 60


@pytest.fixture
def provider() -> Iterator[AnthropicServer]:
    with AnthropicServer(edits("greeter.py", "'Hey '", "'Good day, '")) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / ".kiro" / "specs" / "greeter").mkdir(parents=True)
    (root / ".kiro/specs/greeter/tasks.md").write_text(TASKS, "utf-8", newline="")
    (root / "greeter.py").write_text(GREETER, "utf-8")
    return root


@pytest.fixture
def nvim(tmp_path: Path, provider: AnthropicServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[pynvim.Nvim]:
    program = shutil.which("nvim")
    if program is None:
        missing("nvim", "install Debian's neovim")
    for name, value in server_environ(tmp_path, provider).items():
        monkeypatch.setenv(name, value)
    editor = pynvim.attach("child", argv=[program, "--embed", "--headless", "--clean", "-n"])
    editor.command(f"set runtimepath^={REPO / 'client-neovim'}")
    editor.command("filetype on")
    editor.command("runtime plugin/kiro.lua")
    editor.exec_lua("require('kiro').setup({ cmd = ... })", [sys.executable, "-m", "kiro_lsp", "--stdio"])
    editor.exec_lua("vim.ui.select = function(items, _, on_choice) on_choice(items[1]) end")
    yield editor
    try:
        editor.exec_lua("vim.lsp.stop_client(vim.lsp.get_active_clients(), true)")
        editor.command("qa!")
    except (OSError, EOFError):
        pass  # a quitting editor closes the connection
    editor.close()


def until(condition: Callable[[], Any]) -> Any:
    """The first true value of a condition; fails after `SECONDS`. Each look is a round trip to the editor."""
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen in time")
    return value


def titles(nvim: pynvim.Nvim) -> list[str]:
    nvim.exec_lua("require('kiro.client').refresh_lenses(vim.api.nvim_get_current_buf())")
    found = nvim.exec_lua("return vim.lsp.codelens.get(0)") or []
    return [lens["command"]["title"] for lens in found if lens.get("command") and lens["range"]["start"]["line"] == 2]


def run_to_review(nvim: pynvim.Nvim, project: Path) -> str:
    """Open the task file and have its first task done; the run, once it can be reviewed."""
    nvim.command(f"edit {project / '.kiro/specs/greeter/tasks.md'}")
    until(lambda: "▶ Run with Claude" in titles(nvim))
    nvim.command("call cursor(3, 1)")
    nvim.command("KiroRun")
    return str(until(lambda: nvim.exec_lua("return require('kiro.client').reviewable")))


def test_a_task_is_run_reviewed_and_ticked_in_neovim(nvim: pynvim.Nvim, project: Path) -> None:
    tasks = project / ".kiro/specs/greeter/tasks.md"
    run_to_review(nvim, project)
    assert (project / "greeter.py").read_text() == GREETER

    nvim.command("KiroReview")
    until(lambda: len(nvim.tabpages) == 2)
    sides = ["\n".join(window.buffer[:]) + "\n" for window in nvim.current.tabpage.windows]
    assert sides == [GREETER, POLITE]

    nvim.command("KiroAccept")
    until(lambda: (project / "greeter.py").read_text() == POLITE)
    buffer = next(buffer for buffer in nvim.buffers if buffer.name == str(tasks))
    until(lambda: buffer[2].startswith("- [x] 1."))
    nvim.command(f"buffer {buffer.number}")
    nvim.command("write")
    assert tasks.read_bytes() == TICKED.encode()
    assert until(lambda: "✓ View changes" in titles(nvim))
    assert until(lambda: any("$" in title for title in titles(nvim))), "what it has cost"


def test_a_comment_on_a_change_is_typed_and_the_agent_changes_it(
    nvim: pynvim.Nvim, project: Path, provider: AnthropicServer
) -> None:
    first = run_to_review(nvim, project)
    nvim.command("KiroReview")
    look_at_review(nvim)
    provider.steps, provider.requests[:] = edits("greeter.py", "'Good day, '", "'Good evening, '"), []
    nvim.exec_lua("vim.ui.input = function(_, on_answer) on_answer('It is late.') end")
    nvim.command("call cursor(2, 1)")
    nvim.command("KiroComment")
    until(lambda: nvim.exec_lua("return require('kiro.client').reviewable") != first)
    told = provider.requests[0]["messages"][0]["content"][-1]["text"]
    assert "says of `greeter.py`:\n```diff\n@@ -2,1 +2,1 @@" in told
    assert "It is late." in told
    nvim.command("KiroAccept")
    until(lambda: "Good evening" in (project / "greeter.py").read_text())


def test_a_review_that_moves_on_stays_where_it_is_and_closed_stays_closed(nvim: pynvim.Nvim, project: Path) -> None:
    run = run_to_review(nvim, project)
    nvim.command("KiroReview")
    look_at_review(nvim)
    own, review = nvim.tabpages
    nvim.current.tabpage = own
    nvim.exec_lua("require('kiro.review').refresh(...)", run)
    until(lambda: review not in list(nvim.tabpages) and len(nvim.tabpages) == 2)
    assert nvim.current.tabpage == own
    asked = "vim.tbl_values(vim.lsp.get_active_clients())[1].request_sync('kiro/review', { runId = run }, 60000)"
    nvim.exec_lua(f"local run, review = ..., require('kiro.review'); review.refresh(run); review.close(); {asked}", run)
    nvim.exec_lua(f"local run = ...; {asked}", run)  # what the refresh asked before was answered before
    assert nvim.exec_lua("return require('kiro.review').current") is None
    assert list(nvim.tabpages) == [own]


ANSWER = f"""greeter.py
```python
<<<<<<< SEARCH
{GREETER}=======
{POLITE}>>>>>>> REPLACE
```
"""


def look_at_review(nvim: pynvim.Nvim) -> None:
    """The tab of the review shows both sides, and nothing has been written."""
    until(lambda: len(nvim.tabpages) == 2)
    assert ["\n".join(window.buffer[:]) + "\n" for window in nvim.current.tabpage.windows] == [GREETER, POLITE]


def test_a_selection_from_a_chat_is_reviewed_and_accepted(nvim: pynvim.Nvim, project: Path) -> None:
    nvim.command(f"cd {project}")
    nvim.command("enew")
    nvim.current.buffer[:] = ["What the chat said:", *ANSWER.splitlines(), "Bye."]
    nvim.command("set buftype=nofile")
    nvim.command(f"2,{len(nvim.current.buffer) - 1}KiroApply")
    look_at_review(nvim)
    assert (project / "greeter.py").read_text() == GREETER
    nvim.command("KiroAccept")
    until(lambda: (project / "greeter.py").read_text() == POLITE)
    assert (project / ".kiro/specs/greeter/tasks.md").read_bytes() == TASKS.encode()
    until(lambda: len(nvim.tabpages) == 1)  # the server has answered, not only written
    nvim.command("KiroUndo")
    until(lambda: (project / "greeter.py").read_text() == GREETER)


def test_the_clipboard_is_about_the_text_that_is_not_saved_yet(nvim: pynvim.Nvim, project: Path) -> None:
    (project / "greeter.py").write_text("# to be replaced\n", "utf-8")
    nvim.command(f"edit {project / 'greeter.py'}")
    nvim.current.buffer[:] = GREETER.splitlines()
    buffer = nvim.current.buffer
    nvim.exec_lua(
        "local text = ...; vim.g.clipboard = { name = 'test', paste = { ['+'] = function() return text end,"
        " ['*'] = function() return text end }, copy = { ['+'] = function() end, ['*'] = function() end } }",
        [ANSWER.removeprefix("greeter.py\n").split("\n"), "v"],
    )
    nvim.command("KiroApply")
    look_at_review(nvim)
    assert buffer[:] == GREETER.splitlines()
    nvim.command("KiroAccept")
    until(lambda: buffer[:] == POLITE.splitlines())
    assert (project / "greeter.py").read_text() == "# to be replaced\n", "the person saves it"


def test_an_answer_that_does_not_fit_is_told_and_opens_nothing(nvim: pynvim.Nvim, project: Path) -> None:
    nvim.exec_lua("said = {}; vim.notify = function(text) table.insert(said, text) end")
    nvim.command(f"edit {project / 'greeter.py'}")
    nvim.funcs.setreg("a", ANSWER.replace("'Hey '", "'Hi '"))
    nvim.command("KiroApply a")
    (told,) = until(lambda: nvim.exec_lua("return said"))
    assert "greeter.py, edit 1: not-found" in told
    nvim.funcs.setreg("b", "")
    nvim.command("KiroApply b")
    assert "Register b is empty" in nvim.exec_lua("return said")[1]
    assert len(nvim.tabpages) == 1
    assert (project / "greeter.py").read_text() == GREETER


REQUIREMENTS = "# Requirements\n\n### Requirement 1: Greet\n\n#### Acceptance Criteria\n\n1. WHEN x THEN y\n"
COVERING = (
    "# Plan\n\n- [ ] 1. Greet\n  - _Requirements: 1_\n- [x] 2. Greet again\n  - _Requirements: 1.1_\n- [ ] 3. Other\n"
)


def test_above_a_requirement_its_tasks_are_counted_and_listed(nvim: pynvim.Nvim, project: Path) -> None:
    folder = project / ".kiro/specs/greeter"
    (folder / "tasks.md").write_text(COVERING, "utf-8")
    (folder / "requirements.md").write_text(REQUIREMENTS, "utf-8")
    nvim.command(f"edit {folder / 'requirements.md'}")
    until(lambda: titles(nvim) == ["2 tasks · 1 done"])
    nvim.command("call cursor(3, 5)")
    nvim.exec_lua("vim.lsp.codelens.run()")
    until(lambda: len(nvim.funcs.getqflist()) == 2)
    assert [(item["lnum"], item["text"]) for item in nvim.funcs.getqflist()] == [
        (3, "- [ ] 1. Greet"),
        (5, "- [x] 2. Greet again"),
    ]
    for name, is_ours in (("TODO.md", True), ("docs/README.md", False), ("backlog/tasks/one.md", True)):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("# Later\n\n- [ ] Tidy up\n", "utf-8")
        nvim.command(f"edit {project / name}")
        assert (nvim.exec_lua("return #require('kiro.client').clients(0)") == 1) is is_ours


def test_without_the_client_a_click_above_a_requirement_names_its_tasks(nvim: pynvim.Nvim, project: Path) -> None:
    folder = project / ".kiro/specs/greeter"
    (folder / "tasks.md").write_text(COVERING, "utf-8")
    (folder / "requirements.md").write_text(REQUIREMENTS, "utf-8")
    nvim.exec_lua("vim.lsp.commands['kiroLsp.showTasks'] = nil")
    nvim.exec_lua("vim.ui.select = function(items, _, on_choice) on_choice(items[#items]) end")
    nvim.command(f"edit {folder / 'requirements.md'}")
    until(lambda: titles(nvim) == ["2 tasks · 1 done"])
    nvim.command("call cursor(3, 5)")
    nvim.exec_lua("vim.lsp.codelens.run()")
    until(
        lambda: (
            "2 Greet again (done)" in nvim.funcs.execute("messages") or nvim.current.buffer.name.endswith("tasks.md")
        )
    )


def test_the_lenses_of_a_requirement_follow_the_tasks_in_the_other_window(nvim: pynvim.Nvim, project: Path) -> None:
    folder = project / ".kiro/specs/greeter"
    (folder / "tasks.md").write_text(COVERING, "utf-8")
    (folder / "requirements.md").write_text(REQUIREMENTS, "utf-8")
    nvim.command(f"edit {folder / 'requirements.md'}")
    shown = nvim.current.buffer.number
    until(lambda: titles(nvim) == ["2 tasks · 1 done"])
    nvim.command(f"split {folder / 'tasks.md'}")
    until(lambda: "▶ Run with Claude" in titles(nvim))
    nvim.exec_lua(
        "require('kiro.client').refresh_lenses(0)"  # its answer is awaited while the text is edited
        " vim.api.nvim_feedkeys('3G0f[lrx', 'nx', false)"
        " vim.cmd('doautocmd TextChanged')"  # a headless editor is never idle between two requests
    )
    assert nvim.current.buffer[2].startswith("- [x] 1.")
    lenses = "return vim.tbl_map(function(lens) return lens.command.title end, vim.lsp.codelens.get(...))"
    until(lambda: nvim.exec_lua(lenses, shown) == ["2 tasks · 2 done"])


def test_lenses_asked_for_without_end_are_asked_for_once_at_a_time(nvim: pynvim.Nvim, project: Path) -> None:
    nvim.command(f"edit {project / '.kiro/specs/greeter/tasks.md'}")
    until(lambda: "▶ Run with Claude" in titles(nvim))
    nvim.exec_lua(
        "local client = require('kiro.client').clients(0)[1]\n"
        "local request = client.request\n"
        "asked, answered = 0, 0\n"
        "client.request = function(method, params, handler, ...)\n"
        "  asked = asked + 1\n"
        "  return request(method, params, function(...)\n"
        "    answered = answered + 1\n"
        "    handler(...)\n"
        "  end, ...)\n"
        "end\n"
        "for _ = 1, 100 do require('kiro.client').refresh_lenses(0) end"
    )
    until(lambda: nvim.exec_lua("return asked > 0 and answered == asked"))
    assert nvim.exec_lua("return asked") <= 2, "one that may have been awaited, and one for all that came meanwhile"


def test_lenses_are_left_to_a_neovim_that_keeps_them_itself(nvim: pynvim.Nvim, project: Path) -> None:
    nvim.command(f"edit {project / '.kiro/specs/greeter/tasks.md'}")
    until(lambda: "▶ Run with Claude" in titles(nvim))
    nvim.exec_lua(
        "vim.lsp.codelens.on_codelens = nil\n"  # as from 0.12 on
        "vim.lsp.codelens.enable = function(...) given = { ... } end\n"
        "require('kiro.client').refresh_lenses(0)"
    )
    assert nvim.exec_lua("return given") == [True, {"bufnr": nvim.current.buffer.number}]


def test_a_verdict_stands_above_both_sides(nvim: pynvim.Nvim, project: Path) -> None:
    (project / ".spec-workflow").mkdir()
    code = "print('FAILED test_greeter.py - it hurts'); raise SystemExit(1)"
    command = json.dumps([sys.executable, "-c", code])
    (project / ".spec-workflow/kiro.toml").write_text(f"[execution]\nverify_command = {command}\n", "utf-8")
    nvim.command(f"edit {project / '.kiro/specs/greeter/tasks.md'}")
    until(lambda: "▶ Run with Claude" in titles(nvim))
    nvim.command("call cursor(3, 1)")
    nvim.command("KiroRun")
    assert until(lambda: [title for title in titles(nvim) if title == "✗ verify failed"])
    assert {"Review 1 file", "Accept", "Reject", "Repair"} <= set(titles(nvim))
    nvim.command("KiroReview")
    until(lambda: len(nvim.tabpages) == 2)
    verdict, base, proposed = ("\n".join(window.buffer[:]) + "\n" for window in nvim.current.tabpage.windows)
    assert verdict.startswith("✗ verify failed: ")
    assert "it hurts" in verdict
    assert [base, proposed] == [GREETER, POLITE]
    nvim.command("KiroAccept")
    until(lambda: (project / "greeter.py").read_text() == POLITE)
