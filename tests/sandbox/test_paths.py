"""Which spellings mean a file of the root, and which are refused: security.md 3.6."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiro_lsp.errors import PathRefused
from kiro_lsp.sandbox import paths


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with links of every kind, next to a sibling whose name starts the same and a secret outside."""
    base = tmp_path_factory.mktemp("paths")
    for path in ("ws/src/app.py", "ws/src/deep/x.txt", "ws-evil/x", "outside/secret", "ws/AGENTS.md", "ws/.git/config"):
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text(path)
    ws = base / "ws"
    for link, target in {
        "CLAUDE.md": "AGENTS.md",
        "code": "src",
        "chain": "code",
        "src/up": "../AGENTS.md",
        "inside-absolute": str(ws / "src"),
        "out": "../outside",
        "out-file": "../outside/secret",
        "out-absolute": str(base / "outside" / "secret"),
        "out-chain": "out",
        "src/out-deep": "../../outside/secret",
        "sibling": "../ws-evil",
        "around": "../ws/src/app.py",
        "dangling": "not-there.txt",
        "dangling-out": "../nowhere",
        "loop-a": "loop-b",
        "loop-b": "loop-a",
        "self": "self",
        "hooks": ".git",
        "proc": "/proc/self/root",
        "nul-device": "/dev/null",
    }.items():
        (ws / link).symlink_to(target)
    return ws


def check(root: Path, spelling: str, expected: str | None) -> None:
    """`expected` None: refused, with a message that quotes the spelling readably and gives a reason."""
    if expected is not None:
        assert paths.resolve(root, spelling) == expected
        assert paths.resolve(root, expected) == expected
        return
    with pytest.raises(PathRefused) as refused:
        paths.resolve(root, spelling)
    assert refused.value.message.isprintable()
    assert ": " in refused.value.message


ACCEPTED = {
    "src/app.py": "src/app.py",
    "./src/app.py": "src/app.py",
    "src//app.py": "src/app.py",
    "src/./app.py": "src/app.py",
    "src/deep/../app.py": "src/app.py",
    "src/app.py/": "src/app.py",
    "not/there/yet.py": "not/there/yet.py",
    "CLAUDE.md": "AGENTS.md",
    "code/app.py": "src/app.py",
    "chain/deep/x.txt": "src/deep/x.txt",
    "src/up": "AGENTS.md",
    "inside-absolute/app.py": "src/app.py",
    "dangling": "not-there.txt",
    "-rf": "-rf",
    "--version": "--version",
    "*.py": "*.py",
    "src/[id].tsx": "src/[id].tsx",
    "routes/$userId.tsx": "routes/$userId.tsx",
    "Foo$Bar.class": "Foo$Bar.class",
    "a b.txt": "a b.txt",
    ".gitignore": ".gitignore",
    ".github/x.yml": ".github/x.yml",
    ".gitmodules": ".gitmodules",
    "git/x": "git/x",
    "console.py": "console.py",
    "nullable.ts": "nullable.ts",
    "comma/com.py": "comma/com.py",
    "100%.md": "100%.md",
    "需求/登录：流程.md": "需求/登录：流程.md",
    "مهام.md": "مهام.md",
    "می‌خواهم.md": "می‌خواهم.md",
    "family-👨‍👩‍👧.txt": "family-👨‍👩‍👧.txt",
    "naïve.md": "naïve.md",
    unicodedata.normalize("NFD", "naïve.md"): unicodedata.normalize("NFD", "naïve.md"),
    "backup.py~": "backup.py~",
    "a" * 255: "a" * 255,
}

REFUSED = [
    # the root itself, and nothing
    "", ".", "./", "src/..", "/",
    # leaving it
    "..", "../x", "../ws-evil/x", "src/../../x", "src/../..", "a/./../..", "src/deep/../../../outside/secret",
    "/etc/passwd",
    # links
    "out/secret", "out-file", "out-absolute", "out-chain/secret", "src/out-deep", "sibling/x", "around",
    "dangling-out",
    "loop-a", "loop-b/x", "self", "hooks/config", "proc/etc/passwd", "nul-device",
    # /proc and descriptors
    "/proc/self/root/etc/passwd", "/proc/self/cwd/x", "/proc/self/environ", "/dev/fd/0", "/dev/stdin",
    # homes, variables, schemes, encodings
    "~", "~/x", "~root/x", "$HOME/x", "${HOME}/x", "$(id)/x", "%USERPROFILE%/x", "%APPDATA%", "file:///etc/passwd",
    "file:x",
    "FILE:/x", "http://x/y", "vscode-vfs://github/x", "untitled:Untitled-1", "%2e%2e%2fx", "src/%2e%2e/x",
    "%252e%252e/x",
    "%c0%ae%c0%ae/x", "x%00.txt", "a%2fb", "a%5Cb",
    # characters
    "a\0b", "a\nb", "a\rb", "a\x1b[0mb", "a\tb", "a\x7f", "a\x85b", "a\u2028b", "\udcff.txt", "a\u202etxt.exe",
    "a\u2066b", "a\u200fb",
    "a\u00adb", "a\ufeffb", "a\U000e0041b",
    # trailing dots and spaces
    "a.", "a. ", "a ", "...", ". ", "src./app.py", "src /app.py", "x/.../y",
    # Windows
    "a\\b", "..\\x", "src\\..\\..\\x", "C:x", "C:\\x", "c:/x", "\\\\?\\C:\\x", "\\\\.\\pipe\\x", "\\\\server\\share",
    "//server/share",
    "//?/C:/x", "a:stream", "a.txt::$DATA", "x::$INDEX_ALLOCATION", "GIT~1/config", "PROGRA~1/x", "LONGNA~12.TXT",
    "CON", "con.txt", "NUL",
    "nul.tar.gz", "COM1", "com1.txt", "LPT9", "aux.", "aux.c", "PRN.md", "src/CON/x", "conin$", "COM¹", "nul .txt",
    # look-alikes
    "．．/x", "․․/x", "‥/x", "…", "a／b", "a＼b", "a∕b", "a⁄b", "a∖b", "a⧸b",
    # .git in every disguise
    ".git", ".git/config", ".GIT/config", ".Git", "src/.git/hooks/x", ".git./x", ".git /x", "git~1",
    ".g\u200cit/config", ".gi\u200dt",
    ".git\u200d/x", ".ｇｉｔ/config", ".git\ufe0f/x", ".git\u034f/x", ".git::$INDEX_ALLOCATION/config",
    # sizes, a file used as a folder, git pathspec magic
    "a" * 256, "ä" * 128, "a/" * 2048 + "a", "src/app.py/x", ":(top)x", ":!x", ":/x",
]  # fmt: skip


@pytest.mark.parametrize(("spelling", "expected"), ACCEPTED.items())
def test_a_spelling_inside_the_root_gets_its_one_name(root: Path, spelling: str, expected: str) -> None:
    check(root, spelling, expected)


@pytest.mark.parametrize("spelling", REFUSED, ids=ascii)
def test_a_spelling_that_could_mean_something_else_is_refused(root: Path, spelling: str) -> None:
    check(root, spelling, None)


def test_an_absolute_path_inside_the_root_becomes_relative_under_either_name_of_the_root(
    root: Path, tmp_path: Path
) -> None:
    alias = tmp_path / "alias"
    alias.symlink_to(root)
    for opened, spelled in ((root, root), (alias, alias), (alias, root)):
        check(opened, f"{spelled}/src/app.py", "src/app.py")
        check(opened, f"{spelled}/src/../AGENTS.md", "AGENTS.md")
        check(opened, f"{spelled}/../outside/secret", None)
        check(opened, f"{spelled}-evil/x", None)
        assert paths.resolve_folder(opened, str(spelled)) == ""


def test_the_root_is_a_folder_but_not_a_file(root: Path) -> None:
    for spelling in ("", ".", "./", "src/..", str(root)):
        assert paths.resolve_folder(root, spelling) == ""
    assert paths.resolve_folder(root, "code") == "src"


def test_nothing_is_expanded_even_when_it_exists(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root))
    for spelling in ("~/AGENTS.md", "$HOME/AGENTS.md"):
        check(root, spelling, None)


def test_on_windows_an_absolute_path_may_use_either_slash_and_any_case() -> None:
    below = paths._below
    assert below("C:\\Srv\\ws\\src\\a.py", "c:\\srv\\WS", windows=True) == "src/a.py"
    assert below("C:/srv/ws", "C:\\srv\\ws", windows=True) == ""
    assert below("C:\\srv\\ws-evil\\x", "C:\\srv\\ws", windows=True) is None
    assert below("\\\\server\\share\\x", "C:\\srv\\ws", windows=True) is None
    assert below("/srv/ws-evil", "/srv/ws", windows=False) is None
    assert below("/x", "/", windows=False) == "x"


def test_where_case_does_not_count_the_name_on_disk_wins() -> None:
    names = ["README.md", "Tasks.md", unicodedata.normalize("NFD", "naïve.md")]
    check_name = {"readme.MD": "README.md", "Tasks.md": "Tasks.md", "naïve.md": names[2], "new.md": "new.md"}
    for name, expected in check_name.items():
        assert paths.true_name("anywhere", name, lambda _folder: names) == expected


def test_environment_files_hold_secrets_and_their_templates_do_not() -> None:
    held = [".env", ".ENV", "a/.env.local", ".env.production", ".envrc"]
    free = [".env.example", "x/.env.sample", "env", ".environment", "src/env.py", ".env.template"]
    assert [path for path in held + free if paths.holds_secrets(path)] == held


_TOKENS = st.sampled_from(
    [
        "..", ".", "", "/", "src", "app.py", "out", "chain", "up", "hooks", "~", "$HOME", "%2e", "\\", ":", "C:", "a ", "b.", "．",
        "∕", "\0", "\n", "\u202e", "\u200d", "GIT~1", ".git", ".GIT", "con", "file:", "//", "loop-a", "proc", "self", "around",
        "é", "\udc80",
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.one_of(_TOKENS, st.text(max_size=6)), max_size=7), absolute=st.booleans())
def test_no_spelling_escapes_and_what_is_resolved_stays_resolved(root: Path, parts: list[str], absolute: bool) -> None:
    spelling = (f"{root}/" if absolute else "") + "/".join(parts)
    try:
        resolved = paths.resolve(root, spelling)
    except PathRefused:
        return
    real = os.path.realpath(root / resolved)
    assert real == f"{os.path.realpath(root)}/{resolved}"
    assert not resolved.startswith("/")
    assert not {"..", ".", "", ".git"} & set(resolved.casefold().split("/"))
    assert paths.resolve(root, resolved) == resolved
