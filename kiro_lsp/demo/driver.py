"""`kiro-lsp demo`: the whole way once, from the lens to the tick.

The agent is recorded and says so at the top and at the bottom. Everything else is real: the language server in a
process of its own, the files, the project's tests before and after, the review, the accept, the one byte. The folder
stays the person's, and the run lies in the ordinary state folder, so `kiro-lsp undo` works on it afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from kiro_lsp import events
from kiro_lsp.changes.changeset import counts
from kiro_lsp.changes.model import ChangeSet, FileChange
from kiro_lsp.demo.editor import Editor, Json
from kiro_lsp.engine.workspace import PROJECT_CONFIG
from kiro_lsp.errors import KiroError
from kiro_lsp.terminal.console import Console, visible
from kiro_lsp.terminal.diff import counted, print_changes
from kiro_lsp.terminal.live import worded
from kiro_lsp.terminal.questions import Choice, Terminal

TASK_FILE = ".kiro/specs/fair-split/tasks.md"
TASK_LINE = "- [ ] 2. Hand out the cents that are left over"
RECORDING = "fair-split.run.jsonl"
_DEFAULT_FOLDER = "kiro-lsp-demo"
_KIRO = ("kiro/review", "kiro/runEvent", "kiro/reviewContent", "kiro/save")
_RECORDED = (
    "RECORDED: the agent in this demo is played back from a file. No key, no network, no cost; all the rest is real."
)

_SHOWN_OTHERWISE = (events.Permission, events.Answer, events.Isolation, *events.SETTLED)

_CONFIG = """\
# Written for the length of the demo; your own configuration is not touched.
[kiro]
default_agent = "recorded"

[agents.recorded]
type = "replay"
recording = {recording}
"""

_PROJECT = """\
# The agent of this project is played back from a file: no key, no network, no cost. All the rest is real.
[kiro]
default_agent = "recorded"

[agents.recorded]
type = "replay"
recording = {recording}

[execution]
verify_command = [{python}, "-m", "unittest"]
"""


def demo(args: argparse.Namespace, console: Console) -> int:
    """Play the demo. 0 when everything that it claims was seen to be so."""
    folder = _write_project(args.folder)
    if args.project:
        return _leave_it_to_an_editor(folder, console)
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kiro-lsp-demo-")))
        recording = stack.enter_context(resources.as_file(resources.files("kiro_lsp.demo") / RECORDING))
        config = scratch / "config.toml"
        config.write_text(_CONFIG.format(recording=_toml(str(recording))), "utf-8")
        terminal = stack.enter_context(Terminal.open()) if console.is_interactive else None
        return asyncio.run(_Demo(console, folder, scratch, config, terminal).play())


def _leave_it_to_an_editor(folder: Path, console: Console) -> int:
    """A project that plays the recording on a click, once it is trusted like any other."""
    root = Path(os.path.realpath(folder))
    config = root / PROJECT_CONFIG
    recording = config.with_name(RECORDING)
    config.parent.mkdir()
    recording.write_bytes(resources.files("kiro_lsp.demo").joinpath(RECORDING).read_bytes())
    config.write_text(_PROJECT.format(recording=_toml(str(recording)), python=_toml(sys.executable)), "utf-8")
    if console.json:
        console.value({"root": str(root), "tasks": str(root / TASK_FILE)})
    else:
        console.line(f"wrote {folder / TASK_FILE}")
        console.say("Next: open the folder in your editor, and click Run above task 2.")
    return 0


def _write_project(given: str | None) -> Path:
    """Unpack the project into a new or empty folder. Raises KiroError rather than mixing with somebody's files."""
    folder = Path(given) if given is not None else _free_folder()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise KiroError(f"{str(folder)!r} is there already and not empty.", hint="Name a new folder: kiro-lsp demo DIR")
    _unpack(resources.files("kiro_lsp.demo") / "project", folder)
    return folder


def _free_folder() -> Path:
    number = 1
    while (folder := Path(_DEFAULT_FOLDER if number == 1 else f"{_DEFAULT_FOLDER}-{number}")).exists():
        number += 1
    return folder


def _unpack(source: Traversable, target: Path) -> None:
    """Packaged names end in `.txt` and hidden ones start with `dot-`, so that no tool takes the files for our own."""
    target.mkdir(parents=True, exist_ok=True)
    for item in source.iterdir():
        name = item.name.replace("dot-", ".", 1) if item.name.startswith("dot-") else item.name
        if item.is_dir():
            _unpack(item, target / name)
        else:
            (target / name.removesuffix(".txt")).write_bytes(item.read_bytes())


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(slots=True)
class _Demo:
    console: Console
    folder: Path
    """As it was given, for showing."""
    scratch: Path
    config: Path
    terminal: Terminal | None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: events.RunEvent | None = None
    run_id: str = ""

    @property
    def root(self) -> Path:
        return Path(os.path.realpath(self.folder))

    async def play(self) -> int:
        self._banner()
        self._step(1, f"A small project in {self.folder}{os.sep}, with a bug and a test that shows it")
        green_before, _ = await asyncio.to_thread(self._run_tests)
        editor = await Editor.start(
            [sys.executable, "-m", "kiro_lsp", "--stdio"],
            os.environ | {"KIRO_LSP_CONFIG": str(self.config)},
            self.scratch / "server.log",
            self._heard,
            self._consent,
        )
        try:
            code = await self._in_editor(editor)
        except KiroError:
            self.console.say((self.scratch / "server.log").read_text("utf-8", "replace")[-2000:])
            raise
        finally:
            await editor.close()
        return 1 if green_before else code

    async def _in_editor(self, editor: Editor) -> int:
        await editor.initialize(self.root, _KIRO)
        task_file = self.root / TASK_FILE
        before = task_file.read_bytes()
        uri = await editor.open(task_file)
        self._step(2, f"An editor opens {TASK_FILE} and shows what the language server offers")
        lenses = await editor.request("textDocument/codeLens", {"textDocument": {"uri": uri}})
        click = self._show_lenses(before.decode(), lenses)
        self._step(3, f"A click on “{click['title']}”")
        answer = await editor.execute(click["command"], click["arguments"][0])
        if not answer.get("runId"):
            raise KiroError(f"The run was refused: {answer.get('refused', {}).get('message', answer)}")
        self.run_id = answer["runId"]
        await self.ended.wait()
        if not isinstance(self.outcome, events.Complete):
            raise KiroError(f"The run has not completed: {worded(self.outcome) if self.outcome else 'no reason given'}")
        self._step(4, "The review: nothing in the project has changed so far")
        review = await editor.request("kiro/review", {"runId": self.run_id})
        changes = await self._changes(editor, review)
        print_changes(changes, self.console)
        decision = await self._decide(changes)
        return await self._settle(editor, decision, changes, review["revision"], before)

    def _banner(self) -> None:
        self.console.print(self.console.styled(_RECORDED, 1, 33))

    def _step(self, number: int, text: str) -> None:
        self.console.print("\n" + self.console.styled(f"{number}  {visible(text)}", 1))

    def _run_tests(self) -> tuple[bool, int]:
        """The project's own tests, as anybody would run them; shows their verdict. (all passed, how many)."""
        result = subprocess.run(
            [sys.executable, "-m", "unittest"],
            cwd=self.root,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        lines = [
            line for line in result.stderr.splitlines() if line.startswith(("FAIL:", "ERROR:", "Ran ", "OK", "FAILED"))
        ]
        green = result.returncode == 0
        self.console.print(
            f"   $ python -m unittest   {self.console.styled('green' if green else 'red', 1, 32 if green else 31)}"
        )
        for line in lines:
            self.console.line(f"     {line}")
        ran = next((int(line.split()[1]) for line in lines if line.startswith("Ran ")), 0)
        return green, ran

    def _show_lenses(self, text: str, lenses: Sequence[Json]) -> Json:
        """Show the file with its lenses as an editor draws them; returns the command of our task's run lens."""
        above: dict[int, list[Json]] = {}
        for lens in lenses:
            above.setdefault(lens["range"]["start"]["line"], []).append(lens["command"])
        click: Json | None = None
        for number, line in enumerate(text.splitlines()):
            if commands := above.get(number):
                titles = " | ".join(str(command["title"]) for command in commands)
                self.console.print("   " + self.console.styled(visible(titles), 36))
                if line == TASK_LINE:
                    click = next((command for command in commands if command["command"] == "kiroLsp.runTask"), None)
            self.console.line(f"   {line}")
        if click is None:
            raise KiroError("The language server offers no run lens for the demo's task.", hint="See: kiro-lsp doctor")
        return click

    async def _consent(self, message: str, titles: Sequence[str]) -> str | None:
        """The sheet that an editor shows at the first click in a project. The person has asked for this very run."""
        chosen = "Run" if "Run" in titles else (titles[0] if titles else None)
        for line in message.splitlines():
            self.console.line(f"   | {line}")
        self.console.line("   | " + "   ".join(f"[{title}]" for title in titles) + f"   → {chosen}")
        return chosen

    def _heard(self, method: str, params: Json) -> None:
        """What the server reports while it works; the log of the run goes to the screen as it comes."""
        if method != "kiro/runEvent":
            return
        body: dict[str, Any] = params["event"]
        event = events.event_from_wire(body["type"], body)
        if isinstance(event, events.ENDED):
            self.outcome = event
            self.ended.set()
        line = event.text if isinstance(event, events.Chunk) else worded(event)
        if line and not isinstance(event, _SHOWN_OTHERWISE):
            for part in line.rstrip("\n").split("\n"):
                self.console.line(f"   {part}")
            self.console.out.flush()

    async def _changes(self, editor: Editor, review: Json) -> tuple[FileChange, ...]:
        """The review's files with both sides, as the server hands them to an editor."""
        changes = []
        for file in review["files"]:
            sides: list[bytes | None] = []
            for side, absent in (("baseUri", "create"), ("proposedUri", "delete")):
                answer = (
                    await editor.request("kiro/reviewContent", {"uri": file[side]})
                    if file["action"] != absent
                    else None
                )
                sides.append(None if answer is None else answer["text"].encode())
            changes.append(FileChange(file["path"], file["action"], sides[0], sides[1]))
        return tuple(changes)

    async def _decide(self, changes: Sequence[FileChange]) -> str:
        """`accept`, `reject`, or the path of the one file to accept."""
        if self.terminal is None:
            self.console.line("   There is no terminal to ask on: accepted.")
            return "accept"
        first = next(change.path for change in changes if change.action == "modify" and change.path.endswith(".py"))
        choices = [
            Choice("accept", "accept everything"),
            Choice("file", f"one file: only {first}"),
            Choice("reject", "reject everything"),
        ]
        decision = await self.terminal.ask_later("\nWhat shall become of it?", choices, "accept")
        return first if decision == "file" else decision

    async def _settle(
        self, editor: Editor, decision: str, changes: Sequence[FileChange], revision: int, before: bytes
    ) -> int:
        command = "kiroLsp.reject" if decision == "reject" else "kiroLsp.accept"
        argument: Json = {"runId": self.run_id, "revision": revision}
        if decision not in ("accept", "reject"):
            argument["path"] = decision
        answer = await editor.execute(command, argument)
        if not answer.get("ok"):
            raise KiroError(f"The server refused: {answer.get('message', answer)}")
        await editor.save_all()
        self._step(5, {"accept": "Accepted", "reject": "Rejected"}.get(decision, f"Accepted: only {decision}"))
        if answer.get("message"):
            self.console.line(f"   {answer['message']}")
        green, _ = await asyncio.to_thread(self._run_tests)
        truth = self._show_result(decision, changes, before, green)
        self._closing(decision)
        return 0 if truth else 1

    def _show_result(self, decision: str, changes: Sequence[FileChange], before: bytes, green: bool) -> bool:
        """What has become of the tree, counted from the files themselves. Whether it is what was promised."""
        after = (self.root / TASK_FILE).read_bytes()
        applied = [change for change in changes if self._is_on_disk(change)]
        differing = sum(one != other for one, other in zip(before, after, strict=False)) + abs(len(before) - len(after))
        if decision == "reject":
            self.console.line(
                f"   {counted(len(applied), 'file')} changed, {counted(differing, 'byte')} of {TASK_FILE} changed."
            )
            return not applied and differing == 0 and not green
        found = counts(ChangeSet(tuple(applied)))
        files = f"{found.modified} changed, {found.created} new, {found.deleted} deleted"
        self.console.line(f"   {files}; {counted(found.tests_added, 'test')} added")
        if decision != "accept":
            self.console.line("   The box stays open: work that is accepted in part is not done.")
            return [change.path for change in applied] == [decision] and differing == 0
        line = next((line for line in after.decode().splitlines() if line == TASK_LINE.replace("[ ]", "[x]")), None)
        ticked = line is not None and differing == 1
        shown = self.console.styled(line or "the box was not ticked", 1, 32)
        self.console.print(f"   {shown}   ← {counted(differing, 'byte')} changed in {TASK_FILE}")
        return ticked and green and len(applied) == len(changes)

    def _is_on_disk(self, change: FileChange) -> bool:
        path = self.root / change.path
        return (path.read_bytes() if path.is_file() else None) == change.proposed

    def _closing(self, decision: str) -> None:
        program = _program()
        self._step(6, "What to try next")
        lines = []
        if decision == "reject":
            lines.append((f"{program} retry {self.run_id}", "not for a recording, but for your own runs: try again"))
        elif decision != "accept":
            lines.append((f"{program} review {self.run_id} --accept", "the rest of it; then the box is ticked"))
        if decision != "reject":
            lines.append((f"{program} undo {self.run_id}", "put everything back as it was, byte for byte"))
        lines += [
            (f"cd {self.folder} and open {TASK_FILE}", "in your editor: README.md says how"),
            (f"{program} doctor", "what you need for a real agent"),
            (f"{program} init --spec NAME", "start with a project of your own"),
        ]
        for command, why in lines:
            self.console.print(f"   {self.console.styled(visible(command), 1)}\n      {why}")
        self.console.print("")
        self._banner()


def _program() -> str:
    """How this program was called, so that what is suggested can be pasted."""
    called = Path(sys.argv[0])
    if called.stem == "__main__":
        return f"{Path(sys.executable).name} -m kiro_lsp"
    found = shutil.which("kiro-lsp")
    if found is not None and os.path.realpath(found) == os.path.realpath(called):
        return "kiro-lsp"
    return os.path.relpath(called) if called.name.startswith("kiro-lsp") else "kiro-lsp"
