"""What happens when work meets work: unsaved edits, a conflict, an undo, a restart in the middle, no trust, a very long file."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.e2e.test_main_flow import GREETER, POLITE, TASKS, TICKED
from tests.support.anthropic_server import AnthropicServer, edits
from tests.support.vscode import Editor
from tests.vscode.conftest import TASK_FILE, Open
from tests.vscode.window import Window

MINE = "def greet(name):  # mine\n"


def reviewed(window: Window) -> None:
    """Runs the first task until its change waits for a review."""
    window.click_lens("▶ Run with Claude", at="1. Greet")
    window.see_lens("Review 1 file", at="1. Greet")


def test_what_is_typed_and_not_saved_stays_beside_what_is_accepted_and_after_it_is_undone(
    opened: Open, project: Path
) -> None:
    window = opened()
    reviewed(window)
    window.open("greeter.py")
    window.cursor_to("def greet(name):")
    window.type("  # mine")
    window.until(lambda: "greeter.py ●" in window.tabs(), "it is not saved")
    window.tab("tasks.md").click()
    window.click_lens("Accept", at="1. Greet")
    told = window.see_toast("Merged with what changed meanwhile: greeter.py")
    assert "Not saved yet, save it in the editor: greeter.py" in told.text
    window.until(lambda: "[x] 1. Greet" in window.text(), "the box is ticked")
    window.tab("greeter.py").click()
    window.until(lambda: "Good day" in window.text() and "# mine" in window.text(), "both changes are in the editor")
    window.screenshot("both")
    window.save()
    assert (project / "greeter.py").read_text("utf-8") == POLITE.replace("def greet(name):\n", MINE)
    window.tab("tasks.md").click()
    window.until(lambda: (project / TASK_FILE).read_bytes() == TICKED.encode(), "the tick is saved")

    window.see_lens("✓ View changes", at="1. Greet")
    window.cursor_to("1. Greet")
    window.run_command("Kiro: Undo an Accepted Run")
    mine = GREETER.replace("def greet(name):\n", MINE)
    window.until(
        lambda: (project / "greeter.py").read_text("utf-8") == mine, "what was accepted is gone, what is mine stays"
    )
    window.until(lambda: "[ ] 1. Greet" in window.text(), "the box is open again")
    window.screenshot("undone")


def test_an_accepted_run_is_undone_byte_for_byte(opened: Open, project: Path) -> None:
    window = opened()
    reviewed(window)
    window.click_lens("Accept", at="1. Greet")
    window.until(lambda: (project / "greeter.py").read_text("utf-8") == POLITE, "the change is on the disk")
    window.see_toast("")
    window.until(lambda: any("Undo" in one.buttons for one in window.toasts()), "an Undo is offered")
    window.screenshot("accepted")
    window.click_toast("Undo")
    window.until(lambda: (project / "greeter.py").read_text("utf-8") == GREETER, "the file is as before")
    window.until(lambda: "[ ] 1. Greet" in window.text(), "the box is open again")
    window.until(lambda: (project / TASK_FILE).read_bytes() == TASKS.encode(), "on the disk, too")
    assert sorted(path.name for path in project.rglob("*") if path.is_file()) == [
        "greeter.py",
        "requirements.md",
        "tasks.md",
    ]
    window.screenshot("undone")


def test_where_both_changed_the_same_line_nothing_is_written_and_it_is_said(opened: Open, project: Path) -> None:
    window = opened()
    reviewed(window)
    theirs = GREETER.replace("'Hey '", "'Hullo '")
    (project / "greeter.py").write_text(theirs, "utf-8")
    window.click_lens("Accept", at="1. Greet")
    told = window.see_toast("greeter.py")
    window.screenshot("conflict")
    assert "Merge…" in told.buttons
    assert (project / "greeter.py").read_text("utf-8") == theirs
    window.see_lens("Conflict, review 1 file", at="1. Greet")
    assert (project / TASK_FILE).read_bytes() == TASKS.encode()


def test_a_server_that_is_started_again_goes_on_from_what_it_left(
    opened: Open, editor: Editor, project: Path, provider: AnthropicServer
) -> None:
    provider.steps[-1].hold = True
    window = opened()
    window.click_lens("▶ Run with Claude", at="1. Greet")
    window.until(provider.holding.is_set, "Claude works")
    before = window.server()
    os.kill(before, signal.SIGSTOP)  # it takes its time to end
    for _impatiently in range(2):
        window.run_command("Kiro: Restart the Language Server")
    with contextlib.suppress(ProcessLookupError):  # it took more than it was given
        os.kill(before, signal.SIGCONT)
    window.until(lambda: window.server() != before, "there is another server")
    window.see_lens("Retry", at="1. Greet")
    window.screenshot("interrupted")
    provider.holding.clear()
    window.click_lens("Retry", at="1. Greet")
    window.until(provider.holding.is_set, "Claude works again")
    window.see_lens("— Stop", at="1. Greet")
    before = window.server()
    os.kill(before, signal.SIGKILL)
    window.until(lambda: window.server() != before, "there is another server")
    window.see_lens("Retry", at="1. Greet")
    window.screenshot("killed")
    assert (project / "greeter.py").read_text("utf-8") == GREETER
    provider.release()
    provider.steps = edits("greeter.py", "'Hey '", "'Good day, '")
    window.click_lens("Retry", at="1. Greet")
    # What was left could be reviewed, too, but beside a Retry.
    window.until(lambda: {"Review 1 file", "Retry"} & set(window.titles("1. Greet")) == {"Review 1 file"}, "the review")
    window.click_lens("Accept", at="1. Greet")
    window.until(lambda: (project / "greeter.py").read_text("utf-8") == POLITE, "the change is on the disk")


def test_a_folder_that_is_not_trusted_is_read_and_nothing_is_run_in_it(
    opened: Open, project: Path, provider: AnthropicServer
) -> None:
    window = opened(
        consent=True,
        **{
            "security.workspace.trust.enabled": True,
            "security.workspace.trust.startupPrompt": "never",
            "security.workspace.trust.emptyWindow": False,
        },
    )
    window.until(lambda: "Restricted Mode" in " ".join(window.status_bar()), "VS Code says it")
    window.see_lens("not trusted", at="1. Greet")
    window.screenshot("restricted")
    assert "▶ Run" not in str(window.lenses())
    window.click_lens("not trusted", at="1. Greet")
    window.see_toast("not trusted in the editor")
    window.screenshot("clicked")
    assert provider.requests == []
    window.click_toast("Manage Workspace Trust")
    window.page.locator(".workspace-trust-editor .monaco-button", has_text="Trust").first.click()
    window.tab("tasks.md").click()
    window.see_lens("▶ Run with Claude", at="1. Greet")
    window.screenshot("trusted")
    assert provider.requests == []
    assert (project / "greeter.py").read_text("utf-8") == GREETER


def test_a_thousand_tasks_have_their_lenses_wherever_one_looks(
    opened: Open, project: Path, provider: AnthropicServer
) -> None:
    text = "# Plan\n\n" + "".join(f"- [ ] {number}. Task number {number}\n" for number in range(1, 1001))
    (project / TASK_FILE).write_text(text, "utf-8")
    window = opened()
    window.see_lens("▶ Run with Claude", at=" 1. Task number 1")
    window.line(" 1. Task").click()
    window.press("Control+End")
    window.see_lens("▶ Run with Claude", at="Task number 1000")
    window.screenshot("end")
    window.click_lens("▶ Run with Claude", at="Task number 1000")
    window.see_lens("Review 1 file", at="Task number 1000")
    window.go_to_line(502)
    window.see_lens("▶ Run with Claude", at="Task number 500")
    window.press("Control+End")
    window.click_lens("Accept", at="Task number 1000")
    window.until(lambda: "[x] 1000." in window.text(), "the last box is ticked")
    window.save()
    assert (project / TASK_FILE).read_text("utf-8") == text.replace("[ ] 1000.", "[x] 1000.")
