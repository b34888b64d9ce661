"""What a person can say of an agent's program in lists: how it is called, and what it needs of the place that it works in."""

from __future__ import annotations

from typing import Final

from kiro_lsp.settings.model import TrustClass

PROGRAM_LISTS: Final[tuple[tuple[str, TrustClass, str, str], ...]] = (
    (
        "login",
        "T",
        "The command that logs you in to it, as it is shown when you are not.",
        '["claude", "auth", "login"]',
    ),
    (
        "login_files",
        "X",
        "Files of which one is there when you are logged in. Empty: it says so itself.",
        '["~/.codex/auth.json"]',
    ),
    ("hosts", "X", "The hosts that the program needs: a name (port 443), or name:port.", '["api.example.com"]'),
    (
        "homes",
        "X",
        "What in your home folder it needs, for its login above all. It can write there, but to single files.",
        '["~/.claude"]',
    ),
    (
        "guarded",
        "X",
        "Paths there that make programs run something. A run that changes one fails.",
        '["~/.claude/settings.json"]',
    ),
    (
        "base_url_args",
        "X",
        "Arguments that make it call another {url}, if no variable does.",
        '["-c", "base_url={url}"]',
    ),
    ("sandbox_args", "X", 'For type "cli": its arguments within our sandbox, besides.', '["--yolo"]'),
    ("copy_args", "X", 'For type "cli": its arguments in a copy without a sandbox.', '["--mode", "accept-edits"]'),
    ("model_args", "X", 'For type "cli": how it is told the {model}.', '["--model", "{model}"]'),
    ("resume_args", "X", 'For type "cli": how it goes on with a {session}.', '["--resume", "{session}"]'),
    (
        "continue_command",
        "X",
        "The command with which you open a {session} of it in a terminal.",
        '["claude", "--resume", "{session}"]',
    ),
)
"""Lists about an agent's program: name, trust, what it means, an example."""
