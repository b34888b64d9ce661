"""The helper that lays an overlay over a project in namespaces of its own, and ends (Linux).

Runs as a script of its own (`python -I -S namespace.py`), since a process with threads cannot enter a user namespace.

    stdin   one line of JSON {root, upper, work, closed, writable, readable}; its end means: the server has what it wants
    stdout  one line of JSON: {} or {"error": message}

It makes a user and a mount namespace, mounts root (lower) and upper as one tree onto root itself, so that every spelling
of a path in the project, absolute ones too, leads into the overlay. With `closed` all other mounts become read-only, but
for `writable` folders and a fresh /tmp and /dev/shm, where `readable` ones stay as they are: that is for systems without
bubblewrap, which does better. The server opens descriptors of the namespaces while this process waits; they keep the
mounts alive afterwards, and nothing is left to unmount when the server dies.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MOUNT_ATTR_RDONLY = 1
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
MOUNT_SETATTR = 442
"""The number of the system call, the same on every architecture."""


def main() -> int:
    order = json.loads(sys.stdin.readline())
    try:
        lay_over(order)
    except OSError as error:
        print(json.dumps({"error": f"{error.filename or 'mount'}: {error.strerror}"}), flush=True)
        return 1
    print("{}", flush=True)
    sys.stdin.read()
    return 0


def lay_over(order: dict[str, Any]) -> None:
    user, group = os.getuid(), os.getgid()
    _call("a user namespace", "unshare", CLONE_NEWUSER | CLONE_NEWNS)
    for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(line)
    _mount("a mount namespace of its own", b"none", "/", None, MS_REC | MS_PRIVATE, None)
    # By descriptors: a comma or colon in a path would mean something in mount options.
    lower, upper, work = (os.open(order[name], os.O_PATH | os.O_DIRECTORY) for name in ("root", "upper", "work"))
    layers = f"lowerdir=/proc/self/fd/{lower},upperdir=/proc/self/fd/{upper},workdir=/proc/self/fd/{work}"
    what = "overlayfs in a user namespace"
    try:
        # Nothing here has to survive a crash; without this, unmounting would wait for the whole disk.
        _mount(what, b"overlay", order["root"], b"overlay", 0, f"userxattr,volatile,{layers}")
    except OSError:
        _mount(what, b"overlay", order["root"], b"overlay", 0, f"userxattr,{layers}")
    if order["closed"]:
        _close(order["root"], order["writable"], order["readable"])


def _close(root: str, writable: list[str], readable: list[str]) -> None:
    """Everything read-only but the overlay, what is named, and a fresh place for temporary files."""
    kept = {path: os.open(path, os.O_PATH) for path in (*readable, *writable, root) if os.path.exists(path)}
    fresh = [path for path in ("/tmp", "/dev/shm") if os.path.isdir(path)]  # noqa: S108  # to be covered, not used
    _read_only("/", AT_RECURSIVE, on=True)
    if os.getuid() != 0:
        # Programs with a sandbox of their own write there; what belongs to the system is root's.
        _read_only("/proc", 0, on=False)
    for path in fresh:
        _mount(f"a fresh {path}", b"tmpfs", path, b"tmpfs", 0, "mode=1777")
    for path, descriptor in kept.items():
        if not os.path.exists(path):
            os.makedirs(path)
        _mount(path, f"/proc/self/fd/{descriptor}".encode(), path, None, MS_BIND, None)
        if path not in readable:
            _read_only(path, 0, on=False)


def _read_only(path: str, flags: int, *, on: bool) -> None:
    class Attributes(ctypes.Structure):
        _fields_ = (
            ("set", ctypes.c_uint64),
            ("clear", ctypes.c_uint64),
            ("propagation", ctypes.c_uint64),
            ("namespace", ctypes.c_uint64),
        )

    attributes = Attributes(MOUNT_ATTR_RDONLY, 0, 0, 0) if on else Attributes(0, MOUNT_ATTR_RDONLY, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    arguments = (AT_FDCWD, os.fsencode(path), ctypes.c_uint(flags), ctypes.byref(attributes), size)
    _call(f"read-only mounts ({path})", "syscall", ctypes.c_long(MOUNT_SETATTR), *arguments)


def _mount(what: str, source: bytes, target: str, kind: bytes | None, flags: int, options: str | None) -> None:  # noqa: PLR0917  # mount(2)
    data = None if options is None else options.encode()
    _call(what, "mount", source, os.fsencode(target), kind, ctypes.c_ulong(flags), data)


def _call(what: str, name: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    sys.exit(main())
