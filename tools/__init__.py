"""Commands for those who work on kiro-lsp; none of them is part of the package."""
