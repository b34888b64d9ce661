"""Which agent a task gets when nobody named one, and what is said about it."""

from __future__ import annotations

import pytest

from kiro_lsp.errors import RunRefused
from kiro_lsp.executors import choice, registry
from kiro_lsp.settings import MODELS, Sources, load_settings
from kiro_lsp.spec import tasks

KEYS = {"claude": "ANTHROPIC_API_KEY", "codex": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY"}
LOCAL = "[agents.ollama]\nmodel = 'qwen3:4b'\n"
FIX = "- [ ] 1. Fix the crash of the parser\n  - Add a regression test in `tests/test_parser.py`\n"
GUIDE = "- [ ] 1. Document the settings in `docs/settings.md`\n"
CODE = "- [ ] 1. Implement the parser\n" + "".join(f"  - Part number {n} of it\n" for n in range(5))
HARD = "- [ ] 1. Implement the security architecture\n" + "".join(
    f"  - Part {n} in `src/part{n}.py`, concurrent and encrypted\n" for n in range(8)
)
VAGUE = "- [ ] 1. Xyzzy\n"


def chosen(
    text: str, *available: str, toml: str = "", path: str = "tasks.md", past: choice.Past = choice.NO_PAST
) -> choice.Choice | None:
    environ = {KEYS[name]: "sk-" + "k" * 40 for name in available}
    loaded = load_settings(Sources(user_toml=toml, environ=environ), trusted=True)
    known = registry.agents(loaded.settings, loaded.secrets)
    return choice.choose(tasks.parse(text, path).tasks[0], known, loaded.settings, past)


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
        ("- [ ] 1. Rename the store\n", "claude", LOCAL, "ollama", "refactor"),
        ("- [ ] 1. Write tests for the store\n", "claude codex", LOCAL, "ollama", "testing"),
        (CODE, "claude", LOCAL, "claude", "code-generation"),
        (HARD, "codex", LOCAL, "codex", "complex"),
        ("- [ ] 1. Rename the store\n", "claude", "", "claude", "refactor"),
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


PATHS = {
    "kiro": ".kiro/specs/a/tasks.md",
    "spec-workflow": ".spec-workflow/specs/a/tasks.md",
    "spec-kit": "specs/001-a/tasks.md",
    "openspec": "openspec/changes/a/tasks.md",
    "checklist": "TODO.md",
}
TITLES = {"spec-kit": "T001 [P] Document it in docs/a.md", "openspec": "1.1 Document it"}


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize(
    "form",
    [
        "- [ ] {title}\n  - _Agent: codex_\n",
        "- [ ] {title}\n  - _agent: Codex_\n  - other\n",
        "- [ ] {title} _Agent: codex_\n",
        "- [ ] {title} <!-- agent: codex -->\n",
        "- [ ] {title} <!-- seen --> <!--Agent:codex-->\n",
        "- [ ] {title}\n  <!-- agent: codex -->\n",
    ],
)
def test_an_agent_is_named_alike_in_every_dialect(dialect: str, form: str) -> None:
    text = form.format(title=TITLES.get(dialect, "1. Document it"))
    path = PATHS[dialect]
    if dialect == "openspec":
        text = f"## 1. Docs\n\n{text}"
    assert tasks.parse(text, path).dialect == dialect
    found = chosen(text, "claude", "codex", "gemini", path=path)
    assert found is not None
    assert (found.agent.name, found.reason) == ("codex", "the task file asks for codex")


def past(*outcomes: tuple[str, str, bool | None]) -> choice.Past:
    return choice.past_of(outcomes)


SIMPLE = "- [ ] 1. Implement the parser\n"


@pytest.mark.parametrize(
    ("text", "available", "before", "agent", "model", "said"),
    [
        (SIMPLE, "claude", past(), "claude", MODELS["anthropic"].cheap, "simple"),
        (SIMPLE, "claude", past(("1", "claude", False)), "claude", MODELS["anthropic"].default, "a step up"),
        (CODE, "claude", past(("1", "claude", False)), "claude", "claude-opus-5-5", "a step up"),
        (SIMPLE, "claude", past(("1", "claude", None)), "claude", MODELS["anthropic"].cheap, "simple"),
        (
            SIMPLE,
            "claude",
            past(("1", "claude", True), ("1", "claude", False)),
            "claude",
            MODELS["anthropic"].cheap,
            "",
        ),
        (GUIDE, "claude gemini", past(("2", "gemini", False)), "gemini", MODELS["google"].cheap, "documentation"),
        (
            GUIDE,
            "claude gemini",
            past(("2", "gemini", False), ("3", "gemini", False)),
            "claude",
            MODELS["anthropic"].cheap,
            "not Gemini, which failed at 2 tasks of this spec",
        ),
        (
            GUIDE,
            "claude gemini",
            past(("2", "gemini", False), ("3", "gemini", False), ("4", "gemini", True)),
            "gemini",
            MODELS["google"].cheap,
            "documentation",
        ),
        (
            CODE,
            "claude codex",
            past(("2", "claude", False), ("3", "claude", False)),
            "codex",
            MODELS["openai"].default,
            "not Claude, which failed at 2 tasks of this spec",
        ),
        (
            CODE,
            "claude",
            past(("2", "claude", False), ("3", "claude", False)),
            "claude",
            MODELS["anthropic"].default,
            "code-generation",
        ),
        (
            VAGUE,
            "claude codex",
            past(("2", "codex", True), ("3", "codex", True)),
            "codex",
            MODELS["openai"].default,
            "did 2 tasks of this spec (guess",
        ),
        (VAGUE, "claude codex", past(("2", "codex", True)), "claude", MODELS["anthropic"].default, "guess"),
    ],
)
def test_what_became_of_a_spec_counts(
    text: str, available: str, before: choice.Past, agent: str, model: str, said: str
) -> None:
    found = chosen(text, *available.split(), past=before)
    assert found is not None
    assert (found.agent.name, found.agent.model) == (agent, model)
    assert said in found.reason


def test_a_model_on_this_machine_that_failed_at_a_task_does_not_get_it_again() -> None:
    text = "- [ ] 1. Rename the store\n"
    first = chosen(text, "claude", toml=LOCAL)
    again = chosen(text, "claude", toml=LOCAL, past=past(("1", "ollama", False)))
    assert first is not None
    assert again is not None
    assert (first.agent.name, again.agent.name) == ("ollama", "claude")


@pytest.mark.parametrize(
    ("state", "tokens", "replay", "worked"),
    [
        ("applied", 9, False, True),
        ("applied", 9, True, None),
        ("rejected", 9, False, False),
        ("failed", 9, False, False),
        ("failed", 0, False, None),
        ("budget", 9, False, False),
        ("cancelled", 9, False, None),
        ("interrupted", 9, False, None),
        ("undone", 9, False, None),
        ("running", 9, False, None),
        ("review", 9, False, None),
    ],
)
def test_what_a_run_says_of_its_agent(state: str, tokens: int, replay: bool, worked: bool | None) -> None:
    assert choice.worked(state, tokens, replay=replay) is worked


@pytest.mark.parametrize(
    ("spelled", "preferred", "expected"),
    [
        ("claude-haiku-5-5", None, ("claude", "claude-haiku-5-5")),
        ("gpt-6-luna", "claude", ("codex", "gpt-6-luna")),
        ("gemini-3.5-flash-lite", None, ("gemini", "gemini-3.5-flash-lite")),
        ("ollama/qwen3:4b", "claude", ("ollama", "qwen3:4b")),
        ("Codex/anything", None, ("codex", "anything")),
        ("anthropic/claude-opus-5", "router", ("router", "anthropic/claude-opus-5")),
        ("house-model", "codex", ("codex", "house-model")),
        ("house-model", None, (None, "house-model")),
        ("claude-opus-5-5", "work", ("work", "claude-opus-5-5")),
    ],
)
def test_who_answers_for_a_model(spelled: str, preferred: str | None, expected: tuple[str | None, str]) -> None:
    toml = "[agents.router]\ntype='openai-api'\nendpoint='https://r.example'\n[agents.work]\ntype='anthropic-api'\n"
    loaded = load_settings(Sources(user_toml=toml, environ={}), trusted=True)
    known = registry.agents(loaded.settings, loaded.secrets)
    own = next((info for info in known if info.name == preferred), None)
    agent, model = choice.agent_for_model(spelled, known, own)
    assert (agent.name if agent is not None else None, model) == expected
