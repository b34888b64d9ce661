"""Committing what was accepted, and nothing else.

The commit is built in an index of its own from HEAD and the accepted paths, and the branch moves by compare-and-swap.
The person's index keeps everything that was staged; only the entries of the committed paths follow, as after `git
commit PATH`, so that the next commit does not revert this one. No hook, filter, monitor, signing program or pager runs.
Where something is under way that a commit would disturb, it is refused and the reason is said.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from kiro_lsp.engine.disk import Disk
from kiro_lsp.engine.faults import point
from kiro_lsp.errors import RunRefused
from kiro_lsp.sandbox import git
from kiro_lsp.sandbox.programs import find_program
from kiro_lsp.store import RunRecord

TIMEOUT_SECONDS: Final = 60

_UNDER_WAY: Final = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "sequencer": "a sequence of picks",
    "BISECT_LOG": "a bisect",
}
"""Files of a git folder that say that something is not finished."""

_CONVERTED: Final = ("filter", "working-tree-encoding")
"""Attributes by which other programs or encodings would decide what is committed."""


class OpenDocuments(Protocol):
    def dirty(self, path: Path) -> bool:
        """Whether a document is open and has unsaved changes."""
        ...


@dataclass(frozen=True, slots=True)
class CommitOutcome:
    """`files` are the root-relative paths that the commit has, `commit` is its full name."""

    ok: bool
    message: str
    files: tuple[str, ...] = ()
    commit: str | None = None


def message_of(record: RunRecord, message: str | None) -> str:
    """`<id> <title>`, or the person's own words, with trailers that lead back to the run."""
    subject = _one_line(f"{record.task_id} {record.title}" if record.task_id else record.title)
    body = (message or "").strip() or subject
    agent = _one_line(f"{record.agent} ({record.model})" if record.model else record.agent)
    trailers = [
        f"Kiro-Lsp-Run: {record.run_id}",
        *([f"Kiro-Lsp-Task: {_one_line(f'{record.path} {record.task_key}')}"] if record.path else []),
        f"Kiro-Lsp-Agent: {agent}",
    ]
    return f"{body}\n\n" + "\n".join(trailers) + "\n"


def commit_run(root: Path, files: Sequence[str], message: str, documents: OpenDocuments) -> CommitOutcome:
    """Commit these root-relative paths as they are on the disk. Blocks; run it in a thread.

    Paths that git ignores and does not track are left out and named. Raises RunRefused, and then neither the branch nor
    the index has changed.
    """
    unsaved = [path for path in dict.fromkeys(files) if documents.dirty(root.joinpath(*path.split("/")))]
    if unsaved:
        raise _refused("unsaved", f"Not saved yet: {', '.join(unsaved)}.", "Save them in the editor, then commit.")
    repository = _Repository.at(root)
    repository.refuse_what_is_under_way()
    head = repository.head()
    paths, left_out = _committable(repository, root, files, head)
    with tempfile.TemporaryDirectory(prefix="kiro-lsp-commit-") as folder:
        private = os.path.join(folder, "index")
        tree = repository.tree_with(private, head, paths)
        point("commit.tree")
        if head.commit is not None and tree == repository.line("rev-parse", f"{head.commit}^{{tree}}"):
            raise _refused("nothing-to-commit", "There is nothing to commit: the accepted files are in HEAD already.")
        entries = repository.entries(private, paths)
    commit = repository.commit_object(tree, head, message)
    point("commit.object")
    repository.advance(head, commit, message, paths, entries)
    point("commit.ref")
    shown = ", ".join(path for path in files if path in left_out)
    note = f" Left out, because git ignores it: {shown}." if left_out else ""
    where = head.branch or "a detached HEAD"
    done = tuple(sorted(set(files) - left_out))
    return CommitOutcome(True, f"Committed {commit[:10]} on {where}.{note}", done, commit)


@dataclass(frozen=True, slots=True)
class _Head:
    ref: str | None
    """The full name of the branch, None when HEAD is detached."""
    commit: str | None
    """None on a branch that has no commit yet."""

    @property
    def branch(self) -> str | None:
        return None if self.ref is None else self.ref.removeprefix("refs/heads/")


@dataclass(frozen=True, slots=True)
class _Repository:
    """One git repository with its work tree, asked through calls that its own configuration cannot turn into
    programs.
    """

    program: str
    top: str
    folder: str
    """The git folder of this work tree."""
    prefix: str
    """From the top to the root of the project: "" or with a / at its end."""
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def at(cls, root: Path) -> _Repository:
        program = find_program("git", os.environ, [root])
        if program is None:
            raise _refused("no-git", "There is no git program outside the project.", "Install git.")
        environ = git.environment(root)
        found = cls(program, str(root), "", "", environ)
        try:
            folder, top, prefix = found.text(
                "rev-parse", "--absolute-git-dir", "--show-toplevel", "--show-prefix"
            ).split("\n")[:3]
        except (RunRefused, ValueError) as error:
            raise _refused("no-repository", f"{root} is not in a git repository with a work tree.") from error
        if not Path(os.path.realpath(root)).is_relative_to(os.path.realpath(top)):
            raise _refused("no-repository", f"{root} is not in the work tree {top} that its repository names.")
        return cls(program, top, folder, prefix, {**environ, "GIT_DIR": folder, "GIT_WORK_TREE": top})

    def refuse_what_is_under_way(self) -> None:
        for name, what in _UNDER_WAY.items():
            if os.path.lexists(os.path.join(self.folder, name)):
                raise _refused("under-way", f"In {self.top} {what} is under way.", "Finish or abort it first.")
        if self.text("ls-files", "--unmerged"):
            raise _refused("under-way", f"In {self.top} there are unmerged files.", "Resolve them first.")

    def head(self) -> _Head:
        ref = self._optional("symbolic-ref", "-q", "HEAD")
        return _Head(ref, self._optional("rev-parse", "-q", "--verify", "HEAD^{commit}"))

    def tree_with(self, index: str, head: _Head, paths: Sequence[str]) -> str:
        """HEAD's tree with these paths as they are on the disk, built in an index of its own."""
        extra = {"GIT_INDEX_FILE": index}
        self.text("read-tree", head.commit or "--empty", extra=extra)
        self.text("update-index", "-z", "--add", "--remove", "--stdin", given=_listed(paths), extra=extra)
        return self.line("write-tree", extra=extra)

    def entries(self, index: str | None, paths: Sequence[str]) -> dict[str, str]:
        """Path → `mode object` in an index (None: the person's own); a path that is not there is not named."""
        extra = {} if index is None else {"GIT_INDEX_FILE": index}
        output = self.text("ls-files", "-z", "--stage", "--", *paths, extra=extra)
        return _entries(output, paths)

    def entries_of(self, head: _Head, paths: Sequence[str]) -> dict[str, str]:
        """The same for the commit that HEAD is at."""
        if head.commit is None:
            return {}
        output = self.text("ls-tree", "-z", "-r", "--full-tree", head.commit, "--", *paths)
        found: dict[str, str] = {}
        for line in filter(None, output.split("\0")):
            mode, _kind, name_and_path = line.split(" ", 2)
            name, path = name_and_path.split("\t", 1)
            if path in paths:
                found[path] = f"{mode} {name}"
        return found

    def commit_object(self, tree: str, head: _Head, message: str) -> str:
        parents = ["-p", head.commit] if head.commit else []
        try:
            return self.line("commit-tree", tree, *parents, given=message.encode("utf-8", "replace"))
        except RunRefused as refusal:
            if "tell me who you are" in refusal.message or "empty ident" in refusal.message:
                raise _refused(
                    "no-identity", "Git does not know your name.", "Set user.name and user.email with `git config`."
                ) from refusal
            raise

    def advance(self, head: _Head, commit: str, message: str, paths: Sequence[str], entries: Mapping[str, str]) -> None:
        """Move the branch if it is where it was, with the person's entries of these paths.

        The index goes first: cut off in between, the accepted files are staged and not committed, which harms nobody,
        while a branch that went first would leave a staged reversal of this very commit.
        """
        before = self.entries(None, paths)
        self._set_entries(paths, entries, len(commit))
        try:
            if self.head() != head:
                raise _refused("moved", "HEAD moved while the commit was made.", "Look at the branch, then try again.")
            point("commit.index")
            old = head.commit or "0" * len(commit)
            self.text("update-ref", "-m", f"commit: {message.splitlines()[0]}", head.ref or "HEAD", commit, old)
        except RunRefused as refusal:
            self._set_entries(paths, before, len(commit))
            if refusal.code == "moved":
                raise
            raise _refused(
                "moved", "The branch moved while the commit was made; nothing was committed.", "Try again."
            ) from refusal

    def _set_entries(self, paths: Sequence[str], entries: Mapping[str, str], width: int) -> None:
        gone = f"0 {'0' * width}"
        lines = [f"{entries[path]} 0\t{path}" if path in entries else f"{gone}\t{path}" for path in paths]
        given = "".join(f"{line}\0" for line in lines).encode("utf-8", "surrogateescape")
        self.text("update-index", "-z", "--index-info", given=given)

    def attributes(self, paths: Sequence[str]) -> list[tuple[str, str, str]]:
        """(path, attribute, value) for those that would change what is committed."""
        output = self.text("check-attr", "-z", "--stdin", *_CONVERTED, given=_listed(paths))
        fields = output.split("\0")[:-1]
        found = zip(fields[::3], fields[1::3], fields[2::3], strict=True)
        return [(path, name, value) for path, name, value in found if value not in ("unspecified", "unset")]

    def ignored(self, paths: Sequence[str]) -> set[str]:
        output = self._run(["check-ignore", "-z", "--stdin"], given=_listed(paths), expected=(0, 1))
        return set(filter(None, output.split("\0")))

    def line(self, *arguments: str, given: bytes = b"", extra: Mapping[str, str] | None = None) -> str:
        return self.text(*arguments, given=given, extra=extra).strip()

    def text(self, *arguments: str, given: bytes = b"", extra: Mapping[str, str] | None = None) -> str:
        return self._run(arguments, given=given, extra=extra)

    def _optional(self, *arguments: str) -> str | None:
        return self._run(arguments, expected=(0, 1)).strip() or None

    def _run(
        self,
        arguments: Sequence[str],
        *,
        given: bytes = b"",
        extra: Mapping[str, str] | None = None,
        expected: Sequence[int] = (0,),
    ) -> str:
        """A git call. Raises RunRefused with git's own words when it fails."""
        argv = [self.program, *git.HARDENED, "-c", "i18n.commitEncoding=UTF-8", *arguments]
        try:
            ended = subprocess.run(
                argv,
                cwd=self.top,
                env={**self.environ, **(extra or {})},
                input=given,
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _refused("git-failed", f"git {arguments[0]} could not be run: {error}") from error
        if ended.returncode not in expected:
            said = ended.stderr.decode("utf-8", "replace").strip() or f"exit code {ended.returncode}"
            raise _refused("git-failed", f"git {arguments[0]} failed: {said}")
        return ended.stdout.decode("utf-8", "surrogateescape")


def _committable(repository: _Repository, root: Path, files: Sequence[str], head: _Head) -> tuple[list[str], set[str]]:
    """(paths from the top of the repository, root-relative paths that are ignored). Raises RunRefused."""
    disk = Disk(root, "commit")
    named = {f"{repository.prefix}{path}": path for path in files}
    ignored = repository.ignored(list(named))
    paths = sorted(set(named) - ignored)
    if not paths:
        raise _refused("nothing-to-commit", "There is nothing to commit: git ignores every accepted file.")
    for path in paths:
        obstacle = disk.look(named[path]).obstacle
        if obstacle is not None:
            raise _refused("not-a-file", f"{named[path]} is {obstacle}: it is not committed.")
    for path, name, value in repository.attributes(paths):
        raise _refused(
            "converted",
            f"{path} has the attribute {name}={value}: committing it would run a program or change its encoding.",
            "Commit it yourself.",
        )
    staged = repository.entries(None, paths)
    committed = repository.entries_of(head, paths)
    yours = [path for path in paths if staged.get(path) != committed.get(path)]
    if yours:
        raise _refused(
            "staged", f"You have staged changes of your own in {', '.join(yours)}.", "Commit or unstage them first."
        )
    return paths, {named[path] for path in ignored if path in named}


def _entries(output: str, paths: Iterable[str]) -> dict[str, str]:
    """`ls-files --stage -z` as path → `mode object`; a conflicted path never gets here."""
    wanted = set(paths)
    found: dict[str, str] = {}
    for line in filter(None, output.split("\0")):
        head, path = line.split("\t", 1)
        mode, name, _stage = head.split(" ")
        if path in wanted:
            found[path] = f"{mode} {name}"
    return found


def _listed(paths: Iterable[str]) -> bytes:
    return "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")


def _one_line(text: str) -> str:
    """Without line ends, control and invisible characters: nothing in a title can forge a trailer."""
    plain = "".join(
        " " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else character
        for character in text
        if unicodedata.category(character) not in ("Cf", "Cs")
    )
    return " ".join(plain.split())


def _refused(code: str, message: str, hint: str = "") -> RunRefused:
    return RunRefused(message, code=code, hint=hint)
