"""One VS Code and one browser for a module; a project and a local provider for each test."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.e2e.test_main_flow import server_environ
from tests.support.anthropic_server import AnthropicServer, edits
from tests.support.vscode import Editor
from tests.support.wheelhouse import wheelhouse
from tests.vscode.explore import TASK_FILE, lay_out
from tests.vscode.reviewing import told
from tests.vscode.window import Window

__all__ = ["TASK_FILE"]

Open = Callable[..., Window]
UNASKED = "\n[safety]\nrequire_confirmation = false\n"
FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the browser makes of VS Code's scripts, for all modules."""
    folder = tmp_path_factory.mktemp("compiled")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Iterator[Editor]:
    with Editor(tmp_path_factory.mktemp("vscode"), compiled=compiled) as started:
        yield started


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Wheels of all that the server needs."""
    required = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    folder = tmp_path_factory.mktemp("wheels") / "house"
    yield wheelhouse(folder, required)
    shutil.rmtree(folder)


@pytest.fixture
def provider() -> Iterator[AnthropicServer]:
    with AnthropicServer(edits("greeter.py", "'Hey '", "'Good day, '", summary="The greeting is polite.")) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "project")


@pytest.fixture
def opened(
    request: pytest.FixtureRequest, editor: Editor, tmp_path: Path, project: Path, provider: AnthropicServer
) -> Iterator[Open]:
    """`opened(file, more=environ, config=toml, consent=bool, **settings)`: a window on the project.

    `more` adds to the environment of the language server, and `config` to the person's configuration. Without `consent` the
    project is trusted and the first run asks nothing. `settings` are the person's in VS Code.
    """
    windows: list[Window] = []
    environ = dict(server_environ(tmp_path, provider))

    def open_window(
        file: str | None = TASK_FILE,
        *,
        more: Mapping[str, str] | None = None,
        config: str = "",
        consent: bool = False,
        **settings: object,
    ) -> Window:
        environ.update(more or {})
        _configure(Path(environ["XDG_CONFIG_HOME"]), config + ("" if consent else UNASKED))
        if not consent:
            _trust(project, environ)
        editor.serve(environ)
        editor.configure(**settings)
        windows.append(Window(editor, project, name=re.sub(r"\W+", "-", request.node.name.removeprefix("test_"))))
        return windows[-1].show(file)

    yield open_window
    for one in reversed(windows):
        try:
            if request.node.stash.get(FAILED, False):
                one.keep_evidence()
                print(one.shown(), told(environ, "runs"), sep="\n")
        finally:
            one.close()


def _configure(homes: Path, added: str) -> None:
    """Adds to the person's configuration, which a test may have written before."""
    written = homes / "kiro-lsp/config.toml"
    written.parent.mkdir(parents=True, exist_ok=True)
    before = written.read_text("utf-8") if written.exists() else ""
    if not before or added not in before:
        written.write_text(f"{before}{added}", "utf-8")
    written.chmod(0o600)


def _trust(project: Path, environ: Mapping[str, str]) -> None:
    """As somebody who has worked here before: the project's values are trusted as they are."""

    shown = told(environ, "trust", "--json", str(project), "--show")
    told(environ, "trust", "--json", str(project), "--yes", json.loads(shown)["digest"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Here a test waits for a browser, an editor and an agent, on a machine that may be busy with others."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))
