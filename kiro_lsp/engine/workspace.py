"""One project as the engine sees it: its root, settings, trust, agents, task files and prompts.

This is where files of a project are read for the pure layers. Nothing here starts a process or a connection, except to find
out which agents there are (`agents`), and no value that the project controls has an effect before its digest was trusted.
It knows no run.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import platformdirs

from kiro_lsp.errors import PathRefused, UnreadableFile, Untrusted
from kiro_lsp.executors import registry
from kiro_lsp.executors.detection import Detector
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.sandbox import files, paths
from kiro_lsp.settings import LoadedSettings, Settings, Sources, load_settings
from kiro_lsp.spec import documents, tasks
from kiro_lsp.spec.intent import IntentContract, intent_of
from kiro_lsp.spec.model import Problem, Task, TaskList
from kiro_lsp.spec.prompt import Prompt, build_prompt
from kiro_lsp.store import Store

TrustState = Literal["untrusted", "once", "trusted"]
_Mode = Literal["untrusted", "asked", "trusted"]
"""How the project's values are read: without its class T ones, with them for showing, with them and its `.env` for use."""

PROJECT_CONFIG = ".spec-workflow/kiro.toml"
ROOT_MARKERS = (".git", ".kiro", ".spec-workflow", ".specify", "openspec")

TASK_FILE_LIMIT = 20 * 1024 * 1024
DOCUMENT_LIMIT = 1024 * 1024
DOCUMENTS_AT_MOST = 200
_CONFIG_LIMIT = 1024 * 1024
_WALK_DEPTH = 6


def user_config_path(environ: Mapping[str, str]) -> Path:
    """Where the person's own configuration lies: KIRO_LSP_CONFIG, else the platform's configuration folder."""
    named = environ.get("KIRO_LSP_CONFIG")
    return Path(named) if named else platformdirs.user_config_path("kiro-lsp") / "config.toml"


def command_digest(argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> str:
    """What a consent covers: exactly these arguments, in this folder, with this environment. sha256 hex."""
    parts = [*argv, "", cwd, "", *(f"{name}={env[name]}" for name in sorted(env))]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def root_of(path: Path, folders: Sequence[Path] = ()) -> Path:
    """The project that a file belongs to, as an absolute path.

    In an editor the deepest workspace folder that holds the file; elsewhere the nearest ancestor with one of
    `ROOT_MARKERS`, else the file's own folder.
    """
    absolute = Path(os.path.abspath(path))
    holding = [folder for folder in folders if absolute.is_relative_to(folder)]
    if holding:
        return max(holding, key=lambda folder: len(folder.parts))
    start = absolute if absolute.is_dir() else absolute.parent
    for folder in (start, *start.parents):
        if any((folder / marker).exists() for marker in ROOT_MARKERS):
            return folder
    return start


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A task file as read: `text` is None when it cannot be shown as text, `problem` then says why."""

    path: str
    """Root-relative with `/`."""
    text: str | None
    tasks: TaskList
    problem: Problem | None = None


@dataclass(slots=True)
class _Cached:
    stamp: tuple[object, ...]
    value: LoadedSettings


@dataclass(slots=True)
class Workspace:
    """A root with everything that is known about it. Cheap to make; settings are read again when their files change."""

    root: Path
    store: Store
    environ: Mapping[str, str]
    user_config: Path
    """The person's own config.toml."""
    client: Mapping[str, object] = field(default_factory=dict)
    editor: Mapping[str, object] = field(default_factory=dict)
    """What the editor sent for `kiroLsp`."""
    restricted: bool = False
    """The editor says that this folder is not trusted; that always wins."""
    buffer_text: Callable[[Path], str | None] = lambda _path: None
    """The text of an open document, which is the truth while it is open."""
    _consented: bool = False
    _once: set[str] = field(default_factory=set)
    """Digests that were granted for this process only."""
    _settings: dict[_Mode, _Cached] = field(default_factory=dict)
    _detector: Detector | None = None

    @property
    def real_root(self) -> str:
        """What trust is bound to."""
        return os.path.realpath(self.root)

    # Settings and trust

    def settings(self) -> LoadedSettings:
        """The settings in force: class T values of the project count only when their digest was trusted."""
        untrusted = self._load("untrusted")
        return self._load("trusted") if self._granted(untrusted.digest) != "untrusted" else untrusted

    def trust(self) -> TrustState:
        return self._granted(self._load("untrusted").digest)

    def digest(self) -> str:
        """What a grant of trust would cover now."""
        return self._load("untrusted").digest

    def asked_for(self) -> LoadedSettings:
        """The settings as the project would have them, for showing before trust is given. Not for use.

        Its `.env` is not opened for that: nothing of it is shown, and it may hold what nobody should read yet.
        """
        return self._load("asked")

    def grant(self, digest: str, *, once: bool = False) -> TrustState:
        """Trust exactly what was shown. Raises Untrusted when the project has changed since, or the editor forbids it."""
        current = self.digest()
        if self.restricted:
            raise Untrusted(
                f"{self.root} is in restricted mode in the editor.",
                digest=current,
                hint="Trust the folder there first.",
            )
        if digest != current:
            raise Untrusted(
                f"The project {self.root} has changed since it was looked at: nothing was trusted.",
                digest=current,
                hint="Look at the values again (kiro-lsp trust --show) and confirm those.",
            )
        if once:
            self._once.add(digest)
        else:
            self.store.trust(self.real_root, digest).result()
        return self.trust()

    def revoke(self) -> None:
        self._once.clear()
        self.store.revoke_trust(self.real_root).result()

    def _granted(self, digest: str) -> TrustState:
        if self.restricted:
            return "untrusted"
        if self.store.trusted_digest(self.real_root) == digest:
            return "trusted"
        return "once" if digest in self._once else "untrusted"

    def forget(self) -> None:
        """Read the settings again at the next use, for what changes without a file changing: keys that came later."""
        self._settings.clear()

    def _load(self, mode: _Mode) -> LoadedSettings:
        project, dotenv = self.root / PROJECT_CONFIG, self.root / ".env"
        stamp = (
            _stamp(project),
            _stamp(dotenv),
            _stamp(self.user_config),
            repr((self.client, self.editor)),
            self.buffer_text(project),
        )
        cached = self._settings.get(mode)
        if cached is None or cached.stamp != stamp:
            user_toml, user_refusal = _read_user_config(self.user_config, self.root)
            sources = Sources(
                root=self.real_root,
                project_toml=self._project_text(PROJECT_CONFIG),
                project_path=str(project),
                user_toml=user_toml,
                user_path=str(self.user_config),
                user_refusal=user_refusal,
                dotenv=self._project_text(".env") if mode == "trusted" else None,
                environ=self.environ,
                client=self.client,
                editor=self.editor,
            )
            loaded = load_settings(sources, trusted=mode != "untrusted")
            cached = self._settings[mode] = _Cached(stamp, loaded)
        return cached.value

    def _project_text(self, relative: str) -> str | None:
        try:
            data = files.safe_read(self.root, relative, limit=_CONFIG_LIMIT)
        except (PathRefused, UnreadableFile):
            return None
        return None if data is None else data.decode("utf-8-sig", "replace")

    def consented(self) -> bool:
        """Whether the person said yes to running agents here, for this process or for good."""
        return self._consented or self.store.consented(self.real_root)

    def remember_consent(self, *, lasting: bool) -> None:
        self._consented = True
        if lasting:
            self.store.remember_consent(self.real_root).result()

    def allowed_commands(self, settings: Settings, extra: Sequence[Sequence[str]]) -> set[str]:
        """Digests of the commands that need no question: kept by the person, configured, or given with this run."""
        digests = set(self.store.allowed_argv(self.real_root))
        commands = [*map(tuple, settings.execution.allowed_commands), *map(tuple, extra)]
        return digests | {command_digest(argv, "", {}) for argv in commands}

    # Agents

    def agents(self, *, thorough: bool = False) -> list[AgentInfo]:
        """Every agent that is known here, available or not, with the reason. Blocks: servers are asked whether they are there.

        `thorough` asks programs for their version and servers elsewhere too, which may take seconds. In a project that is
        not trusted nobody is asked anything.
        """
        return self.agents_of(self.settings(), thorough=thorough)

    def agents_of(self, loaded: LoadedSettings, *, thorough: bool = False) -> list[AgentInfo]:
        """The same for settings that are not in force, for showing what they would offer."""
        if self._detector is None:
            self._detector = Detector(self.root, self.environ)
        places = registry.places(loaded.settings, loaded.secrets)
        found = self._detector.look(places, trusted=self.trust() != "untrusted", thorough=thorough)
        return registry.agents(loaded.settings, loaded.secrets, found)

    def recommended_of(self, known: Sequence[AgentInfo], loaded: LoadedSettings) -> AgentInfo | None:
        return registry.recommended(known, loaded.settings)

    def recommended(self) -> AgentInfo | None:
        """The agent that a plain click would use, None when nothing is available."""
        return registry.recommended(self.agents(), self.settings().settings)

    # Open documents

    def buffer_bytes(self, relative: str) -> bytes | None:
        """The bytes that an open document stands for; None when it is not open.

        An unchanged buffer stands for the file's own bytes, so that a BOM, which editors hide, is not lost.
        """
        text = self.buffer_text(self.root / relative)
        if text is None:
            return None
        try:
            on_disk = files.safe_read(self.root, relative, limit=TASK_FILE_LIMIT)
        except (PathRefused, UnreadableFile):
            on_disk = None
        if on_disk is not None and tasks.decode(on_disk).text == text:
            return on_disk
        return text.encode("utf-8", "surrogatepass")

    def open_paths(self, open_documents: Sequence[Path]) -> list[str]:
        """Root-relative paths of those open documents that lie inside this project."""
        inside = [path for path in open_documents if path.is_relative_to(self.root)]
        return [path.relative_to(self.root).as_posix() for path in inside]

    # Task files and prompts

    def relative(self, path: Path | str) -> str:
        """The root-relative spelling of a path inside the root. Raises PathRefused."""
        return paths.resolve(self.root, str(path))

    def read_tasks(self, path: Path | str) -> TaskFile:
        """Read and parse a task file; the text of an open document wins. Raises PathRefused, UnreadableFile."""
        relative = self.relative(path)
        absolute = self.root / relative
        text = self.buffer_text(absolute)
        if text is not None:
            return TaskFile(relative, text, tasks.parse(text, str(absolute)))
        data = files.safe_read(self.root, relative, limit=TASK_FILE_LIMIT)
        if data is None:
            raise UnreadableFile(
                f"There is no file {relative!r} in {self.root}.",
                hint="Check the path; it may have been moved or deleted.",
            )
        decoded = tasks.decode(data)
        if decoded.text is None:
            return TaskFile(relative, None, TaskList("checklist", (), ()), decoded.problem)
        return TaskFile(relative, decoded.text, tasks.parse(decoded.text, str(absolute)))

    def documents(self, dialect: str, task_path: str) -> dict[str, str]:
        """Root-relative path → text of every context document that the dialect keeps for this task file."""
        found: dict[str, str] = {}
        for relative in self._matching(documents.document_patterns(dialect, task_path)):
            text = self.buffer_text(self.root / relative)
            if text is None:
                try:
                    data = files.safe_read(self.root, relative, limit=DOCUMENT_LIMIT)
                except (PathRefused, UnreadableFile):
                    continue
                text = None if data is None else tasks.decode(data).text
            if text is not None:
                found[relative] = text
            if len(found) >= DOCUMENTS_AT_MOST:
                break
        return found

    def spec_documents(self, task_path: str) -> list[str]:
        """Root-relative paths of the documents of a task file's own spec, as they lie on disk now."""
        found = self._matching(documents.own_patterns(task_path))
        return [path for path, _ in zip(found, range(DOCUMENTS_AT_MOST), strict=False)]

    def prompt(self, file: TaskFile, task: Task) -> tuple[Prompt, IntentContract]:
        """What would be sent for a task, and the contract that is frozen with the run."""
        docs = self.documents(file.tasks.dialect, file.path)
        settings = self.settings().settings
        cap = settings.cost.max_cost_per_run
        intent = intent_of(file.tasks, task, docs, task_path=file.path, budget_usd=cap)
        shared = settings.cost.reuse_context
        return build_prompt(file.tasks.dialect, file.tasks, task, file.path, docs, shared=shared), intent

    def as_sent(self, prompt: Prompt) -> str:
        """A prompt as it leaves this machine: one text, without the secrets that are known here."""
        return self.settings().secrets.redactor().redact(prompt.render())

    def _matching(self, patterns: Sequence[str]) -> Iterator[str]:
        """Existing files for root-relative patterns, in the order of the patterns, each once."""
        seen: set[str] = set()
        for pattern in patterns:
            for relative in self._expand(pattern):
                if relative not in seen:
                    seen.add(relative)
                    yield relative

    def _expand(self, pattern: str) -> Iterator[str]:
        head: list[str] = []
        parts = pattern.split("/")
        while parts and not any(sign in parts[0] for sign in "*?["):
            head.append(parts.pop(0))
        fixed = "/".join(head)
        if not parts:
            if (self.root / fixed).is_file():
                yield fixed
            return
        yield from sorted(
            candidate for candidate in _walk(self.root, fixed, "**" in parts) if documents.matches(candidate, pattern)
        )


def _walk(root: Path, under: str, deep: bool) -> Iterator[str]:
    base = root / under if under else root
    for folder, folders, names in os.walk(base):
        relative = Path(folder).relative_to(root).as_posix()
        depth = len(Path(folder).relative_to(base).parts)
        folders[:] = (
            sorted(name for name in folders if name not in (".git", "node_modules")) if depth < _WALK_DEPTH else []
        )
        if not deep and depth >= _WALK_DEPTH:
            folders[:] = []
        for name in names:
            yield name if relative == "." else f"{relative}/{name}"


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _read_user_config(path: Path, root: Path) -> tuple[str | None, str | None]:
    """(text, None) of the person's own config, or (None, why it is not trusted).

    It speaks with the person's authority, so it must be theirs: not writable by others, not inside the workspace, not a
    link into it.
    """
    try:
        status = path.stat()
        real = Path(os.path.realpath(path))
    except OSError:
        return None, None
    if real.is_relative_to(os.path.realpath(root)):
        return None, f"{path} lies inside the project {root}: it is not read as your own configuration."
    if hasattr(os, "getuid"):
        if status.st_uid not in (os.getuid(), 0):
            return None, f"{path} belongs to another user: it is not read."
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return None, f"{path} can be written by others: it is not read. Run: chmod go-w {path}"
    try:
        return path.read_text("utf-8-sig"), None
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{path} cannot be read: {error}"
