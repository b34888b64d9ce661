"""Draws the icon of the VS Code extension from its SVG: `python -m tools.extension_icon`. Needs playwright and Chromium."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

EXTENSION = Path(__file__).resolve().parent.parent / "client-vscode"
SIDE = 128


def main() -> None:
    drawing = (EXTENSION / "icon.svg").read_text("utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": SIDE, "height": SIDE})
        page.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{drawing}")
        page.screenshot(path=EXTENSION / "media" / "icon.png", omit_background=True)
        browser.close()


if __name__ == "__main__":
    main()
