"""The extension in the real VS Code: what a person sees in the page, and what is on the disk afterwards."""
