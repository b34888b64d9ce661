"""The page of the output view by itself, in the browser: what a flood, a hostile model and a person who scrolls do to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.support.vscode import BROWSER, CLIENT, programs
from tests.vscode.client import node

RUN = "20261121-100000-aaaa"
HEAD = {
    "runId": RUN,
    "title": "1. Greet people",
    "about": ["Scripted", "CLI"],
    "tone": "running",
    "state": "thinking",
    "startedAt": "2026-11-21T10:00:00Z",
    "endedAt": None,
    "used": "$0.03",
    "buttons": [{"act": "stop", "label": "Stop", "tip": "Stop the agent", "primary": False}],
    "proposed": False,
}
START = {"type": "start", "agent": "mine", "way": "acp", "model": "", "task": "1", "reason": ""}


class Shown:
    """The page, and what it says to the extension."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.seq = 0

    def tell(self, *messages: dict[str, Any]) -> None:
        self.page.evaluate("messages => messages.forEach((one) => window.postMessage(one, '*'))", list(messages))
        self.page.evaluate(
            "() => new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done))))"
        )

    def events(self, *events: dict[str, Any]) -> None:
        self.tell({"type": "events", "runId": RUN, "events": [self._numbered(event) for event in events]})

    def _numbered(self, event: dict[str, Any]) -> dict[str, Any]:
        self.seq += 1
        return {"runId": RUN, "seq": self.seq, "at": "2026-11-21T10:00:00Z", **event}

    def said(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.evaluate("window.posted")
        return found

    def find(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def log(self, what: str) -> Any:
        return self.page.evaluate(f"(() => {{ const log = document.getElementById('log'); return {what}; }})()")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    built = tmp_path_factory.mktemp("page") / "output.js"
    form = ["--bundle", "--format=iife", "--platform=browser", "--target=chrome120", f"--outfile={built}"]
    done = node("node_modules/esbuild/bin/esbuild", "src/page/page.ts", *form)
    assert done.returncode == 0, done.stderr
    return built.read_text("utf-8")


@pytest.fixture(scope="module")
def words() -> dict[str, str]:
    source = (CLIENT / "src/output/words.ts").read_text("utf-8")
    found = {
        key: text for key, _, text in re.findall(r"(\w+): vscode\.l10n\.t\(\s*(['\"])(.*?)\2,?\s*\)", source, re.DOTALL)
    }
    assert len(found) > 50
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    environ = {"HOME": str(tmp_path_factory.mktemp("home"))}
    with sync_playwright() as playwright:
        program = programs().chromium
        started = playwright.chromium.launch(executable_path=program, args=list(BROWSER), env=environ)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, script: str, words: dict[str, str]) -> Iterator[Shown]:
    style = (CLIENT / "media/output.css").read_text("utf-8")
    stub = "window.posted = []; window.acquireVsCodeApi = () => ({ postMessage: (one) => window.posted.push(one) });"
    head, body = f"<style>{style}</style>", f"<script>{stub}</script><script>{script}</script>"
    opened = browser.new_page(viewport={"width": 800, "height": 400})
    failures: list[str] = []
    opened.on("pageerror", lambda error: failures.append(str(error)))
    opened.set_content(f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>")
    shown = Shown(opened)
    assert shown.said() == [{"type": "ready"}]
    shown.tell({"type": "words", "words": words}, {"type": "open", "head": HEAD})
    shown.events(START)
    yield shown
    opened.close()
    assert failures == []


def test_a_hundred_thousand_events_leave_a_page_of_a_bounded_size_at_its_end(page: Shown) -> None:
    for part in range(50):
        texts = [
            f"word {part * 2000 + place} {'x' * 40}" + ("\n\n" if place % 3 == 0 else " ") for place in range(2000)
        ]
        page.events(*({"type": "chunk", "text": text} for text in texts))
    page.page.get_by_text("word 99999 ").wait_for()
    assert page.log("log.querySelectorAll('*').length") < 3000
    assert page.log("log.scrollTop + log.clientHeight >= log.scrollHeight - 2")
    page.find("#earlier").click()
    assert page.log("log.querySelectorAll('.block').length") > 250


def test_what_a_model_writes_is_text_and_never_an_element(page: Shown) -> None:
    hostile = (
        "<img src=x onerror=window.hit=1> **<b>bold</b>** [click](command:evil) `<i>` ![x](http://e.example/x.png)\n\n"
    )
    page.events(
        {
            "type": "chunk",
            "text": f"{hostile}```html\n<script>window.hit = 1</script>\n```\n# <u>h</u>\n- <a href=x>\n",
        },
        {"type": "thought", "text": hostile},
        {"type": "tool", "id": "1", "kind": "execute", "title": hostile, "status": "completed", "output": hostile},
        {"type": "error", "kind": "agent", "message": hostile, "hint": hostile},
    )
    assert page.find("#blocks").inner_text().count("<img src=x onerror=window.hit=1>") >= 4
    assert page.find("#blocks :is(img, a, script, b, i, u, iframe)").count() == 0
    assert page.page.evaluate("window.hit") is None


def test_a_question_is_answered_by_its_button_once_and_then_stands_as_answered(page: Shown) -> None:
    options = [
        {"id": "once", "label": "Allow once", "kind": "allow-once"},
        {"id": "deny", "label": "Deny", "kind": "deny"},
    ]
    detail = {"argv": ["rm", "-rf", "a b", "\u202etxt"], "cwd": "web", "env": {}, "digest": "d"}
    asked = {
        "type": "permission",
        "requestId": "q",
        "kind": "command",
        "title": "Run in a copy: rm",
        "options": options,
    }
    page.events({**asked, "detail": detail})
    assert page.find(".question pre").inner_text() == "rm\n-rf\na b\n\\u202etxt"
    page.page.get_by_role("button", name="Allow once").click()
    assert page.page.get_by_role("button", name="Deny").is_disabled()
    assert page.said()[1:] == [{"type": "answer", "requestId": "q", "option": "once", "text": None}]
    page.events({"type": "answer", "requestId": "q", "option": "once", "by": "editor"})
    assert page.find(".question button").count() == 0
    assert "Allow once" in page.find(".question").inner_text()


def test_a_question_in_words_keeps_what_is_typed_while_the_run_goes_on(page: Shown) -> None:
    options = [{"id": "no", "label": "Skip", "kind": "deny"}]
    page.events(
        {
            "type": "permission",
            "requestId": "w",
            "kind": "elicitation",
            "title": "Which?",
            "options": options,
            "words": True,
        }
    )
    page.page.get_by_role("textbox").fill("the second")
    page.events({"type": "chunk", "text": "Meanwhile."})
    assert page.page.get_by_role("textbox").input_value() == "the second"
    page.page.get_by_role("button", name="Send").click()
    assert page.said()[-1] == {"type": "answer", "requestId": "w", "option": "", "text": "the second"}


def test_who_scrolls_up_stays_there_and_a_button_leads_back(page: Shown) -> None:
    page.events(*({"type": "chunk", "text": f"Line {number}.\n\n"} for number in range(100)))
    page.find("#log").hover()
    page.page.mouse.wheel(0, -600)
    page.find("#jump").wait_for()
    page.page.wait_for_function(
        "() => { const before = window.before; window.before = document.getElementById('log').scrollTop;"
        " return window.before === before; }"
    )
    before = page.log("log.scrollTop")
    page.events(*({"type": "chunk", "text": f"More {number}.\n\n"} for number in range(20)))
    assert page.log("log.scrollTop") == before
    page.find("#jump").click()
    page.page.get_by_text("More 19.").wait_for()
    page.page.wait_for_function(
        "() => { const log = document.getElementById('log'); return log.scrollTop + log.clientHeight >= log.scrollHeight - 2; }"
    )
    assert page.find("#jump").is_hidden()


def test_a_long_output_is_folded_to_its_end_and_opens(page: Shown) -> None:
    output = "\n".join(f"test_{number} PASSED" for number in range(40))
    page.events(
        {"type": "tool", "id": "x", "kind": "execute", "title": "pytest", "status": "completed", "output": output}
    )
    assert page.find(".output pre").inner_text().splitlines()[0] == "test_28 PASSED"
    page.page.get_by_role("button", name="Show all 40 lines").click()
    assert page.find(".output pre").inner_text() == output


def test_buttons_and_paths_say_what_they_are_for_and_work_from_the_keyboard(page: Shown) -> None:
    page.events(
        {
            "type": "tool",
            "id": "e",
            "kind": "edit",
            "title": "Edit src/a.py",
            "path": "src/a.py",
            "status": "in_progress",
        },
        {
            "type": "plan",
            "entries": [{"text": "look", "status": "completed"}, {"text": "edit", "status": "in_progress"}],
        },
    )
    page.page.get_by_role("button", name="Open src/a.py").press("Enter")
    page.page.get_by_role("button", name="Stop").press("Space")
    assert page.said()[1:] == [{"type": "file", "path": "src/a.py"}, {"type": "act", "act": "stop"}]
    assert page.find("#log").get_attribute("aria-label") == "What the run says"
    assert "1 of 2 done" in page.find("#plan").inner_text()
    page.tell(
        {
            "type": "head",
            "head": {**HEAD, "tone": "review", "state": "1 file to review", "endedAt": "2026-11-21T10:01:10Z"},
        }
    )
    assert page.find("[aria-live=polite]").inner_text() == "1 file to review"
    assert page.find("#time").inner_text() == "70 s"


def test_the_whole_output_is_given_as_text(page: Shown) -> None:
    page.events(
        {"type": "chunk", "text": "Done, **really**.\n"},
        {"type": "file", "action": "create", "path": "b.py"},
        {"type": "cancelled"},
    )
    page.tell({"type": "copy"})
    said = page.said()[-1]
    assert said["type"] == "copied"
    assert said["text"].splitlines() == [
        "1. Greet people",
        "Scripted · CLI · thinking · $0.03",
        "",
        "Done, **really**.",
        "created b.py",
        "Stopped by you",
    ]


def test_without_a_run_the_page_says_how_to_begin(page: Shown) -> None:
    page.tell({"type": "runs", "runs": [], "following": True}, {"type": "open"})
    page.page.get_by_role("button", name="Try the demo").click()
    assert page.said()[-1] == {"type": "command", "name": "demo"}
    assert page.find("header").is_hidden()


def test_a_text_is_found_also_in_a_folded_thought(page: Shown) -> None:
    page.events(
        {"type": "thought", "text": "Hm.\nThe cents are lost."},
        *({"type": "chunk", "text": f"Line {number} of cents.\n\n"} for number in range(60)),
    )
    page.find("#log").focus()
    page.page.keyboard.press("Control+f")
    page.page.keyboard.type("CENTS")
    places = page.find("#find .hint")
    assert places.inner_text() == "1 of 61"
    assert page.find(".thought details").get_attribute("open") is not None
    assert page.page.evaluate("CSS.highlights.get('found').size") == 61
    page.page.keyboard.press("Shift+Enter")
    assert places.inner_text() == "61 of 61"
    assert page.page.evaluate("[...CSS.highlights.get('current')][0].startContainer.nodeValue") == "Line 59 of cents."
    page.page.keyboard.press("Escape")
    assert page.find("#find").is_hidden()
    assert page.page.evaluate("CSS.highlights.get('found').size") == 0
