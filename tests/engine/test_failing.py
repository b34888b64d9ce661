"""What of a runner's output is shown: real outputs of real runners, and output of any kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.engine.failing import MOST_CHARACTERS, MOST_LINES, failing_part, result_line, same_failure

PYTEST = """\
.F                                                                       [100%]
=================================== FAILURES ===================================
___________________________________ test_bad ___________________________________

    def test_bad():
        name = "x"
>       assert name.upper() == "Y", "names are upper"
E       AssertionError: names are upper
E       assert 'X' == 'Y'

test_a.py:5: AssertionError
=========================== short test summary info ============================
FAILED test_a.py::test_bad - AssertionError: names are upper
1 failed, 1 passed in 0.39s
"""
UNITTEST = """\
.F
======================================================================
FAIL: test_bad (test_u.T.test_bad)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/p/test_u.py", line 3, in test_bad
    def test_bad(self): self.assertEqual(1, 2)
AssertionError: 1 != 2

----------------------------------------------------------------------
Ran 2 tests in 0.001s

FAILED (failures=1)
"""
JEST = """\
\x1b[1m\x1b[31mFAIL\x1b[39m\x1b[22m src/sum.test.js
  \x1b[32m✓\x1b[39m adds nothing (1 ms)
  \x1b[31m✕\x1b[39m adds (3 ms)

\x1b[1m\x1b[31m  ● sum › adds\x1b[39m\x1b[22m

    expect(received).toBe(expected) // Object.is equality

    Expected: 3
    Received: 4

      1 | const sum = require('./sum');
    > 2 | test('adds', () => { expect(sum(1, 2)).toBe(3); });

      at Object.toBe (src/sum.test.js:2:38)

Test Suites: 1 failed, 1 total
Tests:       1 failed, 1 passed, 2 total
Snapshots:   0 total
Time:        0.51 s
Ran all test suites.
"""
NODE = """\
TAP version 13
# Subtest: ok
ok 1 - ok
# Subtest: adds
not ok 2 - adds
  ---
  duration_ms: 4.919498
  location: '/p/a.test.js:2:1'
  error: |-
    Expected values to be strictly equal:

    2 !== 3
  code: 'ERR_ASSERTION'
  ...
1..2
# tests 2
# pass 1
# fail 1
"""
CARGO = """\
running 2 tests
test tests::fine ... ok
test tests::it_works ... FAILED

failures:

---- tests::it_works stdout ----

thread 'tests::it_works' (27260) panicked at src/lib.rs:4:29:
assertion `left == right` failed: sum
  left: 0
 right: 4

failures:
    tests::it_works

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.14s

error: test failed, to rerun pass `--lib`
"""
RUSTC = """\
   Compiling cr v0.1.0 (/p)
error[E0425]: cannot find value `c` in this scope
 --> src/lib.rs:1:42
  |
1 | pub fn add(a: u64, b: u64) -> u64 { a + c }
  |                                         ^ help: a local variable with a similar name exists: `b`

error: could not compile `cr` (lib) due to 1 previous error
"""
GO = """\
=== RUN   TestGreet
    greet_test.go:8: got "hello", want "hello x"
--- FAIL: TestGreet (0.00s)
=== RUN   TestBye
--- PASS: TestBye (0.00s)
FAIL
FAIL\texample.com/greet\t0.003s
ok  \texample.com/other\t0.002s
FAIL
"""
TSC = "src/a.ts(3,5): error TS2322: Type 'string' is not assignable to type 'number'.\nFound 1 error in src/a.ts:3\n"
MAKE = "gcc -c a.c\na.c:3:5: error: expected ';' before '}' token\nmake: *** [Makefile:2: a.o] Error 1\n"

RUNNERS = {
    "pytest": (
        PYTEST,
        "1 failed, 1 passed in 0.39s",
        ["assert 'X' == 'Y'", "test_a.py:5", "FAILED test_a.py::test_bad"],
    ),
    "unittest": (UNITTEST, "FAILED (failures=1)", ["FAIL: test_bad", "AssertionError: 1 != 2"]),
    "jest": (JEST, "Tests:       1 failed, 1 passed, 2 total", ["● sum › adds", "Expected: 3", "Received: 4"]),
    "node": (NODE, "# fail 1", ["not ok 2 - adds", "2 !== 3", "a.test.js:2:1"]),
    "cargo": (CARGO, "test result: FAILED. 1 passed; 1 failed", ["panicked at src/lib.rs:4:29", "left: 0", "right: 4"]),
    "rustc": (RUSTC, "error: could not compile `cr`", ["error[E0425]", "--> src/lib.rs:1:42"]),
    "go": (GO, "FAIL\texample.com/greet\t0.003s", ["--- FAIL: TestGreet", 'got "hello", want "hello x"']),
    "tsc": (TSC, "Found 1 error", ["src/a.ts(3,5): error TS2322"]),
    "make": (MAKE, "make: *** [Makefile:2: a.o] Error 1", ["a.c:3:5: error: expected"]),
    "another": (
        "".join(f"step {n}\n" for n in range(100)) + "it broke here\n",
        "it broke here",
        ["step 99", "it broke here"],
    ),
}


@pytest.mark.parametrize("name", RUNNERS)
def test_what_failed_is_kept_and_the_result_is_one_line(name: str) -> None:
    output, result, kept = RUNNERS[name]
    assert result_line(output).startswith(result.strip())
    failing = failing_part(output)
    assert [line for line in kept if line not in failing] == []
    assert "\x1b" not in failing


@pytest.mark.parametrize("name", ["pytest", "jest", "cargo", "node"])
def test_what_passed_is_left_out_where_there_is_much_of_it(name: str) -> None:
    noise = "".join(f"src/module_{n}.py: compiled without a word\n" for n in range(2000))
    output, _, kept = RUNNERS[name]
    failing = failing_part(noise + output + noise)
    assert [line for line in kept if line not in failing] == []
    assert "without a word" not in failing


def test_of_very_many_failures_the_first_and_the_last_are_kept() -> None:
    failing = failing_part(
        "".join(f"FAILED test_{n}.py::test - boom\n" for n in range(1000)) + "1000 failed in 3.00s\n"
    )
    assert "test_0.py" in failing
    assert "test_999.py" in failing
    assert "1000 failed" in failing
    assert len(failing.splitlines()) <= MOST_LINES + 1


def test_a_line_that_was_written_over_is_what_stood_there_last() -> None:
    assert failing_part("1 of 3\r2 of 3\r3 of 3\n") == "3 of 3"
    assert result_line("1 %\r50 %\rdone\n") == "done"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (PYTEST, PYTEST.replace("0.39s", "12.07s"), True),
        (NODE, NODE.replace("4.919498", "3.1"), True),
        (CARGO, CARGO.replace("27260", "31").replace("0.14s", "0.2s"), True),
        (PYTEST, PYTEST.replace("'X' == 'Y'", "'Z' == 'Y'"), False),
        (JEST, JEST.replace("Received: 4", "Received: 5"), False),
    ],
)
def test_the_same_failure_is_known_whatever_it_took(one: str, other: str, expected: bool) -> None:
    assert same_failure(failing_part(one), failing_part(other)) is expected


@given(st.text(max_size=3000))
def test_any_output_gives_a_bounded_part_without_control_characters(output: str) -> None:
    failing = failing_part(output)
    assert len(failing) <= MOST_CHARACTERS + 10
    assert all(character.isprintable() or not character.isascii() or character in "\n\t" for character in failing)
    assert "\n" not in result_line(output)
