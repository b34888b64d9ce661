"""kiro-lsp: run the tasks of a tasks.md with a coding agent, from any editor.

Importing this package does no work: the version is read on demand.
"""

__version__ = "0.1.0"
