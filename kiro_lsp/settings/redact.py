"""Takes secrets out of text on its way to a log, an event, a prompt, a file or an error message.

Known values are found as they are and in the forms in which programs print them: base64 at every alignment, hex, escapes of
URLs, JSON, HTML, Python and shells. Unknown keys are found by their shape. A stream is held back only as far as its end could be
the beginning of a secret. What no form or shape covers (a key split by other text, encrypted, in a picture) is not
found.
"""

from __future__ import annotations

import base64
import bisect
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MARK = "[redacted]"
_SHORTEST = 8
"""Values shorter than this are words, not secrets: replacing them would spoil every text."""
_HELD_AT_MOST = 16_384
_OPEN_BLOCK = re.compile(
    r"-----BEGIN (?:[A-Z ]{0,40}-{0,5}\Z"
    r"|[A-Z ]*PRIVATE KEY-----(?![\s\S]*-----END [A-Z ]*PRIVATE KEY-----)[\s\S]*\Z)"
)

_SHAPES: tuple[str, ...] = (
    r"sk-(?:ant|proj|svcacct|or|lf)-[A-Za-z0-9_-]{16,}",
    r"sk-[A-Za-z0-9]{20,}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}",
    r"AIza[A-Za-z0-9_-]{30,}",
    r"ya29\.[A-Za-z0-9_-]{20,}",
    r"gh[pousr]_[A-Za-z0-9]{30,}",
    r"github_pat_[A-Za-z0-9_]{30,}",
    r"glpat-[A-Za-z0-9_-]{18,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-[A-Za-z0-9_-]{40,}",
    r"hf_[A-Za-z0-9]{30,}",
    r"(?:gsk|xai|tgp|r8)_?-?[A-Za-z0-9]{40,}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
)
_BEFORE = r"(?<![A-Za-z0-9])"
_SHAPE = re.compile(_BEFORE + "(?:" + "|".join(_SHAPES) + ")")
_CONTEXT = re.compile(
    r"(?P<keep>(?i:authorization|x-api-key|x-goog-api-key|api-key)[\"']?\s*[:=]\s*[\"']?(?:(?i:bearer|basic|token)\s+)?)"
    r"(?P<secret>[A-Za-z0-9+/_.~=-]{12,})"
)
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----")
_URL_PASSWORD = re.compile(
    r"(?P<keep>\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"']{0,200}:)(?P<secret>[^\s/@\"']{3,200})(?=@)"
)
_OPENERS: tuple[str, ...] = (
    *("sk-", "sk_", "rk_", "pk_", "AIza", "ya29.", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"),
    *("xox", "AKIA", "ASIA", "npm_", "pypi-", "hf_", "gsk", "xai", "tgp", "r8", "SG.", "eyJ"),
)
_STARTS = re.compile(_BEFORE + "(?:" + "|".join(map(re.escape, _OPENERS)) + r")[A-Za-z0-9_.-]*\Z")
_HEADER_START = re.compile(r"(?i:authorization|x-api-key|x-goog-api-key|api-key)[^\n]{0,400}\Z")
_URL_START = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/@\"']{0,400}\Z")


def looks_like_key(text: str) -> bool:
    """Whether a text holds something with the shape of a provider's key."""
    return bool(_SHAPE.search(text) or _PRIVATE.search(text))


def forms(value: str) -> set[str]:
    """The value as programs print it: raw, base64 (three alignments, both alphabets), hex, escaped for URL, JSON, HTML,
    Python and a shell.
    """
    data = value.encode("utf-8", "surrogatepass")
    found = {value, data.hex(), data.hex().upper(), quote(value, safe=""), quote_plus(value), html.escape(value)}
    found.add(quote(value, safe="").replace("%", "%25"))
    found.add(html.escape(value, quote=False))
    found.add(html.escape(value).replace("&#x27;", "&#39;"))
    found.update((repr(value)[1:-1], ascii(value)[1:-1], value.replace("'", "'\"'\"'"), value.replace("'", "'\\''")))
    for ascii_only in (True, False):
        escaped = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        found.update((escaped, escaped.replace("/", "\\/"), json.dumps(escaped)[1:-1]))
    found.update(_base64_forms(data))
    return {form for form in found if len(form) >= _SHORTEST}


def _base64_forms(data: bytes) -> Iterable[str]:
    # Inside a longer text the value starts at one of three alignments; the characters that also depend on its
    # neighbours are left out.
    for lead in range(3):
        coded = base64.b64encode(b"\0" * lead + data).decode("ascii").rstrip("=")
        start = -(-lead * 8 // 6)
        end = (lead + len(data)) * 8 // 6
        inner = coded[start:end]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")


class Redactor:
    """Replaces every known secret and everything with the shape of a key. Safe to share between threads."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        found: set[str] = set()
        for value in values:
            stripped = value.strip()
            if len(stripped) >= _SHORTEST:
                found |= forms(stripped)
                # Programs print a multi-line key one line at a time.
                for line in stripped.splitlines():
                    if len(line) >= 2 * _SHORTEST and not line.startswith("-----"):
                        found |= forms(line)
        # One search per form runs at the speed of memory; an alternation of them all does not.
        # In an order of its own where forms are equally long: what overlaps is replaced the same in every process.
        self._forms = tuple(sorted(found, key=lambda form: (-len(form), form)))
        self._sorted = sorted(found)
        self._longest = max(map(len, found), default=0)

    def redact(self, text: str) -> str:
        """The text without secrets. Idempotent."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MARK)
        text = _PRIVATE.sub(MARK, text)
        text = _SHAPE.sub(MARK, text)
        if "://" in text and "@" in text:
            text = _URL_PASSWORD.sub(_keep, text)
        return _CONTEXT.sub(_keep, text)

    def redact_bytes(self, data: bytes) -> bytes:
        """The same for bytes of any encoding: what is not UTF-8 is kept as it is."""
        return self.redact(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def stream(self) -> RedactedStream:
        """A filter for text that arrives in pieces; one per stream."""
        return RedactedStream(self)

    def safe_end(self, text: str) -> int:
        """Up to where a text can be shown when more may follow: no secret begins before it and ends after it."""
        held = 0
        for length in range(min(len(text), self._longest - 1), 0, -1):
            tail = text[-length:]
            at = bisect.bisect_left(self._sorted, tail)
            if at < len(self._sorted) and self._sorted[at].startswith(tail):
                held = length
                break
        window = text[-_HELD_AT_MOST:]
        for pattern in (_STARTS, _HEADER_START, _URL_START, _OPEN_BLOCK):
            match = pattern.search(window)
            if match is not None:
                held = max(held, len(window) - match.start())
        for opener in (*_OPENERS, "-----BEGIN "):
            for length in range(len(opener) - 1, 0, -1):
                if window.endswith(opener[:length]):
                    held = max(held, length)
                    break
        end = len(text) - held
        # The cut must not go through a secret that is already complete.
        for start, stop in sorted(self._complete(text), reverse=True):
            if start < end < stop:
                end = start
        return end

    def _complete(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            start = text.find(form)
            while start >= 0:
                yield start, start + len(form)
                start = text.find(form, start + 1)
        for pattern in (_SHAPE, _PRIVATE, _URL_PASSWORD, _CONTEXT):
            yield from (match.span() for match in pattern.finditer(text))

    def __repr__(self) -> str:
        return f"Redactor({len(self._sorted)} forms)"


class RedactedStream:
    """Text in pieces in, the same text without secrets out, never a part of one."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._tail = ""

    def feed(self, piece: str) -> str:
        """What can be shown now; the rest is held until the next piece or `flush`."""
        text = self._tail + piece
        end = self._redactor.safe_end(text)
        self._tail = text[end:]
        return self._redactor.redact(text[:end])

    def flush(self) -> str:
        """What was held back, at the end of the stream."""
        text, self._tail = self._redactor.redact(self._tail), ""
        return text


def _keep(match: re.Match[str]) -> str:
    return match["keep"] + (match["secret"] if match["secret"] in MARK else MARK)


_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRETS?|PASSWORD|PASSWD|PASS|PWD|PASSPHRASE|CREDENTIALS?|PRIVATE|AUTH|BEARER|COOKIE"
    r"|DSN|SALT)(?:_|\d|$)"
)
_NOT_SECRET_NAME = re.compile(
    r"(?:_FILE|_PATH|_DIR|_SOCK|_SOCKET|_ID_FILE|_URL|_HOST|_PORT|_USER|_METHOD|_TYPE|_ENABLED)$|^(?:PWD|OLDPWD)$"
)


def is_secret(name: str, value: str, *, strict: bool = False) -> bool:
    """Whether the value of a variable must not be shown. `strict` (for a `.env` file) also goes by the value."""
    if len(value) < _SHORTEST or value.startswith("/"):
        return False
    if looks_like_key(value):
        return True
    upper = name.upper()
    if _SECRET_NAME.search(upper) and not _NOT_SECRET_NAME.search(upper):
        return True
    if not strict:
        return False
    # A long run of letters and digits without words in it is no ordinary setting.
    return bool(re.fullmatch(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9+/=_.~-]{16,}", value)) and "://" not in value


def url_password(value: str) -> str | None:
    """The password inside an address, if there is one."""
    match = _URL_PASSWORD.search(value)
    return match["secret"] if match is not None else None
