"""One VS Code and one browser for a module; a project and a local provider for each test."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.test_main_flow import server_environ
from tests.support.anthropic_server import AnthropicServer, edits
from tests.support.vscode import Editor
from tests.vscode.explore import TASK_FILE, lay_out
from tests.vscode.window import Window

__all__ = ["TASK_FILE"]

Open = Callable[..., Window]
FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    with Editor(tmp_path_factory.mktemp("vscode")) as started:
        yield started


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

    `more` adds to the environment of the language server, `config` is the person's configuration, without `consent` the
    first run asks nothing, and `settings` are the person's in VS Code.
    """
    windows: list[Window] = []

    def open_window(
        file: str | None = TASK_FILE,
        *,
        more: Mapping[str, str] | None = None,
        config: str = "",
        consent: bool = False,
        **settings: object,
    ) -> Window:
        written = tmp_path / "config.toml"
        written.write_text(config + ("" if consent else "\n[safety]\nrequire_confirmation = false\n"), "utf-8")
        written.chmod(0o600)
        editor.serve({**server_environ(tmp_path, provider), "KIRO_LSP_CONFIG": str(written), **(more or {})})
        editor.configure(**settings)
        windows.append(Window(editor, project, name=re.sub(r"\W+", "-", request.node.name.removeprefix("test_"))))
        return windows[-1].show(file)

    yield open_window
    for one in reversed(windows):
        if request.node.stash.get(FAILED, False):
            one.keep_evidence()
        one.close()


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
