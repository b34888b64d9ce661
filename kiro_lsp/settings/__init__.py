"""Settings: text of every layer in, one frozen value out, with problems, trust values and secrets.

Reads no file and starts nothing: whoever has the texts passes them as `Sources`. What a project may set is decided by
the trust class in `definitions.py`.
"""

from __future__ import annotations

from kiro_lsp.settings.definitions import DEFINITIONS, Definition
from kiro_lsp.settings.load import load_settings
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
    PriceSettings,
    RoutingSettings,
    SafetySettings,
    SettingProblem,
    Settings,
    Sources,
    TrustClass,
    TrustValue,
)
from kiro_lsp.settings.models import MODELS, successor
from kiro_lsp.settings.providers import DEFAULT_ENDPOINTS, STANDARD_KEYS, TYPE_KEYS
from kiro_lsp.settings.secret import KeyLookup, Secret, Secrets

__all__ = [
    "DEFAULT_ENDPOINTS",
    "DEFINITIONS",
    "MODELS",
    "STANDARD_KEYS",
    "TYPE_KEYS",
    "AgentSettings",
    "AgentType",
    "BillingKind",
    "CostSettings",
    "Definition",
    "ExecutionSettings",
    "KeyLookup",
    "KiroSettings",
    "Layer",
    "LoadedSettings",
    "McpServerSettings",
    "PriceSettings",
    "RoutingSettings",
    "SafetySettings",
    "Secret",
    "Secrets",
    "SettingProblem",
    "Settings",
    "Sources",
    "TrustClass",
    "TrustValue",
    "load_settings",
    "successor",
]
