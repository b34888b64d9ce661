"""Keys: what names a task uniquely in its file, with an id or without."""

from __future__ import annotations

from collections.abc import Iterable


def title_hash(title: str) -> str:
    """sha256 hex of the NFC title with runs of blanks made one."""
    import hashlib
    import unicodedata

    return hashlib.sha256(
        " ".join(unicodedata.normalize("NFC", title).split()).encode("utf-8", "surrogatepass")
    ).hexdigest()


def keys_for(names: Iterable[tuple[str | None, str]]) -> list[str]:
    """Unique keys for (id, title) pairs in file order: the id, `#` + 8 hex without one, `~2`, `~3` … for repeats."""
    seen: dict[str, int] = {}
    keys = []
    for identifier, title in names:
        base = identifier if identifier is not None else f"#{title_hash(title)[:8]}"
        count = seen[base] = seen.get(base, 0) + 1
        keys.append(base if count == 1 else f"{base}~{count}")
    return keys
