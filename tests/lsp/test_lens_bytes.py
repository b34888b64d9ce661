"""Lenses as bytes are the lenses, however the text came about, and a resolved lens is the complete one."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from kiro_lsp.lsp.lens_bytes import LensBytes, Style, resolved
from kiro_lsp.lsp.lenses import Offer, lenses, to_wire, waiting
from kiro_lsp.settings import Settings
from kiro_lsp.spec.assemble import Parsed, drafted
from kiro_lsp.spec.incremental import updated
from kiro_lsp.spec.lines import split_lines
from tests.lsp.test_lenses import CLAUDE, CODEX, NOW, RECORDED, URI, agent, offer, run
from tests.support.edits import edits_of, text_of

OFFERS = [
    offer(CLAUDE),
    offer(CLAUDE, CODEX, mode="all"),
    offer(agent("claude", "Claude", available=False), RECORDED),
    offer(CLAUDE, why_not="Not run here"),
    offer(CLAUDE, mode="off"),
    offer(CLAUDE, enabled=False),
]


def expected(parsed: Parsed, offered: Offer, runs: Any) -> Any:
    found = lenses(URI, parsed.task_list, runs, offered, NOW)
    return json.loads(json.dumps(to_wire(found)).encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


@pytest.mark.parametrize("seed", range(40))
def test_carried_from_edit_to_edit_they_stay_the_lenses(seed: int) -> None:
    random = Random(seed)
    text, offered = text_of(random), random.choice(OFFERS)
    draft = drafted(split_lines(text), "")
    kept = LensBytes.made(draft, Style(URI, 0, offered, complete=True))
    for lines, edit in edits_of(random, text, 10):
        draft = updated(draft, lines, edit)
        kept = kept.carried(draft, Style(URI, 0, offered, complete=True))
        keys = [task.key for task in draft.task_list.tasks]
        runs = {random.choice(keys): run("review", files=1)} if keys and random.random() < 0.3 else {}
        waits = waiting(URI, draft.task_list)
        assert json.loads(bytes(kept.wire(runs, NOW, waits))) == expected(draft, offered, runs)


@pytest.mark.parametrize("offered", OFFERS)
def test_a_resolved_lens_is_the_complete_one(offered: Offer) -> None:
    text = "- [ ] 1. One\n- [x] 2. Two\n- [ ] 1. One again\n- [ ] no id\n"
    parsed = drafted(split_lines(text), "")
    lazy, complete = Style(URI, 7, offered, complete=False), Style(URI, 7, offered, complete=True)
    asked = json.loads(bytes(LensBytes.made(parsed, lazy).wire({}, NOW)))
    wanted = json.loads(bytes(LensBytes.made(parsed, complete).wire({}, NOW)))
    assert all("command" not in lens for lens in asked)
    found = [resolved(lazy, parsed, lens["data"], NOW) for lens in asked]
    assert found == wanted


def test_a_lens_of_a_task_that_is_gone_is_none() -> None:
    parsed = drafted(["- [ ] 1. One\n"], "")
    style = Style(URI, 7, OFFERS[0], complete=False)
    assert resolved(style, parsed, [7, "2", 0], NOW) is None
    assert resolved(style, parsed, [7, "1", 9], NOW) is None


def test_each_task_names_the_agent_that_a_click_would_choose() -> None:
    text = "- [ ] 1. Document the settings in `docs/a.md`\n- [ ] 2. Implement the parser\n- [ ] 3. Xyzzy\n"
    parsed = drafted(split_lines(text), "/p/.kiro/specs/a/tasks.md")
    agents = [CLAUDE, agent("gemini", "Gemini")]
    offered = Offer(agents, agents[0], "recommended", True, settings=Settings())
    lazy, complete = Style(URI, 7, offered, complete=False), Style(URI, 7, offered, complete=True)
    sent = json.loads(bytes(LensBytes.made(parsed, complete).wire({}, NOW)))
    assert sent == to_wire(lenses(URI, parsed.task_list, {}, offered, NOW))
    titles = ["▶ Run with Gemini", "▶ Run with Claude", "▶ Run with Claude"]
    assert [lens["command"]["title"] for lens in sent if "Run" in lens["command"]["title"]] == titles
    asked = json.loads(bytes(LensBytes.made(parsed, lazy).wire({}, NOW)))
    assert [resolved(lazy, parsed, lens["data"], NOW) for lens in asked] == sent
