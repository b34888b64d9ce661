--- Looking at a pending change set: one tab per file, base left, proposal right, decided by commands.
--- Nothing is written here; the server applies what is accepted.
local M = {}

---@class kiro.Review
---@field run string
---@field revision integer
---@field files table[]
---@field verdict string[] what is known of whether the change was verified, line by line
---@field tabs integer[] tab handles
---@field front? integer the tab that stays in front while this one is shown again
---@field path? string the file whose tab does

---@type kiro.Review?
M.current = nil

local client = require("kiro.client")

---@return table? lsp client
local function server()
  for _, other in pairs(vim.lsp.get_active_clients()) do
    if other.name == "kiro_lsp" or other.name == "kiro-lsp" then
      return other
    end
  end
end

---@param uri string
---@param done fun(text: string)
local function content(uri, done)
  server().request("kiro/reviewContent", { uri = uri }, function(err, result)
    done(err and ("-- " .. err.message) or result.text)
  end, 0)
end

---@param name string
---@param text string
---@param like string path whose file type is shown
---@return integer bufnr
local function scratch(name, text, like)
  local bufnr = vim.api.nvim_create_buf(false, true)
  local lines = vim.split(text, "\r?\n")
  if lines[#lines] == "" then
    table.remove(lines)
  end
  vim.api.nvim_buf_set_lines(bufnr, 0, -1, false, lines)
  pcall(vim.api.nvim_buf_set_name, bufnr, name)
  vim.api.nvim_buf_set_option(bufnr, "bufhidden", "wipe")
  vim.api.nvim_buf_set_option(bufnr, "modifiable", false)
  local extension = vim.fn.fnamemodify(like, ":e")
  if extension ~= "" then
    vim.api.nvim_buf_set_option(bufnr, "filetype", extension == "py" and "python" or extension)
  end
  return bufnr
end

--- What the server says of whether the change was verified, as lines; none where nothing was verified.
---@param verify any the `verify` of a review
---@return string[]
function M.verdict(verify)
  if type(verify) ~= "table" then
    return {}
  end
  local command, lines = table.concat(verify.command, " "), vim.split(verify.summary, "\n")
  if type(verify.ok) ~= "boolean" then
    local what = verify.running and "… verifying: " or "? not verified: "
    return { what .. command .. (verify.running and "" or ", " .. lines[1]) }
  end
  local word = verify.ok and "✓ verified" or "✗ verify failed"
  local as_of = verify.outdated and (" (as of revision %d: the change has moved on)"):format(verify.revision) or ""
  lines[1] = ("%s%s: %s, %.1f s: %s"):format(word, as_of, command, verify.seconds, lines[1])
  return lines
end

--- The verdict above the two sides, in a window as high as it needs, up to a third of the screen.
---@param review kiro.Review
---@param file table
local function show_verdict(review, file)
  if #review.verdict == 0 then
    return
  end
  vim.cmd("topleft split")
  local name = "kiro://verify/" .. review.run .. "/" .. file.path
  vim.api.nvim_win_set_buf(0, scratch(name, table.concat(review.verdict, "\n"), ""))
  vim.cmd("diffoff")
  vim.cmd("resize " .. math.max(1, math.min(#review.verdict, math.floor(vim.o.lines / 3))))
  vim.api.nvim_win_set_option(0, "winfixheight", true)
  vim.cmd("wincmd p")
end

---@param review kiro.Review
---@param file table
local function show(review, file)
  content(file.baseUri, function(base)
    content(file.proposedUri, function(proposed)
      vim.schedule(function()
        if M.current ~= review then -- decided meanwhile
          return
        end
        vim.cmd("tabnew")
        vim.api.nvim_win_set_buf(0, scratch("kiro://base/" .. review.run .. "/" .. file.path, base, file.path))
        vim.cmd("diffthis")
        vim.cmd("rightbelow vsplit")
        vim.api.nvim_win_set_buf(0, scratch("kiro://proposed/" .. review.run .. "/" .. file.path, proposed, file.path))
        vim.cmd("diffthis")
        show_verdict(review, file)
        vim.t.kiro_path = file.path
        local tab = vim.api.nvim_get_current_tabpage()
        table.insert(review.tabs, tab)
        review.front = file.path == review.path and tab or review.front
        if review.front and vim.api.nvim_tabpage_is_valid(review.front) then
          vim.api.nvim_set_current_tabpage(review.front)
        end
      end)
    end)
  end)
end

--- Open the review of a run.
---@param run string
---@param shown? kiro.Review the one whose place it takes, if that is still shown by then
function M.open(run, shown)
  local lsp = server()
  if not lsp then
    vim.notify("kiro-lsp is not running: open a tasks.md first", vim.log.levels.WARN)
    return
  end
  lsp.request("kiro/review", { runId = run }, function(err, result)
    if err then
      vim.notify(err.message, vim.log.levels.ERROR)
      return
    end
    if shown and M.current ~= shown then
      return
    end
    -- What was in front stays there: the person's own tab, or the one of the same file.
    local path = vim.t.kiro_path
    local front = shown and not path and vim.api.nvim_get_current_tabpage() or nil
    M.close()
    local verdict = M.verdict(result.verify)
    M.current = {
      run = run,
      revision = result.revision,
      files = result.files,
      verdict = verdict,
      tabs = {},
      front = front,
      path = path,
    }
    for _, file in ipairs(result.files) do
      if not file.binary then
        show(M.current, file)
      end
    end
    if verdict[1] then
      vim.notify(verdict[1], vim.log.levels.INFO)
    end
    vim.notify(("%d file(s): :KiroAccept, :KiroReject, with ! for the file of this tab"):format(#result.files))
  end, 0)
end

--- The review that is open, and its run or else the newest that waits for one; says so when there is none.
---@return kiro.Review? review
---@return string? run
local function at_hand()
  local run = M.current and M.current.run or client.reviewable
  if not run then
    vim.notify("There is nothing to review", vim.log.levels.WARN)
  end
  return M.current, run
end

--- Accept or reject everything, or the file of the current tab.
---@param verb "accept"|"reject"
---@param this_file boolean
function M.decide(verb, this_file)
  local review, run = at_hand()
  if not run then
    return
  end
  local arguments =
    { runId = run, revision = review and review.revision or nil, path = this_file and vim.t.kiro_path or nil }
  client.execute(verb, arguments, function(answer)
    vim.schedule(function()
      vim.notify(answer.message or verb .. "ed", vim.log.levels.INFO)
      M.close()
      vim.cmd("checktime")
    end)
  end)
end

---@param review kiro.Review
---@return string? the id of the change under the cursor, on either side
local function hunk_here(review)
  local row, side = vim.api.nvim_win_get_cursor(0)[1] - 1, vim.api.nvim_buf_get_name(0):match("kiro://(%a+)/")
  for _, file in ipairs(side and review.files or {}) do
    for _, hunk in ipairs(file.path == vim.t.kiro_path and file.hunks or {}) do
      local range = side == "base" and hunk.baseRange or hunk.proposedRange
      if row >= range.start.line and row < math.max(range["end"].line, range.start.line + 1) then
        return hunk.id
      end
    end
  end
end

--- Have the agent change what is said: of the change under the cursor, of the file of this tab, else of everything.
---@param text? string without it the server asks for it
---@param this_file boolean
function M.comment(text, this_file)
  local review, run = at_hand()
  if not run then
    return
  end
  local hunk = review and not this_file and hunk_here(review) or nil
  local path = (this_file or hunk) and vim.t.kiro_path or nil
  client.execute("followUp", { runId = run, path = path, hunk = hunk, text = text }, function()
    vim.schedule(M.close)
  end)
end

--- The review has moved on: show it as it is now.
---@param run string
function M.refresh(run)
  local shown = M.current
  if shown and shown.run == run then
    vim.schedule(function()
      M.open(run, shown)
    end)
  end
end

function M.close()
  local review = M.current
  M.current = nil
  for _, tab in ipairs(review and review.tabs or {}) do
    if vim.api.nvim_tabpage_is_valid(tab) and #vim.api.nvim_list_tabpages() > 1 then
      vim.cmd("tabclose " .. vim.api.nvim_tabpage_get_number(tab))
    end
  end
end

return M
