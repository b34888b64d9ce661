"""Every feature over real task files and spec folders: it answers, and with what a client can use.

The files lie beside a development checkout (`../shared/corpus`) and are not ours to ship. Every run asks about a share of them,
drawn with the seed `KIRO_LSP_SWEEP`; with `KIRO_LSP_WHOLE_CORPUS=1` about all of them, which takes two minutes.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any

import pytest

from kiro_lsp.lsp import features
from kiro_lsp.lsp.convert import file_of
from kiro_lsp.lsp.endpoint import REQUEST_FAILED
from kiro_lsp.spec import tasks
from kiro_lsp.spec.decoding import decode
from tests.support.asking import RESOLVED, Text, check, questions
from tests.support.editors import CLIENTS, known
from tests.support.speaking import Speaker, speaking

PROFILES = (*CLIENTS, "visual-studio-code with utf-32")
METHODS = sorted(features.load().methods)
SWEEP = os.environ.get("KIRO_LSP_SWEEP", "20261121")  # read here: a test's own environment has no such names
SHARE = 1 if os.environ.get("KIRO_LSP_WHOLE_CORPUS") == "1" else 6
"""One of so many files is asked about."""
PLACES = 6
RESOLVED_AT_MOST = 3
LAYOUTS = {
    "kiro": ".kiro/specs",
    "specworkflow": ".spec-workflow/specs",
    "speckit": "specs",
    "openspec": "openspec/changes",
}


def task_files(shared: Path) -> Iterator[tuple[str, str]]:
    """(Path, text) of every task file, under the path that it had where that tells what it is."""
    folder = shared / "corpus" / "tasks"
    with (folder / "INDEX.tsv").open(encoding="utf-8", newline="") as file:
        paths = {row["file"]: row["path"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    for number, place in enumerate(sorted(folder.rglob("*.md"))):
        text = decode(place.read_bytes()).text
        path = paths.get(place.relative_to(folder).as_posix(), "")
        if text is not None:
            path = path if tasks.is_task_file(path) and ".." not in PurePosixPath(path).parts else "tasks.md"
            yield f"{number}/{path.lstrip('/')}", text


def spec_folders(shared: Path, root: Path) -> Iterator[tuple[str, str]]:
    """The same for every document of the spec folders, which are put on the disk below `root`, each in a project of its own."""
    for dialect, layout in LAYOUTS.items():
        for folder in sorted((shared / "corpus/specs" / dialect).glob("*")):
            inside = f"{folder.name}/{layout}/{folder.name}"
            shutil.copytree(folder, root / inside)
            for place in sorted((root / inside).rglob("*.md")):
                text = decode(place.read_bytes()).text
                if text is not None:
                    yield place.relative_to(root).as_posix(), text


class Sweep:
    """Asks everything about one document after the other, and counts what was asked and what was said."""

    def __init__(self, speaker: Speaker, encoding: str, root: Path) -> None:
        self.speaker, self.encoding, self.root = speaker, encoding, root
        self.answered: dict[str, int] = dict.fromkeys([*METHODS, *RESOLVED], 0)

    def text_of(self, uri: str) -> Text:
        known = self.speaker.texts.get(uri)
        if known is None:
            path = file_of(uri)
            assert path is not None
            known = decode(path.read_bytes()).text
            assert known is not None
        return Text(known, self.encoding)

    async def document(self, path: str, content: str, random: Random) -> None:
        uri = self.speaker.open(self.root / path, content)
        text = self.text_of(uri)
        places = text.some_places(random, PLACES)
        for method in METHODS:
            for params in questions(method, uri, text, places, random):
                answer = await self._ask(method, params, path)
                await self._resolve(method, params, answer, path)
        self.speaker.tell("textDocument/didClose", {"textDocument": {"uri": uri}})
        del self.speaker.texts[uri]

    async def _resolve(self, method: str, params: dict[str, Any], answer: Any, path: str) -> None:
        listed = answer.get("items", ()) if isinstance(answer, dict) else answer or ()
        for resolving, of in RESOLVED.items():
            if of == method:
                for item in [item for item in listed if "data" in item][:RESOLVED_AT_MOST]:
                    await self._ask(resolving, {**params, **item}, path)

    async def _ask(self, method: str, params: dict[str, Any], path: str) -> Any:
        message = await self.speaker.begin(method, params)
        code = message.get("error", {}).get("code")
        assert code in (None, REQUEST_FAILED), (path, method, params, message)
        answer = message.get("result")
        try:
            check(method, params, answer, self.text_of)
        except AssertionError as error:
            raise AssertionError(
                f"{path}: {method} at {params.get('position', params.get('range'))}: {error}"
            ) from error
        self.answered[method] += bool(answer)
        return answer


async def sweep(profile: str, documents: list[tuple[str, str]], root: Path, homes: Path) -> Sweep:
    capabilities = known(profile)
    environ = {"HOME": str(homes), "PATH": "/usr/bin:/bin", "KIRO_LSP_STATE_DIR": str(homes / "state")}
    encoding = capabilities.get("general", {}).get("positionEncodings", ["utf-16"])[0]
    info = {"name": profile.partition(" with ")[0]}
    async with speaking(root, environ, capabilities=capabilities, clientInfo=info) as speaker:
        made = Sweep(speaker, encoding, root)
        for path, text in documents:
            await made.document(path, text, Random(SWEEP + path))
        for query in ("", "test", "1."):
            found = await speaker.ask("workspace/symbol", {"query": query})
            check("workspace/symbol", {}, found, made.text_of)
        return made


def share_of(profile: str, documents: Iterator[tuple[str, str]], least: int) -> list[tuple[str, str]]:
    """What one client is asked about; together the clients are asked about all, or about a share of all."""
    every = list(documents)
    assert len(every) >= least
    Random(SWEEP).shuffle(every)
    return every[PROFILES.index(profile) :: len(PROFILES) * SHARE]


@pytest.mark.parametrize("profile", PROFILES)
async def test_every_feature_answers_about_task_files(
    profile: str, shared: Path, tmp_path: Path, own_homes: Path
) -> None:
    made = await sweep(profile, share_of(profile, task_files(shared), 250), tmp_path, own_homes)
    silent = {method for method, count in made.answered.items() if not count}
    assert silent <= SILENT | SILENT_FOR[profile], "a feature that has nothing to say of a dozen files is broken"


@pytest.mark.parametrize("profile", PROFILES)
async def test_every_feature_answers_about_the_documents_of_a_spec(
    profile: str, shared: Path, tmp_path: Path, own_homes: Path
) -> None:
    share = share_of(profile, spec_folders(shared, tmp_path), 100)
    made = await sweep(profile, share, tmp_path, own_homes)
    assert made.answered["textDocument/documentSymbol"]


SILENT = {
    "textDocument/documentLink",  # the files that a task names are not here
    "completionItem/resolve",  # few places of a file offer what has more to be said of
    "codeLens/resolve",  # few files are so large that their lenses come without commands
}
SILENT_FOR: dict[str, set[str]] = {
    "visual-studio-code": {"textDocument/inlayHint"},
    "neovim": set(),
    "emacs": {"codeAction/resolve"},
    "visual-studio-code with utf-32": {"textDocument/inlayHint"},
}
"""What a client did not announce."""
