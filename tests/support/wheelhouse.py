"""A folder of wheels made of what is installed here: packages can be installed from it without a network."""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

UNCOMPILED = {"PIP_NO_COMPILE": "1"}
"""The environment in which pip writes modules and leaves it to Python to compile those that are imported."""

_OF_THE_INSTALLER = {"INSTALLER", "REQUESTED", "direct_url.json", "RECORD"}


def wheelhouse(folder: Path, requirements: Iterable[str]) -> Path:
    """Wheels of the installed packages that satisfy the requirements, and of all that these need."""
    folder.mkdir(parents=True)
    waiting, packed = [Requirement(line) for line in requirements], set()
    while waiting:
        wanted = waiting.pop()
        done = (wanted.name, tuple(sorted(wanted.extras)))
        if done in packed:
            continue
        packed.add(done)
        found = distribution(wanted.name)
        repacked(found, folder)
        for line in found.requires or ():
            needed = Requirement(line)
            extras = wanted.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return folder


def offline(folder: Path) -> Mapping[str, str]:
    """The environment in which pip knows these wheels and no index."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": "/dev/null", **UNCOMPILED}


def repacked(found: Distribution, folder: Path) -> Path:
    """The wheel that an installed package came from, but for its programs."""
    name = re.sub(r"[-_.]+", "_", found.metadata["Name"])
    tags = re.findall(r"^Tag: (.+)$", found.read_text("WHEEL") or "", re.MULTILINE)
    target = folder / f"{name}-{found.version}-{_compressed(tags)}.whl"
    if target.exists():
        return target
    information = ""
    record = []
    with zipfile.ZipFile(target, "w") as wheel:
        for path in found.files or ():
            if path.parts[0] == ".." or path.suffix == ".pyc":
                continue
            if path.parts[0].endswith(".dist-info"):
                information = path.parts[0]
                if path.name in _OF_THE_INSTALLER:
                    continue
            data = Path(str(path.locate())).read_bytes()
            wheel.writestr(path.as_posix(), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{path.as_posix()},sha256={digest},{len(data)}")
        wheel.writestr(f"{information}/RECORD", "\n".join([*record, f"{information}/RECORD,,"]) + "\n")
    return target


def _compressed(tags: list[str]) -> str:
    """`cp311-abi3` and so on, each part with all that it may be."""
    parts = zip(*(tag.split("-") for tag in tags), strict=True)
    return "-".join(".".join(dict.fromkeys(part)) for part in parts)
