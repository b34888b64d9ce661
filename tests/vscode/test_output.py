"""The output view and the tree in the real editor: a run is followed, answered and led on from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import FrameLocator

from tests.e2e.test_main_flow import GREETER, POLITE
from tests.support.anthropic_server import AnthropicServer, Step, edits
from tests.support.unsandboxed import path_without_bubblewrap
from tests.support.vscode import Editor
from tests.vscode.conftest import Open
from tests.vscode.window import Window

COMMAND = ["python", "-c", "print('from the command')"]
TEXT = "I look at **greeter.py** first.\n\n- one\n- two\n"
POLITELY = edits("greeter.py", "'Hey '", "'Good day, '", summary="The greeting is polite.")


def output(window: Window) -> FrameLocator:
    """The output view with the newest run, once it is there."""
    window.cursor_to("1. Greet")
    window.run_command("Kiro: Show the Output of a Run")
    page = window.webview()
    page.locator("header").wait_for()
    return page


def see(window: Window, page: FrameLocator, text: str) -> None:
    """Waits until the log shows a text."""
    window.until(lambda: text in page.locator("#log").inner_text(timeout=2000), f"“{text}” in the output")


@pytest.fixture
def asking(opened: Open, provider: AnthropicServer, tmp_path: Path) -> Window:
    """A window in which Claude says something, and then asks to run a command, as it must where there is no sandbox."""
    provider.steps = [Step(text=TEXT, tools=[("run_command", {"argv": COMMAND})]), *POLITELY]
    provider.steps[-1].hold = True
    window = opened(more={"PATH": path_without_bubblewrap(tmp_path / "programs")}, **{"kiroLsp.progress": "status"})
    window.click_lens("▶ Run with Claude", at="1. Greet")
    window.see_lens("? Claude asks", at="1. Greet")
    return window


def test_a_run_is_read_while_it_goes_on_and_its_question_is_answered_where_it_stands(
    asking: Window, provider: AnthropicServer, project: Path
) -> None:
    window = asking
    page = output(window)
    see(window, page, "I look at greeter.py first.")
    window.until(lambda: "waiting for you" in page.locator("#state").inner_text(), "it waits")
    assert page.locator("#log strong").inner_text() == "greeter.py"
    assert page.locator("#log li").all_inner_texts() == ["one", "two"]
    assert "print('from the command')" in page.locator(".question pre").inner_text()
    window.screenshot("question")
    hidden_and_shown_again(window)
    page.get_by_role("button", name="Allow once").click()
    window.until(provider.holding.is_set, "Claude goes on")
    see(window, page, "from the command")
    window.until(lambda: page.locator(".question button").count() == 0, "nothing is asked any more")
    window.screenshot("live")
    provider.release()
    page.get_by_role("button", name="Review", exact=True).wait_for()
    see(window, page, "1 modified")
    assert (project / "greeter.py").read_text() == GREETER
    window.screenshot("ended")
    page.locator(".files button").click()
    window.until(lambda: any("greeter.py" in tab for tab in window.tabs()), "the proposed side of the file")


def hidden_and_shown_again(window: Window) -> None:
    """A view that is shown again has everything, with the question that is open."""
    window.press("Control+j")
    window.until(lambda: window.page.locator("iframe.webview.ready:visible").count() == 0, "the panel is hidden")
    window.press("Control+j")
    see(window, window.webview(), "I look at greeter.py first.")
    window.until(lambda: window.webview().locator(".question button").count() >= 3, "the question")


def test_files_open_and_the_run_is_stopped_from_the_view(opened: Open, provider: AnthropicServer) -> None:
    provider.steps[-1].hold = True
    window = opened(**{"kiroLsp.progress": "status"})
    window.click_lens("▶ Run with Claude", at="1. Greet")
    window.until(provider.holding.is_set, "Claude works")
    page = output(window)
    page.get_by_role("button", name="Open greeter.py").first.click()
    window.tab("greeter.py")
    page.get_by_role("button", name="Stop").click()
    see(window, page, "Stopped by you")
    page.get_by_role("button", name="Retry").wait_for()
    window.screenshot("stopped")


def test_the_tree_shows_what_is_going_on_and_leads_to_it(
    opened: Open, editor: Editor, provider: AnthropicServer, project: Path
) -> None:
    provider.steps[-1].hold = True
    window = opened(**{"kiroLsp.progress": "status"})
    window.see_lens("▶ Run with Claude", at="1. Greet")
    window.show_view("Kiro")
    window.row("Greet politely")
    window.until(lambda: any("greeter" in row and "0 of 2 done" in row for row in window.rows()), "how much is done")
    window.row("Greet politely").hover()
    window.row("Greet politely").get_by_role("button", name="Run the Task at the Cursor").click()
    window.until(provider.holding.is_set, "Claude works")
    window.until(lambda: any("Greet politely" in row and "Claude" in row for row in window.rows()), "who does it")
    window.until(lambda: any(row.startswith("Run, Greet politely, thinking") for row in window.rows()), "its run")
    window.screenshot("running")
    provider.release()
    window.until(lambda: any("1 file to review" in row and row.startswith("Run") for row in window.rows()), "the run")
    window.row("greeter.py")
    window.until(lambda: any(row.startswith("greeter.py, modified") for row in window.rows()), "what it changed")
    window.screenshot("review")
    window.page.locator(".activitybar .badge:visible", has_text="1").wait_for()
    window.row("greeter.py").click()
    window.until(lambda: any("greeter.py" in tab for tab in window.tabs()), "the file's changes")
    run = window.page.locator('.sidebar .monaco-list-row[aria-label^="Run, "]')
    run.hover()
    run.get_by_role("button", name="Accept the Changes of a Run").click()
    window.until(lambda: (project / "greeter.py").read_text() == POLITE)
    window.until(lambda: any("greeter" in row and "1 of 2 done" in row for row in window.rows()), "how much is done")
    window.until(lambda: window.page.locator(".activitybar .badge:visible", has_text="1").count() == 0, "nothing waits")
    a_file_that_is_not_open_is_shown_as_it_is(window, project)
    a_server_that_was_stopped_stays_so(window, editor)


def a_file_that_is_not_open_is_shown_as_it_is(window: Window, project: Path) -> None:
    """Boxes that other programs set, whatever characters the path has."""
    spec = project / ".kiro/specs/tea@home, (now)/tasks.md"
    spec.parent.mkdir()
    spec.write_text("- [ ] 1. Boil water\n- [ ] 2. Pour\n", "utf-8")
    window.until(lambda: any("tea@home" in row and "0 of 2 done" in row for row in window.rows()), "another spec")
    spec.write_text("- [x] 1. Boil water\n- [ ] 2. Pour\n", "utf-8")
    window.until(
        lambda: any("tea@home" in row and "1 of 2 done" in row for row in window.rows()), "a box in a closed row"
    )
    window.row("tea@home").click()
    window.until(lambda: any("Pour, open" in row for row in window.rows()), "its tasks")
    spec.write_text("- [x] 1. Boil water\n- [x] 2. Pour\n", "utf-8")
    window.until(lambda: any("Pour, done" in row for row in window.rows()), "a box in an open row")


def a_server_that_was_stopped_stays_so(window: Window, editor: Editor) -> None:
    """Until somebody wants to see the tree as it is now."""
    window.run_command("Kiro: Stop the Language Server")
    window.until(lambda: not any(" of 2 done" in row for row in window.rows()), "no spec is known")
    window.until(lambda: editor.servers() == [], "no server")
    window.page.locator(".sidebar .composite.title").hover()
    window.page.locator('.sidebar .action-label[aria-label="Refresh"]').first.click()
    window.until(lambda: any(" of 2 done" in row for row in window.rows()), "the specs")
    window.server()


def test_without_a_task_file_the_tree_says_how_to_begin_and_starts_nothing(opened: Open, project: Path) -> None:
    (project / ".kiro/specs/greeter/tasks.md").unlink()
    window = opened("greeter.py")
    window.show_view("Kiro")
    window.page.locator(".sidebar .welcome-view-content", has_text="Open a tasks.md").wait_for()
    buttons = window.page.locator(".sidebar .welcome-view-content .monaco-button")
    window.until(lambda: buttons.count() == 3, "three ways to begin")
    window.screenshot("welcome")
