"""What can be said about a task file while it is written: rules in the modules of this package, found by their place.

A rule is a function with `@rule(code, severity)`; the first line of its docstring is its line in the documentation, and a
function with `@fix(code)` beside it says what to do about it. What the parser itself noticed has codes of the same kind and comes
through `noticed.py`. Adding a rule: write it into a module here, give its code a row in `settings/diagnostics.py`, and a line in
docs/features.md.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from kiro_lsp.spec.checks.noticed import noticed
from kiro_lsp.spec.checks.rule import FIXES, RULES, Finding, Fix, Related, Rule
from kiro_lsp.spec.facts import Facts
from kiro_lsp.spec.model import Problem, Severity

__all__ = ["RULES", "Finding", "Fix", "Related", "Rule", "findings", "fixes", "problems_in", "severity_of"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

OF_ONE_KIND: Final = 50
"""Findings of one code; a broken file needs no thousand copies of one message."""
_LEVELS: Final[Mapping[str, Severity]] = {
    "hint": "hint",
    "info": "information",
    "information": "information",
    "warning": "warning",
    "error": "error",
}


def severity_of(code: str, default: Severity, levels: Mapping[str, str]) -> Severity | None:
    """The severity that settings give a code, None where they turn it off. `levels`: code → level, only those that are set."""
    level = levels.get(code)
    if level is None:
        return default
    return None if level == "off" else _LEVELS.get(level, default)


def findings(facts: Facts, levels: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
    """All findings, in the order of their places. Where facts are not known, their rules say nothing."""
    levels = levels or {}
    found: list[Finding] = []
    for finding in noticed(facts):
        severity = severity_of(finding.code, finding.severity, levels)
        if severity is not None:
            found.append(replace(finding, severity=severity))
    for rule in RULES.values():
        severity = severity_of(rule.code, rule.severity, levels)
        if severity is not None:
            found.extend(_of_rule(rule, facts, severity))
    found.sort(key=lambda finding: (finding.line, finding.column, finding.code))
    return tuple(found)


def problems_in(facts: Facts) -> tuple[Problem, ...]:
    """The same as problems: what `tasks --json` prints."""
    return tuple(
        Problem(found.line, found.column, found.code, found.severity, found.message, found.end_column)
        for found in findings(facts)
    )


def fixes(facts: Facts, code: str, line: int) -> tuple[Fix, ...]:
    """What settles the findings with this code on this line. Nothing where no fix is safe, or nothing is found any more."""
    fixer = FIXES.get(code)
    if fixer is None:
        return ()
    rule = RULES.get(code)
    if rule is not None:
        found: Iterable[Finding] = _of_rule(rule, facts, rule.severity)
    else:
        found = noticed(facts, code)
    return tuple(dict.fromkeys(fix for finding in found if finding.line == line for fix in fixer(facts, finding)))


def _of_rule(rule: Rule, facts: Facts, severity: Severity) -> Iterator[Finding]:
    for count, finding in enumerate(rule.check(facts)):
        if count == OF_ONE_KIND:
            return
        yield replace(finding, code=rule.code, severity=severity)
