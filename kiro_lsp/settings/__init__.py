"""Settings: text of every layer in, one frozen value out, with problems, trust values and secrets.

Reads no file and starts nothing: whoever has the texts passes them as `Sources`. What a project may set is decided by the
trust class in `definitions.py`.
"""

from __future__ import annotations

from kiro_lsp.settings.model import (
    AgentSettings,
    AgentType,
    BillingKind,
    CostSettings,
    ExecutionSettings,
    KiroSettings,
    Layer,
    LoadedSettings,
    McpServerSettings,
    RoutingSettings,
    SafetySettings,
    SettingProblem,
    Settings,
    Sources,
    TrustClass,
    TrustValue,
)
from kiro_lsp.settings.secret import Secret, Secrets

__all__ = [
    "AgentSettings",
    "AgentType",
    "BillingKind",
    "CostSettings",
    "ExecutionSettings",
    "KiroSettings",
    "Layer",
    "LoadedSettings",
    "McpServerSettings",
    "RoutingSettings",
    "SafetySettings",
    "Secret",
    "Secrets",
    "SettingProblem",
    "Settings",
    "Sources",
    "TrustClass",
    "TrustValue",
]
