"""Answers in every format but diffs (test_udiff.py), alone and mixed, whole and while they arrive."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.edits import AnswerReader, apply_answer, format_names, read_answer
from kiro_lsp.changes.edits.answer import Answer, FileEdit, InsertEdit, LinesEdit, StringEdit
from kiro_lsp.changes.edits.omissions import omissions

Short = tuple[object, ...]


def short(edit: FileEdit) -> Short:
    """Format, action, first name, then what is changed or the content."""
    parts: list[object] = []
    for one in edit.edits:
        match one:
            case LinesEdit():
                hint = (one.line_hint,) if one.line_hint is not None else ()
                parts += ["".join(f"{line.mark}{line.text}|" for line in one.lines), *hint]
            case StringEdit():
                parts.append((one.old, one.new, one.every))
            case InsertEdit():
                parts.append((one.after, one.text))
    content = () if edit.content is None else (edit.content,)
    return (edit.format, edit.action, edit.names[0] if edit.names else None, *parts, *content)


def check(text: str, *expected: Short, format: str = "auto", file: str | None = None) -> None:
    answer = read_answer(text, format, file=file)
    assert [short(edit) for edit in answer.files] == list(expected), answer
    assert answer.problems == (), answer
    assert answer.format == (expected[0][0] if expected else "")


def refused(text: str, part: str, format: str = "auto", file: str | None = None) -> Answer:
    answer = read_answer(text, format, file=file)
    assert any(part in problem.message for problem in answer.problems), answer
    return answer


SR = "search-replace"
BLOCK = "<<<<<<< SEARCH\na\nb\n=======\na\nc\n>>>>>>> REPLACE\n"
EDIT = " a|-b|+c|"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"src/a.py\n{BLOCK}", "src/a.py"),
        (f"src/a.py\n```python\n{BLOCK}```\n", "src/a.py"),
        (f"```python\nsrc/a.py\n{BLOCK}```\n", "src/a.py"),
        (f"```src/a.py\n{BLOCK}```\n", "src/a.py"),
        (f"```python src/a.py\n{BLOCK}```\n", "src/a.py"),
        (f"```python:src/a.py\n{BLOCK}```\n", "src/a.py"),
        (f"**src/a.py**\n{BLOCK}", "src/a.py"),
        (f"### `src/a.py`:\n\n{BLOCK}", "src/a.py"),
        (f"File: src/a.py\n{BLOCK}", "src/a.py"),
        (f"Here, in `src/a.py`, one line changes:\n{BLOCK}", "src/a.py"),
        (f"# src/a.py\n~~~\n{BLOCK}~~~\n", "src/a.py"),
        (f"Makefile\n{BLOCK}", "Makefile"),
        (f"Here is the change:\n\n{BLOCK}", None),
        (f"...\n{BLOCK}", None),
        (BLOCK.replace("SEARCH", "SEARCH src/a.py"), "src/a.py"),
    ],
)
def test_the_file_of_a_block_is_named_above_it_or_in_its_fence(text: str, name: str | None) -> None:
    check(text, (SR, "edit", name, EDIT))


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("------- SEARCH\na\nb\n=======\na\nc\n+++++++ REPLACE\n", (EDIT,)),
        ("--- SEARCH\na\nb\n===\na\nc\n+++ REPLACE", (EDIT,)),
        ("<<<<<<<<< SEARCH\na\nb\n=====\na\nc\n>>>>> REPLACE", (EDIT,)),
        ("<<<<<<< SEARCH\n:start_line:12\n-------\na\nb\n=======\na\nc\n>>>>>>> REPLACE", (EDIT, 12)),
        ("<<<<<<< SEARCH\n:start_line: 12\n:end_line: 13\n-------\na\nb\n=======\na\nc\n>>>>>>> REPLACE", (EDIT, 12)),
        ("<<<<<<< SEARCH\n12 | a\n13 | b\n=======\n12 | a\n13 | c\n>>>>>>> REPLACE", (EDIT,)),
        ("<<<<<<< SEARCH\n\\=======\n=======\nx\n>>>>>>> REPLACE", ("-=======|+x|",)),
        ("<<<<<<< SEARCH\nTitle\n=====\n=======\nTitle\n>>>>>>> REPLACE", (" Title|-=====|",)),
        ("<<<<<<< SEARCH\na\n...\nb\n=======\na\n...\nc\n>>>>>>> REPLACE", (" a|~...|-b|+c|",)),
        ("<<<<<<< SEARCH\n=======\nx\n>>>>>>> REPLACE", ("+x|",)),
        ("<<<<<<< SEARCH\nx\n=======\n>>>>>>> REPLACE", ("-x|",)),
        # A block may hold fences.
        ("```\n<<<<<<< SEARCH\n```py\n=======\n```python\n>>>>>>> REPLACE\n```\n", ("-```py|+```python|",)),
    ],
)
def test_blocks_are_read_with_the_marks_of_every_tool(text: str, edit: tuple[object, ...]) -> None:
    check(text, (SR, "edit", None, *edit))


def test_a_block_without_a_name_is_about_the_file_of_the_one_before() -> None:
    check(
        f"a.py\n{BLOCK}\nand then\n\n{BLOCK}b.py\n{BLOCK}",
        *[(SR, "edit", name, EDIT) for name in ("a.py", "a.py", "b.py")],
    )
    check(BLOCK, (SR, "edit", "c.py", EDIT), file="c.py")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a.py\n<<<<<<< SEARCH\na\n=======\nb\n", "may have been cut off"),
        ("a.py\n<<<<<<< SEARCH\na\n", "may have been cut off"),
        ("a.py\n<<<<<<< SEARCH\na\n>>>>>>> REPLACE\n", "has no '=======' line"),
        ("a.py\n<<<<<<< SEARCH\n=======\na\n=======\nb\n>>>>>>> REPLACE\n", "2 lines of '=' (lines 3, 5)"),
        ("<<<<<<< SEARCH\na\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n", "block at line 1"),
        ("Nothing to do here.", "no edit in any known format"),
        ("", "no edit in any known format"),
        ("-------SEARCH\na\n=======\nb\n+++++++ REPLACE\n", "no edit"),
    ],
)
def test_a_block_that_is_not_whole_is_refused(text: str, part: str) -> None:
    refused(text, part)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"path": "f", "old_str": "a", "new_str": "b"}, ("str-replace", "edit", "f", ("a", "b", False))),
        (
            {"file_path": "f", "old_string": "a", "new_string": "b", "replace_all": True},
            ("str-replace", "edit", "f", ("a", "b", True)),
        ),
        ({"filePath": "f", "oldString": "a", "newString": ""}, ("str-replace", "edit", "f", ("a", "", False))),
        ({"command": "str_replace", "path": "f", "old_str": "a"}, ("str-replace", "edit", "f", ("a", "", False))),
        (
            {"path": "f", "edits": [{"old_text": "a", "new_text": "b"}, {"old_str": "c", "new_str": "d"}]},
            ("multi-edit", "edit", "f", ("a", "b", False), ("c", "d", False)),
        ),
        ({"edits": [{"path": "f", "old_str": "a", "new_str": "b"}]}, ("str-replace", "edit", "f", ("a", "b", False))),
        ({"command": "insert", "path": "f", "insert_line": 2, "new_str": "x"}, ("insert-line", "edit", "f", (2, "x"))),
        ({"path": "f", "insert_line": 0, "insert_text": "x"}, ("insert-line", "edit", "f", (0, "x"))),
        # Cline counts the line before which the text goes.
        ({"path": "f", "insert_line": 2, "new_text": "x"}, ("insert-line", "edit", "f", (1, "x"))),
        ({"command": "create", "path": "f", "file_text": "x\n"}, ("str-replace", "whole", "f", "x\n")),
        (
            {"name": "edit", "input": {"path": "f", "old_str": "a", "new_str": "b"}},
            ("str-replace", "edit", "f", ("a", "b", False)),
        ),
        (
            {"function": {"name": "edit", "arguments": '{"path": "f", "old_str": "a", "new_str": "b"}'}},
            ("str-replace", "edit", "f", ("a", "b", False)),
        ),
    ],
)
def test_calls_are_read_with_the_arguments_of_every_tool(call: dict[str, object], expected: Short) -> None:
    check(json.dumps(call), expected)
    check(f"I call the tool:\n\n```json\n{json.dumps(call, indent=2)}\n```\nDone.", expected)
    check(json.dumps([call, call]), expected, expected)
    check(f"{json.dumps(call)}\n{json.dumps(call)}\n", expected, expected)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"path": "f", "old_str": "a", "new_str": 3}', "both strings"),
        ('{"path": "f", "edits": []}', "has no edits"),
        ('{"path": "f", "edits": ["x"]}', "both strings"),
        ('{"path": "f", "insert_line": 0, "new_str": "x"}', "count from 1"),
        ('{"path": "f", "insert_line": "x", "new_str": "x"}', "needs a line number"),
        ('{"path": "f", "old_str": "a', "no JSON that can be read"),
        (f'a.py\n{BLOCK}\n{{"path": "f", "old_str": "a", "new_', "no JSON that can be read"),
        ('{"unrelated": 1}', "no edit"),
        ('{"command": "view", "path": "f"}', "no edit"),
        ("[" * 100_000, "no edit"),
        ('{"a":' * 50_000, "no edit"),
    ],
)
def test_json_that_is_no_edit_is_refused(text: str, part: str) -> None:
    refused(text, part)


def test_a_named_format_says_what_is_wrong_with_the_json() -> None:
    refused('{"path": "f", "old_str": "a', "no JSON that can be read", "str-replace")
    refused('{"unrelated": 1}', "no path and no old text", "multi-edit")


WHOLE = "whole-file"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("src/a.py\n```python\nx = 1\n```\n", [("src/a.py", "x = 1\n")]),
        ("```python src/a.py\nx = 1\n```\n", [("src/a.py", "x = 1\n")]),
        ('```js title="a.js"\nx\n```\n', [("a.js", "x\n")]),
        ("`a.py`:\n\n~~~\nx\n~~~\n", [("a.py", "x\n")]),
        ("a.py\n````\n```\nx\n```\n````\n", [("a.py", "```\nx\n```\n")]),
        ("README.md\n```markdown\n# T\n```bash\nls\n```\nend\n```\n", [("README.md", "# T\n```bash\nls\n```\nend\n")]),
        ("a.py\n```\n```\n", [("a.py", "")]),
        ("a.py\n```\nx\n```\n\nb.py\n```\ny\n```\n", [("a.py", "x\n"), ("b.py", "y\n")]),
        # A block without a name beside one with a name is an example.
        ("a.py\n```\nx\n```\nRun it:\n```\nls -l\n```\n", [("a.py", "x\n")]),
        ("a.py\n```python\n@@ decorator\n-x\n```\n", [("a.py", "@@ decorator\n-x\n")]),
    ],
)
def test_a_fenced_block_with_a_name_is_a_whole_file(text: str, expected: list[tuple[str, str]]) -> None:
    check(text, *[(WHOLE, "whole", name, content) for name, content in expected])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        # Markers inside a block that was read as a file.
        ("a.py\n```\nx\ny\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE x\n```\n", "markers of another format"),
        # A fence inside of Markdown that ends the block early.
        ("README.md\n```markdown\n# T\n```\nls\n```\nmore\n```\n", "fences of its own"),
    ],
)
def test_a_block_that_cannot_be_the_whole_file_is_refused(text: str, part: str) -> None:
    refused(text, part)


def test_a_sentence_about_a_file_is_not_the_head_of_its_content() -> None:
    refused("The problem is in `a.py`:\n```\nline 3\n```\nsee?", "no edit")
    check("In `a.py`:\n```\nx\n```\n", (WHOLE, "whole", "a.py", "x\n"))


def test_what_is_typed_in_a_terminal_is_no_file() -> None:
    refused("Run:\n```bash\npip install x\n```\n", "no edit", file="a.py")


@pytest.mark.parametrize("indent", ["   ", "    "])
def test_lists_indent_their_blocks(indent: str) -> None:
    block = "".join(f"{indent}{line}\n" for line in f"a.py\n```\n{BLOCK}```".split("\n") if line)
    check(f"1. First\n\n{block}", (SR, "edit", "a.py", EDIT))
    diff = "```diff\n--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-x\n+y\n```"
    check(
        "1. First\n" + "".join(f"{indent}{line}\n" for line in diff.split("\n")), ("udiff", "edit", "b.py", "-x|+y|", 1)
    )
    whole = "c.py\n```\nif x:\n    y\n```"
    check("".join(f"{indent}{line}\n" for line in whole.split("\n")), (WHOLE, "whole", "c.py", "if x:\n    y\n"))


def test_calls_are_found_in_what_providers_wrap_around_them() -> None:
    call = {"name": "edit", "input": {"path": "f", "old_str": "a", "new_str": "b"}}
    expected = ("str-replace", "edit", "f", ("a", "b", False))
    check(json.dumps({"tool_calls": [call, call]}), expected, expected)
    check(json.dumps({"content": [{"type": "tool_use", **call}]}), expected)
    check(json.dumps({"patch": "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"}), ("udiff", "edit", "f", "-a|+b|", 1))
    check('{"path": "f", "old_str": "a\nb", "new_str": "c"}', ("str-replace", "edit", "f", ("a\nb", "c", False)))
    many = "{ x }\n\n" * 300
    check(f"{many}{json.dumps(call)}", expected)


def test_a_count_of_replacements_must_be_the_one_there_is() -> None:
    call = json.dumps({"path": "f", "old_str": "a", "new_str": "b", "expected_replacements": 2})
    assert apply_answer(read_answer(call), {"f": b"a a\n"}).ok
    assert [failure.reason for failure in apply_answer(read_answer(call), {"f": b"a a a\n"}).failures] == ["ambiguous"]


def test_an_unnamed_block_is_a_file_only_when_the_caller_says_which() -> None:
    refused("```\nx\n```\n", "no edit")
    check("```\nx\n```\n", (WHOLE, "whole", "f.txt", "x\n"), file="f.txt")
    refused("```\nx\n```\nand\n```\ny\n```\n", "Several blocks have no file name", file="f.txt")


@pytest.mark.parametrize(
    "word",
    [
        "Run:",
        "e.g.",
        "i.e.",
        "v1.2",
        "3.5",
        "foo.bar()",
        "and/or",
        "Node.js:",
        "a.py:3",
        "http://localhost/z.py",
        "me@host.com",
    ],
)
def test_a_word_of_prose_above_a_block_is_no_file(word: str) -> None:
    refused(f"{word}\n```\nfoo\n```\n", "no edit")


@pytest.mark.parametrize(
    "name", ["Makefile", "src/Dockerfile", "LICENSE", ".gitignore", "next.config.mjs", "a.c", ".github/x.yml"]
)
def test_a_new_file_may_have_any_name_that_files_have(name: str) -> None:
    check(f"{name}\n```\nfoo\n```\n", (WHOLE, "whole", name, "foo\n"))


def test_an_open_fence_is_a_file_that_was_cut_off() -> None:
    refused("a.py\n```\nx\n", "may have been cut off")


def test_several_formats_in_one_answer_are_read_in_their_order() -> None:
    text = (
        f"First:\n\na.py\n{BLOCK}\nThen:\n\n```diff\n--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-x\n+y\n```\n\nc.py\n```\nwhole\n```\n"
        '\n```json\n{"path": "d.py", "old_str": "p", "new_str": "q"}\n```\n'
        "*** Begin Patch\n*** Update File: e.py\n@@\n-m\n+n\n*** End Patch\n"
    )
    answer = read_answer(text)
    assert [(edit.format, edit.names[0]) for edit in answer.files] == [
        (SR, "a.py"),
        ("udiff", "b.py"),
        (WHOLE, "c.py"),
        ("str-replace", "d.py"),
        ("apply-patch", "e.py"),
    ]
    assert answer.problems == ()
    only = read_answer(text.partition("*** Begin")[0], "udiff")
    assert [edit.names[0] for edit in only.files] == ["b.py"]


@pytest.mark.parametrize(
    "text",
    [
        "apply_patch <<'EOF'\n{patch}\nEOF\n",
        "```bash\napply_patch <<EOF\n{patch}\nEOF\n```\n",
        "{patch}",
        '{{"command": ["apply_patch", {json}]}}',
        '{{"input": {json}}}',
    ],
)
def test_a_patch_is_found_inside_its_shell_or_json(text: str) -> None:
    patch = "*** Begin Patch\n*** Update File: f\n@@\n-a\n+b\n*** End Patch"
    check(text.format(patch=patch, json=json.dumps(patch)), ("apply-patch", "edit", "f", "-a|+b|"))


def test_formats_have_the_names_of_the_command_line() -> None:
    assert set(format_names()) == {
        *("auto", "udiff", "search-replace", "apply-patch"),
        *("str-replace", "multi-edit", "insert-line", "whole-file"),
    }
    with pytest.raises(ValueError, match="unknown format 'xml'"):
        read_answer("x", "xml")


ANSWERS = [
    f"a.py\n```python\n{BLOCK}```\nand\n\nb.py\n{BLOCK}",
    "```diff\n--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-x\n+y\n--- a/c.py\n+++ b/c.py\n@@ -1 +1 @@\n-x\n+y\n```\ntext",
    "*** Begin Patch\n*** Update File: e.py\n@@\n-m\n+n\n*** Add File: f\n+x\n*** End Patch\n",
    "c.py\n```\nwhole\n```\nd.py\n```\nmore\n```\n",
    '{"path": "d.py", "old_str": "p", "new_str": "q"}\n{"path": "e.py", "old_str": "p", "new_str": "q"}\n',
]


@given(st.sampled_from(ANSWERS), st.data())
@settings(max_examples=150, deadline=None)
def test_an_answer_in_pieces_shows_each_edit_once_and_ends_as_the_whole_one(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    reader = AnswerReader()
    seen: list[FileEdit] = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        seen += reader.feed(text[start:end])
    answer = reader.close()
    assert answer == read_answer(text)
    assert seen == [edit for edit in answer.files if edit in seen]
    assert len(set(seen)) == len(seen)


PIECES = [
    *ANSWERS,
    "--- a/a\n+++ b/a\n@@\n-x\n+y\n\n",
    "@@\n-x\n+y\n@@\n-x\n+y\ndiff --git a/q b/q\nnew file mode 100644\n",
    "```\nx\n```\n",
    "Some prose.\n\n- a list\n+ b\n",
]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4), st.sampled_from([None, "f.py"]), st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_shown_early_is_in_the_answer(parts: list[str], file: str | None, data: st.DataObject) -> None:
    text = "\n".join(parts)
    text = text[: data.draw(st.integers(0, len(text)))]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    reader = AnswerReader(file=file)
    seen = [
        edit for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) for edit in reader.feed(text[start:end])
    ]
    assert set(seen) <= set(reader.close().files)


@pytest.mark.parametrize("text", ANSWERS[:2])
def test_an_edit_is_seen_before_the_answer_ends(text: str) -> None:
    reader = AnswerReader()
    when = [len(reader.feed(character)) for character in text]
    assert sum(when[: text.rindex("```")]) >= 1


def test_what_is_finished_is_not_read_again() -> None:
    counts = []
    for size in (50, 500):
        reader = AnswerReader()
        for number in range(size):
            for line in f"f{number}.py\n{BLOCK}\n".splitlines(keepends=True):
                reader.feed(line)
            for line in f"```js g{number}.js\n{'}' * 3}\n```\n".splitlines(keepends=True):
                reader.feed(line)
        counts.append(reader.lines_read / size)
    assert counts[1] <= counts[0] * 1.5


@pytest.mark.parametrize("text", ANSWERS)
def test_no_end_of_an_answer_makes_an_edit_that_the_whole_one_does_not_have(text: str) -> None:
    whole = set(read_answer(text).files)
    for end in range(len(text)):
        for edit in read_answer(text[:end]).files:
            if edit.format in ("search-replace", "whole-file", "str-replace"):
                assert edit in whole


@given(st.text(alphabet=st.sampled_from('ab \n<>=-+@*`~{}[]"\\:|.\r\u2028SEARCHREPLACE'), max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_is_an_answer(text: str) -> None:
    answer = read_answer(text)
    assert answer.files or answer.problems


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("x = 1\n# ... rest of the code ...\n", [1]),
        ("// ... existing code ...", [0]),
        ("/* ... rest of the methods unchanged ... */", [0]),
        ("<!-- ... existing markup ... -->", [0]),
        ("(unchanged code ...)", [0]),
        ("(rest of methods ...)", [0]),
        ("    # ... (remaining tests stay the same)", [0]),
        ("# … other methods …", [0]),
        ('note = "(rest of methods ...)"', []),
        ('print("... existing code ...")', []),
        ("def f(): ...", []),
        ("...", []),
        ("# rest of the file remains the same", [0]),
        ("<!-- rest of page unchanged -->", [0]),
        ("# the remaining items", []),
        ("# and so on ...", []),
        ("call(*args, ...rest)", []),
        ("const { a, ...rest } = b;", []),
        ("# loading the rest of the file...", []),
        ("x" * 300 + " ... existing code", []),
    ],
)
def test_code_that_was_left_out_is_recognised(text: str, lines: list[int]) -> None:
    assert [number for number, _line in omissions(text)] == lines
