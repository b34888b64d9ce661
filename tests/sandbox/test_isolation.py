"""One run's own view of the project: what commands see and change there is what the review gets, at every level."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import ExecutorError
from kiro_lsp.sandbox.isolation import Home, Policy, open_copy
from tests.conftest import missing
from tests.sandbox.conftest import LEVELS, SANDBOXED, Open, brief, each_level, each_sandbox, git, sh
from tests.support import tree


@each_level
async def test_commands_see_the_work_as_it_stands(level: str, root: Path, opened: Open) -> None:
    staged = FileChange("src/new.py", "create", None, b"staged", None, 0o644)
    copy = opened(level, buffers={"src/app.py": b"buffer", "fresh.txt": b"untitled"}, staged=(staged,))
    seen = await sh(
        copy, "cat src/app.py src/lib.py src/new.py fresh.txt old/one.txt link.py; test -x run.sh || echo -n x"
    )
    assert seen.output == "bufferx = 2  # not committed\nstageduntitledstaged\nbufferx"
    assert copy.changes() == []


@each_level
async def test_secrets_and_agents_own_configuration_are_not_shown(level: str, root: Path, opened: Open) -> None:
    copy = opened(level)
    looked = "ls -A . .kiro .kiro/specs/one; cat .env .mcp.json .claude/settings.json .kiro/hooks/* .git/config; cat AGENTS.md"
    seen = (await sh(copy, looked)).output
    assert "secret" not in seen
    assert "{}" not in seen
    assert "tasks.md" in seen
    assert "be kind" in seen
    assert ".git" in seen
    hidden = [(left_out.path, left_out.reason.partition(",")[0]) for left_out in copy.skipped]
    assert all(reason == "it configures agents" for path, reason in hidden if path != ".env")
    assert {path.split("/")[0] for path, _ in hidden} - {".env"} == {".claude", ".kiro", ".mcp.json"}


@each_level
async def test_a_trusted_project_shows_its_agents_their_configuration(level: str, opened: Open) -> None:
    copy = opened(level, {"trusted": True})
    seen = await sh(copy, "cat .mcp.json .claude/settings.json .kiro/hooks/on-save.json; cat .env; true")
    assert seen.output.startswith("{}{}{}")
    assert "secret" not in seen.output


@each_level
@pytest.mark.parametrize("trusted", [True, False])
async def test_the_differences_are_the_change_set(level: str, trusted: bool, root: Path, opened: Open) -> None:
    before = tree.snapshot(root)
    copy = opened(level, {"trusted": trusted}, buffers={"run.sh": b"#!/bin/sh\nbuffer\n"})
    await sh(
        copy,
        """
        echo more >> src/lib.py; rm src/app.py; mkdir -p new/deep; echo n > new/deep/file; chmod +x run.sh
        rm -r old; mkdir old; echo other > old/three.txt; printf '\\0\\377' > data.bin
        ln -s /etc/passwd leak; ln -sf src/lib.py link.py; mkfifo pipe; touch -d 2001-01-01 AGENTS.md
        mkdir -p build node_modules/dep; echo x > build/out2; echo x > node_modules/dep/other.js; echo log > debug.log
        mkdir -p __pycache__ .pytest_cache; echo x > __pycache__/a.pyc; echo x > .pytest_cache/x
        """,
    )
    changes = {change.path: change for change in copy.changes()}
    assert brief(list(changes.values())) == [
        ("modify", "data.bin"),
        ("create", "new/deep/file"),
        ("delete", "old/one.txt"),
        ("create", "old/three.txt"),
        ("delete", "old/two.txt"),
        ("modify", "run.sh"),
        ("delete", "src/app.py"),
        ("modify", "src/lib.py"),
    ]
    assert changes["data.bin"].proposed == b"\0\xff"
    assert changes["src/lib.py"].base == b"x = 2  # not committed\n"
    assert changes["src/lib.py"].proposed == b"x = 2  # not committed\nmore\n"
    assert (changes["run.sh"].base, changes["run.sh"].proposed) == (b"#!/bin/sh\nbuffer\n",) * 2
    assert (changes["run.sh"].base_mode, changes["run.sh"].mode) == (0o644, 0o755)
    assert changes["src/app.py"].base == b"print(1)\n"
    assert [each.path for each in copy.refused] == ["leak", "link.py", "pipe"]
    assert tree.differences(before, tree.snapshot(root)) == []
    # What was told once is not told again, and what comes later is.
    await sh(copy, "echo later >> src/lib.py; rm new/deep/file")
    later = copy.changes()
    assert brief(later) == [("delete", "new/deep/file"), ("modify", "src/lib.py")]
    assert later[1].base == b"x = 2  # not committed\nmore\n"


@each_level
async def test_git_works_in_the_copy_and_goes_nowhere(level: str, root: Path, opened: Open) -> None:
    before, objects = tree.snapshot(root), sorted((root / ".git").rglob("*"))
    copy = opened(level, {"trusted": True})
    worked = await sh(
        copy,
        "git status --short; git log --format=%s; git remote; git diff --cached --stat; "
        "git commit -qm second && git log --format=%s && git checkout -qb side && git stash list && git stash drop -q "
        "&& git tag made && git gc -q && git branch -D main",
    )
    assert worked.output.startswith(" M src/lib.py\n" if level.startswith("overlay") else "M  old/one.txt\n") or (
        "M  old/one.txt\n M src/lib.py\n" in worked.output
    ), worked.output
    assert "second\nfirst\n" in worked.output
    assert "origin" not in worked.output
    assert worked.exit_code == 0, worked.output
    assert copy.changes() == []
    assert tree.differences(before, tree.snapshot(root)) == []
    assert sorted((root / ".git").rglob("*")) == objects
    assert git(root, "log", "--format=%s") == "first\n"
    assert "stashed" in git(root, "stash", "show", "-p")


@each_level
async def test_a_linked_worktree_has_a_git_folder_of_its_own(level: str, root: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(root, "worktree", "add", "-q", str(linked))
    before = git(root, "for-each-ref")
    copy = open_copy(linked, Policy(trusted=True, levels=frozenset(LEVELS[level])), tmp_path / "copy")
    try:
        worked = await sh(copy, "echo x >> AGENTS.md; git status --short; git commit -qam second; git log --format=%s")
        assert (worked.output, brief(copy.changes())) == (" M AGENTS.md\nsecond\nfirst\n", [("modify", "AGENTS.md")])
    finally:
        copy.close()
    assert git(root, "for-each-ref") == before
    assert git(linked, "status", "--short") == ""


@each_level
async def test_what_the_person_saved_meanwhile_is_never_overwritten(level: str, root: Path, opened: Open) -> None:
    copy = opened(level)
    # The change time of a save cannot be that of the copy: wait for the clock of the file system by looking at it.
    probe = root.parent / "probe"
    while True:
        probe.write_text("x")
        if probe.stat().st_ctime_ns > (root / "src/app.py").stat().st_ctime_ns + 20_000_000:
            break
    (root / "src/app.py").write_text("mine\n")
    copy.saved(["src/app.py"])
    await sh(copy, "echo theirs > src/app.py; rm -f src/gone")
    assert [(change.action, change.base) for change in copy.changes()] == [("create", None)]
    assert list(copy.stale) == ["src/app.py"]


@pytest.mark.parametrize("level", SANDBOXED)
async def test_installed_dependencies_can_be_used_and_not_changed(level: str, root: Path, opened: Open) -> None:
    copy = opened(level)
    used = "cat node_modules/dep/index.js; echo evil > node_modules/dep/index.js"
    assert (await sh(copy, used)).output.startswith("exports.x = 1\n")
    assert (await sh(copy, used)).output.startswith("evil\n" if level.startswith("overlay") else "exports.x = 1\n")
    assert copy.changes() == []
    assert (root / "node_modules/dep/index.js").read_text() == "exports.x = 1\n"


@each_level
async def test_a_program_is_spoken_to_and_gone_with_the_conversation(level: str, opened: Open) -> None:
    copy = opened(level)
    answer = (
        'read line; echo "got $line"; echo aside >&2; cat src/lib.py; echo heard > heard.txt; '
        "(trap '' TERM; sleep 1000) & read more"
    )
    async with copy.talk(["sh", "-c", answer]) as conversation:
        conversation.stdin.write(b"hello\n")
        await conversation.stdin.drain()
        assert await conversation.stdout.readline() == b"got hello\n"
        assert await conversation.stdout.readline() == b"x = 2  # not committed\n"
        conversation.stdin.write_eof()
        assert await conversation.ended() == 1
        assert conversation.errors() == "aside\n"
    assert brief(copy.changes()) == [("create", "heard.txt")]
    async with copy.talk(["sh", "-c", "echo up; exec sleep 1000"]) as conversation:
        assert await conversation.stdout.readline() == b"up\n"
    assert await conversation.stdout.read() == b""
    assert await conversation.ended() > 128


@each_level
async def test_a_link_is_named_when_it_is_the_projects_and_deleted(level: str, opened: Open) -> None:
    copy = opened(level)
    await sh(copy, "rm link.py; ln -s src made")
    assert brief(copy.changes()) == []
    assert [each.path for each in copy.refused] == ["link.py", "made"]
    await sh(copy, "rm made")
    assert brief(copy.changes()) == []
    assert list(copy.refused) == []


@each_level
async def test_a_folder_that_a_command_closed_is_looked_into(level: str, opened: Open) -> None:
    copy = opened(level)
    await sh(copy, "echo more > src/lib.py; chmod 0 src; mkdir -m 0 empty")
    assert brief(copy.changes()) == [("modify", "src/lib.py")]


@each_level
async def test_update_brings_the_copy_to_what_is_staged(level: str, root: Path, opened: Open) -> None:
    copy = opened(level)
    await sh(copy, "echo agent > src/app.py; echo made > made.txt")
    staged = copy.changes()
    copy.update([*staged, FileChange("AGENTS.md", "modify", b"be kind\n", b"be quick\n", 0o644, 0o644)])
    assert (await sh(copy, "cat src/app.py made.txt AGENTS.md")).output == "agent\nmade\nbe quick\n"
    copy.update([change for change in staged if change.path == "made.txt"])
    assert (await sh(copy, "cat src/app.py made.txt AGENTS.md")).output == "print(1)\nmade\nbe kind\n"
    assert copy.changes() == []


@each_sandbox
async def test_a_home_folder_of_the_agent_is_bound_and_the_rest_is_not(
    level: str, own_homes: Path, opened: Open
) -> None:
    (own_homes / ".agent/hooks").mkdir(parents=True)
    (own_homes / ".agent/token").write_text("old")
    (own_homes / ".agent/settings.json").write_text("{}")
    (own_homes / ".ssh").mkdir()
    (own_homes / ".ssh/id").write_text("private")
    home = Home("~/.agent", ("settings.json", "hooks", "plugins"))
    copy = opened(level, {"homes": (home, Home("~/../elsewhere"), Home("/etc")), "environ": dict(os.environ)})
    said = await sh(copy, "echo new > ~/.agent/token; echo own > ~/.own; cat ~/.ssh/id; true")
    assert (own_homes / ".agent/token").read_text() == "new\n"
    assert not (own_homes / ".own").exists()
    if copy.level == "bubblewrap":
        assert "private" not in said.output
    assert copy.changes() == []
    await sh(copy, "echo evil > ~/.agent/settings.json; echo evil > ~/.agent/hooks/start")
    if copy.level == "bubblewrap":
        assert (own_homes / ".agent/settings.json").read_text() == "{}"
        assert copy.changes() == []
    await sh(copy, "mkdir -p ~/.agent/plugins; echo evil > ~/.agent/plugins/start")
    with pytest.raises(ExecutorError, match=r"\.agent/plugins/start was created"):
        copy.changes()


@pytest.mark.parametrize("level", ["overlay in bubblewrap", "files in bubblewrap"])
async def test_a_program_on_the_path_is_found_also_among_temporary_files(
    level: str, tmp_path: Path, opened: Open
) -> None:
    tool = tmp_path / "tools" / "bin" / "greet"
    (tmp_path / "tools" / "lib").mkdir(parents=True)
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\ncat "$(dirname "$0")/../lib/words"\n')
    tool.chmod(0o755)
    (tmp_path / "tools" / "lib" / "words").write_text("hello")
    (tmp_path / "beside").write_text("private")
    path = os.pathsep.join([str(tool.parent), os.environ["PATH"]])
    copy = opened(level, {"environ": {**os.environ, "PATH": path}})
    assert (await copy.run(["greet"])).output == "hello"
    assert "private" not in (await sh(copy, f"cat {tmp_path}/beside; echo no > {tool}; true")).output
    assert tool.read_text().startswith("#!/bin/sh\ncat")


@pytest.mark.parametrize("level", ["overlay in bubblewrap", "files in bubblewrap"])
async def test_a_file_of_the_agents_at_home_is_read_and_never_changed(
    level: str, own_homes: Path, opened: Open
) -> None:
    file = own_homes / ".agent.json"
    file.write_text("old\n")
    copy = opened(level, {"homes": (Home("~/.agent.json"),), "environ": dict(os.environ)})
    said = await sh(copy, "cat ~/.agent.json; echo evil > ~/.agent.json; cat ~/.agent.json")
    assert said.output == "old\nevil\n"
    assert file.read_text() == "old\n"
    assert copy.changes() == []


# What an overlay says about a tree must be what a comparison of two trees says.

NAMES = st.sampled_from(["a", "b", "d", "d/a", "d/b", "d/e/a", "e", "e/a"])
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, st.sampled_from(["", "one", "two"])),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.just("folder"), NAMES),
        st.tuples(st.just("move"), NAMES, NAMES),
        st.tuples(st.just("mode"), NAMES, st.sampled_from([0o644, 0o755])),
        st.tuples(st.just("link"), NAMES, NAMES),
    ),
    max_size=8,
)
ACT = """
import json, os, shutil, sys
def remove(path): shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
def write(path, text):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    open(path, "w").write(text)
acts = {"write": write, "remove": remove, "folder": os.makedirs, "move": shutil.move,
        "mode": lambda path, mode: os.path.isfile(path) and os.chmod(path, mode),
        "link": lambda path, target: os.symlink(target, path)}
for name, *arguments in json.loads(sys.argv[1]):
    try: acts[name](*arguments)
    except (OSError, shutil.Error): pass
"""


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS, OPERATIONS)
def test_an_overlay_and_a_copy_tell_the_same(
    tmp_path: Path, first: list[tuple[object, ...]], then: list[tuple[object, ...]]
) -> None:
    root = tmp_path / secrets.token_hex(4)
    for path in ("a", "d/a", "d/b", "d/e/a"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"{path}\n")
    before = tree.snapshot(root)
    told = []
    for levels in ({"overlay"}, {"copy"}):
        copy = open_copy(root, Policy(trusted=False, levels=frozenset(levels)), tmp_path / "copy")  # type: ignore[arg-type]
        if {copy.level} != levels:
            missing("overlay", "; ".join(copy.missing))
        try:
            for operations in (first, then):
                asyncio.run(copy.run(["/usr/bin/python3", "-c", ACT, json.dumps(operations)]))
                told.append((levels, copy.changes(), [each.path for each in copy.refused]))
        finally:
            copy.close()
    assert [each[1:] for each in told[:2]] == [each[1:] for each in told[2:]]
    assert tree.differences(before, tree.snapshot(root)) == []


LATER = [
    ("rm -r d; mkdir -p d/a", ["d/a", "d/b"]),
    ("rm -r d; mkdir d; touch d/e", ["d/a", "d/b", "d/e", "d/e/a"]),
    ("rm d/a; mkdir d/a; touch d/a/x", ["d/a", "d/a/x"]),
]


@each_level
@pytest.mark.parametrize(("script", "paths"), LATER)
async def test_what_folders_and_files_became_of_each_other_is_told_once(
    level: str, script: str, paths: list[str], root: Path, opened: Open
) -> None:
    for path in ("d/a", "d/b", "d/e/a"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x")
    copy = opened(level)
    await sh(copy, script)
    assert [change.path for change in copy.changes() if change.path in paths] == paths
    await sh(copy, "mkdir -p other; touch other/file")
    assert brief(copy.changes()) == [("create", "other/file")]
    assert copy.refused == []
