-- For `vim.lsp.enable("kiro_lsp")` (Neovim 0.11 and later). Older ones start from plugin/kiro.lua.
---@type vim.lsp.Config
return {
  cmd = { "kiro-lsp", "--stdio" },
  filetypes = { "markdown" },
  root_markers = { { ".kiro", ".spec-workflow", ".specify", "openspec" }, ".git" },
  init_options = require("kiro.client").init_options,
}
