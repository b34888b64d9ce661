"""apply: a model's answer becomes a diff, files or a review, whole or not at all, through `main`."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import unidiff

from kiro_lsp.changes.edits.formats import format_names
from kiro_lsp.cli import main
from kiro_lsp.engine import pasted
from kiro_lsp.terminal.grammar import FORMATS as OFFERED
from tests.cli.recorded import BEFORE, NEW, OLD, TASKS, one, project_fixture, tree
from tests.support.terminal import AtTerminal

__all__ = ["project_fixture"]

BLOCK = """\
greet.py
```python
<<<<<<< SEARCH
def greet():
    return 'hello'
=======
def greet(name):
    return f'hello {name}'
>>>>>>> REPLACE
```
"""
UDIFF = """\
--- a/greet.py
+++ b/greet.py
@@ -1,2 +1,2 @@
-def greet():
-    return 'hello'
+def greet(name):
+    return f'hello {name}'
"""
PATCH = """\
*** Begin Patch
*** Update File: greet.py
@@
-def greet():
-    return 'hello'
+def greet(name):
+    return f'hello {name}'
*** End Patch
"""
STR_REPLACE = json.dumps(
    {"command": "str_replace", "path": "greet.py", "old_str": OLD.rstrip("\n"), "new_str": NEW.rstrip("\n")}
)
WHOLE = f"greet.py\n```python\n{NEW}```\n"
FORMATS = {
    "search-replace": BLOCK,
    "udiff": UDIFF,
    "apply-patch": PATCH,
    "str-replace": STR_REPLACE,
    "whole-file": WHOLE,
}
CREATED = """\
docs/new.md
<<<<<<< SEARCH
=======
# New
>>>>>>> REPLACE
"""
WORKFLOW = """\
.github/workflows/ci.yml
<<<<<<< SEARCH
=======
on: push
>>>>>>> REPLACE
"""
ABSENT = BLOCK.replace("return 'hello'", "return 'goodbye'")
KEYS = {"ok", "format", "files", "failures", "placed", "warnings", "protected"}

Stdin = Callable[[str | bytes], None]


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Stdin:
    """Give the answer on standard input."""

    def give(answer: str | bytes) -> None:
        data = answer.encode() if isinstance(answer, str) else answer
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))

    return give


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("named", [True, False])
def test_the_same_change_in_every_format(
    form: str, named: bool, project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin(FORMATS[form])
    before = tree(project)
    assert main(["apply", "--json", "--format", form if named else "auto"]) == 0
    answer = one(capsys)
    assert set(answer) == KEYS
    assert (answer["ok"], answer["format"], answer["failures"]) == (True, form, [])
    (file,) = answer["files"]
    assert (file["path"], file["action"]) == ("greet.py", "modify")
    assert tree(project) == before
    subprocess.run(["git", "apply", "-"], input=file["diff"], text=True, encoding="utf-8", check=True, cwd=project)
    assert (project / "greet.py").read_text("utf-8") == NEW


def test_a_piped_diff_is_a_patch_and_words_go_to_standard_error(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin(BLOCK + "\n" + CREATED)
    assert main(["apply", "-"]) == 0
    out, err = capsys.readouterr()
    assert {file.path for file in unidiff.PatchSet(out)} == {"greet.py", "docs/new.md"}
    assert "2 files: 1 new, 1 changed" in err
    assert "--write" in err
    assert "\x1b" not in out + err


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_answer_from_a_file_whatever_its_line_ends(
    ends: str, mark: str, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = tmp_path / "answer.md"
    answer.write_bytes((mark + BLOCK).replace("\n", ends).encode())
    assert main(["apply", str(answer), "--write"]) == 0
    assert (project / "greet.py").read_bytes() == NEW.encode()
    assert "kiro-lsp undo" in capsys.readouterr().err


def test_write_writes_all_files_and_undo_takes_them_back(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(project)
    stdin(BLOCK + "\n" + CREATED)
    assert main(["apply", "--write", "--json"]) == 0
    answer = one(capsys)
    assert set(answer) == KEYS | {"runId", "written", "message"}
    assert (answer["ok"], answer["written"]) == (True, True)
    assert tree(project) == before | {"greet.py": NEW.encode(), "docs/new.md": b"# New\n"}

    assert main(["runs", "--json"]) == 0
    (run,) = one(capsys)
    assert (run["runId"], run["state"], run["files"]) == (answer["runId"], "applied", 2)
    assert (run["agent"], run["way"], run["path"], run["task"], run["cost"]) == ("pasted", "paste", "", "", "0")
    assert main(["retry", run["runId"], "--json"]) == 1
    assert "Apply the answer again" in one(capsys)["refused"]["hint"]

    assert main(["undo", run["runId"], "--json"]) == 0
    assert one(capsys)["state"] == "undone"
    assert tree(project) == before
    assert not (project / "docs").exists()


def test_no_box_is_ticked_and_no_task_is_touched(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin(BLOCK)
    assert main(["apply", "--review", "--json"]) == 0
    run_id = one(capsys)["runId"]
    assert main(["review", "--accept", "--json"]) == 0
    answer = one(capsys)
    assert (answer["runId"], answer["state"], answer["ticked"]) == (run_id, "applied", False)
    assert (project / TASKS).read_text("utf-8") == BEFORE


def test_a_review_is_kept_and_rejected_without_a_trace(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(project)
    stdin(BLOCK + "\n" + CREATED)
    assert main(["apply", "--review", "--json"]) == 0
    answer = one(capsys)
    assert (answer["ok"], answer["written"]) == (True, False)
    assert main(["review", answer["runId"], "--accept", "--file", "docs/new.md", "--json"]) == 0
    assert one(capsys)["state"] == "review"
    assert tree(project) == before | {"docs/new.md": b"# New\n"}
    assert main(["review", answer["runId"], "--reject", "--json"]) == 0
    assert one(capsys)["state"] == "applied"
    assert (project / "greet.py").read_text("utf-8") == OLD


def test_a_commit_of_an_answer_names_its_files_and_no_task(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=True)
        return done.stdout

    git("init", "-q", "-b", "main")
    git("config", "user.name", "Ann")
    git("config", "user.email", "ann@example.com")
    git("add", ".")
    git("commit", "-q", "-m", "start")
    stdin(BLOCK)
    assert main(["apply", "--write", "--json"]) == 0
    assert main(["commit", one(capsys)["runId"], "--json"]) == 0
    assert git("show", "--name-only", "--format=%s", "HEAD").split("\n\n") == ["Pasted answer: greet.py", "greet.py\n"]
    assert "Kiro-Lsp-Task" not in git("log", "-1")


def test_an_edit_that_fits_nowhere_fails_with_all_of_the_answer(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(project)
    for flags in ([], ["--write"], ["--review"]):
        stdin(CREATED + "\n" + ABSENT)
        assert main(["apply", "--json", *flags]) == 1
        out, err = capsys.readouterr()
        answer = json.loads(out)
        assert set(answer) == KEYS
        assert (answer["ok"], answer["files"]) == (False, [])
        (failure,) = answer["failures"]
        assert {"path", "edit", "reason", "hint", "candidates"} <= set(failure)
        assert (failure["path"], failure["edit"], failure["reason"]) == ("greet.py", 1, "not-found")
        assert "greet.py, edit 2: not-found" in err
        assert failure["hint"] in err
    assert tree(project) == before
    assert main(["runs", "--json"]) == 0
    assert one(capsys) == []


def test_an_edit_that_fits_twice_names_every_place(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "greet.py").write_text(OLD + "\n\n" + OLD, "utf-8")
    stdin(BLOCK)
    assert main(["apply", "--write"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "ambiguous (lines 1, 5)" in err
    assert (project / "greet.py").read_text("utf-8") == OLD + "\n\n" + OLD


REFUSED: dict[str, str] = {
    "../outside.py": "outside",
    "/etc/outside.py": "outside",
    "C:\\outside.py": "",
    "C:/outside.py": "",
    ".git/hooks/pre-commit": ".git",
    ".GIT/config": "git",
    "linked/outside.py": "leads out of the project",
    "nul": "device",
    "%2e%2e/x": "percent",
    "folder": "folder",
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("old", ["", "def greet():\n"])
def test_no_name_leaves_the_project(
    name: str, old: str, project: Path, tmp_path: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "outside.py").write_text(OLD, "utf-8")
    (project / "linked").symlink_to(elsewhere)
    (project / "folder").mkdir()
    before = tree(tmp_path)
    stdin(f"{name}\n<<<<<<< SEARCH\n{old}=======\nx = 1\n>>>>>>> REPLACE\n")
    assert main(["apply", "--write", "--json"]) == 1
    answer = one(capsys)
    assert not answer["ok"]
    assert REFUSED[name] in json.dumps(answer)
    assert tree(tmp_path) == before


def test_a_link_inside_the_project_is_written_through_to_its_file(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "alias.py").symlink_to("greet.py")
    stdin(BLOCK.replace("greet.py", "alias.py"))
    assert main(["apply", "--write", "--json"]) == 0
    assert [file["path"] for file in one(capsys)["files"]] == ["greet.py"]
    assert (project / "alias.py").is_symlink()
    assert (project / "greet.py").read_text("utf-8") == NEW


def test_two_names_of_one_file_are_a_conflict(project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "alias.py").symlink_to("greet.py")
    stdin(BLOCK + "\n" + BLOCK.replace("greet.py", "alias.py"))
    assert main(["apply", "--write", "--json"]) == 1
    (failure,) = one(capsys)["failures"]
    assert failure["reason"] == "conflict"
    assert "the same file" in failure["hint"]
    assert (project / "greet.py").read_text("utf-8") == OLD


def test_a_name_is_found_by_its_end_but_not_among_ignored_files(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("src/app", "build/app"):
        (project / folder).mkdir(parents=True)
        (project / folder / "greet.py").write_text(OLD, "utf-8")
    (project / ".gitignore").write_text("build/\n", "utf-8")
    stdin(BLOCK.replace("greet.py", "app/greet.py"))
    assert main(["apply", "--json"]) == 0
    assert [file["path"] for file in one(capsys)["files"]] == ["src/app/greet.py"]


def test_a_file_for_an_answer_that_names_none(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nameless = BLOCK.removeprefix("greet.py\n")
    (project / "deep").mkdir()
    (project / "deep" / "greet.py").write_text(OLD, "utf-8")
    for folder, given, expected in (
        (".", "greet.py", "greet.py"),
        ("deep", "greet.py", "deep/greet.py"),
        ("deep", "../greet.py", "greet.py"),
        ("deep", "deep/greet.py", "deep/greet.py"),
        (".", str(project / "greet.py"), "greet.py"),
    ):
        monkeypatch.chdir(project / folder)
        stdin(nameless)
        assert main(["apply", "--json", "--file", given]) == 0, (folder, given)
        assert [file["path"] for file in one(capsys)["files"]] == [expected]
    stdin(nameless)
    assert main(["apply"]) == 1
    assert "--file PATH" in capsys.readouterr().err
    stdin(nameless)
    assert main(["apply", "--json", "--file", "/etc/passwd"]) == 1
    assert one(capsys)["refused"]["code"] == "path"


def test_the_root_is_exactly_the_folder_that_is_named(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "deep").mkdir()
    (project / "deep" / "greet.py").write_text(OLD, "utf-8")
    stdin(BLOCK)
    assert main(["apply", "--root", "deep", "--write", "--json"]) == 0
    assert one(capsys)["written"]
    assert (project / "deep" / "greet.py").read_text("utf-8") == NEW
    assert (project / "greet.py").read_text("utf-8") == OLD
    assert main(["apply", "--root", "nowhere"]) == 2


def test_a_file_that_makes_programs_run_needs_a_yes_of_its_own(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(project)
    stdin(WORKFLOW + "\n" + BLOCK)
    assert main(["apply", "--json"]) == 0
    assert one(capsys)["protected"] == [".github/workflows/ci.yml"]
    stdin(WORKFLOW + "\n" + BLOCK)
    assert main(["apply", "--write", "--json"]) == 1
    answer = one(capsys)
    assert not answer["ok"]
    assert "--protected" in answer["refused"]["hint"]
    assert tree(project) == before
    stdin(WORKFLOW + "\n" + BLOCK)
    assert main(["apply", "--write", "--protected", "--json"]) == 0
    assert (project / ".github/workflows/ci.yml").read_text("utf-8") == "on: push\n"
    assert (project / "greet.py").read_text("utf-8") == NEW


UNREADABLE: dict[str, tuple[bytes, str]] = {
    "not UTF-8": (b"greet.py\n\xff\xfe\xfa", "byte 9"),
    "UTF-16": (BLOCK.encode("utf-16"), "UTF-16"),
    "empty": (b"", ""),
    "no edit in it": (b"I would rather not change anything.\n", ""),
    "prose above a block": (b"Run:\n```sh\npip install x\n```\n", "no edit"),
    "too large": (b"x" * (pasted.ANSWER_LIMIT + 1), "too large"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_answer_that_is_none_is_told(
    name: str, project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    data, expected = UNREADABLE[name]
    stdin(data)
    assert main(["apply", "--write", "--json"]) == 1
    answer = one(capsys)
    assert set(answer) >= KEYS
    assert (answer["ok"], answer["files"]) == (False, [])
    assert answer["failures"] or answer["refused"]["hint"]
    assert expected in json.dumps(answer)


def test_every_format_that_can_be_read_is_offered() -> None:
    assert set(OFFERED) == set(format_names())


@pytest.mark.parametrize("given", ["nowhere.md", "."])
def test_a_file_that_is_no_answer_is_refused(given: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", given]) == 1
    assert given in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--write", "--review"], ["--format", "ed"], ["one", "two"]])
def test_wrong_usage(flags: list[str], project: Path, stdin: Stdin) -> None:
    stdin(BLOCK)
    assert main(["apply", *flags]) == 2


def test_files_that_cannot_be_edited_are_told(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "data.bin").write_bytes(b"def greet():\n\0\xff")
    os.mkfifo(project / "pipe")
    (project / "large.py").write_text(OLD, "utf-8")
    with open(project / "large.py", "r+b") as file:
        file.truncate(pasted.FILE_LIMIT + 1)
    before = sorted(os.listdir(project))
    for name, expected in {"data.bin": "", "pipe": "not a regular file", "large.py": "too large"}.items():
        for old in ("", "def greet():\n"):
            stdin(f"{name}\n<<<<<<< SEARCH\n{old}=======\nx = 1\n>>>>>>> REPLACE\n")
            assert main(["apply", "--write", "--json"]) == 1
            (failure,) = one(capsys)["failures"]
            assert failure["path"] == name
            assert expected in failure["hint"]
    assert sorted(os.listdir(project)) == before


def test_a_read_only_file_keeps_the_whole_answer_from_being_written(
    project: Path, stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "greet.py").chmod(0o444)
    stdin(CREATED + "\n" + BLOCK)
    assert main(["apply", "--write", "--json"]) == 1
    answer: Any = one(capsys)
    assert (answer["ok"], answer["written"]) == (False, False)
    assert [(failure["path"], failure["reason"]) for failure in answer["failures"]] == [("greet.py", "conflict")]
    assert not (project / "docs").exists()
    assert main(["review", answer["runId"], "--json"]) == 0  # what it would have done is kept
    assert len(one(capsys)["files"]) == 2


def test_at_a_terminal_the_diff_is_coloured_and_the_review_asks(project: Path, tmp_path: Path) -> None:
    answer = tmp_path / "answer.md"
    answer.write_text(BLOCK, "utf-8")
    with AtTerminal("apply", str(answer), cwd=project) as terminal:
        assert terminal.end() == 0
        assert "\x1b[32m  +def greet(name):" in terminal.screen
        assert "--write" in terminal.screen
    with AtTerminal("apply", str(answer), cwd=project, environ=os.environ | {"NO_COLOR": "1"}) as terminal:
        assert terminal.end() == 0
        assert "\x1b[3" not in terminal.screen
    with AtTerminal("apply", str(answer), "--review", cwd=project) as terminal:
        terminal.expect("What shall become of it?")
        assert (project / "greet.py").read_text("utf-8") == OLD
        terminal.type("a\n")
        assert terminal.end() == 0
        assert "Applied 1 file" in terminal.screen
    assert (project / "greet.py").read_text("utf-8") == NEW


def test_a_model_cannot_paint_the_terminal(project: Path, tmp_path: Path) -> None:
    answer = tmp_path / "answer.md"
    for text in (BLOCK.replace("{name}", "\x1b[2J"), ABSENT.replace("goodbye", "\x1b[2J"), "\x1b[2J"):
        answer.write_text(text, "utf-8")
        with AtTerminal("apply", str(answer), cwd=project) as terminal:
            terminal.end()
            assert "\x1b[2J" not in terminal.screen
