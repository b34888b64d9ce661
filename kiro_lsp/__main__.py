"""`python -m kiro_lsp` is the same program as `kiro-lsp`."""

import sys

from kiro_lsp.cli import main

sys.exit(main(None))
