"""Which files a project has, by git and by walking: the same answer, and nothing of the project is run to get it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kiro_lsp.sandbox import git, listing


def git_(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


def tree(root: Path, contents: dict[str, str]) -> Path:
    for path, text in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


PROJECT = {
    ".gitignore": "*.log\n/build/\n!keep.log\nsecret?.txt\n# comment\n\\#odd\ndoc/**/draft\n",
    "keep.log": "",
    "other.log": "",
    "build/out.js": "",
    "src/build/kept.js": "",
    "secret1.txt": "",
    "#odd": "",
    "src/app.py": "",
    "src/.gitignore": "generated/\n!other.log\n*.tmp\n",
    "src/other.log": "",
    "src/generated/x.py": "",
    "src/a.tmp": "",
    "doc/a/b/draft": "",
    "doc/final": "",
    ".hidden/file": "",
    ".github/workflows/ci.yml": "",
    "search/.ignore": "*.min.js\n",
    "search/a.min.js": "",
    "search/a.js": "",
    "search/deep/.rgignore": "vendor/\n",
    "search/deep/vendor/x": "",
    "search/deep/y": "",
    "excluded-here": "",
    "ünï/ö.txt": "",
    "with space/and 'quote'.txt": "",
}

EXPECTED = [
    ".github/workflows/ci.yml", ".gitignore", ".hidden/file", "doc/final", "keep.log", "search/.ignore", "search/a.js",
    "search/deep/.rgignore", "search/deep/y", "src/.gitignore", "src/app.py", "src/build/kept.js", "src/other.log",
    "with space/and 'quote'.txt", "ünï/ö.txt",
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tree(tmp_path / "ws", PROJECT)
    git_(root, "init", "-q")
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/exclude").write_text("excluded-here\n")
    return root


@pytest.mark.parametrize("trusted", [True, False], ids=["git", "walk"])
def test_ignore_rules_give_the_same_list_with_and_without_git(project: Path, trusted: bool) -> None:
    assert listing.list_files(project, trusted=trusted) == sorted(EXPECTED)


def test_git_knows_tracked_files_that_are_ignored_and_forgets_deleted_ones(project: Path) -> None:
    git_(project, "add", "-f", "other.log", "src/app.py")
    (project / "src/app.py").unlink()
    found = listing.list_files(project, trusted=True)
    assert "other.log" in found
    assert "src/app.py" not in found


def test_a_folder_below_the_top_of_a_repository_lists_itself(project: Path) -> None:
    assert listing.list_files(project / "src", trusted=True) == [".gitignore", "app.py", "build/kept.js", "other.log"]


def test_repositories_inside_are_looked_into_without_their_git_folder(project: Path) -> None:
    tree(project / "nested", {"a.py": "", ".gitignore": "*.o\n", "b.o": ""})
    git_(project / "nested", "init", "-q")
    found = [path for path in listing.list_files(project, trusted=True) if path.startswith("nested/")]
    assert found == ["nested/.gitignore", "nested/a.py"]


@pytest.mark.parametrize("trusted", [True, False], ids=["git", "walk"])
def test_links_count_when_they_lead_to_a_file_inside(project: Path, trusted: bool) -> None:
    (project.parent / "outside").write_text("secret")
    for name, target in {
        "in": "src/app.py",
        "out": "../outside",
        "folder": "src",
        "gone": "nowhere",
        "loop": "loop",
    }.items():
        (project / f"link-{name}").symlink_to(target)
    os.mkfifo(project / "pipe")
    extra = set(listing.list_files(project, trusted=trusted)) - set(EXPECTED)
    assert extra == {"link-in"}
    links = [entry.path for entry in listing.scan(project, trusted=trusted) if entry.kind == "link"]
    assert links == ["link-folder", "link-gone", "link-in", "link-loop", "link-out"]


@pytest.mark.parametrize("trusted", [True, False], ids=["git", "walk"])
def test_names_that_no_tool_could_use_are_left_out(project: Path, trusted: bool) -> None:
    for name in (b"a:b", b"trailing.", b"line\nbreak", b"\xff\xfe", b"COM1", b"x\xe2\x80\xaey"):
        (Path(os.fsdecode(os.fsencode(project) + b"/" + name))).write_bytes(b"")
    assert listing.list_files(project, trusted=trusted) == sorted(EXPECTED)


def test_folders_that_tools_fill_are_left_out_where_no_git_says_otherwise(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "a.py": "", "node_modules/x/index.js": "", "__pycache__/a.pyc": "", "env/pyvenv.cfg": "", "env/lib/x.py": "",
            "cache/CACHEDIR.TAG": "", "cache/x": "", ".hg/store": "", ".svn/x": "",
        },
    )  # fmt: skip
    assert listing.list_files(tmp_path, trusted=False) == ["a.py"]


def test_an_untrusted_root_starts_no_process_and_a_trusted_one_runs_nothing_of_its_own(project: Path) -> None:
    """A planted fsmonitor, hook and pager leave a file when they run."""
    proof = project.parent / "ran"
    script = project / "evil.sh"
    script.write_text(f"#!/bin/sh\necho ran >> {proof}\n")
    script.chmod(0o755)
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.askPass", "diff.external"):
        git_(project, "config", key, str(script))
    git_(project, "config", "core.hooksPath", str(project))
    (project / "post-index-change").symlink_to("evil.sh")
    listing.list_files(project, trusted=True)
    git.ignored(project, ["a.log"])
    assert not proof.exists()
    subprocess.run(["git", "-C", str(project), "status"], capture_output=True, check=False)
    assert proof.exists(), "the trap itself must work"
    proof.unlink()
    listing.list_files(project, trusted=False)
    assert not proof.exists()


def test_a_git_program_inside_the_project_is_not_taken(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proof = project.parent / "ran"
    planted = project / "bin/git"
    planted.parent.mkdir()
    planted.write_text(f"#!/bin/sh\necho ran > {proof}\n")
    planted.chmod(0o755)
    monkeypatch.setenv("PATH", f"{planted.parent}{os.pathsep}{os.environ['PATH']}")
    assert "src/app.py" in listing.list_files(project, trusted=True)
    assert not proof.exists()


def test_without_an_answer_from_git_the_folders_are_walked(project: Path) -> None:
    (project / ".git/HEAD").write_text("broken")
    assert listing.list_files(project, trusted=True) == sorted(EXPECTED)


def test_ignore_files_that_are_broken_links_or_huge_do_no_harm(tmp_path: Path) -> None:
    tree(tmp_path, {"a": "", "b/c": "", "d/e": ""})
    (tmp_path / ".gitignore").write_bytes(b"\xff\xfe!\n\\\n!\n/\n[\na\n")
    (tmp_path / "b/.gitignore").symlink_to("/etc/passwd")
    (tmp_path / "d/.gitignore").write_text("e\n" * 600_000)
    assert listing.list_files(tmp_path, trusted=False) == [".gitignore", "b/c", "d/.gitignore", "d/e"]


def test_git_says_which_candidates_are_ignored(project: Path) -> None:
    assert git.ignored(project, ["a.log", "src/x.py", "build/x", "excluded-here"]) == {
        "a.log",
        "build/x",
        "excluded-here",
    }
    assert git.ignored(project.parent, ["a.log"]) is None
    assert git.ignored(project, []) == frozenset()
