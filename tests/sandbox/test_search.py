"""Search: the same lines with and without ripgrep, bounded time, nothing from outside."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kiro_lsp.sandbox import listing, prefilter, search, searcher
from tests.conftest import missing
from tests.support import procs

CONTENTS: dict[str, bytes] = {
    "a.py": b"def main():\n    return 1\n\nclass Foo:\n    pass\n",
    "crlf.txt": b"one\r\ntwo words\r\nthree\r\n",
    "bom.txt": b"\xef\xbb\xbffirst line\nsecond\n",
    "latin.txt": "caf\xe9 cr\xe8me\nplain caf\n".encode("latin-1"),
    "utf8.md": "naïve ²³ ½ İstanbul ıstanbul ſtraße Kelvin\n日本語 テスト\nпривет мир\n".encode(),
    "binary.bin": b"main\0main\n",
    "utf16.txt": "main\n".encode("utf-16"),
    "no-newline": b"last line without end main",
    "empty": b"",
    "long.js": b"x" * 9_000 + b"main" + b"y" * 100_000 + b"main2\n",
    "odd/-dash main.txt": b"main\n",
    "odd/[brackets]{x}.txt": b"a[0] = {b}; c.d(e) | f && g ~ h # i - j \\ k\n",
    "controls.txt": b"tab\there\x1cfile separator\x0bvertical\x85next\n",
    ".hidden/x": b"main in hidden\n",
}

PATTERNS = [
    r"\b²", r"³\b ", r"\B³",
    "main", "^def", r"\bmain\b", r"main\(\)", "words$", "^first", "(?i)MAIN", "(?i)istanbul", "(?i)kelvin|STRASSE",
    r"\w+", r"^\w+ \w+$", r"\d", r"\D$", r"[^a-z]", "[a-cx-z]+", r"caf.", r"caf.$", r"caf\W", r"\s\S", r"tab\sh",
    r"here\sfile", "a[0]", r"a\[0\]", r"\{b\}", "(?P<x>o)ne", "(?:t)wo", "on?e", "x{3,5}y*m", "main|three", "", "^$",
    r"\.", r"c\.d", "日本", "при.ет", "[日п]", "(?=main)", r"(m)ai\w\b", r"\\", "&&", "# i", "- j", "~", r"\-", "[-x]j",
    "[]x]", "[^]]$", r"e\)", "main2", "n.ïve", "na.ve", r"[\w]+ [\d]", r"[^\w]", "m++", "ma{1}in", "two\\ w",
    r"\Amain", r"main\Z", "(main", "[z-a]", "*x", "x**", r"\x6dain", "(?i:MAIN)", "(?x) main", "ı",
]  # fmt: skip


@pytest.fixture(scope="module")
def ripgrep() -> str:
    program = shutil.which("rg")
    if program is None:
        missing("rg", "ripgrep is what the fallback is compared with")
    return program or ""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ws = tmp_path_factory.mktemp("search") / "ws"
    for path, data in CONTENTS.items():
        (ws / path).parent.mkdir(parents=True, exist_ok=True)
        (ws / path).write_bytes(data)
    return ws


def find(*args: Any, **options: Any) -> list[search.Match]:
    return asyncio.run(search.search_files(*args, **options))


def outcome(root: Path, pattern: str, limit: int = 1000, *, ripgrep: bool) -> object:
    try:
        return find(root, sorted(CONTENTS), pattern, limit, ripgrep=ripgrep)
    except ValueError as error:
        return str(error)


def expected(pattern: str) -> object:
    """The oracle: what the documented rules give, written down a second time."""
    try:
        expression = re.compile(pattern)
    except re.error:
        return None
    found = []
    for path, data in sorted(CONTENTS.items()):
        if b"\0" in data:
            continue
        text = data.decode("utf-8", "replace").removeprefix("\ufeff")
        for number, line in enumerate(re.split("\r?\n", text.removesuffix("\n").removesuffix("\r")) if text else [], 1):
            if expression.search(line[:10_000]):
                found.append(search.Match(path, number, line[:10_000]))
    return found


@pytest.mark.parametrize("pattern", PATTERNS, ids=ascii)
def test_ripgrep_changes_nothing_but_the_time(pattern: str, root: Path, ripgrep: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        with_ripgrep, without = outcome(root, pattern, ripgrep=True), outcome(root, pattern, ripgrep=False)
        assert with_ripgrep == without
        right = expected(pattern)
    assert isinstance(without, str) if right is None else without == right


def test_most_patterns_are_given_to_ripgrep() -> None:
    """The comparison above would prove nothing if everything fell back."""
    usual = [
        "main",
        r"def \w+\(",
        r"\bfoo\b",
        "(?i)todo",
        "^import .*$",
        r"[A-Z]\w+Error",
        "a|b",
        r"x\.y",
        "日本",
        "[^;]*;",
    ]
    assert [pattern for pattern in usual if prefilter.superset(pattern) is None] == []


_PIECES = st.sampled_from(
    [
        "a", "b", "i", "m", "é", "ſ", " ", ".", "^", "$", "|", "(", ")", "(?:", "[ab]", "[^a]", "[a-c]", r"\w", r"\W", r"\d",
        r"\s", r"\S", r"\b", r"\B", "*", "+", "?", "*?", "{1,2}", r"\.", "-", r"\t", r"[\w-]", "²", "İ", "]", "}",
    ]
)  # fmt: skip
_LINES = st.lists(st.text(alphabet="abimIéſıİ² .\t-_1\x1c\u2028½", max_size=8), max_size=4)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(
    patterns=st.lists(st.tuples(st.booleans(), st.lists(_PIECES, min_size=1, max_size=5)), min_size=8, max_size=8),
    texts=st.lists(_LINES, min_size=3, max_size=6),
    junk=st.binary(max_size=6),
)
def test_ripgrep_never_misses_a_file_that_python_would_match(
    patterns: list[tuple[bool, list[str]]],
    texts: list[list[str]],
    junk: bytes,
    ripgrep: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("prefilter")
    names = []
    for number, lines in enumerate(texts):
        names.append(f"f{number}")
        (root / names[-1]).write_bytes("\n".join(lines).encode() + junk.replace(b"\0", b"") * (number % 2))
    tried = 0
    for folded, pieces in patterns:
        pattern = ("(?i)" if folded else "") + "".join(pieces)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                expression = re.compile(pattern)
        except re.error:
            continue
        found = searcher._candidates({"ripgrep": ripgrep, "pattern": pattern, "root": str(root)}, names)
        if found is None:
            continue
        tried += 1
        real = {name for name in names if any(searcher.matching_lines((root / name).read_bytes(), expression))}
        assert real <= found, (pattern, prefilter.superset(pattern))
    assume(tried)


def test_the_limit_takes_the_first_lines_by_path_and_number(root: Path) -> None:
    everything = find(root, sorted(CONTENTS), "e", 1000)
    assert find(root, sorted(CONTENTS), "e", 5) == everything[:5]
    assert everything == sorted(everything, key=lambda match: (match.path, match.line))


def test_contents_of_the_run_win_over_the_disk_and_may_exist_nowhere_else(root: Path) -> None:
    found = find(root, ["a.py"], "main", 10, {"a.py": b"staged main\n", "new.py": b"\n\nmain here\n"})
    assert found == [search.Match("a.py", 1, "staged main"), search.Match("new.py", 3, "main here")]


@pytest.mark.parametrize("ripgrep", [True, False])
def test_links_out_of_the_root_and_pipes_give_nothing(ripgrep: bool, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret main\n")
    ws = tmp_path / "ws"
    ws.mkdir()
    (ws / "link").symlink_to("../outside")
    (ws / "inner").write_text("main\n")
    (ws / "also").symlink_to("inner")
    listed = ["link", "inner", "also", "gone", "../outside", "/etc/passwd"]
    found = find(ws, listed, "main|root", 100, ripgrep=ripgrep)
    assert [match.path for match in found] == ["also", "inner"]
    assert listing.list_files(ws, trusted=False) == ["also", "inner"]


def test_a_pattern_that_would_never_end_is_stopped_and_the_process_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a" * 5000 + "b\n")
    with pytest.raises(ValueError, match=r"longer than 0\.5 seconds"):
        find(tmp_path, ["a"], r"(?=a)(a|aa)+$", 10, seconds=0.5)


async def test_a_cancelled_search_ends_its_process_at_once(tmp_path: Path) -> None:
    """The alarm of the searcher itself would come after an hour."""
    (tmp_path / "a").write_text("a" * 5000 + "b\n")
    running = asyncio.create_task(search.search_files(tmp_path, ["a"], r"(?=a)(a|aa)+$", 10, seconds=3600))
    while not (found := searchers_of(os.getpid())):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert {pid for pid in found if not procs.is_dead(pid)} == set()


def searchers_of(parent: int) -> set[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid) for pid in listed if b"searcher.py" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def test_a_killed_server_takes_its_search_along(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a" * 5000 + "b\n")
    code = (
        "import asyncio; from kiro_lsp.sandbox import search\n"
        f"asyncio.run(search.search_files({str(tmp_path)!r}, ['a'], '(?=a)(a|aa)+$', 10, seconds=3600))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) as server:
        while not (found := searchers_of(server.pid)):
            assert server.poll() is None
        # Busy for longer than it takes to start and read its order: it is in the middle of the endless match.
        while sum(procs.busy_ticks(pid) for pid in found) < 20:
            assert server.poll() is None
        server.kill()
        server.wait()
    assert procs.gone_within(found) == set()


def test_a_pipe_put_in_place_of_a_listed_file_does_not_hang_the_search(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="longer than"):
        find(tmp_path, ["pipe"], "x", 10, seconds=0.5)
    assert find(tmp_path, ["pipe"], "x", 10, seconds=5, ripgrep=False) == []


@pytest.mark.parametrize("pattern", ["(", "[", "a{2,1}", "(?<x", "\\", "(" * 200 + ")" * 200, "x" * 3000])
def test_a_wrong_pattern_is_a_value_error_that_quotes_it(pattern: str, root: Path) -> None:
    if pattern.startswith("((") and re.compile(pattern):
        assert find(root, ["empty"], pattern, 10) == []
        return
    with pytest.raises(ValueError, match=r"pattern|regular expression"):
        find(root, ["a.py"], pattern, 10)


def test_many_files_fit_on_several_command_lines() -> None:
    paths = [f"{'x' * 200}/{number}" for number in range(5000)]
    batches = list(searcher._batches(paths))
    assert [path for batch in batches for path in batch] == paths
    assert len(batches) > 1


def test_no_configuration_of_ripgrep_is_read(
    ripgrep: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K11: --pre runs a program for every file."""
    proof = tmp_path / "ran"
    evil = tmp_path / "pre.sh"
    evil.write_text(f"#!/bin/sh\necho ran > {proof}\ncat $1\n")
    evil.chmod(0o755)
    (tmp_path / "ripgreprc").write_text(f"--pre={evil}\n")
    monkeypatch.setenv("RIPGREP_CONFIG_PATH", str(tmp_path / "ripgreprc"))
    assert find(root, ["a.py", "crlf.txt"], "main", 10)
    order = {"ripgrep": ripgrep, "pattern": "main", "root": str(root)}
    assert searcher._candidates(order, ["a.py", "crlf.txt"]) == {"a.py"}
    assert not proof.exists()
