"""The command line: arguments in, text out."""

from __future__ import annotations


def main(arguments: list[str]) -> int:
    """Carry out one command and return its exit code."""
    return 0 if arguments else 2
