"""Lines as editors and CommonMark count them: only `\\n`, `\\r\\n` and a lone `\\r` end one.

`str.splitlines` also cuts at form feeds, U+2028 and others, which shifts every position behind them; nothing in this
project uses it on text whose lines are counted.
"""

from __future__ import annotations

import re

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


def split_lines(text: str) -> list[str]:
    """The lines with their ends; joined they are `text` again. No empty line after a final line end."""
    return _LINE.findall(text)
