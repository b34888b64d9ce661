"""The language server beside a naive one on pygls and beside other language servers, in one run:

    python -m benchmarks.language_server --sizes 1000,10000,100000

Start, open → answer, edit → answer, memory, rates of requests written at once. The client is `lspbench.py`, which lies beside a
development checkout (../shared/tools) or is named by --client. Peers are found on PATH or in the folders of --bin; those that
are not there are listed as such. Servers run one after the other with the machine's speed measured before and after each;
nothing is asserted, since the suite must not depend on how busy a machine is.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
CLIENT = REPO.parent / "shared" / "tools" / "lspbench.py"
METHODS = ("codeLens", "documentSymbol", "hover", "diagnostic")


@dataclass(frozen=True)
class Peer:
    name: str
    argv: tuple[str, ...]
    language: str = "markdown"
    largest: int = 100_000
    """The largest document that it answers within the time limit."""
    note: str = ""


OURS = Peer("kiro-lsp", (sys.executable, "-m", "kiro_lsp", "--stdio"))
NAIVE = Peer("naive pygls", (sys.executable, "-m", "benchmarks.naive_pygls"))
PEERS = (
    Peer("rumdl", ("rumdl", "server", "--stdio"), note="Rust; Markdown headings only"),
    Peer("panache", ("panache", "lsp"), largest=10_000, note="Rust; Markdown headings only"),
    Peer("ruff", ("ruff", "server"), "python", note="Rust; no symbols"),
    Peer("ty", ("ty", "server"), "python", note="Rust; as many functions as tasks"),
    Peer("zuban", ("zuban", "server"), "python", note="Rust; as many functions as tasks"),
    Peer("pylsp", ("pylsp",), "python", largest=1_000, note="Python, no pygls"),
    Peer("jedi", ("jedi-language-server",), "python", largest=1_000, note="Python, pygls"),
    Peer("esbonio", ("esbonio",), "restructuredtext", largest=1_000, note="Python, pygls"),
)
NOT_RUN = {
    "vscode-markdown-languageserver": "the client would have to parse Markdown for it",
    "harper-ls, marksman, markdown-oxide, remark-language-server": "neither on PyPI nor on npm",
}


def client(path: Path) -> Any:
    """lspbench as a module. Raises SystemExit when it is not there."""
    if not path.is_file():
        raise SystemExit(f"{path} is not there; name the client with --client PATH")
    spec = importlib.util.spec_from_file_location("lspbench", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["lspbench"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def present(peers: Sequence[Peer], folders: Sequence[str]) -> Iterator[tuple[Peer, tuple[str, ...] | None]]:
    """Every peer with its command, or None where its program is missing."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", "")])
    for peer in peers:
        program = shutil.which(peer.argv[0], path=path)
        yield peer, None if program is None else (program, *peer.argv[1:])


def measure(lspbench: Any, peer: Peer, argv: Sequence[str], args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="kiro-bench-") as folder:
        root = Path(folder) / "tickets"  # every Markdown file in it is a task file
        root.mkdir()
        env = lspbench.server_environment() | {
            "KIRO_LSP_STATE_DIR": str(Path(folder) / "state"),
            "HOME": folder,
            "PYTHONPATH": str(REPO),
        }
        options = lspbench.Options(
            command=list(argv),
            language=peer.language,
            sizes=tuple(size for size in args.sizes if size <= peer.largest),
            methods=METHODS,
            pipeline_methods=("hover", "documentSymbol", "unknown"),
            starts=args.starts,
            opens=args.opens,
            edits=args.edits,
            root=root,
            env=env,
            timeout=args.timeout,
            quiet=not args.verbose,
        )
        return dict(asyncio.run(lspbench.bench(options)))


def rows(results: dict[str, dict[str, Any]], sizes: Sequence[int]) -> Iterator[tuple[str, list[str]]]:
    """(figure, its value for each server)."""
    names = list(results)

    def row(label: str, values: list[float | None], digits: int = 1) -> tuple[str, list[str]]:
        return label, ["–" if value is None else f"{value:,.{digits}f}" for value in values]

    def at(name: str, *keys: str) -> float | None:
        value: Any = results[name]
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, int | float) and value == value else None  # not for NaN

    yield row("spawn → initialize, ms", [at(name, "start", "wall_ms", "median") for name in names])
    yield row("spawn → first answer, ms", [at(name, "start", "answer_ms", "median") for name in names])
    yield row("memory after initialize, MB PSS", [at(name, "start", "pss_mb") for name in names])
    for size in map(str, sizes):
        for method in METHODS:
            for figure in ("open", "edit"):
                values = [at(name, "documents", size, method, f"{figure}_ms", "median") for name in names]
                if any(value is not None for value in values):
                    yield row(f"{int(size):,}: {figure} → {method}, ms", values)
            values = [at(name, "documents", size, method, "items") for name in names]
            if any(values):
                yield row(f"{int(size):,}: items of {method}", values, 0)
        yield row(f"{int(size):,}: memory, MB PSS", [at(name, "documents", size, "memory", "pss") for name in names])
    for method in ("hover", "documentSymbol", "unknown"):
        yield row(f"{method}, answers/s", [at(name, "pipeline", method, "per_s", "median") for name in names], 0)


def table(results: dict[str, dict[str, Any]], sizes: Sequence[int]) -> str:
    head = f"| figure | {' | '.join(results)} |\n|---|{'---:|' * len(results)}"
    return "\n".join([head, *(f"| {label} | {' | '.join(values)} |" for label, values in rows(results, sizes))])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client", type=Path, default=CLIENT)
    parser.add_argument("--bin", action="append", default=[], help="a folder with peers' programs")
    parser.add_argument("--only", help="names of servers, comma-separated")
    parser.add_argument("--sizes", default="1000,10000", type=lambda text: [int(size) for size in text.split(",")])
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--opens", type=int, default=3)
    parser.add_argument("--edits", type=int, default=30)
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--json", type=Path, help="write all samples here")
    parser.add_argument("--add", type=Path, help="show the samples of an earlier run, written by --json, beside these")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    lspbench = client(args.client)
    only = set(args.only.split(",")) if args.only else None
    results: dict[str, dict[str, Any]] = json.loads(args.add.read_text("utf-8")) if args.add else {}
    missing = dict(NOT_RUN)
    for peer, argv in present((OURS, NAIVE, *PEERS), args.bin):
        if only is not None and peer.name not in only:
            continue
        if argv is None:
            missing[peer.name] = "not installed here"
            continue
        print(f"{peer.name} …", file=sys.stderr, flush=True)
        results[peer.name] = measure(lspbench, peer, argv, args)
        if args.json:  # after each, so that a run that is cut off was not for nothing
            args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results, args.sizes))
    for peer in PEERS:
        if peer.name in results:
            print(f"{peer.name}: {peer.note}")
    for name, result in results.items():
        before, after = (result[f"calibration_{when}"]["median_ms"] for when in ("before", "after"))
        print(f"{name}: a fixed loop took {before} ms before, {after} ms after")
    for name, why in missing.items():
        print(f"{name}: not run, {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
