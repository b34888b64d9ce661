"""The terminal face: one function per verb of the command line, and what they share.

A verb takes the parsed arguments and a `Console` and answers with an exit code. It reads files and calls the engine; it
holds no rule about runs, reviews or trust. `kiro_lsp.cli` finds a verb's module by name when it is asked for, so that
nothing here is imported for `--version` or for the language server.
"""
