"""Regular expressions that are compiled when they are first used.

There are a few hundred in this layer, and a file needs a dozen: to compile them all takes longer than everything else
between the start of the server and its first answer.
"""

from __future__ import annotations

import re
from typing import Any, cast


class _Late:
    """Stands for a compiled expression; from its first use on its methods are that one's own, so that a call costs the same."""

    def __init__(self, source: str, flags: int) -> None:
        self._source, self._flags = source, flags

    def __getattr__(self, name: str) -> Any:
        # The table of compiled expressions in `re` is small; what is kept here is compiled once.
        compiled = re.compile(self._source, self._flags)
        for method in (
            "match",
            "search",
            "fullmatch",
            "findall",
            "finditer",
            "split",
            "sub",
            "subn",
            "pattern",
            "flags",
        ):
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)


def pattern(source: str, flags: int = 0) -> re.Pattern[str]:
    """As `re.compile`, later: what is wrong with the expression is raised where it is first used."""
    return cast("re.Pattern[str]", _Late(source, int(flags)))
