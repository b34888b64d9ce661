"""The real agent programs in their line modes, from the command line to the review, against providers on this machine.

The person is logged in at home, as the program itself keeps it (Gemini: by key, since its login is with Google alone). Each
carries out a task of several files in the sandbox; until the review, the person's tree, index and refs are as they were.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import logins, planted, procs, programs_npm
from tests.support.provider_server import Fault, ProviderServer, Step
from tests.support.tree import differences, snapshot

if sys.platform != "linux":
    pytest.skip("the programs are installed for Linux", allow_module_level=True)

TASK_FILE = ".kiro/specs/greeter/tasks.md"
BEFORE = {
    "greeter.py": "def greet(name):\n    return 'Hey ' + name\n",
    "old.txt": "old\n",
    TASK_FILE: "# Plan\n\n- [ ] 1. Greet politely\n- [ ] 2. Say goodbye\n",
}
AFTER = {
    "greeter.py": "def greet(name):\n    return 'Good day ' + name\n",
    "docs/greeting.md": "# Greeting\n",
    TASK_FILE: BEFORE[TASK_FILE].replace("- [ ] 1.", "- [x] 1."),
}
LOOK = Step(text="I look first.", tools=[("@read", {"path": "greeter.py"})])
EDIT = Step(
    tools=[
        (
            "@edit",
            {"path": "greeter.py", "old": "    return 'Hey ' + name", "new": "    return 'Good day ' + name"},
        )
    ]
)
WORK = [
    LOOK,
    EDIT,
    Step(tools=[("@write", {"path": "docs/greeting.md", "text": "# Greeting\n"})]),
    Step(tools=[("@run", {"command": "rm old.txt && cat docs/greeting.md"})]),
    Step(text="Greets politely now."),
]
TOKEN = "local-login-" + "t" * 24


@dataclass
class Person:
    """Somebody with a project, a home in which a program is logged in, and its provider."""

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
        """What of the program lives two seconds later; all that it starts has its home."""
        return procs.gone_within(procs.marked(str(self.home), "HOME"), 2)


@contextmanager
def person(
    tmp_path: Path, name: str, steps: list[Step], faults: list[Fault] | None = None, cap: str = ""
) -> Iterator[Person]:
    """With a cap in dollars, the program is paid by use."""
    programs_npm.program(name)
    root, home = tmp_path / "project", tmp_path / "home"
    home.mkdir()
    for path, text in BEFORE.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    _commit(root)
    with logins.SERVERS[name](steps, faults or ()) as server:
        variables = logins.laid_out(home, name, server.url, TOKEN)
        config = tmp_path / "config.toml"
        config.write_text(_config(name, server.url, variables, cap), "utf-8")
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


def _config(name: str, url: str, variables: Mapping[str, str], cap: str) -> str:
    paid = 'billing = "metered"\n' if name == "gemini" or cap else ""
    limit = f"[kiro.cost]\nmax_cost_per_run = {cap}\n" if cap else ""
    env = ", ".join(f'{key} = "{value}"' for key, value in variables.items())
    return f'[agents.{name}]\ntype = "cli"\nnetwork = "hosts"\nhosts = ["{logins.host_of(url)}"]\nenv = {{ {env} }}\n{paid}{limit}'


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


def of(stream: list[Any], kind: str) -> list[Any]:
    return [event for event in stream if event["type"] == kind]


@pytest.mark.parametrize("name", sorted(logins.SERVERS))
def test_a_task_of_several_files_is_done_in_the_sandbox_and_reviewed(name: str, tmp_path: Path) -> None:
    with person(tmp_path, name, WORK) as somebody:
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
        assert {event["path"] for event in of(stream, "tool") if event["kind"] == "edit"} >= {"greeter.py"}
        assert "I look first." in "".join(event["text"] for event in of(stream, "chunk"))
        assert of(stream, "session")[-1]["sessionId"]
        usage = of(stream, "usage")[-1]
        assert usage["inputTokens"] > 1000
        assert usage["outputTokens"] == 20 * len(WORK)
        assert usage["billing"] == ("metered" if name == "gemini" else "subscription")
        assert not somebody.still_alive()
        assert ("planted" if name == "gemini" else TOKEN) in _shown_keys(somebody.server)
        accepted, _stream, err = somebody.call("review", "--accept", "--json")
        assert accepted == 0, err
        files = (path for path in somebody.root.rglob("*") if path.is_file() and ".git" not in path.parts)
        found = {path.relative_to(somebody.root).as_posix(): path.read_text("utf-8") for path in files}
        assert found == {**AFTER, "staged.txt": "staged, and not committed\n"}


def _shown_keys(server: ProviderServer) -> str:
    """What the provider was shown of who asks, with planted keys named and not told."""
    values = [value for headers in server.headers for value in headers.values()]
    return " ".join("planted" if planted.found_in(value) else value for value in values)


def test_a_program_that_is_paid_by_use_is_stopped_at_the_cap(tmp_path: Path) -> None:
    """Its requests go through the proxy on this machine: two fit under the cap, the third is never sent."""
    dear = [replace(step, usage={"output_tokens": 16_000}) for step in WORK]
    with person(tmp_path, "claude", dear, cap="1.00") as somebody:
        code, stream, err = somebody.run()
        end = stream[-1]
        assert (code, end["type"], end["kind"]) == (1, "error", "budget"), (stream, err)
        assert "max_cost_per_run" in end["hint"]
        assert len(somebody.server.requests) == 2
        assert TOKEN not in _shown_keys(somebody.server)
        usage = of(stream, "usage")[-1]
        assert (usage["billing"], usage["turns"]) == ("metered", 2)
        assert 0.6 < float(usage["cost"]) < 1
        assert [event["path"] for event in of(stream, "file")] == ["greeter.py"]


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_a_cancelled_program_is_gone_and_what_it_did_is_kept_aside(name: str, tmp_path: Path) -> None:
    with person(tmp_path, name, [LOOK, EDIT, Step(text="I think about it for long.", hold=True)]) as somebody:
        before = snapshot(somebody.root)
        with somebody.start(*somebody.order) as process:
            assert process.stdout is not None
            run_id = json.loads(process.stdout.readline())["runId"]
            assert somebody.server.holding.wait(60), process.stdout.read()
            assert somebody.still_alive()
            code, _stream, err = somebody.call("cancel", run_id, "--json")
            assert code == 0, err
            stream = [json.loads(line) for line in process.stdout]
        assert not somebody.still_alive()
        assert of(stream, "cancelled")
        assert differences(before, snapshot(somebody.root)) == []
        _code, (review,), _err = somebody.call("review", run_id, "--json")
        assert [file["path"] for file in review["files"]] == ["greeter.py"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("claude", "`claude auth login`"),
        ("codex", "`codex login`"),
        ("gemini", "GEMINI_API_KEY"),
    ],
)
def test_a_login_that_is_not_accepted_says_how_to_log_in(name: str, hint: str, tmp_path: Path) -> None:
    with person(tmp_path, name, WORK, [Fault(401, "authentication_error", "the token is not valid")]) as somebody:
        code, stream, _err = somebody.run()
    end = stream[-1]
    assert (code, end["type"], end["kind"]) == (1, "error", "auth")
    assert hint in end["hint"]
    assert "the token is not valid" in end["message"]


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_an_overloaded_provider_is_told_apart_and_the_retry_goes_on_in_the_programs_own_session(
    name: str, tmp_path: Path
) -> None:
    with person(tmp_path, name, WORK, [Fault(529, "overloaded_error", "Overloaded", step=2)]) as somebody:
        code, stream, err = somebody.run()
        end = stream[-1]
        assert (code, end["type"], end["kind"]) == (1, "error", "overloaded"), (stream, err)
        session = of(stream, "session")[-1]["sessionId"]
        seen = len(somebody.server.requests)
        somebody.server.faults.clear()
        code, stream, err = somebody.call("retry", end["runId"], "--trust", "--json")
        assert code == 0, (stream, err)
        assert stream[-1]["filesChanged"] == ["docs/greeting.md", "greeter.py", "old.txt"]
        assert of(stream, "session")[-1]["sessionId"] == session
        again = json.dumps(somebody.server.requests[seen])
        assert "I look first." in again
        assert "You have worked on this before" in again
