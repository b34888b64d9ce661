"""Every expression that is compiled late can be compiled."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import kiro_lsp.spec
from kiro_lsp.spec.patterns import _Late, pattern

MODULES = [info.name for info in pkgutil.walk_packages(kiro_lsp.spec.__path__, "kiro_lsp.spec.")]


def lates(value: object) -> list[_Late]:
    if isinstance(value, _Late):
        return [value]
    if isinstance(value, dict):
        return [late for item in value.values() for late in lates(item)]
    return [late for item in value for late in lates(item)] if isinstance(value, tuple | list) else []


@pytest.mark.parametrize("module", MODULES)
def test_every_expression_compiles(module: str) -> None:
    found = [late for value in vars(importlib.import_module(module)).values() for late in lates(value)]
    assert all(late.match("") is None or late.pattern is not None for late in found)


def test_an_expression_is_compiled_when_it_is_used() -> None:
    wrong = pattern("(")
    with pytest.raises(Exception, match="missing"):
        wrong.search("x")
    right = pattern("B", 2)
    assert right.search("abc") is not None
    assert (right.pattern, right.sub("x", "abc")) == ("B", "axc")
