"""Real specs: for tasks that were read by a person, the requirements that must stand in the prompt.

The phrases are short quotations that identify a requirement; the documents themselves stay outside the project.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from kiro_lsp.spec import tasks
from kiro_lsp.spec.documents import document_patterns, matches
from kiro_lsp.spec.intent import intent_of
from kiro_lsp.spec.model import TaskList
from kiro_lsp.spec.prompt import build_prompt

ENTRY = "kiro/docktermj__senzing-bootcamp-kiro-powers__entry-point-assessment"
FIXES = "kiro/docktermj__senzing-bootcamp-kiro-powers__bootcamp-consistency-fixes"
DIFF = "kiro/hummer98__sdd-orchestrator__git-diff-viewer"
COMBAT = "speckit/dougis-org__dnd-tracker__009-combat-tracker"
BUNDLER = "speckit/github__spec-kit__001-spec-kit-bundler"
MARKUP = "speckit/p-acid__onsaero__001-page-markup-tailwind"
DOCTRINE = "speckit/Priivacy-ai__spec-kitty__057-doctrine-stack-init-and-profile-integration"
MODUPROMPT = "specworkflow/DevGuyRash__moduprompt__moduprompt-overview"
KEYRX = "specworkflow/RyosukeMondo__keyrx__web-ui-refinement"
LEARNING = "specworkflow/PaiCY-T__LLM-strategy-generator__phase3-learning-iteration"
CRM = "specworkflow/Wendealai__WendealDashboard__crm-module"
INIT = "openspec/Fission-AI__OpenSpec__2026-02-17-merge-init-experimental"

EXPECTED: list[tuple[str, str, dict[str, str]]] = [
    (ENTRY, "1", {"8.1": "`pathlib.Path` or `os.path`", "8.2": "`shutil.which`", "8.3": "forward-slash and backslash"}),
    (ENTRY, "2.1", {"1.1": "custom YAML parser", "1.3": "produced artifact paths", "1.4": "`requires_from` entries"}),
    (
        ENTRY,
        "6.2",
        {"2.4": "`required: true`", "2.5": "`required: false`", "4.1": "all required artifacts", "4.2": "missing"},
    ),
    (
        ENTRY,
        "6.3",
        {"5.1": "(graduation)", "5.2": "first incomplete module", "5.3": "regardless", "5.4": "module 2 as the entry"},
    ),
    (FIXES, "2", {"1.10": "test_actual_steering_index_total_tokens_equals_sum", "1.11": "per-file ±10% tolerance"}),
    (FIXES, "3", {"1.12": "14 hook files", "1.13": "they disagree", "1.14": "still exits with code 0"}),
    (
        FIXES,
        "4",
        {"3.1": "welcome banner", "3.2": "After Step 2d", "3.3": "coherent, complete", "3.6": "already pass run"},
    ),
    (DIFF, "2.2", {"1.4": "git worktree list"}),
    (DIFF, "5.2", {"5.3": "`Ctrl+Shift+G`", "11.1": ""}),
    (DIFF, "9.1", {"9.1": "renderer/components/SpecPane.tsx", "9.2": "AgentListPanel + WorkflowView"}),
    (COMBAT, "T012", {"User Story 1": "initiative order"}),
    (COMBAT, "T032", {"User Story 3": "HP controls", "FR-009": "unconscious or dead"}),
    (COMBAT, "T048", {"User Story 5": "lair"}),
    (BUNDLER, "T019", {"User Story 2": "manifest"}),
    (BUNDLER, "T047", {"FR-005": "every declared component", "SC-007": "broken or unresolved", "User Story 2": ""}),
    (
        BUNDLER,
        "T052",
        {"FR-028": "update an installed bundle", "FR-029": "primitive-level overrides", "User Story 4": ""},
    ),
    (MARKUP, "T011", {"User Story 1": "3 feature cards"}),
    (MARKUP, "T028", {"User Story 4": "", "SC-008": "within 100ms of page load"}),
    (DOCTRINE, "T030", {"FR-004": "skip the doctrine stack step", "FR-005": "--non-interactive"}),
    (MODUPROMPT, "1", {"FR-1": "Dual-view prompt authoring", "FR-14": "REST API", "NFR-4": "bit-identical"}),
    (MODUPROMPT, "3", {"FR-4": "Transclusion & variables", "NFR-1": "2k notebook cells"}),
    (KEYRX, "1", {"9.1": "automatically regenerated", "9.4": "out of sync", "9.7": "CI/CD"}),
    (
        KEYRX,
        "20",
        {"3.1": "gaming.rhai", "3.2": "as a tooltip", "3.3": "navigate to the Config page", "3.4": "error badge"},
    ),
    (LEARNING, "1.1", {"1": "use JSONL format"}),
    (CRM, "2", {"Iframe Integration": "crm.wendealai.com", "Security & Privacy": "cross-origin policies"}),
    (INIT, "2.9", {"Success Output": "Scenario: Displaying success message"}),
]

MUST_BE_SENT: dict[str, list[str]] = {
    ENTRY: [".kiro/steering/tech.md", "/requirements.md", "/design.md"],
    FIXES: [".kiro/steering/structure.md", "/bugfix.md", "/design.md"],
    COMBAT: [".specify/memory/constitution.md", "/spec.md", "/plan.md", "/data-model.md"],
    MODUPROMPT: [".spec-workflow/steering/product.md", "/requirements.md", "/design.md"],
    INIT: ["openspec/config.yaml", "/proposal.md", "/specs/cli-init/spec.md", "/design.md"],
}


@cache
def project(folder: Path) -> tuple[str, TaskList, dict[str, str]]:
    """(task file, its tasks, the documents a face would read), laid out as in the repository it comes from."""
    meta = dict(line.split(": ", 1) for line in (folder / "META.txt").read_text("utf-8").splitlines() if ": " in line)
    spec = meta["spec folder"].strip()
    files: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_file() and relative != "META.txt":
            place = relative.removeprefix("_project/") if relative.startswith("_project/") else f"{spec}/{relative}"
            files[place] = path.read_bytes().decode("utf-8", "replace")
    task_path = f"{spec}/tasks.md"
    parsed = tasks.parse(files[task_path], task_path)
    patterns = document_patterns(parsed.dialect, task_path)
    read = {
        path: text
        for path, text in files.items()
        if path != task_path and any(matches(path, pattern, anchored=True) for pattern in patterns)
    }
    return task_path, parsed, read


@pytest.mark.parametrize(
    ("folder", "key", "expected"), EXPECTED, ids=[f"{f.split('__')[-1]}:{k}" for f, k, _ in EXPECTED]
)
@pytest.mark.parametrize("limit", [2000, 48_000])
def test_the_requirements_of_a_real_task_are_in_its_prompt(
    shared: Path, folder: str, key: str, expected: dict[str, str], limit: int
) -> None:
    task_path, parsed, docs = project(shared / "corpus" / "specs" / folder)
    task = tasks.find(parsed, key)
    prompt = build_prompt(parsed.dialect, parsed, task, task_path, docs, limit_tokens=limit)
    contract = dict(intent_of(parsed, task, docs, task_path=task_path).requirements)
    assert set(expected) <= set(contract)
    section = prompt.task.partition("## The requirements it names")[2]
    for ref, phrase in expected.items():
        assert phrase in contract[ref]
        assert contract[ref].strip().split("\n")[0] in section
    assert "in none of the spec's documents" not in prompt.task
    assert limit > 2000 or any(item.reason in ("does not fit", "cut to fit") for item in prompt.left_out)


@pytest.mark.parametrize("folder", MUST_BE_SENT)
def test_the_documents_of_a_real_spec_are_sent(shared: Path, folder: str) -> None:
    task_path, parsed, docs = project(shared / "corpus" / "specs" / folder)
    prompt = build_prompt(parsed.dialect, parsed, parsed.tasks[0], task_path, docs)
    sent = [document.path for document in prompt.documents]
    for wanted in MUST_BE_SENT[folder]:
        assert any(path.endswith(wanted) for path in sent), f"{wanted} is not in {sent}"
    assert task_path not in sent


def test_every_real_spec_has_one_stable_part_for_all_its_tasks(shared: Path) -> None:
    folders = sorted(path.parent for path in (shared / "corpus" / "specs").glob("*/*/META.txt"))
    assert len(folders) >= 15
    for folder in folders:
        task_path, parsed, docs = project(folder)
        chosen = [*parsed.tasks[:3], *parsed.tasks[-2:]]
        built = [build_prompt(parsed.dialect, parsed, task, task_path, docs) for task in chosen]
        assert len({prompt.stable_text for prompt in built}) == 1, folder.name
        assert all(prompt.tokens <= prompt.limit for prompt in built), folder.name
