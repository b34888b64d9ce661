"""Which task a name means where several carry it: the one rule that the order of work and every change of ids go by."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence


class Carriers:
    """The tasks of a file by their ids, as indices in the order of the file."""

    def __init__(self, ids: Iterable[str | None]) -> None:
        self._by_id: dict[str, list[int]] = {}
        for number, identifier in enumerate(ids):
            if identifier is not None:
                self._by_id.setdefault(identifier, []).append(number)

    def meant(self, name: str, number: int) -> int:
        """The task that a name means in task `number`: of several the nearest above, else the first. -1 for none."""
        carriers = self._by_id.get(name)
        if carriers is None:
            return -1
        above = bisect_left(carriers, number)
        return carriers[above - 1] if above else carriers[0]

    def all(self, name: str) -> Sequence[int]:
        """Every task with a name, which is what a wave means by it."""
        return self._by_id.get(name, ())
