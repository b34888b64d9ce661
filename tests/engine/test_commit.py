"""A commit has exactly the accepted paths; nothing of the person's is touched and no program of the project runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kiro_lsp.engine import commit, faults
from kiro_lsp.engine.commit import CommitOutcome, commit_run
from kiro_lsp.errors import RunRefused
from kiro_lsp.store import RunRecord
from tests.conftest import REPO
from tests.support.documents import Documents
from tests.support.project import anchor

MESSAGE = "1 First task\n\nKiro-Lsp-Run: run-1\n"


def git(where: Path, *arguments: str, check: bool = True) -> str:
    ended = subprocess.run(
        ["git", *arguments], cwd=where, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    assert not check or ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with one commit: `app.py`, `other.py` and `sub/inner.py`."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "A Person")
    git(folder, "config", "user.email", "person@example.com")
    write(folder, "app.py", "one\n")
    write(folder, "other.py", "other\n")
    write(folder, "sub/inner.py", "inner\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def write(root: Path, path: str, text: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def commit_paths(root: Path, *files: str, message: str = MESSAGE) -> CommitOutcome:
    return commit_run(root, files, message, Documents())


def committed(where: Path) -> dict[str, str]:
    """path → status letter of the last commit."""
    lines = git(where, "show", "--format=", "--name-status", "--root", "HEAD").splitlines()
    return {path: status for status, path in (line.split("\t") for line in lines)}


def check_refused(root: Path, *files: str, code: str) -> RunRefused:
    """A refusal with this code that has changed neither branch nor index nor tree."""
    state = [git(root, *command, check=False) for command in _STATE]
    with pytest.raises(RunRefused) as refused:
        commit_paths(root, *files)
    assert refused.value.code == code
    assert refused.value.message
    assert [git(root, *command, check=False) for command in _STATE] == state
    return refused.value


_STATE = (
    ["for-each-ref"],
    ["symbolic-ref", "-q", "HEAD"],
    ["rev-parse", "-q", "--verify", "HEAD"],
    ["ls-files", "--stage"],
    ["status", "--porcelain"],
)


def test_only_the_accepted_paths_are_committed_and_staged_work_stays_staged(top: Path) -> None:
    write(top, "app.py", "accepted\n")
    write(top, "new/file.py", "created\n")
    (top / "sub/inner.py").unlink()
    write(top, "other.py", "mine, staged\n")
    git(top, "add", "other.py")
    write(top, "other.py", "mine, staged and edited again\n")
    write(top, "stray.txt", "untracked\n")
    staged = git(top, "diff", "--cached")
    done = commit_paths(top, "app.py", "new/file.py", "sub/inner.py")
    assert committed(top) == {"app.py": "M", "new/file.py": "A", "sub/inner.py": "D"}
    assert git(top, "diff", "--cached") == staged
    assert git(top, "status", "--porcelain") == "MM other.py\n?? stray.txt"
    assert done.commit == git(top, "rev-parse", "HEAD")
    assert done.files == ("app.py", "new/file.py", "sub/inner.py")
    assert git(top, "log", "-1", "--format=%an <%ae>%n%B") == f"A Person <person@example.com>\n{MESSAGE.strip()}"
    assert git(top, "fsck", "--strict") == ""


def test_a_root_below_the_top_commits_its_own_paths(top: Path) -> None:
    write(top, "sub/inner.py", "accepted\n")
    write(top, "app.py", "not accepted\n")
    commit_paths(top / "sub", "inner.py")
    assert committed(top) == {"sub/inner.py": "M"}
    assert git(top, "status", "--porcelain") == "M app.py"


def test_a_worktree_commits_on_its_own_branch(top: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    git(top, "worktree", "add", "-q", "-b", "side", str(tree))
    write(tree, "app.py", "accepted\n")
    before = git(top, "rev-parse", "main")
    commit_paths(tree, "app.py")
    assert committed(tree) == {"app.py": "M"}
    assert git(tree, "symbolic-ref", "--short", "HEAD") == "side"
    assert git(top, "rev-parse", "main") == before
    assert git(tree, "status", "--porcelain") == ""


@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_a_branch_without_a_commit_gets_its_first(tmp_path: Path, form: str) -> None:
    git(tmp_path, "init", "-q", "-b", "main", f"--object-format={form}")
    git(tmp_path, "config", "user.name", "A Person")
    git(tmp_path, "config", "user.email", "person@example.com")
    write(tmp_path, "app.py", "accepted\n")
    write(tmp_path, "mine.py", "staged\n")
    git(tmp_path, "add", "mine.py")
    commit_paths(tmp_path, "app.py")
    assert committed(tmp_path) == {"app.py": "A"}
    assert git(tmp_path, "status", "--porcelain") == "A  mine.py"
    (tmp_path / "app.py").unlink()
    commit_paths(tmp_path, "app.py")
    assert committed(tmp_path) == {"app.py": "D"}


def test_a_detached_head_moves_and_no_branch_does(top: Path) -> None:
    git(top, "checkout", "-q", "--detach")
    before = git(top, "rev-parse", "main")
    write(top, "app.py", "accepted\n")
    done = commit_paths(top, "app.py")
    assert (git(top, "rev-parse", "HEAD"), git(top, "rev-parse", "main")) == (done.commit, before)
    assert "detached HEAD" in done.message


def test_executable_bits_and_line_ends_go_in_as_git_add_takes_them(top: Path) -> None:
    write(top, ".gitattributes", "*.txt text eol=crlf\n")
    git(top, "add", ".gitattributes")
    git(top, "commit", "-q", "-m", "attributes")
    (top / "a.txt").write_bytes(b"1\r\n2\r\n")
    write(top, "run.sh", "#!/bin/sh\n").chmod(0o755)
    commit_paths(top, "a.txt", "run.sh")
    assert git(top, "ls-files", "--stage", "run.sh").startswith("100755 ")
    assert subprocess.run(["git", "show", "HEAD:a.txt"], cwd=top, capture_output=True, check=True).stdout == b"1\n2\n"
    assert git(top, "status", "--porcelain") == ""


@pytest.mark.parametrize("name", ["blank in it.py", "ä😀.py", "-dash.py", ":(top)x.py", "glob*[a].py", 'q"uote.py'])
def test_odd_names_mean_exactly_themselves(top: Path, name: str) -> None:
    write(top, name, "accepted\n")
    write(top, "globXa.py", "bystander\n")
    write(top, "x.py", "bystander\n")
    commit_paths(top, name)
    assert git(top, "-c", "core.quotePath=false", "show", "--format=", "--name-only", "-z", "HEAD").rstrip("\0") == name


def test_a_file_that_git_ignores_is_left_out_and_named(top: Path) -> None:
    write(top, ".gitignore", "dist/\n")
    git(top, "add", ".gitignore")
    git(top, "commit", "-q", "-m", "ignore")
    write(top, "dist/out.js", "built\n")
    write(top, "app.py", "accepted\n")
    done = commit_paths(top, "app.py", "dist/out.js")
    assert committed(top) == {"app.py": "M"}
    assert "dist/out.js" in done.message
    assert done.files == ("app.py",)
    check_refused(top, "dist/out.js", code="nothing-to-commit")


# Nothing of the project's runs

PLANTED = {
    "core.fsmonitor": "{program}",
    "core.hooksPath": "{hooks}",
    "filter.evil.clean": "{program}",
    "filter.evil.process": "{program}",
    "diff.external": "{program}",
    "core.pager": "{program}",
    "core.editor": "{program}",
    "core.sshCommand": "{program}",
    "gpg.program": "{program}",
    "commit.gpgSign": "true",
    "alias.commit-tree": "!{program}",
    "alias.update-ref": "!{program}",
}

HOOKS = (
    "pre-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "reference-transaction",
    "post-index-change",
    "pre-auto-gc",
    "post-checkout",
    "post-rewrite",
    "update",
    "fsmonitor-watchman",
)


def test_no_hook_monitor_filter_or_signing_program_runs(top: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = write(tmp_path, "evil", f"#!/bin/sh\necho \"$0\" >> '{ran}'\ncat\n")
    program.chmod(0o755)
    for folder in (top / ".git/hooks", tmp_path / "hooks"):
        for hook in HOOKS:
            write(folder, hook, f"#!/bin/sh\necho {hook} >> '{ran}'\n").chmod(0o755)
    write(top, "app.py", "accepted\n")
    for key, value in PLANTED.items():
        git(top, "config", key, value.format(program=program, hooks=tmp_path / "hooks"))
    ran.unlink(missing_ok=True)
    commit_paths(top, "app.py")
    assert not ran.exists(), ran.read_text()
    write(top, ".gitattributes", "*.py filter=evil\n")
    write(top, "other.py", "accepted too\n")
    ran.unlink(missing_ok=True)
    with pytest.raises(RunRefused, match="filter=evil"):
        commit_paths(top, "other.py")
    assert not ran.exists(), ran.read_text()


def test_a_git_inside_the_project_is_never_the_one_that_runs(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = top.parent / "ran"
    write(top, "bin/git", f"#!/bin/sh\ntouch '{ran}'\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{top / 'bin'}{os.pathsep}{os.environ['PATH']}")
    write(top, "app.py", "accepted\n")
    commit_paths(top, "app.py")
    assert not ran.exists()


# Refusals


def _merging(top: Path) -> None:
    git(top, "checkout", "-q", "-b", "side")
    write(top, "other.py", "side\n")
    git(top, "commit", "-q", "-a", "-m", "side")
    git(top, "checkout", "-q", "main")
    write(top, "other.py", "main\n")
    git(top, "commit", "-q", "-a", "-m", "main")


def _merge(top: Path) -> None:
    _merging(top)
    git(top, "merge", "side", check=False)


def _resolved_merge(top: Path) -> None:
    _merge(top)
    write(top, "other.py", "resolved\n")
    git(top, "add", "other.py")


def _rebase(top: Path) -> None:
    _merging(top)
    git(top, "rebase", "side", check=False)


def _cherry_pick(top: Path) -> None:
    _merging(top)
    git(top, "cherry-pick", "side", check=False)


def _revert(top: Path) -> None:
    _merging(top)
    write(top, "other.py", "again\n")
    git(top, "commit", "-q", "-a", "-m", "again")
    git(top, "revert", "HEAD~1", check=False)


def _bisect(top: Path) -> None:
    git(top, "bisect", "start")


@pytest.mark.parametrize("begin", [_merge, _resolved_merge, _rebase, _cherry_pick, _revert, _bisect])
def test_nothing_is_committed_while_something_is_under_way(top: Path, begin: Callable[[Path], None]) -> None:
    begin(top)
    write(top, "app.py", "accepted\n")
    check_refused(top, "app.py", code="under-way")


@pytest.mark.parametrize("attribute", ["filter=lfs", "working-tree-encoding=UTF-16"])
def test_a_path_that_is_converted_by_others_is_refused(top: Path, attribute: str) -> None:
    write(top, ".gitattributes", f"app.* {attribute}\n")
    write(top, "app.py", "accepted\n")
    refusal = check_refused(top, "app.py", code="converted")
    assert attribute in refusal.message


def test_an_accepted_file_with_staged_changes_of_the_person_is_refused(top: Path) -> None:
    write(top, "app.py", "mine\n")
    git(top, "add", "app.py")
    write(top, "app.py", "mine\nand accepted\n")
    refusal = check_refused(top, "app.py", code="staged")
    assert "app.py" in refusal.message


def test_what_is_in_head_already_is_nothing_to_commit(top: Path) -> None:
    check_refused(top, "app.py", code="nothing-to-commit")


def test_a_folder_without_a_repository_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    folder = tmp_path / "plain"
    folder.mkdir()
    with pytest.raises(RunRefused) as refused:
        commit_paths(folder, "app.py")
    assert refused.value.code == "no-repository"


def test_a_work_tree_that_lies_elsewhere_is_refused(top: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    git(top, "config", "core.worktree", str(tmp_path / "elsewhere"))
    with pytest.raises(RunRefused) as refused:
        commit_paths(top, "app.py")
    assert refused.value.code == "no-repository"


def test_a_link_in_place_of_an_accepted_file_is_refused(top: Path) -> None:
    (top / "app.py").unlink()
    (top / "app.py").symlink_to("other.py")
    check_refused(top, "app.py", code="not-a-file")


def test_without_a_name_the_person_is_told_how_to_set_one(top: Path) -> None:
    git(top, "config", "--unset", "user.name")
    git(top, "config", "--unset", "user.email")
    git(top, "config", "user.useConfigOnly", "true")
    write(top, "app.py", "accepted\n")
    refusal = check_refused(top, "app.py", code="no-identity")
    assert "user.name" in refusal.hint


def test_an_unsaved_document_is_not_committed(top: Path) -> None:
    write(top, "app.py", "accepted\n")
    documents = Documents({top / "app.py": "newer\n"}, unsaved={top / "app.py"})
    with pytest.raises(RunRefused) as refused:
        commit_run(top, ["app.py"], MESSAGE, documents)
    assert refused.value.code == "unsaved"


# Somebody else at the same moment

_CHILD = """
import sys
from pathlib import Path
from kiro_lsp.engine.commit import commit_run
from kiro_lsp.errors import RunRefused
from tests.support.documents import Documents
try:
    commit_run(Path(sys.argv[1]), ["app.py"], "1 First task", Documents())
except RunRefused as refusal:
    sys.exit(refusal.code)
"""


def start_child(top: Path, fault: str) -> subprocess.Popen[str]:
    environ = {**os.environ, faults.VARIABLE: fault}
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(top)], cwd=REPO, env=environ, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("where", ["commit.tree", "commit.object", "commit.index"])
def test_a_branch_that_moves_meanwhile_is_never_overwritten(top: Path, where: str) -> None:
    write(top, "app.py", "accepted\n")
    child = start_child(top, f"{where}:1:stop")
    _pid, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    theirs = git(top, "commit-tree", "-p", "HEAD", "-m", "theirs", "HEAD^{tree}")
    git(top, "update-ref", "refs/heads/main", theirs)
    os.kill(child.pid, signal.SIGCONT)
    _out, said = child.communicate()
    assert said.strip() == "moved"
    assert git(top, "rev-parse", "main") == theirs
    assert git(top, "diff", "--cached") == ""
    assert git(top, "status", "--porcelain") == "M app.py"


@pytest.mark.parametrize("where", ["commit.tree", "commit.object", "commit.index", "commit.ref"])
def test_killed_at_any_point_the_repository_is_whole_and_nothing_is_reverted(top: Path, where: str) -> None:
    write(top, "app.py", "accepted\n")
    write(top, "other.py", "mine\n")
    git(top, "add", "other.py")
    before = git(top, "rev-parse", "HEAD")
    child = start_child(top, where)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    git(top, "fsck", "--strict")
    assert (git(top, "rev-parse", "HEAD") != before) is (where == "commit.ref")
    assert "accepted" in git(top, "diff", "HEAD", "--", "app.py") or where == "commit.ref"
    assert "-accepted" not in git(top, "diff", "--cached")
    assert "other.py" in git(top, "diff", "--cached", "--name-only")


# Messages


def record(**changes: object) -> RunRecord:
    values: dict[str, object] = {
        "run_id": "20261121-000000-abcd",
        "root": "/root",
        "path": ".kiro/specs/x/tasks.md",
        "task_key": "1.2",
        "title": "Add a login page",
        "agent": "claude",
        "way": "api",
        "model": "claude-x",
        "billing": "metered",
        "state": "applied",
        "started_at": "",
        "anchor": anchor(),
        "task_id": "1.2",
    }
    return RunRecord(**(values | changes))  # type: ignore[arg-type]


def test_the_message_is_id_and_title_with_trailers_that_git_reads(top: Path) -> None:
    message = commit.message_of(record(), None)
    assert message.splitlines()[0] == "1.2 Add a login page"
    write(top, "app.py", "accepted\n")
    commit_paths(top, "app.py", message=message)
    assert git(top, "log", "-1", "--format=%(trailers:only)").splitlines() == [
        "Kiro-Lsp-Run: 20261121-000000-abcd",
        "Kiro-Lsp-Task: .kiro/specs/x/tasks.md 1.2",
        "Kiro-Lsp-Agent: claude (claude-x)",
    ]


def test_the_persons_own_words_come_first() -> None:
    message = commit.message_of(record(), "feat: login\n\nWith a form.\n")
    assert message.startswith("feat: login\n\nWith a form.\n\nKiro-Lsp-Run:")


def test_a_title_cannot_forge_a_trailer() -> None:
    message = commit.message_of(record(title="x\n\nSigned-off-by: somebody\u202e\x1b[31m", task_id=None), None)
    assert message.splitlines()[0] == "x Signed-off-by: somebody [31m"
    assert len(message.splitlines()) == 5
