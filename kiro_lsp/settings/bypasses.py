"""What a project may never say, however trusted: names that loosen a guard, arguments that skip an agent's questions."""

from __future__ import annotations

NEVER_FROM_PROJECT: frozenset[str] = frozenset(
    {
        *("api_key", "approval", "approval_mode", "auto_accept", "auto_approve", "backup_dir", "body_logging"),
        *("ca_bundle", "dashboard", "http_proxy", "https_proxy", "log_bodies", "permission_mode", "prices", "proxy"),
        *("redact", "redaction", "sandbox", "state_dir", "telemetry", "telemetry_endpoint", "trust", "trusted"),
        *("update_url", "verify_tls"),
    }
)
"""Names that would loosen a guard. In a project they are refused as such, not passed over as unknown."""

BYPASS_FLAGS: frozenset[str] = frozenset(
    {
        *("--allow-dangerously-skip-permissions", "--dangerously-allow-all", "--dangerously-skip-permissions"),
        *("--dangerously-bypass-approvals-and-sandbox", "--dangerously-bypass-hook-trust", "--always-approve"),
        *("--approve-mcps", "--force", "--full-auto", "--skip-trust", "--trust", "--trust-all-tools", "--yolo"),
    }
)
"""Arguments by which known agents skip their own questions; a project may not pass them."""
BYPASS_VALUES: frozenset[str] = frozenset({"bypasspermissions", "danger-full-access", "yolo"})
BYPASS_VARIABLES: tuple[str, ...] = ("_TRUST_WORKSPACE", "IS_SANDBOX", "_PERMISSION", "DANGEROUSLY")
