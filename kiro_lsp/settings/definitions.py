"""Every setting, once: key, kind, default, range, what a project may do with it, and what it means.

The loader, the documentation, `init` and the tests are driven by this table; the defaults are those of the
dataclasses in `model.py`. `NAME` in a key stands for a name that the person chooses.

Trust classes: X is never taken from a project; T only from a trusted one, and then it is part of what was trusted; N
may only narrow what the person's own configuration says (`narrow` says how); S is safe from anywhere.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

from kiro_lsp.settings.diagnostics import CODES, LEVELS, DiagnosticSettings
from kiro_lsp.settings.model import (
    AgentSettings,
    AgentType,
    ApiKind,
    BillingKind,
    CoderMode,
    CostSettings,
    ExecutionSettings,
    KiroSettings,
    LensMode,
    McpServerSettings,
    MeterKind,
    NetworkKind,
    PriceSettings,
    RoutingSettings,
    SafetySettings,
    TrustClass,
)
from kiro_lsp.settings.program_lists import PROGRAM_LISTS

Kind = Literal[
    "bool", "int", "money", "text", "choice", "argv", "argv-list", "text-list", "text-map", "url", "variable", "secret"
]
Narrow = Literal["min", "false", "true"]
"""Which value is the narrower one of two."""


@dataclass(frozen=True, slots=True)
class Definition:
    key: str
    kind: Kind
    default: Any
    trust: TrustClass
    doc: str
    narrow: Narrow | None = None
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    variable: str | None = None
    """The environment variable that overrides it."""
    field: str = ""
    """The attribute of its dataclass."""
    example: str = ""
    """A value in TOML, for settings without a default."""

    @property
    def section(self) -> str:
        return self.key.rpartition(".")[0]


SECTIONS: dict[str, type] = {
    "kiro": KiroSettings,
    "kiro.cost": CostSettings,
    "prices.NAME": PriceSettings,
    "agents.NAME": AgentSettings,
    "execution": ExecutionSettings,
    "safety": SafetySettings,
    "routing": RoutingSettings,
    "mcp.servers.NAME": McpServerSettings,
    "diagnostics": DiagnosticSettings,
}
SECTION_DOCS: dict[str, str] = {
    "kiro": "What kiro-lsp offers in this project.",
    "kiro.cost": "Caps in US dollars. They count metered use only; a project may lower them, never raise them.",
    "prices.NAME": "What one model costs; goes before the list price. US dollars for a million tokens.",
    "agents.NAME": "One agent. The built-in ones need no table; a table of the same name changes one of them.",
    "execution": "How a task is run.",
    "safety": "What is asked and kept. A project may only make this stricter.",
    "routing": "Which agent does which kind of task. Empty: the default agent.",
    "mcp.servers.NAME": "One MCP server that agents may use.",
    "diagnostics": "What is said about task files, and how loud.",
}


def _define(key: str, kind: Kind, trust: TrustClass, doc: str, **more: Any) -> Definition:
    section, _, name = key.rpartition(".")
    spec = next(spec for spec in dataclasses.fields(SECTIONS[section]) if spec.name == name.replace("-", "_"))
    if spec.default is not dataclasses.MISSING:
        default = spec.default
    else:
        default = spec.default_factory() if spec.default_factory is not dataclasses.MISSING else None
    return Definition(key, kind, default, trust, doc, field=spec.name, **more)


DEFINITIONS: tuple[Definition, ...] = (
    _define(
        "kiro.enabled",
        "bool",
        "N",
        "Offer to run tasks. When false, language features stay and run lenses go.",
        narrow="false",
        variable="KIRO_ENABLED",
    ),
    _define(
        "kiro.default_agent",
        "text",
        "T",
        'The agent of a plain click: "auto" or an agent\'s name.',
        maximum=64,
        variable="KIRO_DEFAULT_AGENT",
    ),
    _define(
        "kiro.lenses",
        "choice",
        "S",
        "Run lenses above tasks: the recommended agent, up to three agents, or none.",
        choices=get_args(LensMode),
        variable="KIRO_LENSES",
    ),
    _define(
        "kiro.coder_mode",
        "choice",
        "T",
        "Who edits code: the built-in executors, or the Kiro CLI.",
        choices=get_args(CoderMode),
    ),
    _define(
        "kiro.cost.max_cost_per_day",
        "money",
        "N",
        "No request starts that could take the day's metered cost over this.",
        narrow="min",
        minimum=0,
        maximum=100_000,
        variable="KIRO_MAX_COST_PER_DAY",
    ),
    _define(
        "kiro.cost.warn_at_cost",
        "money",
        "N",
        "Say so when the day's metered cost passes this.",
        narrow="min",
        minimum=0,
        maximum=100_000,
    ),
    _define(
        "kiro.cost.max_cost_per_run",
        "money",
        "N",
        "No request starts that could take one run's metered cost over this.",
        narrow="min",
        minimum=0,
        maximum=100_000,
        variable="KIRO_MAX_COST_PER_RUN",
    ),
    _define(
        "kiro.cost.prefer_cheap_for_simple_tasks",
        "bool",
        "S",
        "Let simple tasks go to the provider's cheaper model when the agent is chosen automatically.",
    ),
    _define("kiro.cost.cache_prompts", "bool", "S", "Ask the provider to cache the stable part of the prompt."),
    _define(
        "kiro.cost.reuse_context",
        "bool",
        "S",
        "Send every task of a spec the same documents, which are cached; false: each only those that concern it.",
    ),
    *(
        _define(f"prices.NAME.{name}", "money", "X", doc, minimum=0, maximum=100_000)
        for name, doc in (
            ("input", "Input."),
            ("output", "Output, with what the model thought."),
            ("cached", "Input that was read from a cache. Empty: as other input."),
            ("cache_write", "Input that was written to a cache. Empty: a quarter more than other input."),
        )
    ),
    _define(
        "agents.NAME.enabled",
        "bool",
        "N",
        "Offer this agent.",
        narrow="false",
    ),
    _define(
        "agents.NAME.type",
        "choice",
        "T",
        "How the agent is reached.",
        choices=get_args(AgentType),
        example='"anthropic-api"',
    ),
    _define("agents.NAME.label", "text", "T", "The everyday name on lenses.", maximum=40, example='"Claude"'),
    _define(
        "agents.NAME.billing",
        "choice",
        "T",
        "How its use is paid; caps in dollars count metered use only.",
        choices=get_args(BillingKind),
        example='"metered"',
    ),
    _define(
        "agents.NAME.api_key_env",
        "variable",
        "T",
        "The environment variable that holds the key. A provider's own standard name needs no trust.",
        maximum=128,
        example='"ANTHROPIC_API_KEY"',
    ),
    _define(
        "agents.NAME.api_key",
        "secret",
        "X",
        "The key itself. Better kept in the environment; never in a project.",
        maximum=4096,
    ),
    _define(
        "agents.NAME.model",
        "text",
        "S",
        "The model's name at its provider.",
        minimum=1,
        maximum=200,
        example='"claude-sonnet-5-5"',
    ),
    _define(
        "agents.NAME.max_tokens",
        "int",
        "N",
        "Output tokens of one answer at most.",
        narrow="min",
        minimum=1,
        maximum=1_000_000,
    ),
    _define(
        "agents.NAME.endpoint",
        "url",
        "T",
        "The base address of the API. A key goes only to hosts that your own configuration names, or to this machine.",
        maximum=2048,
        example='"https://api.anthropic.com"',
    ),
    _define(
        "agents.NAME.api",
        "choice",
        "T",
        'For type "openai-api": what the endpoint speaks. Empty: "responses" with OpenAI, "chat" with others.',
        choices=get_args(ApiKind),
        example='"chat"',
    ),
    _define(
        "agents.NAME.command",
        "text",
        "T",
        "The program of an ACP, MCP or CLI agent.",
        minimum=1,
        maximum=4096,
        example='"claude-agent-acp"',
    ),
    _define("agents.NAME.args", "text-list", "T", "Its arguments.", maximum=4096, example='["--verbose"]'),
    _define(
        "agents.NAME.env",
        "text-map",
        "T",
        "Variables added to its environment.",
        maximum=4096,
        example='{ LANG = "C.UTF-8" }',
    ),
    *(
        _define(f"agents.NAME.{name}", "text-list", trust, doc, maximum=4096, example=example)
        for name, trust, doc, example in PROGRAM_LISTS
    ),
    _define(
        "agents.NAME.network",
        "choice",
        "X",
        "What the program may reach from its sandbox. Empty: its hosts, or everything where none are named.",
        choices=get_args(NetworkKind),
        example='"hosts"',
    ),
    _define(
        "agents.NAME.meter",
        "choice",
        "X",
        "The API that the program calls. If it is metered, its requests go through a proxy that keeps the cap.",
        choices=get_args(MeterKind),
        example='"anthropic"',
    ),
    _define(
        "agents.NAME.base_url_env",
        "text",
        "X",
        "The variable that makes the program call another address.",
        maximum=128,
        example='"ANTHROPIC_BASE_URL"',
    ),
    _define(
        "agents.NAME.auth_method",
        "text",
        "X",
        'For type "acp": how the agent is told to log in, by its own name for it, where it insists on being told.',
        maximum=100,
        example='"api-key"',
    ),
    _define(
        "agents.NAME.sandbox_mode",
        "text",
        "X",
        'For type "acp": the session mode within our sandbox, where its own questions protect nothing more.',
        minimum=1,
        maximum=100,
        example='"bypassPermissions"',
    ),
    _define("agents.NAME.stream", "text", "T", "The format of its output.", maximum=64, example='"claude"'),
    _define(
        "agents.NAME.copy_env", "text-map", "X", "Variables added to it in a copy without a sandbox.", maximum=4096
    ),
    _define(
        "agents.NAME.recording",
        "text",
        "T",
        'For type "replay": the recorded run file.',
        minimum=1,
        maximum=4096,
        example='"recordings/first.jsonl"',
    ),
    _define(
        "agents.NAME.server", "text", "T", 'For type "mcp": a server of [mcp.servers].', maximum=64, example='"files"'
    ),
    _define("agents.NAME.tool", "text", "T", 'For type "mcp": its tool.', maximum=128, example='"run_task"'),
    _define(
        "agents.NAME.arguments",
        "text-map",
        "T",
        'For type "mcp": what its tool is given; {prompt}, {task}, {title} and {path} are filled in.',
        maximum=4096,
        example='{ instructions = "{prompt}", folder = "{path}" }',
    ),
    _define(
        "execution.auto_save", "bool", "N", "Save the open files that an accept or its undo changed.", narrow="false"
    ),
    _define(
        "execution.auto_commit",
        "bool",
        "T",
        "Commit what was accepted, and only that, after a confirmation; your own staged work is left alone.",
    ),
    _define("execution.stream_output", "bool", "S", "Show the agent's words while they arrive."),
    _define(
        "execution.timeout_seconds",
        "int",
        "N",
        "End a run after this much work. Waiting for you does not count; staged work is kept.",
        narrow="min",
        minimum=1,
        maximum=86_400,
    ),
    _define(
        "execution.verify_command",
        "argv",
        "T",
        "A program that is run in the copy before the review, as an argument list or one line without shell operators.",
        maximum=4096,
    ),
    _define(
        "execution.verify_timeout",
        "int",
        "N",
        "Seconds that the verify command may take.",
        narrow="min",
        minimum=1,
        maximum=86_400,
    ),
    _define(
        "execution.verify_repairs",
        "int",
        "N",
        "How often an agent is given what failed, to repair it. Each is a run with its own cost.",
        narrow="min",
        minimum=0,
        maximum=10,
    ),
    _define("execution.max_parallel", "int", "N", "Runs at the same time.", narrow="min", minimum=1, maximum=32),
    _define(
        "execution.mark_in_progress",
        "bool",
        "S",
        "Write the in-progress mark when a run starts, where the dialect has one.",
    ),
    _define(
        "execution.kiro_session_timeout",
        "int",
        "N",
        "Seconds for one session of the Kiro CLI.",
        narrow="min",
        minimum=1,
        maximum=86_400,
    ),
    _define(
        "execution.allowed_commands",
        "argv-list",
        "T",
        "Commands that an agent may run in the copy without a question: each an argument list or one line.",
        maximum=4096,
    ),
    _define("safety.require_confirmation", "bool", "N", "Ask before a run starts.", narrow="true"),
    _define(
        "safety.review_changes", "bool", "N", "Show the change and wait for a yes before files change.", narrow="true"
    ),
    _define(
        "safety.backup_before_execution",
        "bool",
        "N",
        "Keep the files' contents from before the run, to restore them.",
        narrow="true",
    ),
    _define("routing.code_generation", "text", "T", "Agent for new code.", maximum=64),
    _define("routing.bug_fix", "text", "T", "Agent for fixing bugs.", maximum=64),
    _define("routing.refactor", "text", "T", "Agent for restructuring.", maximum=64),
    _define("routing.documentation", "text", "T", "Agent for documentation.", maximum=64),
    _define("routing.testing", "text", "T", "Agent for tests.", maximum=64),
    _define(
        "routing.classifier_model", "text", "T", "Model that decides a task's kind. Empty: rules only.", maximum=200
    ),
    _define("routing.retry_model", "text", "T", "Model for a retry. Empty: the same.", maximum=200),
    _define("mcp.servers.NAME.enabled", "bool", "N", "Offer this server.", narrow="false"),
    _define(
        "mcp.servers.NAME.command",
        "text",
        "T",
        "The program of a stdio server.",
        minimum=1,
        maximum=4096,
        example='"mcp-server-filesystem"',
    ),
    _define("mcp.servers.NAME.args", "text-list", "T", "Its arguments.", maximum=4096),
    _define(
        "mcp.servers.NAME.env",
        "text-map",
        "T",
        "Variables added to its environment.",
        maximum=4096,
        example='{ LANG = "C.UTF-8" }',
    ),
    _define(
        "mcp.servers.NAME.url",
        "url",
        "T",
        "The address of an HTTP server.",
        maximum=2048,
        example='"https://mcp.example.com/mcp"',
    ),
    _define(
        "mcp.servers.NAME.hosts",
        "text-list",
        "T",
        'What the program may reach: hosts, or "*" for everything. Empty: no network, where that can be enforced.',
        maximum=512,
    ),
    _define(
        "mcp.servers.NAME.log_implementation",
        "bool",
        "T",
        "Call its tool log-implementation after a task of a spec-workflow spec was accepted and ticked.",
    ),
    *(
        # A project that hides characters in its tasks must not also be able to hide that.
        _define(f"diagnostics.{code}", "choice", "X" if code == "invisible-characters" else "S", doc, choices=LEVELS)
        for code, doc in CODES.items()
    ),
)

BY_KEY: dict[str, Definition] = {definition.key: definition for definition in DEFINITIONS}


def shown_default(definition: Definition) -> str:
    """The default as TOML, "" where there is none."""
    default = definition.default
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, Decimal):
        return f"{default:.2f}"
    if isinstance(default, int):
        return str(default)
    if isinstance(default, str):
        return f'"{default}"'
    if isinstance(default, tuple) and definition.kind in ("argv", "argv-list", "text-list"):
        return "[]"
    return ""
