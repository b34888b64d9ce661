"""An edit every few milliseconds for a minute: is anything stale, and does memory stay bounded?

    python -m benchmarks.edit_storm --seconds 60 --pause 0.005 --tasks 1000

Every tenth edit asks for lenses and does not wait. In the end the document is opened again under another name: its lenses and
symbols must be the same. The client is that of `language_server.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.language_server import CLIENT, OURS, REPO, client


async def storm(lspbench: Any, root: Path, args: argparse.Namespace) -> bool:
    env = lspbench.server_environment() | {"KIRO_LSP_STATE_DIR": str(root.parent / "state"), "PYTHONPATH": str(REPO)}
    server = lspbench.Server(list(OURS.argv), root, env=env)
    await server.start()
    await server.initialize()
    server.notify("initialized", {})
    document = lspbench.Document(server, root, lspbench.Options(list(OURS.argv)), args.tasks, "storm")
    server.write(document.opening())
    lens = lspbench.METHODS["codeLens"]
    await server.request(lens.wire, lens.params(document.uri, 0))
    rnd, loop = random.Random(1), asyncio.get_running_loop()
    begun, memory, asked = loop.time(), [], []
    edits = 0
    while loop.time() - begun < args.seconds:
        server.write(document.edit(rnd.choice(document.places)))
        edits += 1
        if edits % 10 == 0:
            data, future = server.prepare(lens.wire, lens.params(document.uri, 0))
            server.write(data)
            asked.append(future)
        if len(memory) < 7 * (loop.time() - begun) / args.seconds:
            memory.append(lspbench.memory_mb(server.pid)["pss"])
        await asyncio.sleep(args.pause)
    replies = await asyncio.wait_for(asyncio.gather(*asked), 60)
    memory.append(lspbench.memory_mb(server.pid)["pss"])
    refused = [reply.error for reply in replies if reply.error]
    same = await _as_opened_again(lspbench, server, document, root)
    print(f"{edits} edits, {len(replies)} requests, {len(refused)} refused ({refused[:1]})")
    print(f"memory, MB PSS, from the beginning to the end: {memory}")
    print(
        "the answers are those of the text opened afresh"
        if same
        else "STALE: opened afresh, the text has other answers"
    )
    await server.stop()
    return same


async def _as_opened_again(lspbench: Any, server: Any, document: Any, root: Path) -> bool:
    fresh = lspbench.Document(server, root, lspbench.Options([]), 1, "again")
    fresh.lines = list(document.lines)
    server.write(fresh.opening())
    for name in ("codeLens", "documentSymbol"):
        if server.supports(name):
            method = lspbench.METHODS[name]
            first, second = [
                json.dumps((await server.request(method.wire, method.params(uri, 0))).result)
                for uri in (document.uri, fresh.uri)
            ]
            number = '"data": ['  # lenses that are resolved later carry a number for their document
            if _plain(first, document.uri, number) != _plain(second, fresh.uri, number):
                return False
    return True


def _plain(answer: str, uri: str, number: str) -> str:
    head, *rest = answer.replace(uri, "").split(number)
    return number.join([head, *(part.partition(",")[2] for part in rest)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client", type=Path, default=CLIENT)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pause", type=float, default=0.005)
    parser.add_argument("--tasks", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kiro-storm-") as folder:
        root = Path(folder) / "tickets"
        root.mkdir()
        return 0 if asyncio.run(storm(client(args.client), root, args)) else 1


if __name__ == "__main__":
    sys.exit(main())
