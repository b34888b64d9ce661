"""One run's own view of the project: `open_copy`, then `run` commands in it, ask for the `changes`, `close` it.

    copy = open_copy(root, policy, folder, buffers=…, staged=…)
    ended = await copy.run(["pytest", "-q"])
    changes = copy.changes()
    copy.close()

What the system gives is found by trying, never assumed, and `level`, `network` and `missing` say what it came to:

- "bubblewrap": the command sees a copy of the project at the project's own path, the system read-only, a fresh home folder,
  its own processes and, unless the policy opens it, no network, or through a gate of ours the hosts that are named. The
  copy is an overlay where the kernel mounts one for this user, else files.
- "overlay": no bubblewrap, but the kernel mounts overlays. Everything outside the project is read-only; processes, network
  and what can be read are shared.
- "copy": a folder with copies of the files, and no sandbox: elsewhere on Linux, on macOS and on Windows. A command can
  write to any path. That is looked for afterwards, named, and fails the run.

Nothing is ever written to the person's tree, git folder included.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import ExecutorError
from kiro_lsp.sandbox import bubblewrap, gitdir, homes, layered, paths, processes, trespass
from kiro_lsp.sandbox.bubblewrap import Bubblewrap
from kiro_lsp.sandbox.copy import Copy, LeftOut, materialise
from kiro_lsp.sandbox.homes import Home as Home  # noqa: PLC0414  # part of a policy
from kiro_lsp.sandbox.layered import CannotOverlay, Layered
from kiro_lsp.sandbox.network import Gate
from kiro_lsp.sandbox.processes import Conversation, Finished, Room

Level = Literal["bubblewrap", "overlay", "copy"]
Network = Literal["none", "hosts", "open"]

_TEMPORARY: Final = dict.fromkeys(("TMPDIR", "TMP", "TEMP"), "/tmp")  # noqa: S108  # a fresh one, in the sandbox
_MOST_NAMED: Final = 10
_DEPENDENCIES: Final = ("node_modules", ".venv", "venv", "vendor", "bower_components", "Pods")


@dataclass(frozen=True, slots=True)
class Policy:
    trusted: bool
    """The project is: git may be asked, and agents see their own configuration in it."""
    network: Network = "none"
    hosts: tuple[str, ...] = ()
    """With "hosts", what can be reached: `api.example.com` (port 443), `127.0.0.1:8080`."""
    homes: tuple[Home, ...] = ()
    hidden: tuple[str, ...] = ()
    """Folders that no command may look into: our own state."""
    reuse: bool = False
    """Keep copied files for the next run of the project. An overlay needs no such thing."""
    levels: frozenset[Level] = frozenset({"bubblewrap", "overlay", "copy"})
    """What may be used, for those who want a stricter or a simpler one. Without any that works, `open_copy` refuses."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    programs: tuple[str, ...] = ()
    """Programs that will be run, as paths: what is installed with them must be readable."""


@dataclass(slots=True)
class IsolatedCopy:
    """One run's copy. Blocking but for `run`: call its methods in a thread, and none but `run` while commands run."""

    root: Path
    policy: Policy
    level: Level
    network: str
    """For people: what a command can reach, and why that is more than was asked for."""
    missing: tuple[str, ...]
    """What a better isolation would have needed; empty when nothing is missing."""
    _tree: Copy | Layered
    _bubblewrap: Bubblewrap | None
    _before: trespass.Seen
    """What the person's tree was like, where only looking can tell whether it was left alone."""
    _guarded: trespass.Seen
    _is_kept: bool = False
    """Its files stay for the next run."""
    unreached: set[str] = field(default_factory=set)
    """Hosts (host:port) that commands asked for and that the policy does not name."""
    _saved: set[str] = field(default_factory=set)

    @property
    def path(self) -> Path:
        """Where commands see the project."""
        return self._tree.path if self.level == "copy" else self.root

    @property
    def skipped(self) -> Sequence[LeftOut]:
        """What of the project the commands do not see."""
        return self._tree.skipped

    @property
    def refused(self) -> Sequence[LeftOut]:
        """What the last `changes` found changed and did not take over."""
        return self._tree.refused

    @property
    def stale(self) -> Sequence[str]:
        """Paths of the last `changes` whose original changed on disk since the run could see it."""
        return self._tree.stale

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        extra_env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        on_output: Callable[[str], None] | None = None,
        alone: bool = False,
    ) -> Finished:
        """Run a program in the copy; `cwd` is root-relative. As `processes.run`, which says what it raises.

        `extra_env` is added to the reduced environment: what this one program may know. `alone` keeps the policy's network
        and the agent's folders from it, where there is bubblewrap.
        """
        policy = replace(self.policy, network="none", homes=()) if alone else self.policy
        async with self._placed(argv, cwd, extra_env, policy) as (folder, room):
            return await processes.run(
                argv,
                cwd=folder,
                env=self.policy.environ if env is None else env,
                timeout=timeout,
                on_output=on_output,
                outside=(self.root, self._tree.path),
                room=room,
            )

    @asynccontextmanager
    async def talk(
        self, argv: Sequence[str], *, cwd: str = "", extra_env: Mapping[str, str] | None = None
    ) -> AsyncIterator[Conversation]:
        """Start a program in the copy and speak to it over its input and output, as `processes.talk`."""
        async with self._placed(argv, cwd, extra_env, self.policy) as (folder, room):
            outside = (self.root, self._tree.path)
            talking = processes.talk(argv, cwd=folder, env=self.policy.environ, outside=outside, room=room)
            async with talking as conversation:
                yield conversation

    @asynccontextmanager
    async def _placed(
        self, argv: Sequence[str], cwd: str, extra: Mapping[str, str] | None, policy: Policy
    ) -> AsyncIterator[tuple[Path, Room]]:
        """Where a command runs, with its way to the network open. Raises NotADirectoryError when there is no such folder."""
        folder = self._folder(cwd)
        async with AsyncExitStack() as stack:
            gate = None
            if self._bubblewrap is not None and policy.network == "hosts":
                gate = await stack.enter_async_context(Gate.to(policy.hosts))
            copied = stack.enter_context(homes.copies(policy.homes, policy.environ)) if self._bubblewrap else {}
            try:
                yield folder, self._room(folder, argv, dict(extra or {}), gate, policy, copied=copied)
            finally:
                self.unreached.update([] if gate is None else gate.refused)

    def _folder(self, cwd: str) -> Path:
        relative = paths.resolve_folder(self.root, cwd)
        seen = self._tree.mounted.place if isinstance(self._tree, Layered) else str(self._tree.path)
        if not os.path.isdir(os.path.join(seen, relative)):
            raise NotADirectoryError(f"There is no folder {cwd!r} to run in.")
        return self.path / relative

    def _room(
        self,
        folder: Path,
        argv: Sequence[str],
        extra: Mapping[str, str],
        gate: Gate | None,
        policy: Policy,
        *,
        copied: Mapping[str, str],
    ) -> Room:
        """Where a command is put."""
        layer = self._tree if isinstance(self._tree, Layered) else None
        namespaces = None if layer is None else layer.mounted.namespaces
        if self._bubblewrap is None:
            environ = extra if layer is None else {**_TEMPORARY, **extra}
            return Room((), namespaces, capable=False, environ=environ)
        home = homes.home_folder(policy.environ)
        programs = (*policy.programs, *(each for each in argv[:1] if os.path.isabs(each)))
        repository = gitdir.find(self.root)
        objects = {} if repository is None else {str(bubblewrap.OBJECTS): str(repository.common / "objects")}
        tools = {} if home is None else bubblewrap.tools_in(home, policy.environ, programs)
        before = self._bubblewrap.before(
            tree=str(self._tree.path),
            root=str(self.root),
            cwd=str(folder),
            network=policy.network == "open",
            hidden=policy.hidden,
            readable={**tools, **objects, **(gate.binds() if gate else {})},
            inside_root=[] if layer is not None else _dependencies(self.root),
            writable=homes.folders(policy.homes, policy.environ),
            copied=copied,
            guarded=[path for path in homes.guarded_paths(policy.homes, policy.environ) if os.path.exists(path)],
            home=home,
        )
        environ = {**_TEMPORARY, **extra}
        if gate is not None:
            before, environ = (*before, *gate.before()), {**_TEMPORARY, **gate.environ(), **extra}
        # As user 0 bubblewrap makes no user namespace, so it needs ours with its rights, which it gives up itself.
        return Room(before, namespaces, capable=os.getuid() == 0, environ=environ)

    def update(self, staged: Iterable[FileChange]) -> None:
        """Bring the copy to what is staged now."""
        self._tree.update(staged)

    def relative(self, path: str) -> str:
        """The root-relative path of a file as commands spell it: relative to the project, or absolute. Raises PathRefused."""
        for seen in {str(self.path), os.path.realpath(self.path)}:
            if path.startswith(seen + os.sep):
                return paths.resolve(self.root, path[len(seen) + 1 :])
        return paths.resolve(self.root, path)

    def saved(self, paths_: Iterable[str]) -> None:
        """The person saved these root-relative files in the editor: no command did."""
        self._saved.update(paths_)

    def changes(self) -> list[FileChange]:
        """What differs from what was laid out, or from the last call, in path order; also fills `refused`, `stale`.

        Raises ExecutorError when commands have written outside the copy, now and at every later call: nothing that such
        a run made can be accepted.
        """
        found = trespass.differences(self._guarded, _guarded(self.policy))
        if self.level == "copy":
            after = trespass.look(self.root, trusted=self.policy.trusted)
            saved = {path for path in self._saved if path in self._before or path in after}
            found += trespass.differences(
                *({path: seen[path] for path in seen if path not in saved} for seen in (self._before, after))
            )
        if found:
            named = "; ".join(found[:_MOST_NAMED])
            more = f"; and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
            raise ExecutorError(
                "agent",
                f"While the agent ran, files were changed that it must not touch: {named}{more}. "
                "Nothing that it did can be accepted.",
                hint="If it was not you who changed them, restore them from your version control. There is no sandbox "
                f"here: {'; '.join(self.missing)}."
                if self.missing
                else "",
            )
        return self._tree.absorb()

    def close(self) -> None:
        """Unmount, and delete the copy, or leave its files for the next run if the policy says so."""
        if isinstance(self._tree, Copy) and self._is_kept:
            self._tree.put_away()
        else:
            self._tree.remove()


def open_copy(
    root: Path | str,
    policy: Policy,
    folder: Path | str,
    *,
    buffers: Mapping[str, bytes] | None = None,
    staged: Iterable[FileChange] = (),
    kept: Path | None = None,
) -> IsolatedCopy:
    """A copy of the project below `folder`, which is made for it (0700), as isolated as system and policy allow.

    `buffers` are the bytes of open documents, `staged` the run's changes; they win over the disk in that order. Blocking.
    Where files must be copied and nobody else uses `kept`, they go there and stay for the next run of the project.
    Raises RunRefused when there is no room, ExecutorError when the policy allows nothing that works, OSError when
    `folder` cannot be made.
    """
    real = Path(os.path.realpath(root))
    missing: list[str] = []
    wrapper = bubblewrap.available(real) if "bubblewrap" in policy.levels else "bubblewrap is switched off"
    wrapped = wrapper if isinstance(wrapper, Bubblewrap) else None
    if not isinstance(wrapper, Bubblewrap):
        missing.append(wrapper)
    elif not wrapper.processes:
        missing.append("this container forbids processes of one's own: the command sees those of others")
    contents = (buffers or {}, list(staged))
    tree = _tree(real, policy, (Path(folder), kept), contents, missing, wrapped=wrapped is not None)
    level: Level = "bubblewrap" if wrapped else "overlay" if isinstance(tree, Layered) else "copy"
    network = f"only {', '.join(policy.hosts)}" if policy.network == "hosts" else policy.network
    if wrapped is None and policy.network != "open":
        network = "open: it cannot be switched off or limited without bubblewrap"
    before = trespass.look(real, trusted=policy.trusted) if level == "copy" else {}
    is_kept = policy.reuse or (isinstance(tree, Copy) and tree.path.parent == kept)
    return IsolatedCopy(real, policy, level, network, tuple(missing), tree, wrapped, before, _guarded(policy), is_kept)


def sandboxed(root: Path | str, levels: frozenset[Level]) -> bool:
    """Whether a command in a copy, without network, can do nothing to anybody: a question for it would be for nothing."""
    wrapper = bubblewrap.available(root) if "bubblewrap" in levels else None
    return isinstance(wrapper, Bubblewrap) and wrapper.processes


def _tree(
    root: Path,
    policy: Policy,
    places: tuple[Path, Path | None],
    contents: tuple[Mapping[str, bytes], Sequence[FileChange]],
    missing: list[str],
    *,
    wrapped: bool,
) -> Copy | Layered:
    """An overlay where that works, else files; `missing` gets the reason. `contents` are documents and staged changes,
    `places` the copy's folder and one where files may be kept.
    """
    (buffers, staged), (folder, kept) = contents, places
    objects = bubblewrap.OBJECTS if wrapped else None
    if "overlay" in policy.levels:
        try:
            return layered.lay_over(
                root,
                staged,
                buffers,
                folder,
                trusted=policy.trusted,
                closed=not wrapped,
                writable=[each for each, _ in homes.found(policy.homes, policy.environ)],
                readable=_covered(policy.environ),
                objects=objects,
            )
        except CannotOverlay as reason:
            missing.append(f"no overlay: {reason}")
    if not wrapped and "copy" not in policy.levels:
        raise ExecutorError("agent", f"There is no sandbox here: {'; '.join(missing)}.")
    repository = gitdir.find(root)
    if objects is None and repository is not None:
        objects = repository.common / "objects"
    if kept is not None:
        with suppress(FileExistsError):  # somebody living has it
            return materialise(root, staged, buffers, kept, trusted=policy.trusted, reuse=True, objects=objects)
    return materialise(root, staged, buffers, folder, trusted=policy.trusted, reuse=policy.reuse, objects=objects)


def _covered(environ: Mapping[str, str]) -> list[str]:
    """The home folder, where it lies in a folder for temporary files, of which commands see a fresh one."""
    home = homes.home_folder(environ)
    return [home] if home is not None and home.startswith(("/tmp/", "/dev/shm/")) else []  # noqa: S108  # as above


def _dependencies(root: Path) -> list[str]:
    """Folders of installed dependencies at the top of the project: what runs there needs them, and they are not copied."""
    return [str(root / name) for name in _DEPENDENCIES if (root / name).is_dir() and not (root / name).is_symlink()]


def _guarded(policy: Policy) -> trespass.Seen:
    """What the guarded files of the agent's folders are like."""
    seen: trespass.Seen = {}
    for path in homes.guarded_paths(policy.homes, policy.environ):
        trespass.stamp_all(seen, path)
    return seen
