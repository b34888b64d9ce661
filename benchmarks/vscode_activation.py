"""What a window of VS Code pays for the extension: `python -m benchmarks.vscode_activation [--windows N]`.

Opens windows of the tests' real VS Code without a task file and prints, of each: how long the extension's own code took (as its
log says it: loading its file and `activate`), what VS Code calls its activation, which also holds what the extension host did
meanwhile, and the same figure of the extensions that come with VS Code. Then the bytes of each file of code.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

from tests.support.vscode import Editor
from tests.vscode.window import Window

OWN = re.compile(r"activated in ([\d.]+) ms \(([\d.]+) ms of the processor\)")
ROW = ".runtime-extensions-editor .extension"
NAME = "Kiro LSP"


def fixed_loop() -> float:
    """How busy the machine is: milliseconds of a loop that takes about 13 when nothing else runs."""
    began = time.perf_counter()
    total = 0
    for number in range(200_000):
        total += number * number
    return (time.perf_counter() - began) * 1000


def own_times(editor: Editor) -> list[tuple[float, float]]:
    """Milliseconds by the clock and of the processor, for each window so far."""
    logs = "\n".join(text for name, text in editor.logs() if "Kiro-LSP" in name)
    return [(float(clock), float(processor)) for clock, processor in OWN.findall(logs)]


def reported(window: Window) -> dict[str, int]:
    """Extension → milliseconds, as the page of running extensions says."""
    window.run_command("Developer: Show Running Extensions")
    window.until(lambda: window.page.locator(ROW).count(), "the running extensions")
    found = {}
    for text in window.page.locator(ROW).all_inner_texts():
        if activation := re.search(r"Activation: (\d+)ms", text):
            found[text.split("\n")[0].strip()] = int(activation[1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=7)
    wanted = parser.parse_args().windows
    own: list[tuple[float, float]] = []
    theirs: list[int] = []
    others: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "project"
        folder.mkdir()
        (folder / "README.md").write_text("# No task in here\n", "utf-8")
        with Editor(Path(place) / "editor") as editor:
            for number in range(wanted):
                busy = fixed_loop()
                window = Window(editor, folder).show("README.md")
                window.until(lambda past=number: len(own_times(editor)) > past, "the extension is active")
                said = reported(window)
                theirs.append(next(time for name, time in said.items() if NAME in name))
                rest = [time for name, time in said.items() if NAME not in name]
                others.append(statistics.median(rest))
                own = own_times(editor)
                clock, processor = own[-1]
                print(f"own code {clock:.1f} ms, {processor:.1f} of the processor; loop {busy:.0f}")
                print(f"  by VS Code {theirs[-1]} ms, its own extensions {rest}")
                window.close()
            with zipfile.ZipFile(editor.folder / "kiro-lsp.vsix") as package:
                code = {
                    entry.filename: entry.file_size for entry in package.infolist() if entry.filename.endswith(".js")
                }
    for what, times in zip(("own code", "own code, the processor's time"), zip(*own, strict=True), strict=True):
        print(f"{what}: median {statistics.median(times):.1f} ms, least {min(times):.1f}, most {max(times):.1f}")
    print(f"by VS Code: median {statistics.median(theirs):.0f} ms, median of its own {statistics.median(others):.0f}")
    for name, size in code.items():
        print(f"{name.removeprefix('extension/')}: {size:,} bytes")
    print(f"all code: {sum(code.values()):,} bytes")


if __name__ == "__main__":
    main()
