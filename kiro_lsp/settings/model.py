"""The settings as values: one frozen dataclass per section of `kiro.toml`, each field with its default.

What a key means, its range and what a project may do with it stand once, in `definitions.py`; a test keeps the two in
step. Money is a Decimal in US dollars. Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from kiro_lsp.settings.diagnostics import DiagnosticSettings
from kiro_lsp.settings.secret import Secret, Secrets

Layer = Literal["default", "user", "editor", "client", "project", "dotenv", "environment"]
"""Where a value came from, weakest first."""
TrustClass = Literal["X", "T", "N", "S"]
"""X never from a project; T from a trusted project; N a project may only narrow; S safe from anywhere."""
AgentType = Literal["anthropic-api", "openai-api", "google-api", "ollama", "acp", "mcp", "cli", "kiro", "replay"]
BillingKind = Literal["metered", "subscription", "local"]
ApiKind = Literal["responses", "chat"]
NetworkKind = Literal["none", "hosts", "open"]
MeterKind = Literal["anthropic", "openai", "google"]
LensMode = Literal["recommended", "all", "off"]
CoderMode = Literal["builtin", "kiro"]
Severity = Literal["error", "warning", "information"]


@dataclass(frozen=True, slots=True)
class KiroSettings:
    enabled: bool = True
    """False: language features stay, run lenses go."""
    default_agent: str = "auto"
    """An agent's name, or "auto": the first recommended one that is available."""
    lenses: LensMode = "recommended"
    coder_mode: CoderMode = "builtin"


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One `[agents.NAME]` table. A field that is None is left to the built-in agent of that name."""

    name: str
    enabled: bool = True
    type: AgentType | None = None
    label: str | None = None
    billing: BillingKind | None = None
    api_key_env: str | None = None
    """The variable that holds the key, not the key."""
    api_key: Secret | None = None
    """A literal key, from the person's own configuration only."""
    model: str | None = None
    max_tokens: int = 16384
    """Output tokens of one answer at most."""
    endpoint: str | None = None
    api: ApiKind | None = None
    """For type "openai-api". None: the Responses API with OpenAI itself, Chat Completions with every other address."""
    command: str | None = None
    args: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    login: tuple[str, ...] | None = None
    """The command with which a person logs in to the program."""
    login_files: tuple[str, ...] | None = None
    """Files of which one is there when the person is logged in; none named: nobody can tell."""
    network: NetworkKind | None = None
    """What the program may reach from its sandbox. None: its hosts, or everything where none are named."""
    hosts: tuple[str, ...] | None = None
    homes: tuple[str, ...] | None = None
    """Folders and files of the person's that the program needs, above all for its login."""
    guarded: tuple[str, ...] | None = None
    """Paths in them that make programs run something."""
    sandbox_mode: str | None = None
    """For type "acp": the mode that a session is put into where our own sandbox holds the program."""
    stream: str | None = None
    """For type "cli": which format its output has."""
    sandbox_args: tuple[str, ...] | None = None
    """For type "cli": what is added to `args` where our own sandbox holds the program, and where it is only a copy."""
    copy_args: tuple[str, ...] | None = None
    model_args: tuple[str, ...] | None = None
    resume_args: tuple[str, ...] | None = None
    continue_command: tuple[str, ...] | None = None
    """How a person opens a `{session}` of it in a terminal."""
    copy_env: Mapping[str, str] | None = None
    meter: MeterKind | None = None
    """The API that the program calls where it is metered: its requests go through a proxy of ours that enforces the cap."""
    base_url_env: str | None = None
    """The variable by which the program is told to call the proxy."""
    base_url_args: tuple[str, ...] | None = None
    """Arguments for the same, with `{url}` in them."""
    auth_method: str | None = None
    """For type "acp": how the agent is told to log in where it opens no session without."""
    recording: str | None = None
    """For type "replay": the recorded run file."""
    server: str | None = None
    """For type "mcp": the name of a server in `[mcp.servers]`. None: `command`, or `endpoint` as its address."""
    tool: str | None = None
    """For type "mcp". None: the server's only tool."""
    arguments: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """For type "mcp": argument of the tool → a text with places. Empty: matched by the names of its schema."""
    origins: Mapping[str, Layer] = field(default_factory=lambda: MappingProxyType({}))
    """Field name → the layer that set it; what is missing has its default."""


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    auto_save: bool = True
    auto_commit: bool = False
    stream_output: bool = True
    timeout_seconds: int = 1800
    """Of work; waiting for the person does not count."""
    verify_command: tuple[str, ...] = ()
    """An argument list, empty: none."""
    verify_timeout: int = 600
    verify_repairs: int = 0
    """So many follow-up runs at most are given what failed."""
    max_parallel: int = 3
    mark_in_progress: bool = False
    kiro_session_timeout: int = 1800
    """Seconds for one session of the Kiro CLI."""
    allowed_commands: tuple[tuple[str, ...], ...] = ()
    """Argument lists that run in the copy without a question."""


@dataclass(frozen=True, slots=True)
class SafetySettings:
    require_confirmation: bool = True
    review_changes: bool = True
    backup_before_execution: bool = True


@dataclass(frozen=True, slots=True)
class CostSettings:
    """`[kiro.cost]`: caps count metered use only. US dollars."""

    max_cost_per_day: Decimal = Decimal(10)
    warn_at_cost: Decimal = Decimal(5)
    max_cost_per_run: Decimal = Decimal(2)
    prefer_cheap_for_simple_tasks: bool = True
    cache_prompts: bool = True
    reuse_context: bool = True


@dataclass(frozen=True, slots=True)
class PriceSettings:
    """One `[prices.MODEL]` table: what the person says that a model costs. US dollars for a million tokens.

    Settings in force hold only tables that name `input` and `output`.
    """

    input: Decimal | None = None
    output: Decimal | None = None
    cached: Decimal | None = None
    """Input that was read from a cache. None: as other input."""
    cache_write: Decimal | None = None
    """Input that was written to a cache. None: a quarter more than other input."""


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """Task kind → agent name; "" means the default agent."""

    code_generation: str = ""
    bug_fix: str = ""
    refactor: str = ""
    documentation: str = ""
    testing: str = ""
    classifier_model: str = ""
    retry_model: str = ""


@dataclass(frozen=True, slots=True)
class McpServerSettings:
    name: str
    enabled: bool = True
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    url: str | None = None
    hosts: tuple[str, ...] = ()
    """What the program may reach; "*" is everything."""
    log_implementation: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    kiro: KiroSettings = KiroSettings()
    agents: Mapping[str, AgentSettings] = field(default_factory=lambda: MappingProxyType({}))
    """Only the agents that some layer names; the built-in ones are the registry's."""
    execution: ExecutionSettings = ExecutionSettings()
    safety: SafetySettings = SafetySettings()
    cost: CostSettings = CostSettings()
    prices: Mapping[str, PriceSettings] = field(default_factory=lambda: MappingProxyType({}))
    """Model → its price, which goes before any list price."""
    routing: RoutingSettings = RoutingSettings()
    mcp_servers: Mapping[str, McpServerSettings] = field(default_factory=lambda: MappingProxyType({}))
    diagnostics: DiagnosticSettings = field(default_factory=DiagnosticSettings)


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that settings are made of, as text and values. None: there is no such file."""

    root: str = ""
    """The real path of the root; part of the trust digest."""
    project_toml: str | None = None
    project_path: str = ".spec-workflow/kiro.toml"
    user_toml: str | None = None
    user_path: str = "config.toml"
    user_refusal: str | None = None
    """Why the person's own configuration was not read (owner, permissions, place)."""
    dotenv: str | None = None
    """The project's `.env`. The reader must not open it before the project is trusted."""
    dotenv_path: str = ".env"
    environ: Mapping[str, str] = field(default_factory=dict)
    client: Mapping[str, object] | None = None
    """What the editor sent for the section `kiroLsp`; may come out of files of the workspace."""
    editor: Mapping[str, object] | None = None
    """The same of what the person set in the editor for themselves, from a client that tells the two apart."""


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """A fault in a configuration source. Line and column are 0-based; columns count characters."""

    path: str
    line: int
    column: int
    code: str
    severity: Severity
    message: str
    end_column: int | None = None


@dataclass(frozen=True, slots=True)
class TrustValue:
    """A class T value of the project, as it is shown before trust is given. `source` names the file."""

    key: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    settings: Settings
    problems: tuple[SettingProblem, ...] = ()
    trust_values: tuple[TrustValue, ...] = ()
    digest: str = ""
    """sha256 hex over root and every class T value: what a grant of trust covers."""
    secrets: Secrets = field(default_factory=Secrets)
