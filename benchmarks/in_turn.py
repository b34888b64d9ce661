"""Language servers beside each other, each opening and editing the same file in turn, in one run:

    python -m benchmarks.in_turn --bin FOLDER_WITH_PEERS --sizes 1000,10000 --rounds 21

On a machine that other work shares, servers that run one after the other meet different machines. Here all are there at once,
and every round has each of them open one new document, so that what disturbs one disturbs all; the least of many rounds is
what a calm machine would show. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.language_server import CLIENT, NAIVE, OURS, PEERS, REPO, Peer, client, present

METHODS = ("documentSymbol", "hover", "codeLens")
_SETTLE_SECONDS = 1.0
_BETWEEN_SECONDS = 0.02


async def started(lspbench: Any, peer: Peer, argv: Sequence[str], folder: Path) -> tuple[Any, Any]:
    """A server that is initialized and came to rest, and the options of its documents."""
    root = folder / peer.name.replace(" ", "-") / "tickets"  # every Markdown file in it is a task file
    root.mkdir(parents=True)
    env = lspbench.server_environment() | {
        "KIRO_LSP_STATE_DIR": str(root.parent / "state"),
        "HOME": str(root.parent),
        "PYTHONPATH": str(REPO),
    }
    server = lspbench.Server(list(argv), root, env=env)
    await server.start()
    await server.initialize()
    server.notify("initialized", {})
    return server, lspbench.Options(command=list(argv), language=peer.language, root=root, env=env)


async def opened_and_edited(
    lspbench: Any, server: Any, options: Any, size: int, method: str, name: str, *, edits: int
) -> tuple[float, list[float]]:
    """Milliseconds from opening a document to the answer, and from each edit of it to the next one."""
    spec = lspbench.METHODS[method]
    document = lspbench.Document(server, server.root, options, size, name)
    line, message = document.places[0], document.opening()
    places = random.Random(name)
    times = []
    for _ in range(edits + 1):
        request, future = server.prepare(spec.wire, spec.params(document.uri, line))
        begun = lspbench.now()
        server.write(message + request)
        reply = await asyncio.wait_for(future, 60)
        if reply.error:
            raise SystemExit(f"{options.command}: {method}: {reply.error}")
        times.append((reply.arrived - begun) * 1000)
        line = places.choice(document.places)
        message = document.edit(line)
    document.close()
    await asyncio.sleep(_BETWEEN_SECONDS)
    return times[0], times[1:]


async def measure(lspbench: Any, peers: Sequence[tuple[Peer, tuple[str, ...]]], args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="kiro-bench-") as folder:
        for size in args.sizes:
            servers = {peer.name: await started(lspbench, peer, argv, Path(folder) / str(size)) for peer, argv in peers}
            await asyncio.sleep(_SETTLE_SECONDS)
            for method in METHODS:
                able = {name: both for name, both in servers.items() if both[0].supports(method)}
                opens: dict[str, list[float]] = {name: [] for name in able}
                edits: dict[str, list[float]] = {name: [] for name in able}
                for turn in range(args.rounds):
                    for name, (server, options) in able.items():
                        about = f"tasks-{method}-{turn}"
                        opening, editing = await opened_and_edited(
                            lspbench, server, options, size, method, about, edits=args.edits
                        )
                        opens[name].append(opening)
                        edits[name] += editing
                for figure, samples in (("open", opens), ("edit", edits)):
                    shown = (
                        f"{name} {min(all_):.1f} / {statistics.median(all_):.1f}" for name, all_ in samples.items()
                    )
                    print(f"{size:,}: {figure} → {method}, ms, least / median: {', '.join(shown)}", flush=True)
            for server, _ in servers.values():
                await server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client", type=Path, default=CLIENT)
    parser.add_argument("--bin", action="append", default=[], help="a folder with peers' programs")
    parser.add_argument("--only", default="kiro-lsp,naive pygls,ty,zuban", help="names of servers, comma-separated")
    parser.add_argument("--sizes", default="1000,10000", type=lambda text: [int(size) for size in text.split(",")])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--edits", type=int, default=6, help="of each document that is opened")
    args = parser.parse_args()
    names = args.only.split(",")
    peers = [
        (peer, argv)
        for peer, argv in present((OURS, NAIVE, *PEERS), args.bin)
        if peer.name in names and argv is not None
    ]
    asyncio.run(measure(client(args.client), peers, args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
