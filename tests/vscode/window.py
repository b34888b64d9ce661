"""A window of VS Code in verbs that a scenario reads like prose.

What is seen is asked of the page's DOM; `until` lets the page go on and looks again, so nothing sleeps. Lines are found by
what stands in them (`at="1. Greet"`), since a scenario knows the text and not the place.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import ElementHandle, Error, FrameLocator, Locator, Page, TimeoutError

from tests.support.vscode import ARTEFACTS, SECONDS, Editor

_LENSES = """() => [...document.querySelectorAll('.codelens-decoration')].map((lens) => {
  const top = lens.getBoundingClientRect().top;
  const lines = [...lens.closest('.monaco-editor').querySelectorAll('.view-line')]
    .map((line) => ({ top: line.getBoundingClientRect().top, text: line.textContent }))
    .filter((line) => line.top > top && line.top < top + 50).sort((a, b) => a.top - b.top);
  return { line: lines.length ? lines[0].text : '', top,
           titles: [...lens.querySelectorAll('a')].map((title) => title.textContent) };
}).filter((lens) => lens.line && lens.titles.length).sort((a, b) => a.top - b.top)"""

_LENS = """([title, at]) => {
  const plain = (text) => text.replaceAll('\\u00a0', ' ');
  for (const lens of document.querySelectorAll('.codelens-decoration')) {
    const top = lens.getBoundingClientRect().top;
    const below = [...lens.closest('.monaco-editor').querySelectorAll('.view-line')]
      .map((line) => ({ top: line.getBoundingClientRect().top, text: plain(line.textContent) }))
      .filter((line) => line.top > top && line.top < top + 50).sort((a, b) => a.top - b.top)[0];
    if (!below || !below.text.includes(at)) continue;
    const found = [...lens.querySelectorAll('a')].find((one) => plain(one.textContent).includes(title));
    if (found) return found;
  }
  return null;
}"""

# Not with each frame: somebody who looks all the time keeps the page from what it has to do.
_SOON = "() => new Promise((seen) => setTimeout(() => requestAnimationFrame(() => seen(null)), 50))"

_DIFFS = """() => [...document.querySelectorAll('.multiDiffEntry')].map((entry) => {
  const lines = (side) => [...entry.querySelectorAll(`.editor.${side} .view-line`)]
    .map((line) => [line.getBoundingClientRect().top, line.textContent.replaceAll('\\u00a0', ' ')])
    .sort((a, b) => a[0] - b[0]).map((pair) => pair[1]);
  const box = entry.getBoundingClientRect();
  return { path: [...entry.querySelectorAll('.file-path .title')].map((one) => one.textContent.trim()).join(' → '),
           status: [...entry.querySelectorAll('.file-path .status')].map((one) => one.textContent).join(''),
           top: box.top, height: box.height, original: lines('original'), modified: lines('modified') };
}).filter((entry) => entry.height > 0 && entry.path).sort((a, b) => a.top - b.top)"""

_EDITOR = """() => {
  const shown = [...document.querySelectorAll('.editor-group-container.active .editor-instance .monaco-editor')];
  const editor = shown.find((one) => one.classList.contains('focused')) ?? shown[0];
  if (!editor) return [];
  return [...editor.querySelectorAll('.view-line')]
    .map((line) => [line.getBoundingClientRect().top, line.textContent.replaceAll('\\u00a0', ' ')])
    .sort((a, b) => a[0] - b[0]).map((pair) => pair[1]);
}"""

_LIST = ".quick-input-widget:visible .quick-input-list:visible"
CHOICES = f"{_LIST} .monaco-list-row .label-name"

# Elements that come and go are read in one look: one that is gone by the time it is asked for would be waited for.
_LABELS = "(rows) => rows.map((row) => (row.getAttribute('aria-label') || row.innerText).replaceAll('\\u00a0', ' '))"
_ITEMS = """(items) => items
  .map((item) => (item.innerText.trim() || item.getAttribute('aria-label') || '').replaceAll('\\u00a0', ' '))
  .filter((text) => text)"""
_TOASTS = """(toasts) => toasts.map((toast) => [
  (toast.querySelector('.notification-list-item-message')?.innerText ?? '').replaceAll('\\u00a0', ' '),
  [...toast.querySelectorAll('.notification-list-item-buttons-container .monaco-button')].map((one) => one.textContent),
])"""
_KEEP = """
  window.kept = [];
  new MutationObserver(() => {
    for (const one of document.querySelectorAll('.notification-toast .notification-list-item-message, .statusbar-item')) {
      const text = one.textContent.replaceAll('\\u00a0', ' ');
      if (!window.kept.includes(text)) window.kept.push(text);
    }
  }).observe(document, { childList: true, subtree: true, characterData: true });
"""
"""Keeps what toasts and the status bar said: on a busy machine they may be gone again before they are looked at."""


def _words(text: str, *, whole: bool = False) -> re.Pattern[str]:
    """Matches what holds these words, or is them; VS Code writes some spaces so that no line breaks at them."""
    spaced = re.escape(text).replace(r"\ ", r"[\s\xa0]")
    return re.compile(f"^{spaced}$" if whole else spaced)


def _clicked(target: Locator | ElementHandle) -> bool:
    """Clicks it: True, also where a busy machine does not tell in time that the click arrived. Raises Error if none did."""
    try:
        target.click(timeout=3000)
    except TimeoutError as error:
        last_try = str(error).rpartition("retrying")[2]
        if "performing click action" not in last_try:
            raise
    return True


@dataclass(frozen=True, slots=True)
class Lens:
    line: str
    """The line that it stands above."""
    titles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Toast:
    text: str
    buttons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diff:
    """One file of a multi-diff editor, with the lines that are in view."""

    path: str
    status: str
    original: tuple[str, ...]
    modified: tuple[str, ...]


class Window:
    """One window. Close it before the next one is opened, so that no two language servers share a state folder."""

    def __init__(self, editor: Editor, folder: Path, *, name: str = "") -> None:
        """Makes the page; `show` opens the folder in it. `name` begins the names of pictures and evidence."""
        self.editor = editor
        self.folder = folder
        self.name = name
        self.page: Page = editor.page()
        self.page.add_init_script(_KEEP)

    def show(self, file: str | None = None, folder: Path | None = None) -> Self:
        """Opens the folder, and `file` (relative to it) in the editor; returns once the file's tab is there."""
        self.folder = folder or self.folder
        address = self.editor.address(self.folder, None if file is None else self.folder / file)
        self.page.goto(address, timeout=SECONDS * 1000)
        self.page.wait_for_selector(".monaco-workbench .statusbar", timeout=SECONDS * 1000)
        if file is not None:
            self.tab(Path(file).name)
        return self

    # Waiting

    def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        """The first true value of a condition, asked for again and again. Raises AssertionError with what is shown."""
        deadline = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(Error):  # an element went away between finding and reading it
                if value := condition():
                    return value
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not happen in {SECONDS} s: {what or condition}\n{self.shown()}")
            with contextlib.suppress(Error):  # the page goes elsewhere
                self.page.evaluate(_SOON)

    def server(self) -> int:
        """Process id of the language server, as soon as it is the only one."""
        return int(self.until(lambda: len(found := self.editor.servers()) == 1 and found[0], "one language server"))

    def shown(self) -> str:
        """What can be seen, in words: for the message of a test that failed."""
        parts = {
            "tabs": self.tabs,
            "lenses": self.lenses,
            "toasts": self.toasts,
            "dialog": self.dialog,
            "choices": self.choices,
            "status bar": self.status_bar,
            "editor": self.text,
        }
        said = []
        for name, look in parts.items():
            with contextlib.suppress(Error):
                said.append(f"  {name}: {look()}")
        return "\n".join(said)

    # The editor

    def tabs(self) -> list[str]:
        """Names of open tabs; a dirty one ends with ` ●`."""
        # At once: a tab may close between two questions.
        script = "(tabs) => tabs.map((tab) => tab.dataset.resourceName + (tab.classList.contains('dirty') ? ' ●' : ''))"
        return list(self.page.locator(".tabs-container .tab").evaluate_all(script))

    def tab(self, name: str) -> Locator:
        """The tab with that name, as soon as it is there."""
        found = self.page.locator(f'.tabs-container .tab[data-resource-name="{name}"]')
        found.first.wait_for()
        return found.first

    def open(self, file: str) -> None:
        """Opens a file of the folder by name, as with Ctrl+P."""
        self._ask("Control+p", file)
        self.choose(Path(file).name)
        self.tab(Path(file).name)

    def text(self) -> str:
        """The lines of the active editor that are in view."""
        return "\n".join(self.page.evaluate(_EDITOR))

    def lenses(self) -> list[Lens]:
        """Lenses in view, from top to bottom."""
        plain = [
            [one.replace("\xa0", " ") for one in (lens["line"], *lens["titles"])]
            for lens in self.page.evaluate(_LENSES)
        ]
        return [Lens(line, tuple(titles)) for line, *titles in plain]

    def titles(self, at: str) -> tuple[str, ...]:
        """Titles of the lenses above the line that holds `at`; none where there is none in view."""
        return next((lens.titles for lens in self.lenses() if at in lens.line), ())

    def see_lens(self, title: str, at: str = "") -> str:
        """Waits for a lens whose title holds `title`; returns the whole title."""

        def seen() -> str | None:
            found = (one for lens in self.lenses() if at in lens.line for one in lens.titles if title in one)
            return next(found, None)

        return str(self.until(seen, f"a lens “{title}” above “{at}”"))

    def click_lens(self, title: str, at: str = "") -> None:
        """Clicks the first lens whose title holds `title`, above a line that holds `at`."""

        def clicked() -> bool:
            element = self.page.evaluate_handle(_LENS, [title, at]).as_element()
            return element is not None and _clicked(element)

        self.until(clicked, f"a lens “{title}” above “{at}” that can be clicked")

    def line(self, at: str) -> Locator:
        """The first line in view that holds `at`."""
        found = self.page.locator(".editor-instance .view-line", has_text=_words(at)).first
        found.wait_for()
        return found

    def cursor_to(self, at: str) -> None:
        """Puts the cursor at the end of the line that holds `at`."""

        def clicked() -> bool:
            self.page.mouse.move(700, 600)  # a tip of what the mouse is on goes away
            return _clicked(self.line(at))

        self.until(clicked, f"a click on “{at}”")
        self.press("End")

    def go_to_line(self, number: int) -> None:
        """Scrolls to a line by its number (1-based) and puts the cursor there."""
        self.press("Control+g")
        self.answer(f":{number}")

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def press(self, *keys: str) -> None:
        """Presses keys one after the other, in playwright's spelling: `Control+s`."""
        for key in keys:
            self.page.keyboard.press(key)

    def chord(self, first: str, second: str, at: str) -> None:
        """Presses a key binding of two keys on the line that holds `at`; again where the second came too late for VS Code."""

        def pressed() -> bool:
            self.cursor_to(at)
            before = self.text()
            self.press(first, second)
            self.until(lambda: not any("second key of chord" in one for one in self.status_bar()), "it was taken")
            if len(self.text()) <= len(before):
                return True
            self.press("Control+z")  # it was typed
            return False

        self.until(pressed, f"{first} {second}")

    def save(self) -> None:
        """Saves the active editor and waits until no tab of it is dirty."""
        self.press("Control+s")
        self.until(lambda: self.page.locator(".tab.active.dirty").count() == 0, "the file is saved")

    # Commands and choices

    def run_command(self, title: str) -> None:
        """Runs a command of the palette by its whole title: `Kiro: Run Task`.

        An open palette goes on offering what it did when it opened, and VS Code learns some conditions (what can be
        commented on) only when the editor gets the focus again: so it is opened again where the command is missing.
        """

        def offered() -> bool:
            self._ask("F1", f">{title}")
            try:
                self.page.locator(CHOICES).filter(has_text=title).first.wait_for(timeout=10_000)
            except Error:
                self.press("Escape")
                raise
            return True

        self.until(offered, f"the command “{title}” in the palette")
        self.choose(title)

    def commands(self, typed: str) -> list[str]:
        """What the palette offers when that was typed; the palette is closed again."""
        self._ask("F1", f">{typed}")
        found: list[str] = self.until(self.choices, f"something for “{typed}”")
        self.press("Escape")
        return found

    def choices(self) -> list[str]:
        """Labels of the quick pick that is open."""
        return [text.replace("\xa0", " ") for text in self.page.locator(CHOICES).all_text_contents()]

    def choice_details(self) -> list[str]:
        """All that the rows of the quick pick say, as a screen reader says it."""
        rows = self.page.locator(f"{_LIST} .monaco-list-row")
        found: list[str] = rows.evaluate_all(_LABELS)
        return found

    def choose(self, label: str) -> None:
        """Clicks the row of the quick pick whose label is `label`, or else holds it."""

        # By what they say and not by where they stand: rows may come and go until the very click.
        offered = self.page.locator(CHOICES)
        whole, part = offered.filter(has_text=_words(label, whole=True)), offered.filter(has_text=_words(label))

        def chosen() -> bool:
            rows = whole if whole.count() else part
            return bool(rows.count()) and _clicked(rows.first)

        self.until(chosen, f"a choice “{label}”")

    def answer(self, text: str) -> None:
        """Types into the input box that asks for words, and confirms."""
        self._typed(text)
        self.press("Enter")

    def _ask(self, key: str, text: str) -> None:
        """Presses the key that opens an input box, again where it was lost, and types into the box."""

        def asked() -> bool:
            self.press(key)
            self._typed(text, patience=10_000)
            return True

        self.until(asked, f"an input box at {key}")

    def _typed(self, text: str, patience: float | None = None) -> None:
        """Types into the input box; waits for it so many milliseconds at most."""
        box = self.page.locator(".quick-input-widget:visible input[type=text]").first
        box.wait_for(timeout=patience)
        box.fill(text, timeout=patience)

    # What VS Code says

    def toasts(self) -> list[Toast]:
        found = self.page.locator(".notifications-toasts .notification-toast").evaluate_all(_TOASTS)
        return [Toast(text, tuple(buttons)) for text, buttons in found]

    def see_toast(self, text: str) -> Toast:
        return self.until(lambda: next((one for one in self.toasts() if text in one.text), None), f"a toast “{text}”")  # type: ignore[no-any-return]

    def saw(self, text: str) -> None:
        """Waits for a toast or an item of the status bar with that text, which may have gone again since the window opened."""
        self.until(
            lambda: any(text in one for one in self.page.evaluate("window.kept")), f"“{text}” in a toast or below"
        )

    def click_toast(self, button: str, text: str = "") -> None:
        """Clicks a button of the toast that says `text`."""

        def clicked() -> bool:
            toast = self.page.locator(".notifications-toasts .notification-toast", has_text=text or None)
            return _clicked(toast.locator(".monaco-button", has_text=button).first)

        self.until(clicked, f"a button “{button}” of a toast “{text}”")

    def dialog(self) -> str:
        """What the modal dialog says, with its buttons in brackets; nothing where there is none."""
        box = self.page.locator(".monaco-dialog-box")
        if not box.count():
            return ""
        parts = box.locator(".dialog-message-text, .dialog-message-detail").all_inner_texts()
        buttons = box.locator(".dialog-buttons .monaco-button").all_text_contents()
        return "\n".join([*parts, *(f"[{button}]" for button in buttons)]).replace("\xa0", " ")

    def see_dialog(self, text: str = "") -> str:
        return str(self.until(lambda: (said := self.dialog()) and text in said and said, f"a dialog “{text}”"))

    def click_dialog(self, button: str) -> None:
        self.page.locator(".monaco-dialog-box .monaco-button", has_text=re.compile(f"^{re.escape(button)}$")).click()
        self.until(lambda: not self.dialog(), "the dialog closes")

    def status_bar(self) -> list[str]:
        """Texts of the items of the status bar; an item of icons only is told by its label."""
        found: list[str] = self.page.locator(".statusbar-item").evaluate_all(_ITEMS)
        return found

    def see_status(self, text: str) -> str:
        return str(
            self.until(lambda: next((one for one in self.status_bar() if text in one), None), f"status “{text}”")
        )

    # Views

    def rows(self, inside: str = ".sidebar") -> list[str]:
        """Rows of the trees in view, as a screen reader says them."""
        found: list[str] = self.page.locator(f"{inside} .monaco-list-row").evaluate_all(_LABELS)
        return found

    def row(self, text: str, inside: str = ".sidebar") -> Locator:
        """The first row of a tree that holds the text, as soon as it is there."""
        found = self.page.locator(f"{inside} .monaco-list-row", has_text=text).first
        found.wait_for()
        return found

    def show_view(self, title: str) -> None:
        """Opens a view container of the activity bar by its title."""
        self.page.locator(f'.activitybar .action-label[aria-label^="{title}"]').first.click()

    def webview(self, number: int = 0) -> FrameLocator:
        """The document of a webview that is shown: `window.webview().get_by_text("…")`."""
        outer = self.page.frame_locator("iframe.webview.ready").nth(number)
        return outer.frame_locator("iframe#active-frame")

    def webview_text(self, number: int = 0) -> str:
        """Everything that a webview shows, as text."""
        return self.webview(number).locator("body").inner_text(timeout=5000)

    def diffs(self) -> list[Diff]:
        """The files of the multi-diff editor that are in view."""
        return [
            Diff(found["path"], found["status"], tuple(found["original"]), tuple(found["modified"]))
            for found in self.page.evaluate(_DIFFS)
        ]

    def see_diff(self, path: str, modified: str) -> Diff:
        """Waits for a file of the multi-diff editor whose proposed side shows a line with that text."""

        def seen() -> Diff | None:
            shown = (one for one in self.diffs() if path in one.path and any(modified in line for line in one.modified))
            return next(shown, None)

        return self.until(seen, f"a diff of {path} with “{modified}”")  # type: ignore[no-any-return]

    def click_title(self, label: str) -> None:
        """Clicks an action of the editor's title bar by its label."""
        self.page.locator(f'.editor-actions .action-label[aria-label^="{label}"]').first.click()

    # Artefacts

    def screenshot(self, name: str = "") -> Path:
        """A picture of the window, among the artefacts; numbered in the order of the scenario's pictures."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        stem = "-".join(part for part in (self.name, re.sub(r"[^\w]+", "-", name)) if part)
        target = ARTEFACTS / f"{stem or 'window'}.png"
        self.page.screenshot(path=target, timeout=60_000)
        return target

    def keep_evidence(self) -> None:
        """After a failure: a picture, what is shown in words, the console, and all logs."""
        folder = ARTEFACTS / f"failed-{self.name or 'window'}"
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(Error):
            self.page.screenshot(path=folder / "window.png", timeout=60_000)
            (folder / "shown.txt").write_text(self.shown(), "utf-8")
        for name, text in self.editor.logs():
            (folder / name).write_text(text, "utf-8")

    def close(self) -> None:
        """Leaves the window as a person does who closes the tab; what is unsaved is lost."""
        with contextlib.suppress(Error):
            self.page.goto("about:blank", timeout=30_000)
        self.page.close()
