"""The tools of an agent: what they do, and what a model is told when it gets something wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiro_lsp.errors import BudgetExceeded, StoreError
from kiro_lsp.executors.local import LocalRun
from kiro_lsp.executors.tools import Toolbox, ToolResult, all_tools, list_files, run_command

FILES: dict[str, bytes] = {
    "src/app.py": b"import os\n\n\ndef main():\n    print(1)\n\n\ndef other():\n    print(1)\n",
    "crlf.txt": b"one\r\ntwo\r\nthree\r\n",
    "mixed.txt": b"one\r\ntwo\nthree\r\nfour\r\n",
    "bom.txt": b"\xef\xbb\xbfone\r\ntwo",
    "no-end.txt": b"a\nb",
    "latin.txt": b"caf\xe9\n",
    "binary.bin": b"a\0b",
    "empty.txt": b"",
    "aaa.txt": b"aaa\n",
    "lone.txt": b"a\rb\r\r\n",
    "tasks.md": b"- [ ] 1 one\n",
    ".env": b"KEY=secret\n",
    "docs/guide.md": b"guide\n",
    "docs/deep/guide.md": b"deep guide\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, data in FILES.items():
        (tmp_path / "ws" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "ws" / path).write_bytes(data)
    return tmp_path / "ws"


@pytest.fixture
def run(root: Path) -> LocalRun:
    return LocalRun(root)


@pytest.fixture
def toolbox(run: LocalRun) -> Toolbox:
    return Toolbox(run, guarded=["tasks.md"])


async def check(toolbox: Toolbox, name: str, args: object, *parts: str, error: bool = False) -> ToolResult:
    """Calls and compares: whether it is an error, and that each of `parts` is said."""
    result = await toolbox.call(name, args)
    assert result.is_error is error, result.text
    for part in parts:
        assert part in result.text, result.text
    return result


# What a provider is told


def test_tools_are_found_by_their_place_in_a_stable_order() -> None:
    names = [tool.name for tool in all_tools()]
    assert names == ["delete_file", "edit", "list_files", "read_file", "run_command", "search", "write_file"]


@pytest.mark.parametrize("tool", all_tools(), ids=lambda tool: tool.name)
def test_a_schema_is_closed_and_its_parts_are_described(tool: Any) -> None:
    schema = json.loads(json.dumps(tool.schema))
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) <= set(schema["properties"])
    assert all(value["description"] for value in schema["properties"].values())
    assert tool.description.endswith(".")
    assert tool.title({})
    assert tool.title({"path": 3, "argv": "x", "pattern": None})


def test_a_run_can_be_given_fewer_tools(run: LocalRun) -> None:
    assert [tool.name for tool in Toolbox(run, only=["search", "read_file"]).tools] == ["read_file", "search"]
    with pytest.raises(KeyError):
        Toolbox(run, only=["no_such_tool"])


def test_a_call_is_described_before_it_runs_whatever_the_arguments_are(toolbox: Toolbox) -> None:
    call = toolbox.describe("read_file", {"path": "src/app.py", "start_line": 2, "end_line": 4})
    assert (call.title, call.kind, call.phase, call.path) == (
        "Read src/app.py from line 2 to 4",
        "read",
        "reading",
        "src/app.py",
    )
    assert toolbox.describe("run_command", {"argv": ["pytest", "a b"]}).title == "Run pytest 'a b'"
    for args in (None, 3, [], {"path": 3}, {"argv": "x"}, {"argv": []}):
        for tool in toolbox.tools:
            assert toolbox.describe(tool.name, args).title
    assert toolbox.describe("nothing", {}).kind == "other"


# Mistakes of a model


@pytest.mark.parametrize(
    ("name", "args", "parts"),
    [
        ("no_tool", {}, ["no tool 'no_tool'", "read_file"]),
        ("read_file", None, ["must be a JSON object, not null"]),
        ("read_file", "src/app.py", ["not a string"]),
        ("read_file", [], ["not a list"]),
        ("read_file", {}, ["path is missing"]),
        ("read_file", {"path": None}, ["path is missing"]),
        ("read_file", {"path": 3}, ["path must be a path as a string", "not a number"]),
        ("read_file", {"file": "x"}, ["no argument 'file'", "path is missing"]),
        ("read_file", {"path": "x", "start_lines": 3}, ["did you mean 'start_line'?"]),
        ("read_file", {"path": "src/app.py", "start_line": "3"}, ["start_line must be a whole number", "not a string"]),
        ("read_file", {"path": "src/app.py", "start_line": 1.5}, ["whole number"]),
        ("read_file", {"path": "src/app.py", "start_line": True}, ["not a boolean"]),
        ("read_file", {"path": "src/app.py", "start_line": 0}, ["at least 1"]),
        ("read_file", {"path": "src/app.py", "start_line": 5, "end_line": 4}, ["before start_line"]),
        ("read_file", {"path": "src/app.py", "start_line": 10}, ["has 9 lines"]),
        ("run_command", {"argv": "pytest -q"}, ['for example ["pytest", "-q"]', "not a string"]),
        ("run_command", {"argv": ["pytest", 3]}, ["a list of strings"]),
        ("run_command", {"argv": []}, ["must not be empty"]),
        ("run_command", {"argv": [""]}, ["argv[0] is empty"]),
        ("run_command", {"argv": ["x"], "timeout_seconds": 10**6}, ["at most"]),
        ("search", {"pattern": "x", "literal": "yes"}, ["literal must be true or false"]),
        ("search", {"pattern": ""}, ["pattern is empty"]),
        ("search", {"pattern": "a("}, ["not a regular expression", "literal"]),
        ("list_files", {"pattern": "[z-a]x"}, ["not a glob"]),
        ("edit", {"path": "src/app.py", "new_text": "x"}, ["old_text is missing"]),
        ("edit", {"path": "src/app.py", "old_text": "", "new_text": "x"}, ["old_text is empty", "write_file"]),
        ("edit", {"path": "src/app.py", "old_text": "main", "new_text": "main"}, ["the same"]),
        ("edit", {"path": "src/app.py", "old_text": "import os", "new_text": "\ud800"}, ["half a character"]),
        ("write_file", {"path": "x", "content": "\udfff"}, ["not valid Unicode"]),
    ],
)
async def test_a_mistake_is_answered_with_what_to_do(
    toolbox: Toolbox, name: str, args: object, parts: list[str]
) -> None:
    await check(toolbox, name, args, *parts, error=True)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "~/x", ".git/config", "a\\b", "src/../../x", "x\0"])
@pytest.mark.parametrize(
    "name", ["read_file", "edit", "write_file", "delete_file", "list_files", "search", "run_command"]
)
async def test_no_tool_takes_a_path_that_leaves_the_root(toolbox: Toolbox, run: LocalRun, name: str, path: str) -> None:
    args: dict[str, object] = {
        "edit": {"path": path, "old_text": "a", "new_text": "b"},
        "write_file": {"path": path, "content": "x"},
        "search": {"path": path, "pattern": "x"},
        "run_command": {"argv": ["true"], "cwd": path},
    }.get(name, {"path": path})
    await check(toolbox, name, args, "is refused", error=True)
    assert run.changes().files == ()


@pytest.mark.parametrize("path", ["tasks.md", "./tasks.md", "docs/../tasks.md"])
async def test_the_task_file_is_read_but_never_changed(toolbox: Toolbox, run: LocalRun, path: str) -> None:
    await check(toolbox, "read_file", {"path": path}, "- [ ] 1 one")
    for name, args in (
        ("edit", {"path": path, "old_text": "[ ]", "new_text": "[x]"}),
        ("write_file", {"path": path, "content": "- [x] 1 one\n"}),
        ("delete_file", {"path": path}),
    ):
        await check(toolbox, name, args, "task file", "never by you", error=True)
    assert run.changes().files == ()


async def test_secrets_are_not_given_to_agents(toolbox: Toolbox) -> None:
    await check(toolbox, "read_file", {"path": ".env"}, "may hold secrets", error=True)
    result = await check(toolbox, "search", {"pattern": "secret|guide"})
    assert ".env" not in result.text


async def test_what_ends_a_run_is_not_turned_into_an_answer(root: Path) -> None:
    class Broken(LocalRun):
        async def read(self, path: str) -> bytes:
            raise BudgetExceeded("the cap is reached") if path == "crlf.txt" else StoreError("disk full")

    toolbox = Toolbox(Broken(root))
    with pytest.raises(BudgetExceeded):
        await toolbox.call("read_file", {"path": "crlf.txt"})
    with pytest.raises(StoreError):
        await toolbox.call("read_file", {"path": "src/app.py"})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    [
        "path",
        "old_text",
        "new_text",
        "content",
        "argv",
        "cwd",
        "pattern",
        "literal",
        "start_line",
        "end_line",
        "timeout_seconds",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([tool.name for tool in all_tools() if tool.name != "search"]),
    args=_JSON | st.dictionaries(_NAMES, _JSON | st.sampled_from(["src/app.py", "print", "docs"]), max_size=5),
)
async def test_no_json_value_makes_a_tool_raise(root: Path, name: str, args: object) -> None:
    result = await Toolbox(LocalRun(root)).call(name, args)
    assert isinstance(result.text, str)
    assert result.text


# read_file


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"path": "no-end.txt"}, "     1\ta\n     2\tb"),
        ({"path": "crlf.txt", "start_line": 2}, "     2\ttwo\n     3\tthree\n[lines 2-3 of 3]"),
        ({"path": "crlf.txt", "start_line": 2.0, "end_line": 2}, "     2\ttwo\n[lines 2-2 of 3]"),
        ({"path": "crlf.txt", "end_line": 99}, "     1\tone\n     2\ttwo\n     3\tthree"),
        ({"path": "bom.txt"}, "     1\tone\n     2\ttwo"),
        ({"path": "empty.txt"}, "[empty.txt is empty]"),
    ],
)
async def test_lines_are_numbered_from_one(toolbox: Toolbox, args: object, expected: str) -> None:
    assert (await check(toolbox, "read_file", args)).text == expected


async def test_a_long_file_says_where_to_read_on(toolbox: Toolbox, run: LocalRun) -> None:
    await run.write("long.txt", b"".join(b"line %d\n" % number for number in range(1, 5001)))
    await check(
        toolbox, "read_file", {"path": "long.txt"}, "  2000\tline 2000\n", "lines 1-2000 of 5000", "start_line 2001"
    )
    await check(
        toolbox, "read_file", {"path": "long.txt", "start_line": 4001}, "  5000\tline 5000\n[lines 4001-5000 of 5000]"
    )
    await run.write("wide.txt", (b"x" * 9000 + b"\n") * 50)
    result = await check(toolbox, "read_file", {"path": "wide.txt"}, "[7000 more characters]", "[cut: lines 1-11 of 50")
    assert len(result.text) < 110_000


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("app.py", ["no file app.py", "src/app.py"]),
        ("src/ap.py", ["src/app.py"]),
        ("docs", ["is a folder"]),
        ("zzz/qqq.rs", ["list_files"]),
        ("latin.txt", ["not UTF-8", "byte 3 is 0xe9"]),
        ("binary.bin", ["binary file"]),
    ],
)
async def test_a_file_that_cannot_be_read_says_what_may_be_meant(toolbox: Toolbox, path: str, parts: list[str]) -> None:
    await check(toolbox, "read_file", {"path": path}, *parts, error=True)
    await check(toolbox, "edit", {"path": path, "old_text": "a", "new_text": "b"}, *parts, error=True)


# list_files and search


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"path": "docs"}, ["docs/deep/guide.md", "docs/guide.md"]),
        ({"pattern": "*.md"}, ["docs/deep/guide.md", "docs/guide.md", "tasks.md"]),
        ({"pattern": "docs/*.md"}, ["docs/guide.md"]),
        ({"pattern": "**/guide.*"}, ["docs/deep/guide.md", "docs/guide.md"]),
        ({"path": "docs", "pattern": "*/guide.md"}, ["docs/deep/guide.md"]),
        ({"pattern": "{app,guide}.{py,md}"}, ["docs/deep/guide.md", "docs/guide.md", "src/app.py"]),
        ({"pattern": "[a-b]*.txt"}, ["aaa.txt", "bom.txt"]),
        ({"pattern": "[!a-m]*.txt"}, ["no-end.txt"]),
        ({"path": "src/app.py"}, ["src/app.py"]),
        ({"path": "."}, sorted(FILES)),
        ({}, sorted(FILES)),
    ],
)
async def test_files_are_listed_by_folder_and_glob(toolbox: Toolbox, args: object, expected: list[str]) -> None:
    assert (await check(toolbox, "list_files", args)).text.splitlines() == expected


async def test_a_long_list_says_what_is_left_out(toolbox: Toolbox, run: LocalRun) -> None:
    for number in range(list_files.SHOWN + 5):
        await run.write(f"many/{number:05}.txt", b"")
    result = await check(toolbox, "list_files", {}, "more files are not shown", f"many ({list_files.SHOWN + 5})")
    assert len(result.text.splitlines()) == list_files.SHOWN + 1
    await check(toolbox, "list_files", {"path": "nothing"}, "There is no file under nothing")
    await check(toolbox, "list_files", {"pattern": "*.zig"}, "matches *.zig")


async def test_hits_carry_path_and_line_and_staged_text_counts(toolbox: Toolbox, run: LocalRun) -> None:
    await run.write("docs/guide.md", b"first\nthe new guide(\n")
    result = await check(toolbox, "search", {"pattern": "guide(", "literal": True, "path": "docs"})
    assert result.text == "docs/guide.md:2: the new guide("
    await check(toolbox, "search", {"pattern": r"print\(\d\)"}, "src/app.py:5:     print(1)", "src/app.py:9:")
    await check(toolbox, "search", {"pattern": "nowhere", "path": "docs"}, "No line under docs matches 'nowhere'")


async def test_many_hits_and_long_lines_are_cut(toolbox: Toolbox, run: LocalRun) -> None:
    await run.write("many.txt", b"needle\n" * 1000 + b"needle" + b"x" * 1000)
    result = await check(toolbox, "search", {"pattern": "needle"}, "only the first 200 lines")
    assert len(result.text.splitlines()) == 201
    await check(toolbox, "search", {"pattern": "needlex"}, "more characters]")


# edit, write_file, delete_file


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        (
            "src/app.py",
            "def main():\n    print(1)",
            "def main():\n    print(2)",
            FILES["src/app.py"].replace(b"1", b"2", 1),
        ),
        ("crlf.txt", "two\n", "2\nzwei\n", b"one\r\n2\r\nzwei\r\nthree\r\n"),
        ("crlf.txt", "one\r\ntwo", "x\r\ny", b"x\r\ny\r\nthree\r\n"),
        ("crlf.txt", "two", "2", b"one\r\n2\r\nthree\r\n"),
        ("mixed.txt", "two\n", "2\n", b"one\r\n2\nthree\r\nfour\r\n"),
        # A new line takes the end of the line it replaces.
        ("mixed.txt", "two", "2\n2", b"one\r\n2\n2\nthree\r\nfour\r\n"),
        ("mixed.txt", "three\nfour\n", "3\n4\n", b"one\r\ntwo\n3\r\n4\r\n"),
        ("bom.txt", "one\n", "1\n", b"\xef\xbb\xbf1\r\ntwo"),
        ("bom.txt", "two", "2", b"\xef\xbb\xbfone\r\n2"),
        ("no-end.txt", "b", "c\nd", b"a\nc\nd"),
        ("no-end.txt", "a\n", "", b"b"),
        ("aaa.txt", "aaa", "b", b"b\n"),
        ("lone.txt", "b", "c\nd", b"a\rc\rd\r\r\n"),
        # Whole lines are found with white space aside, and the new ones follow the file's indentation.
        (
            "src/app.py",
            "def main():\n  print(1)",
            "def main():\n  print(2)",
            FILES["src/app.py"].replace(b"1", b"2", 1),
        ),
    ],
)
async def test_an_edit_changes_its_place_and_no_other_byte(
    toolbox: Toolbox, run: LocalRun, path: str, old: str, new: str, expected: bytes
) -> None:
    result = await check(toolbox, "edit", {"path": path, "old_text": old, "new_text": new}, f"Edited {path} at line")
    assert (result.path, result.kind) == (path, "edit")
    assert await run.read(path) == expected


@pytest.mark.parametrize(
    ("path", "old", "parts"),
    [
        ("src/app.py", "    print(1)\n", ["at 2 places", "lines 5, 9", "until they fit one place"]),
        ("aaa.txt", "aa", ["at 2 places", "lines 1, 1"]),
        (
            "src/app.py",
            "def main():\n  print(3)",
            ["not found", "nearest place is", "     4\tdef main():", "sent '  print(3)', the file has '    print(1)'"],
        ),
        ("src/app.py", "def mian():", ["not found", "     4\tdef main():"]),
        ("src/app.py", "     4\tdef main():\n     5\t    print(1)", ["line numbers", "not part of the file"]),
        ("src/app.py", "zzzzzzzz qqqq", ["not found", "copy the lines exactly"]),
        ("empty.txt", "x", ["is empty", "write_file"]),
        ("src/app.py", "\n\nimport sys", ["not found"]),
    ],
)
async def test_an_edit_that_fits_nowhere_or_twice_changes_nothing_and_says_where(
    toolbox: Toolbox, run: LocalRun, path: str, old: str, parts: list[str]
) -> None:
    await check(toolbox, "edit", {"path": path, "old_text": old, "new_text": "new"}, *parts, error=True)
    assert run.changes().files == ()


async def test_an_edit_made_twice_is_told_that_it_was_made(toolbox: Toolbox) -> None:
    args = {"path": "src/app.py", "old_text": "import os\n", "new_text": "import sys, json\n"}
    await check(toolbox, "edit", args)
    await check(toolbox, "edit", args, "already, at line 1", error=True)


@pytest.mark.parametrize(
    ("path", "content", "expected", "says"),
    [
        ("new/deep.py", "x\ny\n", b"x\ny\n", "Created new/deep.py (2 lines)"),
        ("new.txt", "", b"", "Created new.txt (0 lines)"),
        ("crlf.txt", "1\n2\n", b"1\r\n2\r\n", "Replaced crlf.txt (2 lines)"),
        ("crlf.txt", "1\r\n2\n", b"1\r\n2\r\n", "Replaced"),
        ("mixed.txt", "1\n2", b"1\n2", "(2 lines)"),
        ("bom.txt", "1\n", b"\xef\xbb\xbf1\r\n", "Replaced"),
        ("latin.txt", "café\n", "café\n".encode(), "Replaced"),
        ("no-end.txt", "a\nb", b"a\nb", "exactly this content already"),
    ],
)
async def test_a_written_file_keeps_the_style_of_the_one_it_replaces(
    toolbox: Toolbox, run: LocalRun, path: str, content: str, expected: bytes, says: str
) -> None:
    await check(toolbox, "write_file", {"path": path, "content": content}, says)
    assert await run.read(path) == expected


async def test_a_deleted_file_is_gone_for_the_other_tools(toolbox: Toolbox) -> None:
    await check(toolbox, "delete_file", {"path": "docs/guide.md"}, "Deleted docs/guide.md.")
    await check(toolbox, "delete_file", {"path": "docs/guide.md"}, "docs/deep/guide.md", error=True)
    await check(toolbox, "delete_file", {"path": "src"}, "is a folder", error=True)
    await check(toolbox, "list_files", {"path": "docs"}, "docs/deep/guide.md")


# run_command


async def test_without_a_sandbox_a_command_is_refused_without_a_yes(root: Path) -> None:
    toolbox = Toolbox(LocalRun(root, levels=frozenset({"copy"})))
    await check(toolbox, "run_command", {"argv": ["echo", "hi"]}, "did not allow the command echo hi", error=True)


async def test_a_command_gives_its_output_and_exit_code_and_what_it_changed(root: Path) -> None:
    async with LocalRun(root, answer=lambda _question: "once") as run:
        toolbox = Toolbox(run)
        await check(
            toolbox,
            "run_command",
            {"argv": ["sh", "-c", "echo hi > made.txt; echo out"]},
            "[exit code 0 after",
            "]\nout",
        )
        await check(toolbox, "read_file", {"path": "made.txt"}, "hi")
        await check(
            toolbox, "run_command", {"argv": ["sh", "-c", "echo bad; exit 2"]}, "[exit code 2", "bad", error=True
        )
        await check(toolbox, "run_command", {"argv": ["no-such-program"]}, "no program", "no shell", error=True)
        await check(toolbox, "run_command", {"argv": ["pwd"], "cwd": "gone"}, "no folder", error=True)
        await check(
            toolbox,
            "run_command",
            {"argv": ["sleep", "1000"], "timeout_seconds": 1},
            "stopped after 1 seconds",
            error=True,
        )
        result = await check(
            toolbox,
            "run_command",
            {
                "argv": [
                    sys.executable,
                    "-c",
                    f"print('first'); print('x' * {run_command.CHARACTERS * 2}); print('last')",
                ]
            },
            "the middle of the output is left out",
            "]\nfirst\n",
        )
        assert result.text.endswith("\nlast")
        assert len(result.text) < run_command.CHARACTERS + 200
