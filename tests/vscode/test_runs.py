"""Steering runs: whom to run a task with, consent, questions, progress, what calls a person back, and the keys for all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_main_flow import GREETER, POLITE
from tests.support.anthropic_server import AnthropicServer, Step, edits
from tests.support.unsandboxed import path_without_bubblewrap
from tests.vscode.conftest import Open
from tests.vscode.window import Window

COMMAND = ["/bin/sh", "-c", "echo x$((6 * 7))y"]
ASKS = [Step(tools=[("run_command", {"argv": COMMAND})]), *edits("greeter.py", "'Hey '", "'Good day, '")]
HELD = [Step(text="Let me think about this for a while. " * 3, hold=True)]


def spoken(provider: AnthropicServer) -> str:
    return json.dumps(provider.requests[-1] if provider.requests else {})


# Consent


def test_the_first_run_asks_once_in_one_sheet_and_a_no_changes_nothing(opened: Open, provider: AnthropicServer) -> None:
    window = opened(consent=True)
    window.click_lens("▶ Run with Claude", at="1. Greet")
    sheet = window.see_dialog("Run “Greet politely” with Claude?")
    assert "Agent: Claude by api" in sheet
    assert "Cost: at most $2 for this run, $10 a day." in sheet
    assert "Your files change only after you accept the review." in sheet
    assert sheet.endswith(("[Run]\n[Cancel]", "[Cancel]\n[Run]"))
    window.until(lambda: not window.toasts(), "one question and nothing beside it")
    window.screenshot("sheet")
    window.click_dialog("Cancel")
    window.see_lens("▶ Run with Claude", at="1. Greet")
    assert provider.requests == []
    window.click_lens("▶ Run with Claude", at="1. Greet")
    window.see_dialog("Run “Greet politely” with Claude?")
    window.click_dialog("Run")
    window.see_lens("Review 1 file", at="1. Greet")
    window.click_lens("▶ Run with Claude", at="2. Say goodbye")
    window.see_lens("Review 1 file", at="2. Say goodbye")
    assert window.dialog() == ""


# The agent picker


def test_the_picker_says_who_can_do_it_for_how_much_and_takes_a_note_along(
    opened: Open, provider: AnthropicServer
) -> None:
    window = opened()
    a_picker_that_is_closed_runs_nothing(window, provider)
    window.click_lens("⋯", at="1. Greet")
    window.until(window.choices, "the agents")
    first, *others = window.choice_details()
    window.screenshot("picker")
    assert "Claude" in first
    assert "about $" in first or "under $" in first
    assert any("Gemini" in one and "GEMINI_API_KEY" in one for one in others)
    window.choose("With a note for the agent…")
    window.page.get_by_text("What shall the agent know beside the task?").wait_for()
    window.answer("Mind the comma.")
    window.until(lambda: any("Mind the comma." in one for one in window.choice_details()), "the note is kept")
    window.choose("Claude")
    window.see_lens("Review 1 file", at="1. Greet")
    assert "Mind the comma." in json.dumps(provider.requests[0])


def a_picker_that_is_closed_runs_nothing(window: Window, provider: AnthropicServer) -> None:
    window.click_lens("⋯", at="1. Greet")
    assert "Claude" in window.until(window.choices, "the agents"), "nothing comes to stand where something else was"
    window.press("Escape")
    window.until(lambda: not window.choices())
    window.see_lens("▶ Run with Claude", at="1. Greet")
    assert provider.requests == []


# Progress


def test_progress_is_a_toast_whose_cancel_stops_the_run(opened: Open, provider: AnthropicServer) -> None:
    provider.steps = list(HELD)
    window = opened(**{"kiroLsp.progress": "toast"})
    window.click_lens("▶ Run with Claude", at="1. Greet")
    toast = window.see_toast("Claude: Greet politely")
    assert toast.buttons == ("Cancel",)
    window.see_lens("— Stop", at="1. Greet")
    assert "1 running" in window.see_status("1 running")
    window.screenshot("toast")
    window.until(provider.holding.is_set, "Claude is in the middle of an answer")
    window.click_toast("Cancel", "Claude: Greet politely")
    window.see_lens("Retry", at="1. Greet")
    window.until(lambda: not window.toasts(), "the toast is gone")
    window.until(lambda: not [one for one in window.status_bar() if "running" in one])
    window.until(provider.hung_up.is_set, "nobody listens to the provider any more")


def test_a_toast_gives_way_to_lens_and_status_bar_while_the_run_goes_on(
    opened: Open, provider: AnthropicServer
) -> None:
    provider.steps = list(HELD)
    window = opened()
    window.click_lens("▶ Run with Claude", at="1. Greet")
    window.saw("Claude: Greet politely")
    window.until(lambda: not window.toasts(), "the toast gives way")
    assert "— Stop" in window.see_lens("Claude", at="1. Greet")
    window.see_status("1 running")
    window.screenshot("given-way")
    window.cursor_to("1. Greet")
    window.run_command("Kiro: Stop a Run")
    window.see_lens("Retry", at="1. Greet")


# Questions


@pytest.fixture
def asking(opened: Open, provider: AnthropicServer, tmp_path: Path) -> Window:
    """A window in which Claude asks to run a command, as it must where there is no sandbox."""
    provider.steps = list(ASKS)
    window = opened(more={"PATH": path_without_bubblewrap(tmp_path / "programs")})
    window.click_lens("▶ Run with Claude", at="1. Greet")
    window.see_lens("? Claude asks", at="1. Greet")
    return window


def test_a_command_is_asked_for_exactly_and_a_yes_lets_the_run_go_on(
    asking: Window, provider: AnthropicServer, project: Path
) -> None:
    window = asking
    toast = window.see_toast("Claude asks to run")
    assert toast.text == "Claude asks to run: /bin/sh -c 'echo x$((6 * 7))y'"
    assert toast.buttons == ("Allow once", "Allow for this run", "Deny", "More…")
    window.see_status("Claude asks")
    window.screenshot("question")
    window.click_toast("Allow once", "Claude asks to run")
    window.see_lens("Review 1 file", at="1. Greet")
    assert "x42y" in spoken(provider)
    assert (project / "greeter.py").read_text() == GREETER


def test_a_toast_that_is_closed_is_no_answer_and_the_lens_asks_again(asking: Window, provider: AnthropicServer) -> None:
    window = asking
    window.see_toast("Claude asks to run")
    window.page.locator(".notification-toast", has_text="asks to run").hover()
    window.page.locator(".notification-toast .codicon-notifications-clear").first.click()
    window.until(lambda: not window.toasts(), "the toast is closed")
    assert "? Claude asks" in window.see_lens("? Claude asks", at="1. Greet")
    window.click_lens("? Claude asks", at="1. Greet")
    sheet = window.see_dialog("Claude asks to run")
    window.screenshot("sheet")
    assert "1. /bin/sh\n2. -c\n3. echo x$((6 * 7))y" in sheet
    assert "Run in a copy of the project (not sandboxed)" in sheet
    assert "[Always allow this exact command in this project]" in sheet
    window.click_dialog("Deny")
    window.see_lens("Review 1 file", at="1. Greet")
    assert "The person did not allow the command" in spoken(provider)


# Calling a person back


def test_a_run_that_is_done_while_its_file_is_not_in_view_says_so(opened: Open, provider: AnthropicServer) -> None:
    provider.steps[-1].hold = True
    window = opened(**{"kiroLsp.progress": "status"})
    window.click_lens("▶ Run with Claude", at="1. Greet")
    window.until(provider.holding.is_set, "Claude works")
    window.open("greeter.py")
    window.until(lambda: "def greet" in window.text(), "the task file is out of view")
    provider.release()
    toast = window.see_toast("Greet politely: 1 file to review")
    assert toast.buttons == ("Review", "Accept", "Show Output")
    window.screenshot("done")


# Palette and keys


def test_the_palette_offers_what_can_be_done_and_keys_do_it(opened: Open, project: Path) -> None:
    window = opened()
    window.see_lens("▶ Run with Claude", at="1. Greet")
    accept = "Kiro: Accept the Changes of a Run"
    window.until(lambda: accept not in window.commands(accept), "no run, no accept")
    run = "Kiro: Run the Task at the Cursor"
    window.until(lambda: window.commands(run)[0] == run, "the command that is typed stands first")
    window.chord("Control+Alt+k", "r", at="1. Greet")
    window.see_lens("Review 1 file", at="1. Greet")
    window.until(lambda: accept in window.commands(accept), "a run, an accept")
    window.run_command(accept)
    window.until(lambda: (project / "greeter.py").read_text() == POLITE)
    window.until(lambda: "[x] 1. Greet" in (text := window.text()) and "[ ] 2. Say goodbye" in text)
    window.chord("Control+Alt+k", "d", at="2. Say")
    window.until(lambda: "[x] 2. Say goodbye" in window.text())


def test_the_status_bar_tells_what_today_cost_and_is_not_there_without_a_task_file(opened: Open) -> None:
    window = opened("greeter.py")
    window.see_status("Python")
    assert not [one for one in window.status_bar() if "Kiro" in one or " of $" in one]
    window.open("tasks.md")
    window.click_lens("▶ Run with Claude", at="1. Greet")
    window.see_lens("Review 1 file", at="1. Greet")
    said = window.see_status("1 to review")
    assert window.see_status(" of $10")
    window.screenshot("status")
    assert said
    settings = window.folder / ".vscode/settings.json"
    settings.parent.mkdir()
    settings.write_text('{"kiroLsp.cost.maxCostPerDay": 8}', "utf-8")
    window.see_status(" of $8")
    costs_and_doctor_are_pages(window)


def costs_and_doctor_are_pages(window: Window) -> None:
    window.run_command("Kiro: Show Costs")
    window.page.get_by_role("tab", name="Preview Kiro Costs.md").wait_for()
    window.screenshot("costs")
    window.run_command("Kiro: Doctor: What Is Found and What Is Missing")
    window.until(
        lambda: "Claude" in window.text() and any("Doctor" in tab for tab in window.tabs()), "the doctor's report"
    )
    window.screenshot("doctor")
