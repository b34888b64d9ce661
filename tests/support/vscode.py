"""The real VS Code: the server of code-server with the packaged extension in it, looked at through headless Chromium.

`.ci/programs/install-vscode` brings the server into `.ci/vscode`, or into the folder that KIRO_LSP_VSCODE names; Chromium is
Debian's. One `Editor` is shared by all tests of a module, since its start takes seconds; each test opens windows of its own
(see tests/vscode/window.py) and says by `serve` with which environment the language server is started in them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import random
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any, Self
from urllib.parse import quote

from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.conftest import REPO, missing
from tests.support import procs

SECONDS = int(os.environ.get("KIRO_LSP_PATIENCE", "120"))
"""How long a scenario waits for anything; a machine may be busy with others."""
CLIENT = REPO / "client-vscode"
ARTEFACTS = Path(os.environ.get("KIRO_LSP_ARTEFACTS") or REPO / ".ci/artefacts") / "vscode"

SETTINGS: Mapping[str, Any] = {
    "security.workspace.trust.enabled": False,
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "workbench.welcomePage.walkthroughs.openOnInstall": False,
    "workbench.enableExperiments": False,
    "workbench.editor.enablePreview": False,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "telemetry.telemetryLevel": "off",
    "update.mode": "none",
    "extensions.autoUpdate": False,
    "extensions.autoCheckUpdates": False,
    "extensions.ignoreRecommendations": True,
    "npm.fetchOnlinePackageInfo": False,
    "json.schemaDownload.enable": False,
    "git.enabled": False,
    "chat.disableAIFeatures": True,
    "chat.commandCenter.enabled": False,
    "remote.autoForwardPorts": False,
    "window.restoreWindows": "none",
    "files.hotExit": "off",
    "files.autoSave": "off",
    "editor.minimap.enabled": False,
    "workbench.colorTheme": "Default Dark Modern",
    "editor.fontFamily": "DejaVu Sans Mono",
    "editor.accessibilitySupport": "off",
}
"""What keeps VS Code quiet: no question of trust, no page of its own, no request to anybody, nothing saved unasked."""

BUILT_IN = (
    *("configuration-editing", "javascript", "json", "lua", "markdown-basics", "markdown-language-features", "python"),
    *("theme-defaults", "theme-seti", "typescript-basics"),
)
"""Those of VS Code's own extensions that scenarios look at; all that there are would double the work of a start."""

BROWSER = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@dataclass(frozen=True, slots=True)
class Programs:
    node: str
    npm: tuple[str, ...]
    server: Path
    """VS Code's server, a program for node."""
    chromium: str


def programs() -> Programs:
    """Where everything is. What is missing fails or skips the test by name."""
    folder = Path(os.environ.get("KIRO_LSP_VSCODE") or REPO / ".ci/vscode")
    server = folder / "node_modules/code-server/lib/vscode/out/server-main.js"
    if not server.is_file():
        missing("code-server", "run .ci/programs/install-vscode, or name its folder in KIRO_LSP_VSCODE")
    node, npm = folder / "bin/node", folder / "bin/npm"
    found = str(node) if node.exists() else shutil.which("node")
    manager = str(npm) if npm.exists() else shutil.which("npm")
    if found is None or manager is None:
        missing("node", "run .ci/programs/install-vscode")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("chromium", "install Debian's chromium")
    if not (CLIENT / "node_modules").is_dir():
        missing("client-vscode/node_modules", "run npm ci in client-vscode")
    return Programs(str(found), (str(manager),), server, str(chromium))


def npm(found: Programs, *arguments: str) -> subprocess.CompletedProcess[str]:
    """npm in client-vscode, with the node and the Python of the tests; the caller looks at the exit code."""
    path = os.pathsep.join([str(Path(found.node).parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = {**os.environ, "PATH": path, "npm_config_update_notifier": "false"}
    argv = [*found.npm, *arguments]
    return subprocess.run(argv, cwd=CLIENT, env=environ, capture_output=True, text=True, timeout=600, check=False)


def packaged(found: Programs, into: Path) -> Path:
    """A copy of the extension's package, made by `npm run package` where its sources have changed since the last time."""
    (CLIENT / "dist").mkdir(exist_ok=True)
    package, made_of = CLIENT / "kiro-lsp.vsix", CLIENT / "dist/packaged"
    with open(CLIENT / "dist/packaging", "w") as lock:  # several processes run tests
        fcntl.flock(lock, fcntl.LOCK_EX)
        sources = _fingerprint()
        if not package.is_file() or not made_of.is_file() or made_of.read_text() != sources:
            done = npm(found, "run", "package")
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
            made_of.write_text(sources)
        return Path(shutil.copy2(package, into))


@cache
def _of_the_machine() -> frozenset[str]:
    """Settings of the extension with a scope of the machine."""
    sections = json.loads((CLIENT / "package.json").read_text("utf-8"))["contributes"]["configuration"]
    schemas = {name: schema for section in sections for name, schema in section["properties"].items()}
    return frozenset(name for name, schema in schemas.items() if schema["scope"].startswith("machine"))


def _fingerprint() -> str:
    listed = subprocess.run(
        [
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            ".",
            "../kiro_lsp",
            "../pyproject.toml",
        ],
        cwd=CLIENT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    digest = hashlib.sha256()
    for name in sorted(set(listed.split("\0")) - {""}):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            digest.update(f"{name}\0".encode() + (CLIENT / name).read_bytes())
    return digest.hexdigest()


class Editor:
    """A VS Code with the extension installed, and a browser; a context manager.

    `folder` gets everything that it writes: `data` (settings and logs), `extensions`, `profile` of the browser, `home`.
    `compiled` is a folder in which editors leave to the next ones what the browser has made of VS Code's scripts. An editor
    with `everything` has all extensions that VS Code comes with.
    """

    def __init__(
        self,
        folder: Path,
        *,
        environ: Mapping[str, str] | None = None,
        vsix: bool = True,
        compiled: Path | None = None,
        everything: bool = False,
    ) -> None:
        self.folder = folder
        self.programs = programs()
        self.mark = uuid.uuid4().hex
        self._vsix = vsix
        self._compiled = compiled
        self._everything = everything
        self._closing = contextlib.ExitStack()
        self.home = folder / "home"
        self.launcher = folder / "bin/kiro-lsp-here"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "EXTENSIONS_GALLERY": json.dumps({"serviceUrl": "", "itemUrl": "", "resourceUrlTemplate": ""}),
            procs.NAME: self.mark,
            **(environ or {}),
        }
        self.url = ""
        self.context: BrowserContext
        self.console: list[str] = []
        """What pages and their workers said, with what failed to load."""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as closing:
            for name in ("data/User", "data/Machine", "extensions", "profile", "home", "bin"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            if not self._everything:
                self._link_built_in()
            self.configure()
            self.serve({"PATH": os.environ["PATH"], "HOME": str(self.home)})
            if self._vsix:
                self.install(packaged(self.programs, self.folder / "kiro-lsp.vsix"))
            closing.callback(self._nobody_left)
            closing.enter_context(self._served())
            self.context = closing.enter_context(self._browser())
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._closing.close()

    def configure(self, **changed: Any) -> None:
        """Writes the person's settings (None: not set), for windows that are opened from now on."""
        given = {**SETTINGS, "kiroLsp.server.path": str(self.launcher), **changed}
        settings = {name: value for name, value in given.items() if value is not None}
        # The page is one machine and the server another: what is a matter of the machine is read from the second file only.
        own = {name: value for name, value in settings.items() if name in _of_the_machine()}
        for name, values in (("User", settings), ("Machine", own)):
            part = self.folder / f"data/{name}/settings.part"
            part.write_text(json.dumps(values, indent=2), "utf-8")
            part.replace(part.with_suffix(".json"))

    def serve(self, environ: Mapping[str, str]) -> None:
        """Says with which environment (this one and nothing else) the language server is started from now on."""
        values = [f"{name}={value}" for name, value in {**environ, procs.NAME: self.mark}.items()]
        # It may hold planted keys, so it is called as files are that hold some.
        (self.folder / "bin/planted-environ").write_text(f'exec env -i {shlex.join(values)} "$@"\n')
        self.launcher.write_text(
            "#!/bin/sh\n"
            f'set -- {shlex.quote(sys.executable)} -m kiro_lsp "$@"\n'
            f". {shlex.quote(str(self.folder / 'bin/planted-environ'))}\n"
        )
        self.launcher.chmod(0o755)

    def install(self, vsix: Path) -> None:
        done = subprocess.run(
            [*self._server_main(), "--install-extension", str(vsix)],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert "was successfully installed" in done.stdout, f"{done.stdout}\n{done.stderr}"

    def address(self, folder: Path, file: Path | None = None) -> str:
        """Where the browser finds a window with that folder, and that file in its editor."""
        address = f"{self.url}/?folder={quote(str(folder))}"
        if file is not None:
            remote = f"vscode-remote://{self.url.removeprefix('http://')}{quote(str(file))}"
            address += f"&payload={quote(json.dumps([['openFile', remote]]))}"
        return address

    def page(self) -> Page:
        """An empty page of the browser whose console is kept."""
        page = self.context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.console.append(f"page error: {error}"))
        page.on("dialog", lambda dialog: dialog.accept())  # the browser's own: leaving with something unsaved
        return page

    def logs(self) -> Iterator[tuple[str, str]]:
        """(name, text) of every log: the server's, extension hosts', and the extension's own output channel."""
        yield "server.log", (self.folder / "server.log").read_text("utf-8", "replace")
        yield "console.log", "\n".join(self.console)
        for path in sorted((self.folder / "data").rglob("*.log")):
            if path.stat().st_size:
                name = re.sub(r"[^\w.]+", "-", str(path.relative_to(self.folder / "data")))
                yield name, path.read_text("utf-8", "replace")

    def servers(self) -> list[int]:
        """Processes of the language servers that windows of this editor started."""
        found = []
        for pid in procs.marked(self.mark):
            with contextlib.suppress(OSError):  # it may end while it is looked at
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if (
                    b"kiro_lsp" in words and b"--version" not in words
                ):  # the extension asks for that before it starts one
                    found.append(pid)
        return found

    def _server_main(self) -> list[str]:
        data, extensions = str(self.folder / "data"), str(self.folder / "extensions")
        return [
            *(self.programs.node, str(self.programs.server), "--accept-server-license-terms"),
            *("--server-data-dir", data, "--user-data-dir", data, "--extensions-dir", extensions),
            *(() if self._everything else ("--builtin-extensions-dir", str(self.folder / "built-in"))),
        ]

    def _link_built_in(self) -> None:
        (self.folder / "built-in").mkdir(exist_ok=True)
        for name in BUILT_IN:
            found = self.programs.server.parent.parent / "extensions" / name
            assert found.is_dir(), f"VS Code has no extension {name} any more"
            (self.folder / "built-in" / name).symlink_to(found)

    @contextlib.contextmanager
    def _served(self) -> Iterator[None]:
        log = self.folder / "server.log"
        with open(log, "wb") as out:
            port = 0 if self._compiled is None else _port_of(self._compiled)
            listening = ["--host", "127.0.0.1", "--port", str(port), "--without-connection-token"]
            server = subprocess.Popen(
                [*_ending_with_us(), *self._server_main(), *listening, "--telemetry-level", "off"],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=out,
                start_new_session=True,
            )
            copying = Thread(target=shutil.copyfileobj, args=(server.stdout, out), daemon=True)
            try:
                self.url = _address(server)
                copying.start()
                yield
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(server.pid, signal.SIGTERM)
                try:
                    server.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(server.pid, signal.SIGKILL)
                    server.wait()
                if copying.is_alive():
                    copying.join(20)  # before its file is closed, if nobody else holds the pipe open

    @contextlib.contextmanager
    def _browser(self) -> Iterator[BrowserContext]:
        with self._caches(), sync_playwright() as playwright:
            context = playwright.chromium.launch_persistent_context(
                self.folder / "profile",
                executable_path=self.programs.chromium,
                headless=True,
                viewport={"width": 1280, "height": 800},
                args=list(BROWSER),
                timeout=SECONDS * 1000,
                env={"PATH": os.environ["PATH"], "HOME": str(self.home), procs.NAME: self.mark},
            )
            context.set_default_timeout(SECONDS * 1000)
            context.grant_permissions(["clipboard-read", "clipboard-write"])
            yield context
            context.close()

    @contextlib.contextmanager
    def _caches(self) -> Iterator[None]:
        """The browser's caches come from the editor before and go to the next one; nothing else of its profile does."""
        own = self.folder / "profile/Default"
        _move_caches(self._compiled, own)
        yield
        _move_caches(own, self._compiled)

    def _nobody_left(self) -> None:
        """Extension hosts and language servers end with the server that they belong to; who does not is ended, and told."""
        left = procs.gone_within(procs.marked(self.mark), 20)
        told = [f"{pid}: {_command_line(pid)}" for pid in left]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"still alive 20 s after VS Code was ended: {told}"


def _move_caches(source: Path | None, target: Path | None) -> None:
    for name in ("Cache", "Code Cache"):
        if source is not None and target is not None and (source / name).is_dir():
            target.mkdir(exist_ok=True)
            shutil.move(source / name, target / name)


def _port_of(compiled: Path) -> int:
    """The port that goes with the scripts, since the browser knows these by their address.

    It is none of those that the system gives to whoever asks for any, so that nobody has it between two editors.
    """
    written = compiled / "port"
    port = int(written.read_text()) if written.exists() else 0
    while not port or not _is_free(port):
        port = random.randrange(20_000, 32_000)
    compiled.mkdir(exist_ok=True)
    written.write_text(str(port))
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _address(server: subprocess.Popen[bytes]) -> str:
    """Where it listens, as it says on its standard output."""
    assert server.stdout is not None
    deadline, said = time.monotonic() + SECONDS, b""
    while not (found := re.search(rb"Extension host agent listening on (\d+)", said)):
        ready, _, _ = select.select([server.stdout], [], [], max(deadline - time.monotonic(), 0))
        piece = os.read(server.stdout.fileno(), 65536) if ready else b""
        assert piece, f"VS Code's server did not come up: {said.decode()}"
        said += piece
    return f"http://127.0.0.1:{int(found[1])}"


def _ending_with_us() -> list[str]:
    """What a program is started by so that it ends when the tests are killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")[:300]
    return "gone"
