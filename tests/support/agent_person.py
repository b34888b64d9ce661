"""Somebody with a project, a home in which a real agent program is logged in, and a provider on this machine.

    with person(tmp_path, "claude", WORK, kind="acp") as somebody:
        code, stream, err = somebody.run()

The task is one of several files: an edit, a new file, a command that deletes one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support import logins, planted, procs, programs_npm
from tests.support.provider_server import Fault, ProviderServer, Step
from tests.support.tree import differences, snapshot

TASK_FILE: Final = ".kiro/specs/greeter/tasks.md"
BEFORE: Final = {
    "greeter.py": "def greet(name):\n    return 'Hey ' + name\n",
    "old.txt": "old\n",
    TASK_FILE: "# Plan\n\n- [ ] 1. Greet politely\n- [ ] 2. Say goodbye\n",
}
AFTER: Final = {
    "greeter.py": "def greet(name):\n    return 'Good day ' + name\n",
    "docs/greeting.md": "# Greeting\n",
    TASK_FILE: BEFORE[TASK_FILE].replace("- [ ] 1.", "- [x] 1."),
    "staged.txt": "staged, and not committed\n",
}
LOOK: Final = Step(text="I look first.", tools=[("@read", {"path": "greeter.py"})])
EDIT: Final = Step(
    tools=[
        (
            "@edit",
            {"path": "greeter.py", "old": "    return 'Hey ' + name", "new": "    return 'Good day ' + name"},
        )
    ]
)
WORK: Final = [
    LOOK,
    EDIT,
    Step(tools=[("@write", {"path": "docs/greeting.md", "text": "# Greeting\n"})]),
    Step(tools=[("@run", {"command": "rm old.txt && cat docs/greeting.md"})]),
    Step(text="Greets politely now."),
]
HELD: Final = [LOOK, EDIT, Step(text="I think about it for long.", hold=True)]
TOKEN: Final = "local-login-" + "t" * 24
ADAPTERS: Final = {"claude": "claude-agent-acp", "codex": "codex-acp"}
"""The programs by which some agents speak ACP; the others do so themselves."""


@dataclass
class Person:
    name: str
    root: Path
    home: Path
    environ: Mapping[str, str] = field(repr=False)
    server: ProviderServer

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "kiro_lsp", *arguments],
            cwd=self.root,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: str) -> tuple[int, list[Any], str]:
        """Exit code, the lines of JSON, and what was said besides."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=170)
        return process.returncode, [json.loads(line) for line in out.splitlines()], err

    def run(self) -> tuple[int, list[Any], str]:
        return self.call(*self.order)

    @property
    def order(self) -> tuple[str, ...]:
        return ("run", TASK_FILE, "1", "--agent", self.name, "--trust", "--json")

    def still_alive(self) -> set[int]:
        """What of the program goes on living; all that it starts has its home."""
        return procs.gone_within(procs.marked(str(self.home), "HOME"))

    def tree(self) -> dict[str, str]:
        files = (path for path in self.root.rglob("*") if path.is_file() and ".git" not in path.parts)
        return {path.relative_to(self.root).as_posix(): path.read_text("utf-8") for path in files}


@contextmanager
def person(
    tmp_path: Path,
    name: str,
    steps: list[Step],
    faults: list[Fault] | None = None,
    cap: str = "",
    *,
    kind: str = "cli",
) -> Iterator[Person]:
    """`kind` is the way to the program. With a cap in dollars, the program is paid by use."""
    programs_npm.program(ADAPTERS.get(name, name) if kind == "acp" else name)
    root, home = tmp_path / "project", tmp_path / "home"
    home.mkdir()
    for path, text in BEFORE.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    _commit(root)
    with logins.SERVERS[name](steps, faults or ()) as server:
        variables = logins.laid_out(home, name, server.url, TOKEN)
        if (name, kind) == ("codex", "acp"):
            # As its first start leaves it: it unpacks skills there, which a run of ours must not.
            (home / ".codex" / "skills").mkdir(exist_ok=True)
        config = tmp_path / "config.toml"
        config.write_text(_config(name, kind, server.url, variables, cap), "utf-8")
        config.chmod(0o600)
        environ = {
            "PATH": programs_npm.search_path(),
            "HOME": str(home),
            "KIRO_LSP_STATE_DIR": str(tmp_path / "state"),
            "KIRO_LSP_CONFIG": str(config),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **planted.ENVIRON,
            "ANTHROPIC_API_KEY": planted.KEYS["anthropic"],
            "GEMINI_API_KEY": planted.KEYS["google"],
        }
        yield Person(name, root, home, environ, server)


def done_in_the_sandbox(somebody: Person) -> list[Any]:
    """The task of WORK from the command line to the review, with nothing of the person's changed; the events."""
    before = snapshot(somebody.root)
    code, stream, err = somebody.run()
    assert code == 0, (stream, err)
    assert differences(before, snapshot(somebody.root)) == []
    end = stream[-1]
    assert (end["type"], end["filesChanged"]) == ("complete", ["docs/greeting.md", "greeter.py", "old.txt"])
    assert end["summary"] == "Greets politely now."
    (isolation,) = of(stream, "isolation")
    assert isolation["level"] == "bubblewrap"
    assert isolation["network"].startswith("only 127.0.0.1:")
    assert "I look first." in "".join(event["text"] for event in of(stream, "chunk"))
    assert of(stream, "session")[-1]["sessionId"]
    assert not somebody.still_alive()
    return stream


def accepted(somebody: Person) -> None:
    """The change is accepted, and is then in the files."""
    code, _stream, err = somebody.call("review", "--accept", "--json")
    assert code == 0, err
    assert somebody.tree() == AFTER


def cancelled_in_its_turn(somebody: Person) -> None:
    """A run whose provider holds its last answer is cancelled: all is gone, the edit before is kept, the tree is as it was."""
    before = snapshot(somebody.root)
    with somebody.start(*somebody.order) as process:
        assert process.stdout is not None
        run_id = json.loads(process.stdout.readline())["runId"]
        assert somebody.server.holding.wait(60), process.stdout.read()
        assert procs.marked(str(somebody.home), "HOME")
        code, _stream, err = somebody.call("cancel", run_id, "--json")
        assert code == 0, err
        stream = [json.loads(line) for line in process.stdout]
    assert not somebody.still_alive()
    assert of(stream, "cancelled")
    assert differences(before, snapshot(somebody.root)) == []
    _code, (review,), _err = somebody.call("review", run_id, "--json")
    assert [file["path"] for file in review["files"]] == ["greeter.py"]


def of(stream: list[Any], kind: str) -> list[Any]:
    return [event for event in stream if event["type"] == kind]


def _config(name: str, kind: str, url: str, variables: Mapping[str, str], cap: str) -> str:
    paid = 'billing = "metered"\n' if name == "gemini" or cap else ""
    limit = f"[kiro.cost]\nmax_cost_per_run = {cap}\n" if cap else ""
    env = ", ".join(f'{key} = "{value}"' for key, value in variables.items())
    host = logins.host_of(url)
    place = f'network = "hosts"\nhosts = ["{host}"]\nenv = {{ {env} }}\n'
    return f'[agents.{name}]\ntype = "{kind}"\n{place}{paid}{limit}'


def _commit(root: Path) -> None:
    """A repository with a commit and something staged beside it."""
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.com"]
    (root / "staged.txt").write_text("staged, and not committed\n", "utf-8")
    for command in (
        ["init", "-q"],
        ["add", "greeter.py", "old.txt"],
        ["commit", "-qm", "first"],
        ["add", "staged.txt"],
    ):
        subprocess.run([*git, *command], cwd=root, check=True, env={"PATH": os.environ["PATH"], "HOME": str(root)})
