--- The public verbs of the Neovim client. Modules are loaded when a verb needs them.
local M = {}

---@class kiro.Args
---@field args? string
---@field bang? boolean
---@field range? integer how many line numbers were given
---@field line1? integer
---@field line2? integer

--- Change where the server is started from. Not needed when `kiro-lsp` is on the PATH.
---@param config? kiro.Config
function M.setup(config)
  local client = require("kiro.client")
  client.config = vim.tbl_extend("force", client.config, config or {})
end

--- The lens commands on the current line, nearest first.
---@return table[]
local function lenses_here()
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  local here = {}
  for _, lens in ipairs(vim.lsp.codelens.get(0) or {}) do
    if lens.range.start.line == row and lens.command then
      table.insert(here, lens.command)
    end
  end
  return here
end

---@param command string
---@return table? its argument object
local function argument_of(command)
  for _, lens in ipairs(lenses_here()) do
    if lens.command == "kiroLsp." .. command then
      return lens.arguments and lens.arguments[1]
    end
  end
end

---@param command string
---@param otherwise string what to say when the line offers no such thing
local function from_lens(command, otherwise)
  local argument = argument_of(command)
  if not argument then
    vim.notify(otherwise, vim.log.levels.WARN)
    return
  end
  require("kiro.client").execute(command, argument)
end

function M.run()
  from_lens("runTask", "There is no task to run on this line")
end

function M.cancel()
  from_lens("cancelRun", "Nothing runs on this line")
end

---@param args? kiro.Args
function M.retry(args)
  local argument = argument_of("retryRun")
  if not argument then
    vim.notify("Nothing on this line has to be run again", vim.log.levels.WARN)
    return
  end
  require("kiro.client").execute("retryRun", { runId = argument.runId, fresh = args and args.bang or false })
end

---@param args? kiro.Args
function M.comment(args)
  local text = args and args.args ~= "" and args.args or nil
  require("kiro.review").comment(text, args and args.bang or false)
end

--- The agent's own session of a run, in a terminal window.
---@param args? kiro.Args
function M.continue(args)
  local client, argument = require("kiro.client"), argument_of("openReview") or argument_of("retryRun")
  local run = args and args.args ~= "" and args.args or (argument and argument.runId) or client.reviewable
  if not run then
    vim.notify("There is nothing to continue", vim.log.levels.WARN)
    return
  end
  client.execute("continueInTerminal", { runId = run }, function(answer)
    vim.schedule(function()
      vim.cmd("botright new")
      vim.fn.termopen(answer.command, { cwd = answer.cwd })
    end)
  end)
end

---@param args? kiro.Args
function M.review(args)
  local named = args and args.args ~= "" and args.args or nil
  local argument = argument_of("openReview")
  local run = named or (argument and argument.runId) or require("kiro.client").reviewable
  if not run then
    vim.notify("There is nothing to review", vim.log.levels.WARN)
    return
  end
  require("kiro.review").open(run)
end

---@param args? kiro.Args
function M.accept(args)
  require("kiro.review").decide("accept", args and args.bang or false)
end

---@param args? kiro.Args
function M.reject(args)
  require("kiro.review").decide("reject", args and args.bang or false)
end

---@param args? kiro.Args
function M.undo(args)
  local named = args and args.args ~= "" and args.args or nil
  local argument = argument_of("openReview")
  local run = named or (argument and argument.runId) or require("kiro.client").reviewable
  if run then
    require("kiro.client").execute("undoRun", { runId = run }, function(answer)
      vim.notify(answer.message or "Undone", vim.log.levels.INFO)
    end)
  end
end

--- Review what a chat answered: the lines of the range, else a register (`+`, the clipboard, when none is named).
---@param args? kiro.Args
function M.apply(args)
  local text
  if args and (args.range or 0) > 0 then
    text = table.concat(vim.api.nvim_buf_get_lines(0, args.line1 - 1, args.line2, false), "\n") .. "\n"
  else
    local register = args and args.args and args.args ~= "" and args.args or "+"
    text = vim.fn.getreg(register)
    if vim.trim(text) == "" then
      vim.notify(("Register %s is empty: copy the answer first, or give a range"):format(register), vim.log.levels.WARN)
      return
    end
  end
  local client, bufnr = require("kiro.client"), vim.api.nvim_get_current_buf()
  local path, argument = vim.api.nvim_buf_get_name(bufnr), { text = text }
  local is_file = path ~= "" and vim.api.nvim_buf_get_option(bufnr, "buftype") == ""
  if is_file then
    argument.uri = vim.uri_from_bufnr(bufnr)
  end
  local id = client.start(is_file and path or vim.fn.getcwd() .. "/", is_file and bufnr or nil)
  if not id then
    return
  end
  client.when_ready(id, function(server)
    client.execute("applyFromClipboard", argument, function(answer)
      client.reviewable = answer.runId
      vim.schedule(function()
        require("kiro.review").open(answer.runId)
      end)
    end, bufnr, server)
  end)
end

--- What is going on, for a statusline; empty when nothing is.
---@return string
function M.status()
  local parts = {}
  for _, progress in pairs(require("kiro.client").progress) do
    table.insert(parts, progress.message and (progress.title .. ": " .. progress.message) or progress.title)
  end
  return table.concat(parts, " · ")
end

return M
