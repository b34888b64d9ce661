"""Random task files and random edits of them: what people type, and what a parser of blocks stumbles over."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from kiro_lsp.spec.lines import Edit, difference, split_lines

LINES = [
    "# Plan", "## 1. Phase", "## Acceptance criteria", "### Task 2.1: Heading task ✅", "Title", "=====", "-----",
    "", "", "", "- [ ] 1. Set up", "- [x] 1. Set up", "  - [ ] 1.1 Inner `src/a.py`", "  - [x] 1.2 Inner",
    "    - [ ] 1.2.1 Deep", "- [ ] 2. Second", "- [ ]* 2.1 Optional", "- [-] 3. Under way",
    "- [~] T004 [P] [US1] Odd in src/b.py", "- [ ] T005 (depends on T004)", "- [X] T006 done", "- [ ] plain box",
    "- [ ] plain box", "- [ ] 6 performance tests", "1. [ ] ordered", "* [ ] star", "+ [ ] plus", "- [] empty",
    "- [ ] - [x] doubled", "- [ ] ~~4. gone~~", "  - detail of it", "    - deeper detail",
    "  - _Requirements: 1.1, 2.3_", "  - **File**: src/c.py", "  - _Depends: 1.1_",
    "  - _Prompt: Role: dev | Task: do_", "    wrapped words of a title", "text that goes on", "T004 → T005",
    "1 blocks 2", "**Success criteria:**", "Notes:", "```", "```json", "~~~", "```mermaid", "T004 --> T006",
    '{"waves": [{"id": 0, "tasks": ["1", "2"]}]}', "<!-- hidden", "-->", "<!-- one line -->", "<details>",
    "<summary>more</summary>", "</details>", "<div>", "</div>", "<script>", "</script>", "> - [ ] 7. quoted",
    "> text", ">", "> ```", "-", "  -", "    indented code", "\t- [ ] 8. tabbed", "    - [ ] 9. four blanks", "---",
    "***", "title: x", "...", "Legend:", "`[~]` in progress, `[!]` blocked", "| [~] | in progress |",
    "| id | task | status |", "|---|---|---|", "| 1 | Do | done |", "[ ] bare", "- [  ] wide", "some [ ] a [x] b",
    "- ✅ done thing", "\u2028", "\x0c", "a\u2028- [ ] 5. x", "\x0c- [ ] 5. y", "\udc00 lone",
    "- [ ] 5. \ud83d half", "\ufeff- [ ] 1. marked", "é漢😀 text", "\x85next", "0. [ ] zero", "- [ ] 0. None",
]  # fmt: skip
ENDS = ["\n"] * 12 + ["\r\n"] * 3 + ["\r", "\r", ""]
SCRAPS = [
    "", "", " ", "  ", "\t", "x", "-", "- ", "[", "]", "- [ ] ", "[x]", "`", "```", "~", "#", "\n", "\n", "\n\n",
    "\r", "\r\n", "\n- [ ] 3. New", "<", ">", "<!--", "-->", "1", "1.", ".1", "2. ", "*", "_", "=", "\u2028",
    "\x0c", "\ud800", "\ufeff", "T005", "(depends on 1)", ":", "**", "~~", "z",
]  # fmt: skip


def text_of(random: Random, most: int = 40) -> str:
    return "".join(random.choice(LINES) + random.choice(ENDS) for _ in range(random.randrange(most)))


def edits_of(random: Random, text: str, count: int) -> Iterator[tuple[list[str], Edit]]:
    """`count` random edits, each of the text that the one before left: (all lines of the new text, what changed)."""
    lines = split_lines(text)
    for _ in range(count):
        text = "".join(lines)
        start = random.randrange(len(text) + 1)
        removed = random.choice([0, 0, 0, 1, 1, 2, 5, random.randrange(60)])
        added = random.choice(SCRAPS) if random.random() < 0.7 else text_of(random, 4)
        new = split_lines(text[:start] + added + text[start + removed :])
        yield new, difference(lines, new)
        lines = new
