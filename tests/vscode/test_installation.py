"""The server in the extension's own storage: the installer itself, with a real Python, real wheels and no network.

What the window makes of it (the offer, the status bar, the messages) is in test_install.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.settings import STANDARD_KEYS
from tests.conftest import REPO
from tests.support.vscode import CLIENT, programs
from tests.support.wheelhouse import offline
from tests.vscode.explore import TASK_FILE, lay_out

DRIVER = """
import { Installation } from '%s/src/server/installation';

const [storage, wheels, goal] = process.argv.slice(2);
const say = (said: object): void => void process.stdout.write(JSON.stringify(said) + '\\n');
const installation = new Installation({
  machine: { platform: process.platform, env: process.env, home: process.env['HOME'] ?? '' },
  storage: storage ?? '',
  wheels: wheels ?? '',
  allowed: (path) => path.startsWith(process.env['ALLOWED'] ?? '/'),
  log: (line) => say({ line }),
  report: (step) => say({ step }),
});
const never = new AbortController().signal;
async function reached(): Promise<void> {
  if (goal === 'look') return say({ current: (await installation.current()) ?? null });
  const first = await installation.install(never);
  say({ first });
  await installation.use(first);
  if (goal === 'all') {
    const all = await installation.finish(first, never);
    say({ all });
    await installation.clean(all);
  }
}
reached().catch((error: unknown) => say({ failed: error }));
"""

SMALL = """
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "kiro-lsp"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["platformdirs>=4", "h11>=0.16"]

[tool.kiro-lsp]
language-features = ["platformdirs"]

[tool.hatch.build.targets.wheel]
packages = ["kiro_lsp"]
"""


@dataclass
class Windows:
    """Windows of an editor, each a process of its own, that share the storage of the extension."""

    node: str
    program: Path
    storage: Path
    wheels: Path
    environ: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def open(self, goal: str = "all", **environ: str) -> subprocess.Popen[str]:
        argv = [self.node, str(self.program), str(self.storage), str(self.wheels), goal]
        environ = {**self.environ, **environ}
        window = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.started.append(window)
        return window

    def begin_with(self, storage: Path) -> None:
        """Makes it as a window has left it."""
        shutil.copytree(storage, self.storage, symlinks=True)

    def said(self, goal: str = "all", **environ: str) -> list[dict[str, Any]]:
        """Everything that a window says until it has done it, or could not."""
        return heard(self.open(goal, **environ))

    @property
    def folder(self) -> Path:
        """Of the one installation that there is."""
        (found,) = (one for one in (self.storage / "server").iterdir() if one.is_dir())
        return found


def heard(window: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, _ = window.communicate(timeout=300)
    return [json.loads(line) for line in out.splitlines()]


def until(window: subprocess.Popen[str], key: str, value: str = "") -> dict[str, Any]:
    """The next thing that a window says of that kind."""
    assert window.stdout is not None
    for line in window.stdout:
        said: dict[str, Any] = json.loads(line)
        if value in str(said.get(key, None if value else "")) and key in said:
            return said
    pytest.fail(f"the window never said {key} {value}")


def steps(said: list[dict[str, Any]]) -> list[str]:
    """What was done, without repeats in a row."""
    done = [one["step"] for one in said if "step" in one]
    return [step for number, step in enumerate(done) if number == 0 or done[number - 1] != step]


def imports(folder: Path, *names: str) -> bool:
    argv = [str(folder / "bin/python"), "-I", "-c", f"import {', '.join(names)}"]
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies in the package of the extension: the server's wheel and its note."""
    folder = tmp_path_factory.mktemp("package") / "client"
    folder.mkdir()
    shutil.copy2(CLIENT / "wheel.py", folder)
    for name in ("pyproject.toml", "README.md", "LICENSE", "kiro_lsp"):
        (folder.parent / name).symlink_to(REPO / name)
    subprocess.run([sys.executable, str(folder / "wheel.py")], check=True)
    return folder / "wheel"


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The installer as one file, with what drives it; and node."""
    node = programs().node
    folder = tmp_path_factory.mktemp("driver")
    (folder / "drive.ts").write_text(DRIVER % CLIENT.as_posix(), "utf-8")
    build = [node, str(CLIENT / "node_modules/esbuild/bin/esbuild"), str(folder / "drive.ts")]
    flags = ["--bundle", "--platform=node", "--log-level=error", f"--outfile={folder / 'drive.js'}"]
    subprocess.run([*build, *flags], check=True)
    return node, folder / "drive.js"


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that is made as ours is, with one requirement for each step: what is about the installer, and is soon done."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "kiro_lsp").mkdir()
    (folder / "kiro_lsp/__main__.py").write_text("print('kiro-lsp 0.1.0')\n", "utf-8")
    (folder / "kiro_lsp/__init__.py").write_text('__version__ = "0.1.0"\n', "utf-8")
    (folder / "pyproject.toml").write_text(SMALL, "utf-8")
    (folder / "client").mkdir()
    shutil.copy2(CLIENT / "wheel.py", folder / "client")
    subprocess.run([sys.executable, str(folder / "client/wheel.py")], check=True)
    return folder / "client/wheel"


@pytest.fixture
def windows(made: Windows, small: Path) -> Windows:
    """With the small package."""
    made.wheels = small
    return made


@pytest.fixture(scope="session")
def environ(tmp_path_factory: pytest.TempPathFactory, house: Path) -> dict[str, str]:
    """A PATH with a Python and nothing else, and pip that knows no network."""
    folder = tmp_path_factory.mktemp("path")
    (folder / "python3").symlink_to(os.path.realpath(sys.executable))
    return {"PATH": str(folder), "HOME": str(folder / "home"), **offline(house)}


@pytest.fixture(scope="session")
def installed(
    tmp_path_factory: pytest.TempPathFactory, driver: tuple[str, Path], small: Path, environ: dict[str, str]
) -> Iterator[dict[str, Path]]:
    """Storages with the small package by the goal that was reached in them, for `Windows.begin_with`."""
    folder = tmp_path_factory.mktemp("installed")
    with ended(Windows(*driver, folder / "all", small, environ)) as windows:
        assert windows.said("first")[-1]["first"]["complete"] is False
        shutil.copytree(folder / "all", folder / "first", symlinks=True)
        assert windows.said()[-1]["all"]["complete"]
    yield {goal: folder / goal for goal in ("first", "all")}
    shutil.rmtree(folder)


@pytest.fixture
def made(tmp_path: Path, driver: tuple[str, Path], wheels: Path, environ: dict[str, str]) -> Iterator[Windows]:
    with ended(Windows(*driver, tmp_path / "storage", wheels, environ)) as windows:
        yield windows
    # Nothing in it is ours, and it is as large as a suite's files.
    shutil.rmtree(windows.storage / "server", ignore_errors=True)


@contextlib.contextmanager
def ended(windows: Windows) -> Iterator[Windows]:
    """Has no window left open."""
    yield windows
    for window in windows.started:
        if window.poll() is None:
            os.killpg(window.pid, signal.SIGKILL)
        window.wait()
        if window.stdout is not None:
            window.stdout.close()


def serves(folder: Path, project: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """What the installed server answers for a task file, by its own means alone."""
    lay_out(project)
    uri = (project / TASK_FILE).as_uri()
    text = (project / TASK_FILE).read_text("utf-8")
    item = {"uri": uri, "languageId": "markdown", "version": 1, "text": text}
    document, at = {"textDocument": {"uri": uri}}, {"position": {"line": 2, "character": 8}}
    asked = {
        "initialize": {"processId": None, "rootUri": project.as_uri(), "capabilities": {}},
        "textDocument/codeLens": document,
        "textDocument/hover": {**document, **at},
        "textDocument/documentSymbol": document,
        "textDocument/diagnostic": document,
        "kiro/agents": {},
    }
    argv = [str(folder / "bin/python"), "-P", "-m", "kiro_lsp", "--stdio"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(environ)) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        answers: dict[str, Any] = {}
        for number, (method, params) in enumerate(asked.items()):
            _send(server.stdin, id=number, method=method, params=params)
            while (message := _received(server.stdout)).get("id") != number or "method" in message:
                if "method" in message and "id" in message:
                    _send(server.stdin, id=message["id"], result=None)
            answers[method] = message
            if method == "initialize":
                _send(server.stdin, method="initialized", params={})
                _send(server.stdin, method="textDocument/didOpen", params={"textDocument": item})
        server.kill()
    return answers


def _send(stream: Any, **message: Any) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    stream.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    stream.flush()


def _received(stream: Any) -> dict[str, Any]:
    length = 0
    while (line := stream.readline()) != b"\r\n":
        assert line, "the server has ended"
        length = int(line.split(b":")[1])
    return dict(json.loads(stream.read(length)))


def test_language_features_come_first_and_the_agents_after(made: Windows, tmp_path: Path) -> None:
    windows = made
    said = windows.said("first")
    assert steps(said) == ["environment", "language features"]
    folder = windows.folder
    assert imports(folder, "pygls", "orjson", "kiro_lsp")
    assert not imports(folder, "anthropic")
    key = {"ANTHROPIC_API_KEY": "a-key-that-is-nobodys", "KIRO_LSP_STATE_DIR": str(tmp_path / "state")}
    environ = {**windows.environ, **key, "KIRO_LSP_INSTALLING": str(folder / "installing")}
    answers = serves(folder, tmp_path / "project", environ)
    assert {method: answer["error"] for method, answer in answers.items() if "error" in answer} == {}
    assert len(answers["textDocument/codeLens"]["result"]) >= 2
    assert "Greet" in json.dumps(answers["textDocument/hover"]["result"])
    assert len(answers["textDocument/documentSymbol"]["result"]) >= 1
    claude = next(agent for agent in answers["kiro/agents"]["result"] if agent["name"] == "claude")
    assert (claude["available"], claude["reason"]) == (
        False,
        "being installed: its package 'anthropic' comes in a moment",
    )
    assert steps(windows.said()) == ["agents"]
    assert imports(folder, "anthropic", "openai", "google.genai", "mcp", "acp", "rich")
    assert not (folder / "installing").exists()
    answers = serves(folder, tmp_path / "again", environ)
    assert next(one for one in answers["kiro/agents"]["result"] if one["name"] == "claude")["available"]


def test_what_is_there_is_not_installed_again(windows: Windows, installed: dict[str, Path]) -> None:
    windows.begin_with(installed["all"])
    again = windows.said()
    assert steps(again) == []
    assert again[-1]["all"]["complete"]
    assert not windows.folder.with_name(f"{windows.folder.name}.lock").exists()


def test_of_two_windows_one_installs_and_both_get_it(windows: Windows) -> None:
    one, other = windows.open(), windows.open()
    said = [heard(one), heard(other)]
    assert [window[-1]["all"]["folder"] for window in said] == [str(windows.folder)] * 2
    assert sorted(step for window in said for step in steps(window)) == ["agents", "environment", "language features"]


def killed_at(windows: Windows, line: str) -> bool:
    """Kills a window in the middle of a step of the first part; False where that was done before the signal came."""
    window = windows.open("first")
    until(window, "line", line)
    os.killpg(window.pid, signal.SIGKILL)
    assert window.stdout is not None
    rest = window.stdout.read()
    window.wait()
    return '"first"' not in rest


def test_half_an_installation_is_never_used_and_is_made_good(windows: Windows) -> None:
    for place in ("-m venv", "platformdirs", "--no-deps"):
        while not killed_at(windows, place):
            shutil.rmtree(windows.storage)
        assert windows.said("look")[-1] == {"current": None}
    said = windows.said("first")
    assert steps(said) == ["environment", "language features"]
    assert imports(windows.folder, "platformdirs", "kiro_lsp")


def test_a_package_that_was_half_written_is_written_again(windows: Windows, installed: dict[str, Path]) -> None:
    windows.begin_with(installed["first"])
    window = windows.open()
    until(window, "step", "agents")
    os.killpg(window.pid, signal.SIGKILL)
    window.wait()
    # As pip leaves a package when it is ended while it writes one: with a name, and without what comes last.
    (site,) = windows.folder.glob("lib/python3*/site-packages")
    half = site / f"h11-{version('h11')}.dist-info"
    half.mkdir(exist_ok=True)
    (half / "METADATA").write_text(f"Metadata-Version: 2.1\nName: h11\nVersion: {version('h11')}\n", "utf-8")
    for name in ("INSTALLER", "RECORD"):
        (half / name).unlink(missing_ok=True)
    assert windows.said()[-1]["all"]["complete"]
    assert imports(windows.folder, "h11")


def test_older_installations_go_once_nobody_uses_them(windows: Windows, installed: dict[str, Path]) -> None:
    windows.begin_with(installed["first"])
    server = windows.storage / "server"
    (server / "0.0.1-00000000").mkdir(parents=True)
    (server / "0.0.2-00000000").mkdir()
    (server / f"0.0.2-00000000/used-by-{os.getpid()}").touch()
    windows.said()
    assert sorted(one.name for one in server.iterdir()) == sorted(["0.0.2-00000000", windows_current(server)])


def windows_current(server: Path) -> str:
    (name,) = (one.name for one in server.iterdir() if not one.name.startswith("0.0."))
    return name


def test_offline_says_what_was_not_reached_and_works_when_it_is_tried_again(windows: Windows) -> None:
    away = {"PIP_NO_INDEX": "", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_FIND_LINKS": ""}
    failed = windows.said("first", **away)[-1]["failed"]
    assert failed == {"fault": {"kind": "offline", "what": "127.0.0.1"}, "step": "language features"}
    assert windows.said("look")[-1] == {"current": None}
    assert windows.said("first")[-1]["first"]["version"]


def test_when_only_the_agents_cannot_be_had_language_features_stay(
    windows: Windows, installed: dict[str, Path], house: Path, tmp_path: Path
) -> None:
    windows.begin_with(installed["first"])
    few = tmp_path / "few"
    few.mkdir()
    for wheel in house.iterdir():
        if not wheel.name.startswith("h11"):
            (few / wheel.name).symlink_to(wheel)
    said = windows.said("all", PIP_FIND_LINKS=str(few))
    fault = {"kind": "lacking", "what": "h11>=0.16"}
    assert said[-1]["failed"] == {"fault": fault, "step": "agents"}
    assert not (windows.folder / "installing").exists()
    assert windows.said("look")[-1]["current"]["complete"] is False
    assert steps(windows.said()) == ["agents"]


def test_without_a_python_it_says_which_is_needed(windows: Windows, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "python3").write_text("#!/bin/sh\necho old\n", "utf-8")
    (old / "python3").chmod(0o755)
    failed = windows.said("first", PATH=str(old))[-1]["failed"]
    assert failed == {"fault": {"kind": "python", "what": ">=3.11"}, "step": "environment"}


def test_a_python_without_its_venv_package_is_named(windows: Windows, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "python3").write_text("#!/bin/sh\necho bare\n", "utf-8")
    (bare / "python3").chmod(0o755)
    failed = windows.said("first", PATH=str(bare))[-1]["failed"]
    assert failed["fault"] == {"kind": "venv", "what": str(bare / "python3")}


def test_a_program_that_may_not_be_run_is_not(windows: Windows, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(os.path.realpath(sys.executable))
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap/python3").write_text(f"#!/bin/sh\ntouch {tmp_path / 'was-run'}\necho new\n", "utf-8")
    (tmp_path / "trap/python3").chmod(0o755)
    path = f"{tmp_path / 'trap'}:{tmp_path / 'bin'}"
    window = windows.open("first", PATH=path, ALLOWED=str(tmp_path / "bin"))
    assert until(window, "line", "-m venv")["line"].startswith(f"> {tmp_path / 'bin/python3'} ")
    assert not (tmp_path / "was-run").exists()


def test_the_keys_that_can_be_kept_are_those_that_the_server_asks_for() -> None:
    text = (CLIENT / "src/model/keys.ts").read_text("utf-8")
    assert set(re.findall(r"name: '(\w+)'", text)) == set(STANDARD_KEYS)
