"""Where the YAML front matter of a Markdown file ends; CommonMark does not know it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_KEY: Final = re.compile(r"[A-Za-z_\"'][^\r\n:]{0,80}:(?:[ \t\r\n]|$)")
FRONT_MATTER_LIMIT: Final = 2000
"""Lines; a closing `---` further down belongs to something else."""


def front_matter_end(lines: Sequence[str]) -> int:
    """The first line behind YAML front matter, 0 without one.

    Two thematic breaks look the same, so the first line that is neither blank nor a comment must be a key.
    """
    if not lines or lines[0].removeprefix("\ufeff").rstrip() != "---":
        return 0
    seen = False
    for number in range(1, min(len(lines), FRONT_MATTER_LIMIT)):
        line = lines[number].rstrip()
        if line in ("---", "..."):
            return number + 1 if seen else 0
        if not seen and line and not line.startswith("#"):
            if not _KEY.match(line):
                return 0
            seen = True
    return 0
