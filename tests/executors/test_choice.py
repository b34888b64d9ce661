"""Which agent a task gets when nobody named one, and what is said about it."""

from __future__ import annotations

import pytest

from kiro_lsp.errors import RunRefused
from kiro_lsp.executors import choice, registry
from kiro_lsp.settings import MODELS, Sources, load_settings
from kiro_lsp.spec import tasks

KEYS = {"claude": "ANTHROPIC_API_KEY", "codex": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY"}
FIX = "- [ ] 1. Fix the crash of the parser\n  - Add a regression test in `tests/test_parser.py`\n"
GUIDE = "- [ ] 1. Document the settings in `docs/settings.md`\n"
CODE = "- [ ] 1. Implement the parser\n" + "".join(f"  - Part number {n} of it\n" for n in range(5))
HARD = "- [ ] 1. Implement the security architecture\n" + "".join(
    f"  - Part {n} in `src/part{n}.py`, concurrent and encrypted\n" for n in range(8)
)
VAGUE = "- [ ] 1. Xyzzy\n"


def chosen(text: str, *available: str, toml: str = "") -> choice.Choice | None:
    environ = {KEYS[name]: "sk-" + "k" * 40 for name in available}
    loaded = load_settings(Sources(user_toml=toml, environ=environ), trusted=True)
    known = registry.agents(loaded.settings, loaded.secrets)
    return choice.choose(tasks.parse(text).tasks[0], known, loaded.settings)


@pytest.mark.parametrize(
    ("text", "available", "toml", "agent", "said"),
    [
        (FIX, "claude codex gemini", "", "codex", "bug-fix"),
        (FIX, "claude gemini", "", "claude", "bug-fix"),
        (GUIDE, "claude codex gemini", "", "gemini", "documentation"),
        (GUIDE, "codex", "", "codex", "documentation"),
        (CODE, "claude codex gemini", "", "claude", "code-generation"),
        (VAGUE, "claude codex gemini", "", "claude", "guess"),
        (FIX, "claude codex gemini", "[routing]\nbug_fix = 'gemini'", "gemini", "routing.bug_fix"),
        (FIX, "claude codex", "[routing]\nbug_fix = 'gemini'", "codex", "bug-fix"),
        (FIX, "claude codex", "[kiro]\ndefault_agent = 'claude'", "claude", "your default agent"),
        (GUIDE + "  - _Agent: codex_\n", "claude codex gemini", "", "codex", "the task file asks"),
        (GUIDE + "  <!-- agent: Claude -->\n", "claude codex gemini", "", "claude", "the task file asks"),
        (GUIDE + "  - _Agent: senior-writer_\n", "claude gemini", "", "gemini", "documentation"),
    ],
)
def test_the_agent_of_a_task_and_the_reason(text: str, available: str, toml: str, agent: str, said: str) -> None:
    found = chosen(text, *available.split(), toml=toml)
    assert found is not None
    assert (found.agent.name, found.agent.available) == (agent, True)
    assert said in found.reason


@pytest.mark.parametrize(
    ("text", "toml", "model"),
    [
        (HARD, "", "claude-opus-5-5"),
        (CODE, "", MODELS["anthropic"].default),
        ("- [ ] 1. Implement the parser\n", "", MODELS["anthropic"].cheap),
        (
            "- [ ] 1. Implement the parser\n",
            "[kiro.cost]\nprefer_cheap_for_simple_tasks = false",
            MODELS["anthropic"].default,
        ),
        (HARD, f"[agents.claude]\nmodel = '{MODELS['anthropic'].default}'", MODELS["anthropic"].default),
    ],
)
def test_the_model_follows_the_size_unless_the_person_named_one(text: str, toml: str, model: str) -> None:
    found = chosen(text, "claude", toml=toml)
    assert found is not None
    assert found.agent.model == model


def test_an_agent_that_the_file_names_is_never_replaced_by_another() -> None:
    with pytest.raises(RunRefused, match="asks for Gemini"):
        chosen(GUIDE + "  - _Agent: gemini_\n", "claude")


def test_without_any_key_there_is_nothing_to_choose() -> None:
    assert chosen(CODE) is None
