"""An agent's program when the server that runs it is killed: it dies with all it started, and the tree is as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.test_isolation_hostile import living
from tests.support import fake_agent, procs, tree
from tests.support.program import TASK_FILE, Project, nobody_left
from tests.support.unsandboxed import path_without_bubblewrap

BODY = """
import subprocess
for session in (False, True):
    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)', os.environ['HOME']], start_new_session=session)
open('made.txt', 'w').write('made')
say(type='assistant', message={'id': 'm', 'content': [{'type': 'text', 'text': 'ready'}]})
import time; time.sleep(1000)
"""


@pytest.mark.parametrize("wrapped", [True, False])
def test_an_agent_dies_with_its_server(wrapped: bool, project: Project, tmp_path: Path) -> None:
    home = Path(project.environ["HOME"])
    path = project.environ["PATH"] if wrapped else path_without_bubblewrap(tmp_path)
    project.environ["PATH"] = f"{fake_agent.install(home, BODY)}:{path}"
    with Path(project.environ["KIRO_LSP_CONFIG"]).open("a") as config:
        config.write(fake_agent.CONFIG)
    before = tree.snapshot(project.root)
    argv = [sys.executable, "-m", "kiro_lsp", "run", TASK_FILE, "1", "--agent", "fake", "--trust", "--json"]
    with subprocess.Popen(
        argv, cwd=project.root, env=project.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        kinds: list[str] = []
        for line in server.stdout:
            event = json.loads(line)
            kinds.append(event["type"])
            if event["type"] == "chunk":
                break
        agents = living(str(home))
        server.kill()
    assert "isolation" in kinds
    assert len(agents) >= 3
    assert procs.gone_within(agents) == set()
    assert living(str(home)) == set()
    assert tree.differences(before, tree.snapshot(project.root)) == []
    record = project.run_record()
    assert record["state"] == "interrupted"
    assert set(project.reviewed(record["runId"])) <= {"made.txt"}
    state = Path(project.environ["KIRO_LSP_STATE_DIR"])
    assert list((state / "copies").iterdir()) == []
    nobody_left(project)
