--- `:checkhealth kiro`: what the server itself finds.
local M = {}

function M.check()
  local health = vim.health or require("health")
  local start = health.start or health.report_start
  local ok, warn = health.ok or health.report_ok, health.warn or health.report_warn
  local bad = health.error or health.report_error
  start("kiro-lsp")
  local program = require("kiro.client").config.cmd[1]
  if vim.fn.executable(program) == 0 then
    bad(
      program .. " is not on the PATH",
      { "pipx install kiro-lsp", "or set its path: require('kiro').setup({ cmd = … })" }
    )
    return
  end
  ok(vim.trim(vim.fn.system({ program, "--version" })))
  local decoded, report = pcall(vim.fn.json_decode, vim.fn.system({ program, "doctor", "--json" }))
  if not decoded or type(report) ~= "table" then
    warn("kiro-lsp doctor did not answer")
    return
  end
  for _, check in ipairs(report.checks or {}) do
    local say = ({ ok = ok, warning = warn, error = bad })[check.status] or ok
    say(check.name .. ": " .. (check.message or "") .. (check.hint and check.hint ~= "" and (" " .. check.hint) or ""))
  end
end

return M
