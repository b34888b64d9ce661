"""The tools beside our edit engine: git apply, patch, whatthepatch and diff-match-patch, each behind the same call.

The two libraries are installed into a folder of their own for the length of a run, from the pinned list beside this
file. Each tool gets a case as a person would hand it over: the files in a folder, the reply as it is.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.changes.edits.grading import Case, Files, Result

PINNED = Path(__file__).parent / "edit_peers.txt"
_HEADER = re.compile(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")
_LIMIT = 60


@contextmanager
def installed() -> Iterator[None]:
    """The pinned libraries, importable within the block only."""
    with tempfile.TemporaryDirectory(prefix="kiro-lsp-peers-") as folder:
        argv = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", folder, "-r", str(PINNED)]
        subprocess.run([*argv, "--disable-pip-version-check"], check=True, stderr=subprocess.DEVNULL)
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)


def git_apply(case: Case) -> Result:
    return _in_folder(case, ["git", "apply", *_strip(case), "{patch}"])


def git_tolerant(case: Case) -> Result:
    flags = ["--recount", "--unidiff-zero", "-C1", "--ignore-whitespace"]
    return _in_folder(case, ["git", "apply", *flags, *_strip(case), "{patch}"])


def gnu_patch(case: Case) -> Result:
    strip = _strip(case) or ["-p1"]
    named = [case.file] if case.file else []
    flags = ["--fuzz=3", "-f", "--no-backup-if-mismatch", "-r", "-"]
    return _in_folder(case, ["patch", *strip, *flags, "-i", "{patch}", *named])


def _strip(case: Case) -> list[str]:
    """The number of leading folders to strip, where the case's source gave one."""
    return [option for option in case.options if re.fullmatch(r"-p\d", option)]


def _in_folder(case: Case, argv: list[str]) -> Result:
    with tempfile.TemporaryDirectory(prefix="kiro-lsp-peer-") as name:
        root, patch = Path(name) / "root", Path(name) / "patch"
        root.mkdir()
        for path, data in case.before.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        patch.write_bytes(case.response.encode("utf-8"))
        environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": name, "GIT_CEILING_DIRECTORIES": name}
        started = time.perf_counter()
        done = subprocess.run(
            [str(patch) if word == "{patch}" else word for word in argv],
            cwd=root,
            env=environ,
            capture_output=True,
            check=False,
            timeout=_LIMIT,
        )
        seconds = time.perf_counter() - started
        after = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        return Result(done.returncode == 0, after, seconds, said)


def what_the_patch(case: Case) -> Result:
    """Every section of the reply applied at the lines it states."""
    import whatthepatch  # type: ignore[import-not-found]

    def apply(files: dict[str, str]) -> bool:
        sections = 0
        for section in whatthepatch.parse_patch(case.response):
            if not section.changes:
                continue
            header = section.header
            path = case.file or _path_of(files, [header.old_path, header.new_path] if header else [])
            if path is None:
                return False
            sections += 1
            lines = whatthepatch.apply_diff(section, files[path])
            files[path] = _with_ends_of(files[path], lines)
        return sections > 0

    return _in_memory(case, apply)


@dataclass(slots=True)
class _Hunk:
    names: list[str]
    line: int
    old: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


def diff_match_patch(case: Case) -> Result:
    """Every hunk made into one of the library's patches, at the line that the header states."""
    import diff_match_patch as library  # type: ignore[import-not-found]

    matcher = library.diff_match_patch()
    # The whole file is searched: with the library's own distance a wrong line number would find nothing.
    matcher.Match_Distance = 1_000_000

    def apply(files: dict[str, str]) -> bool:
        hunks = _hunks(case.response)
        for hunk in hunks:
            path = case.file or _path_of(files, hunk.names)
            if path is None:
                return False
            old, new = ("".join(f"{line}\n" for line in lines) for lines in (hunk.old, hunk.new))
            patches = matcher.patch_make(old, new)
            start = sum(len(line) + 1 for line in files[path].split("\n")[: max(0, hunk.line - 1)])
            for patch in patches:
                patch.start1 += start
                patch.start2 += start
            files[path], placed = matcher.patch_apply(patches, files[path])
            if not all(placed):
                return False
        return bool(hunks)

    return _in_memory(case, apply)


def _hunks(reply: str) -> list[_Hunk]:
    found: list[_Hunk] = []
    names: list[str] = []
    open_hunk: _Hunk | None = None
    for line in reply.split("\n"):
        if line.startswith(("--- ", "+++ ")):
            names = [*names[-1:], line[4:].partition("\t")[0]]
            open_hunk = None
        elif line.startswith("@@"):
            header = _HEADER.match(line)
            open_hunk = _Hunk(names, int(header[1]) if header else 1)
            found.append(open_hunk)
        elif line.startswith(("```", "~~~", "diff --git")):
            open_hunk = None
        elif open_hunk is not None and not line.startswith("\\"):
            if not line.startswith("+"):
                open_hunk.old.append(line[1:])
            if not line.startswith("-"):
                open_hunk.new.append(line[1:])
    for hunk in found:
        while hunk.old and hunk.new and not hunk.old[-1] and not hunk.new[-1]:
            del hunk.old[-1], hunk.new[-1]
    return found


def _with_ends_of(text: str, lines: list[str]) -> str:
    """The library gives bare lines: they get the ends that the file has, the last one too."""
    end = "\r\n" if "\r\n" in text else "\n"
    joined = end.join(lines)
    return joined + end if lines and (not text or text.endswith("\n")) else joined


def _path_of(files: dict[str, str], names: list[str | None] | list[str]) -> str | None:
    """The file that one of the names means, with or without its first folder; the only one when there is no name."""
    for name in names:
        for spelling in (name, name.partition("/")[2]) if name else ():
            if spelling in files:
                return spelling
    return next(iter(files)) if len(files) == 1 and not any(names) else None


def _in_memory(case: Case, apply: Callable[[dict[str, str]], bool]) -> Result:
    """A library that raises or says no leaves nothing behind: who calls it writes only what succeeded."""
    files = {path: data.decode("utf-8") for path, data in case.before.items()}
    started = time.perf_counter()
    said = ""
    try:
        ok = apply(files)
    except Exception as error:  # noqa: BLE001 - whatever a library raises is its refusal
        ok, said = False, repr(error)
    seconds = time.perf_counter() - started
    after: Files = {path: text.encode("utf-8") for path, text in files.items()} if ok else case.before
    return Result(ok, after, seconds, said)


PEERS: dict[str, Callable[[Case], Any]] = {
    "git apply": git_apply,
    "git tolerant": git_tolerant,
    "patch fuzz 3": gnu_patch,
    "whatthepatch": what_the_patch,
    "dmp": diff_match_patch,
}
"""Column of the table → tool."""


def versions() -> dict[str, str]:
    """Tool → its version; within `installed()`."""
    said = {
        name: subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout
        for name in _PROGRAMS
    }
    found = {name: text.split("\n")[0].split()[-1] for name, text in said.items()}
    rows = PINNED.read_text("utf-8").split("\n")
    return found | dict(row.split("==") for row in rows if "==" in row)


_PROGRAMS = ("git", "patch")
