"""A review in the real editor: several files at once, change by change, with the files on the disk looked at after each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_main_flow import server_environ
from tests.support import fake_agent
from tests.support.anthropic_server import AnthropicServer
from tests.support.vscode import Editor
from tests.vscode import reviewing
from tests.vscode.reviewing import AFTER, FILES, GREETER, PROPOSED, TASK_FILE, TASKS
from tests.vscode.window import Window

Reviewed = Callable[..., Window]

TITLE = "Greet everybody politely"
POLITE, HEY = 'f"Good day, {name}"', '"Hey " + name'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    reviewing.lay_out(root)
    return root


@pytest.fixture
def reviewed(
    request: pytest.FixtureRequest, editor: Editor, tmp_path: Path, project: Path, provider: AnthropicServer
) -> Iterator[Reviewed]:
    """`reviewed(wanted)`: a window on a project whose first task was done and waits for its review."""
    with ExitStack() as windows:

        def open_window(wanted: dict[str, bytes] | None = None, *, file: str = TASK_FILE, **settings: object) -> Window:
            environ = reviewing.environ_with_agent(server_environ(tmp_path, provider), wanted or AFTER)
            reviewing.reviewed_run(project, environ)
            editor.serve(environ)
            editor.configure(**settings)
            name = re.sub(r"\W+", "-", request.node.name.removeprefix("test_"))
            window = Window(editor, project, name=name)
            windows.callback(window.close)
            return window.show(file)

        yield open_window


def opened(window: Window) -> None:
    """Opens the review by its lens."""
    files = window.see_lens("Review ", at="1. Greet")
    window.click_lens(files, at="1. Greet")
    window.see_status(" file")


def test_several_files_are_reviewed_and_one_change_is_rejected(reviewed: Reviewed, project: Path) -> None:
    window = reviewed()
    opened(window)
    assert "logo.bin (binary)" in window.see_toast("Cannot be shown").text
    window.see_status("8 changes, 7 files")

    def statuses() -> dict[str, str]:
        return {diff.path.split("/")[0].strip(): diff.status for diff in window.diffs()}

    shown = window.until(lambda: {"polite.md", "greeter.py"} <= (found := statuses()).keys() and found, "two files")
    assert shown["polite.md"] == "A"
    assert shown["greeter.py"] == ""
    window.screenshot("review")
    assert reviewing.tree(project) == dict(FILES), "nothing is written before the accept"

    for place in ("1 of 8", "2 of 8"):
        window.press("Alt+F5")
        _see_card(window, place)
    window.press("Control+Alt+Backspace")
    window.see_status("7 changes, 7 files")
    _see_card(window, "2 of 7")
    window.until(lambda: not any(POLITE in line for line in window.see_diff("greeter.py", "len(names)").modified))
    assert reviewing.tree(project) == dict(FILES), "a reject writes nothing"

    window.press("Alt+F5")
    _see_card(window, "4 of 7 · is deleted")  # the third is the binary file, which there is nothing to show of
    window.press("Control+Alt+Backspace")
    window.see_status("6 changes, 6 files")
    _see_card(window, "4 of 6 · new file")
    window.page.locator(".tab", has_text="(5 files)").wait_for()  # that on which all is decided goes away
    window.press("Shift+Alt+F5")
    _see_card(window, "2 of 6")
    window.until(lambda: window.tabs() == ["tasks.md", TITLE], "one list of changes")
    window.screenshot("walked")
    window.page.locator('.activitybar .badge[aria-label^="Kiro"]').first.click()
    window.row("windows.txt").click()
    window.line("zwei").click()  # a file by itself, which no key has led to
    window.page.locator(".editor-instance .monaco-editor.focused .view-line", has_text="zwei").wait_for()
    window.press("Control+Alt+Backspace")
    window.see_status("5 changes, 5 files")
    window.until(lambda: not any("windows.txt" in tab for tab in window.tabs()), "what is decided is closed")

    window.click_title("Accept All Changes")
    rest = {**AFTER, "greeter.py": PROPOSED.replace(POLITE, HEY).encode(), TASK_FILE: TASKS.encode()}
    rest |= {path: FILES[path] for path in ("notes/draft.md", "windows.txt")}
    window.until(lambda: reviewing.tree(project) == rest, "the rest is written, and no box is ticked")
    window.until(lambda: window.tabs() == ["tasks.md"], "a review that is over is closed")
    _take_back_over_later_changes(window, project)


def test_what_is_typed_on_the_proposed_side_is_yours_and_is_applied(reviewed: Reviewed, project: Path) -> None:
    wanted = {**FILES, "windows.txt": AFTER["windows.txt"]}
    window = reviewed(wanted)
    opened(window)
    window.line("zwei").click()
    window.press("End")
    window.type(" und mehr")
    window.until(lambda: _decorated(window, "yours"), "it is marked")
    window.screenshot("yours")
    window.click_title("Accept All Changes")
    expected = "\ufeffone\r\nzwei und mehr\r\nthree".encode()
    window.until(lambda: (project / "windows.txt").read_bytes() == expected, "mark and line ends are the file's own")
    window.until(lambda: "[x] 1. Greet" in (project / TASK_FILE).read_text())


def test_a_review_shows_files_as_they_are_now_and_the_change_goes_into_that(reviewed: Reviewed, project: Path) -> None:
    window = reviewed({**FILES, **{path: AFTER[path] for path in ("greeter.py", "windows.txt")}})
    opened(window)
    window.see_diff("greeter.py", POLITE)
    window.row("greeter.py").dblclick()
    window.tab("greeter.py")
    window.cursor_to('"""Greetings."""')
    window.type("  # mine")
    window.tab(TITLE).click()
    window.see_status("3 changes, 2 files · 1 file changed meanwhile")
    shown = window.see_diff("greeter.py", "# mine")
    assert any(POLITE in line for line in shown.modified)
    window.until(
        lambda: any("# mine" in line for line in window.see_diff("greeter.py", "# mine").original),
        "what is typed and not saved is there on both sides",
    )

    windows = FILES["windows.txt"]
    (project / "windows.txt").write_bytes(windows.replace(b"two", b"deux"))
    window.see_status("1 file changed meanwhile · 1 file in conflict")
    window.until(lambda: _decorated(window, "meets what you changed"), "the change says so before an accept")
    window.until(lambda: any("deux" in line for line in window.see_diff("windows.txt", "zwei").original))
    window.screenshot("moved")
    (project / "windows.txt").write_bytes(windows)
    window.see_status("3 changes, 2 files · 1 file changed meanwhile")
    window.until(lambda: not _decorated(window, "meets what you changed"))

    window.click_title("Accept All Changes")
    assert "Merged" in window.see_toast("Applied").text
    window.until(lambda: (project / "windows.txt").read_bytes() == AFTER["windows.txt"])
    window.tab("greeter.py").click()
    window.until(lambda: POLITE in window.text() and "# mine" in window.text())
    assert (project / "greeter.py").read_text() == GREETER, "who typed saves"
    window.save()
    mine = PROPOSED.replace('"""Greetings."""', '"""Greetings."""  # mine')
    window.until(lambda: (project / "greeter.py").read_text() == mine)


def test_a_comment_on_a_line_or_a_change_starts_a_follow_up(
    reviewed: Reviewed, project: Path, tmp_path: Path, provider: AnthropicServer
) -> None:
    window = reviewed({**FILES, "greeter.py": AFTER["greeter.py"]}, kiroLsp__safety__requireConfirmation=False)
    environ = reviewing.environ_with_agent(server_environ(tmp_path, provider))
    opened(window)
    fake_agent.install(Path(environ["HOME"]), "open('prompt.txt', 'w').write(prompt)")
    window.page.locator(".modified .view-line", has_text="shout").first.click()
    window.run_command("Comments: Add Comment on Current Selection")
    window.page.locator(".review-widget .monaco-editor.focused").wait_for()
    window.type("Whisper instead")
    window.screenshot("comment")
    window.page.locator(".form-actions .monaco-button", has_text="Say What").first.click()
    window.see_dialog("with Fake?")
    window.click_dialog("Run")
    newer, older = window.until(
        lambda: len(runs := _runs(project, environ)) == 2 and runs[0]["state"] == "review" and runs
    )
    assert newer["continues"] == older["runId"]
    told = json.dumps(_json(project, environ, "review", newer["runId"], "--json"), ensure_ascii=False)
    assert "Whisper instead" in told
    assert "In line 12, " in told, "where it was said"

    window.until(lambda: window.tabs() == ["tasks.md"], "the review that another one goes on from is closed")
    opened(window)
    window.press("Alt+F5")
    window.page.locator(".review-thread-reply-button:visible").first.click()
    window.type("Say it in Latin")
    window.page.locator(".form-actions .monaco-button:visible", has_text="Say What").first.click()
    window.until(lambda: _runs(project, environ)[0]["continues"] == newer["runId"], "a run that goes on from it")


def test_a_conflict_is_merged_in_the_editor_for_it(reviewed: Reviewed, project: Path) -> None:
    window = reviewed({**FILES, **{path: AFTER[path] for path in ("greeter.py", "windows.txt")}})
    mine = GREETER.replace(HEY, '"Hello " + name').replace('"Bye "', '"Ciao "')
    merged = PROPOSED.replace('"Bye "', '"Ciao "')
    (project / "greeter.py").write_text(mine)
    windows = FILES["windows.txt"].replace(b"two", b"deux")
    (project / "windows.txt").write_bytes(windows)
    _merge(window, "greeter.py")
    window.screenshot("merge")
    window.click_title("Complete Merge")
    window.until(lambda: (project / "greeter.py").read_text() == merged, "the merge is in the file")

    _merge(window, "windows.txt")
    window.press("Control+s")
    window.until(lambda: (project / "windows.txt").read_bytes() == AFTER["windows.txt"], "a save takes it over, too")
    window.until(lambda: "[x] 1. Greet" in (project / TASK_FILE).read_text(), "and the task is ticked")
    window.click_toast("Undo", "Applied")
    window.until(lambda: (project / "greeter.py").read_text() == mine, "what was there before the merge")
    window.until(lambda: (project / "windows.txt").read_bytes() == windows)

    window.page.locator(".merge-editor .view-line", has_text="zwei").last.click()
    window.press("End")
    window.type(" # later")
    window.press("Control+s")
    window.see_toast("Failed to save")
    window.screenshot("over")
    window.click_title("Complete Merge")
    window.until(lambda: any(toast.text.startswith("This merge is over") for toast in window.toasts()))
    window.line("# later")  # it is not lost


def _merge(window: Window, path: str) -> None:
    """Takes the proposal in the merge editor, and leaves it there."""
    window.click_lens("Accept", at="1. Greet")
    window.click_toast("Merge…", path)
    window.page.locator(".merge-editor").wait_for()
    offered = window.page.locator(".merge-editor a", has_text="Accept Proposed")
    window.until(offered.count)

    def taken() -> bool:
        """The offers are made anew with each comparison: one that goes away is clicked again."""
        if offered.count():
            offered.first.click(timeout=3000)
        return offered.count() == 0

    window.until(taken, "it is taken")


def _take_back_over_later_changes(window: Window, project: Path) -> None:
    (project / "greeter.py").write_text("later\n")
    window.click_toast("Undo", "Applied")
    window.click_toast("Restore Anyway", "Nothing was written")
    assert "greeter.py goes away" in window.see_dialog("before the run?")
    assert (project / "greeter.py").read_text() == "later\n", "asked first"
    window.click_dialog("Restore")
    window.until(lambda: reviewing.tree(project) == dict(FILES), "all is as it was")
    window.click_toast("Review Again", "Put back")
    window.until(lambda: any("Review: " in tab for tab in window.tabs()) or window.diffs())


def _see_card(window: Window, text: str) -> None:
    """Waits until the unfolded card in view says so. The editor keeps others, out of view, to use them again."""
    script = """(heads) => heads.filter((head) => {
      const box = head.getBoundingClientRect();
      return head.contains(document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2));
    }).map((head) => head.innerText)"""
    heads = window.page.locator(".review-widget .head")
    window.until(
        lambda: any(f"Change {text}" in head for head in heads.evaluate_all(script)), f"a card “Change {text}”"
    )


def _decorated(window: Window, words: str) -> bool:
    """Whether words stand behind a line that are no part of its text."""
    script = """(words) => [...document.querySelectorAll('.view-line span')].some(
      (one) => getComputedStyle(one, '::after').content.includes(words))"""
    return bool(window.page.evaluate(script, words))


def _runs(project: Path, environ: dict[str, str]) -> list[dict[str, Any]]:
    """All runs, the newest first."""
    return list(_json(project, environ, "runs", "--json"))


def _json(project: Path, environ: dict[str, str], *verb: str) -> Any:
    """What a verb of the command line prints."""
    return json.loads(reviewing.told(environ, *verb, cwd=project))
