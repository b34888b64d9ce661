"""The main job, as everybody meets it first."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.test_main_flow import GREETER, POLITE, TICKED
from tests.vscode.conftest import TASK_FILE, Open


def test_a_task_is_run_from_its_lens_reviewed_and_ticked(opened: Open, project: Path) -> None:
    window = opened()
    window.see_lens("▶ Run with Claude", at="1. Greet")
    window.screenshot("lens")
    window.click_lens("▶ Run with Claude", at="1. Greet")
    window.see_lens("Review 1 file", at="1. Greet")
    window.screenshot("review")
    assert (project / "greeter.py").read_text() == GREETER
    window.click_lens("Accept", at="1. Greet")
    window.until(lambda: (project / "greeter.py").read_text() == POLITE)
    window.until(lambda: "[x] 1. Greet" in window.text())
    window.screenshot("ticked")
    window.save()
    assert (project / TASK_FILE).read_bytes() == TICKED.encode()
