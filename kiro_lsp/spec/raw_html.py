"""Where a block of raw HTML begins and what ends it: the seven kinds of CommonMark, in its order."""

from __future__ import annotations

import re
from typing import Final

from kiro_lsp.spec.patterns import pattern

_RAW: Final = pattern(r"<(?:script|pre|style|textarea)(?:[ \t>]|[\r\n]*$)", re.IGNORECASE)
_RAW_END: Final = pattern(r"</(?:script|pre|style|textarea)>", re.IGNORECASE)
_BLOCK: Final = pattern(
    r"</?(address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|dl|dt"
    r"|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu"
    r"|menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|tfoot|th|thead|title|tr"
    r"|track|ul)(?:[ \t]|/?>|[\r\n]*$)",
    re.IGNORECASE,
)
_ATTRIBUTE: Final = r"[ \t]+[A-Za-z_:][\w:.-]*(?:[ \t]*=[ \t]*(?:[^ \t\"'=<>`\r\n]+|'[^'\r\n]*'|\"[^\"\r\n]*\"))?"
_TAG: Final = pattern(
    rf"(?:<[A-Za-z][A-Za-z0-9-]*(?:{_ATTRIBUTE})*[ \t]*/?>|</[A-Za-z][A-Za-z0-9-]*[ \t]*>)[ \t]*[\r\n]*$"
)
_FOLDING: Final = frozenset({"details", "summary"})

End = str | re.Pattern[str] | None
"""What a line must hold to be the last of its block; None: the block goes on to the next blank line."""


def raw_html(text: str, start: int, *, interrupts: bool) -> tuple[End, bool] | None:
    """(what ends the block, whether it is a tag that folds its content) if raw HTML begins here.

    `interrupts`: a paragraph stands above, which a tag of no known block does not interrupt.
    """
    if text.startswith("<!--", start):
        return "-->", False
    if text.startswith("<?", start):
        return "?>", False
    if text.startswith("<![CDATA[", start):
        return "]]>", False
    if text.startswith("<!", start) and text[start + 2 : start + 3].isalpha():
        return ">", False
    if _RAW.match(text, start):
        return _RAW_END, False
    if found := _BLOCK.match(text, start):
        return None, found[1].lower() in _FOLDING
    return None if interrupts or not _TAG.match(text, start) else (None, False)


def ends_html(end: End, text: str, start: int) -> bool:
    """Whether this line, from `start` on, is the last of a block with this end."""
    if end is None:
        return False
    return end in text[start:] if isinstance(end, str) else end.search(text, start) is not None
