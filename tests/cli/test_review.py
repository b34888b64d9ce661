"""review, undo and commit: deciding on a recorded run's changes, through `main`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import unidiff

from kiro_lsp.cli import main
from tests.cli.recorded import (
    BEFORE,
    NEW,
    OLD,
    TASKS,
    TEST,
    Record,
    lines,
    one,
    project_fixture,
    record_fixture,
    run_id_of,
    tree,
)

__all__ = ["project_fixture", "record_fixture"]


def test_undo_puts_every_byte_back(project: Path, record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(project)
    assert main(["run", TASKS, "1", "--trust", "--accept", "--json"]) == 0
    run_id = lines(capsys)[0]["runId"]
    assert tree(project) != before
    assert main(["undo", run_id, "--json"]) == 0
    answer = one(capsys)
    assert set(answer) == {"runId", "ok", "state", "message", "files", "conflicts", "merged", "ticked", "commit"}
    assert (answer["runId"], answer["ok"], answer["state"]) == (run_id, True, "undone")
    assert tree(project) == before
    assert not (project / "tests").exists(), "a folder that the accept made goes too"


def test_undo_of_a_file_that_changed_since_is_a_conflict(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["run", TASKS, "1", "--trust", "--accept", "--json"])
    run_id = lines(capsys)[0]["runId"]
    (project / "greet.py").write_text("mine\n", "utf-8")
    after = tree(project)
    assert main(["undo", run_id, "--json"]) == 1
    answer = one(capsys)
    assert answer["ok"] is False
    assert "greet.py" in answer["conflicts"]
    assert tree(project) == after


def test_review_json_is_the_review_with_diffs(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = run_id_of(capsys)
    assert main(["review", "--json"]) == 0
    review = one(capsys)
    assert {"runId", "revision", "state", "verify", "cost", "files"} <= set(review)
    assert (review["runId"], review["state"]) == (run_id, "review")
    modified, created = review["files"]
    assert (modified["path"], modified["action"]) == ("greet.py", "modify")
    assert (created["path"], created["action"]) == ("tests/test_greet.py", "create")
    assert created["uri"] == (project / "tests" / "test_greet.py").as_uri()
    for file in review["files"]:
        assert {"path", "uri", "action", "binary", "status", "baseUri", "proposedUri", "hunks", "diff"} <= set(file)
        (patched,) = unidiff.PatchSet(file["diff"])
        assert patched.path == file["path"]
        for hunk in file["hunks"]:
            assert set(hunk) == {"id", "status", "baseRange", "proposedRange", "protected", "mine"}
            assert hunk["status"] == "pending"
    assert modified["hunks"][0]["baseRange"]["start"] == {"line": 0, "character": 0}


def test_a_piped_review_is_a_patch_that_git_takes(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = run_id_of(capsys)
    assert main(["review", run_id]) == 0
    out, err = capsys.readouterr()
    assert run_id in err
    subprocess.run(["git", "apply", "-"], input=out, text=True, encoding="utf-8", check=True, cwd=project)
    assert (project / "greet.py").read_text("utf-8") == NEW
    assert (project / "tests" / "test_greet.py").read_text("utf-8") == TEST


def test_one_file_is_accepted_and_the_rest_stays_pending(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = run_id_of(capsys)
    assert main(["review", run_id, "--accept", "--file", "./greet.py", "--json"]) == 0
    assert one(capsys)["state"] == "review"
    assert (project / "greet.py").read_text("utf-8") == NEW
    assert not (project / "tests").exists()
    assert (project / TASKS).read_text("utf-8") == BEFORE
    assert main(["review", run_id, "--accept", "--json"]) == 0
    answer = one(capsys)
    assert (answer["state"], answer["ticked"]) == ("applied", True)
    assert (project / TASKS).read_text("utf-8") == BEFORE.replace("- [ ] 1.", "- [x] 1.")


def test_one_hunk_is_rejected_and_the_rest_is_accepted_without_a_tick(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = run_id_of(capsys)
    main(["review", run_id, "--json"])
    hunk = one(capsys)["files"][1]["hunks"][0]["id"]
    assert main(["review", run_id, "--reject", "--hunk", hunk, "--json"]) == 0
    capsys.readouterr()
    assert main(["review", run_id, "--accept", "--json"]) == 0
    answer = one(capsys)
    assert (answer["state"], answer["ticked"]) == ("applied", False)
    assert not (project / "tests").exists()
    assert (project / TASKS).read_text("utf-8") == BEFORE


def test_reject_leaves_the_tree_as_it_was(project: Path, record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(project)
    run_id = run_id_of(capsys)
    assert main(["review", run_id, "--reject", "--json"]) == 0
    assert one(capsys)["state"] == "rejected"
    assert tree(project) == before
    assert main(["review", run_id, "--accept", "--json"]) == 1
    assert "refused" in one(capsys)


def test_a_stale_revision_is_refused(project: Path, record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = run_id_of(capsys)
    main(["review", run_id, "--json"])
    revision = one(capsys)["revision"]
    main(["review", run_id, "--reject", "--file", "greet.py", "--json"])
    capsys.readouterr()
    assert main(["review", run_id, "--accept", "--revision", str(revision), "--json"]) == 1
    assert one(capsys)["refused"]["code"] == "stale-revision"
    assert not (project / "tests").exists()


@pytest.mark.parametrize(
    ("flags", "code"),
    [(["--file", "nowhere.py"], "unknown-file"), (["--hunk", "0123456789"], "unknown-hunk")],
)
def test_what_is_not_in_the_review_is_refused(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str], flags: list[str], code: str
) -> None:
    run_id = run_id_of(capsys)
    assert main(["review", run_id, "--accept", *flags, "--json"]) == 1
    assert one(capsys)["refused"]["code"] == code
    assert (project / "greet.py").read_text("utf-8") == OLD


def test_a_file_changed_meanwhile_is_a_conflict_with_nothing_written(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = run_id_of(capsys)
    (project / "greet.py").write_text("mine\n", "utf-8")
    after = tree(project)
    assert main(["review", run_id, "--accept", "--json"]) == 1
    answer = one(capsys)
    assert (answer["ok"], answer["state"], answer["conflicts"]) == (False, "conflict", ["greet.py"])
    assert tree(project) == after
    assert main(["review", run_id, "--json"]) == 0
    reasons = {file["path"]: file.get("conflict", "") for file in one(capsys)["files"]}
    assert "both changed line 1" in reasons.pop("greet.py")
    assert set(reasons.values()) == {""}, "only what is in the way is named"


def test_a_file_changed_meanwhile_elsewhere_is_merged_and_said_to_be(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = "def greet(name):\n    return 'hello'\n"
    (project / "greet.py").write_text(seen, "utf-8")
    run_id = run_id_of(capsys)
    (project / "greet.py").write_text("# mine\n" + seen, "utf-8")
    before = tree(project)
    assert main(["review", run_id, "--accept", "--json"]) == 0
    answer = one(capsys)
    assert (answer["state"], answer["merged"]) == ("applied", ["greet.py"])
    assert "Merged with what changed meanwhile: greet.py." in answer["message"]
    assert (project / "greet.py").read_text("utf-8") == "# mine\n" + NEW
    assert main(["undo", run_id]) == 0
    assert tree(project) == before


def test_commit_takes_exactly_the_accepted_paths(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    def git(*arguments: str) -> str:
        result = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=True)
        return result.stdout

    git("init", "-q", "-b", "main")
    git("config", "user.name", "Ann")
    git("config", "user.email", "ann@example.com")
    git("add", ".")
    git("commit", "-q", "-m", "start")
    (project / "staged.txt").write_text("mine\n", "utf-8")
    git("add", "staged.txt")
    assert main(["run", TASKS, "1", "--trust", "--accept", "--json"]) == 0
    run_id = lines(capsys)[0]["runId"]
    assert main(["commit", run_id, "--json"]) == 0
    answer = one(capsys)
    assert answer["commit"] == git("rev-parse", "HEAD").strip()
    assert set(git("show", "--name-only", "--format=", "HEAD").split()) == {"greet.py", "tests/test_greet.py", TASKS}
    assert git("log", "-1", "--format=%s").strip() == "1 Greet by name"
    assert git("diff", "--cached", "--name-only").split() == ["staged.txt"]
