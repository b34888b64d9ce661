"""Who remembers what projects offer, for the first lenses of the next session (`first_lenses.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from kiro_lsp.engine.engine import Engine
from kiro_lsp.engine.workspace import PROJECT_CONFIG
from kiro_lsp.lsp import first_lenses
from kiro_lsp.lsp.client import Client
from kiro_lsp.lsp.first_lenses import Offered
from kiro_lsp.lsp.lens_bytes import Style, template
from kiro_lsp.lsp.surroundings import Around


class Keeper:
    """`environ` and `client` as the session was started with: what the next one is compared with."""

    def __init__(self, engine: Engine, state: Path, environ: Mapping[str, str], client: Client) -> None:
        self._engine, self._state = engine, str(state)
        self._about = first_lenses.about(environ, client)
        self._kept: dict[Path, Around] = {}

    def remember(self, root: Path, around: Around) -> None:
        """Keep what a project offers, in a thread, if it is not what was kept."""
        if self._kept.get(root) is around:
            return
        self._kept[root] = around
        complete, unresolved = (template(Style("", 0, around.offer, complete)) for complete in (True, False))
        busy = frozenset(run.path for run in around.runs)
        offered = Offered(str(root), complete, unresolved, around.offer.settings is not None, busy)
        user_config = self._engine.workspace(root).user_config
        files = [str(path) for path in (root / PROJECT_CONFIG, root / ".env", user_config)]
        asyncio.get_running_loop().run_in_executor(None, first_lenses.keep, self._state, offered, files, self._about)
