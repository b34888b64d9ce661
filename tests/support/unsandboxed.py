"""A PATH on which everything is found but bubblewrap: what a system is like that has none."""

from __future__ import annotations

import os
from pathlib import Path


def path_without_bubblewrap(folder: Path) -> str:
    """The folders of the PATH; those that hold bubblewrap are replaced by ones of links to the rest, made in `folder`."""
    found = []
    for number, place in enumerate(os.environ["PATH"].split(os.pathsep)):
        if not os.path.exists(os.path.join(place, "bwrap")):
            found.append(place)
            continue
        links = folder / f"programs-{number}"
        links.mkdir(parents=True)
        for name in os.listdir(place):
            if name != "bwrap":
                (links / name).symlink_to(os.path.join(place, name))
        found.append(str(links))
    return os.pathsep.join(found)
