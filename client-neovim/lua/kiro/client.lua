--- Starting the language server and hearing from it. Holds no rule about tasks: those live in the server.
local M = {}

---@class kiro.Config
---@field cmd string[] the command that starts the server
---@field root_markers string[] what makes a folder a project

---@type kiro.Config
M.config = {
  cmd = { "kiro-lsp", "--stdio" },
  root_markers = { ".kiro", ".spec-workflow", ".specify", "openspec", ".git" },
}

--- What this client can do beyond plain LSP; the server sends nothing that is not listed here.
M.init_options = { kiro = { "kiro/review", "kiro/runEvent", "kiro/reviewChanged", "kiro/permission", "kiro/input", "kiro/save" } }

---@class kiro.Progress
---@field title string
---@field message string?

--- Progress by token, for a statusline: see `require("kiro").status()`.
---@type table<string|integer, kiro.Progress>
M.progress = {}

--- The newest run that has something to review.
---@type string?
M.reviewable = nil

---@param path string
---@return string
local function root_of(path)
  local folder = vim.fn.fnamemodify(path, ":p:h")
  local at = folder
  while true do
    for _, marker in ipairs(M.config.root_markers) do
      if vim.loop.fs_stat(at .. "/" .. marker) then
        return at
      end
    end
    local above = vim.fn.fnamemodify(at, ":h")
    if above == at then
      return folder
    end
    at = above
  end
end

--- Lower case: what a task file is called, and the folders in which every Markdown file is part of a spec.
local NAMES = { "/tasks%.%w+$", "/todos?%.%w+$", "/task[-_ ]?list%.%w+$", "/tickets?/[^/]+$", "/backlog/tasks/[^/]+$" }
local FOLDERS = { "%.kiro", "%.spec%-workflow", "%.specify", "%.claude/specs", "openspec", "kitty%-specs", "specs" }

--- Whether the server has something to say of a Markdown file: it holds tasks, or stands in a spec's folder.
---@param path string
---@return boolean
local function is_task_file(path)
  local plain = path:gsub("\\", "/"):lower()
  if plain:match("/node_modules/") or plain:match("/%.git/") then
    return false
  end
  for _, name in ipairs(NAMES) do
    if plain:match(name) then
      return true
    end
  end
  for _, folder in ipairs(FOLDERS) do
    if plain:match("/" .. folder .. "/") then
      return true
    end
  end
  return false
end

---@class kiro.Awaited
---@field client integer whose answer it is
---@field tick integer the text that it is about
---@field again boolean whether it was asked for again since

---@type table<integer, kiro.Awaited> buffer → the answer about its lenses that is awaited
local awaited = {}

--- Before the server is initialized a refresh would be lost, and Neovim would never ask again: then it does nothing.
--- While an answer is awaited, Neovim's own refresh does nothing either. Here a text that was edited meanwhile is asked
--- about at once, which also sends the edit, and the same text once more after the answer: no change is missed, and
--- however often it is called, answers are shown. Neovim 0.12 and later keep them fresh by themselves once that is on.
---@param bufnr integer
function M.refresh_lenses(bufnr)
  bufnr = bufnr == 0 and vim.api.nvim_get_current_buf() or bufnr
  local client = M.clients(bufnr)[1]
  if not (vim.api.nvim_buf_is_loaded(bufnr) and client and client.initialized) then
    return
  end
  if vim.lsp.codelens.enable then
    vim.lsp.codelens.enable(true, { bufnr = bufnr })
    return
  end
  local before, tick = awaited[bufnr], vim.api.nvim_buf_get_changedtick(bufnr)
  if before and before.client == client.id and before.tick == tick then
    before.again = true
    return
  end
  local this = { client = client.id, tick = tick, again = false }
  local params = { textDocument = { uri = vim.uri_from_bufnr(bufnr) } }
  local is_sent = client.request("textDocument/codeLens", params, function(err, result, ctx, config)
    if awaited[bufnr] ~= this then
      return -- a newer one is on its way
    end
    awaited[bufnr] = nil
    if vim.api.nvim_buf_is_loaded(bufnr) then
      vim.lsp.codelens.on_codelens(err, result, ctx, config)
      if this.again then
        M.refresh_lenses(bufnr)
      end
    end
  end, bufnr)
  awaited[bufnr] = is_sent and this or nil
end

---@param bufnr integer
---@return table[] the kiro-lsp clients of a buffer
function M.clients(bufnr)
  local all = vim.lsp.get_clients and vim.lsp.get_clients({ bufnr = bufnr })
    or vim.tbl_values(vim.lsp.buf_get_clients(bufnr))
  return vim.tbl_filter(function(client)
    return client.name == "kiro_lsp" or client.name == "kiro-lsp"
  end, all)
end

local handlers = {}

handlers["$/progress"] = function(err, result, ctx, config)
  local value = result.value
  if value.kind == "end" then
    M.progress[result.token] = nil
    if value.message then
      vim.notify(value.message, vim.log.levels.INFO)
    end
  else
    local known = M.progress[result.token] or { title = value.title or "" }
    known.message = value.message or known.message
    M.progress[result.token] = known
  end
  vim.cmd("redrawstatus")
  local default = vim.lsp.handlers["$/progress"]
  if default then
    default(err, result, ctx, config)
  end
end

handlers["kiro/runEvent"] = function(_, result)
  local event = result.event
  if event.type == "review" then
    M.reviewable = event.runId
  end
  if event.type == "state" then
    for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
      M.refresh_lenses(bufnr)
    end
  end
end

handlers["kiro/reviewChanged"] = function(_, result)
  require("kiro.review").refresh(result.runId)
end

--- What the person answers, however long it takes.
---@param ask fun(on_answer: fun(answer: any))
---@return any
local function answer_of(ask)
  local co, waiting, answer, done = coroutine.running(), false, nil, false
  ask(function(given)
    answer, done = given, true
    if waiting then
      coroutine.resume(co)
    end
  end)
  if not done and co then
    waiting = true
    coroutine.yield()
  elseif not done then
    vim.wait(24 * 60 * 60 * 1000, function()
      return done
    end, 50)
  end
  return answer
end

---@param title string
---@return string? nil when nothing was typed
local function words(title)
  local text = answer_of(function(on_answer)
    vim.ui.input({ prompt = title .. " " }, on_answer)
  end)
  return text and text ~= "" and text or nil
end

--- A question of a run, by `vim.ui.select`. Closing it without a choice is a no.
handlers["kiro/permission"] = function(_, result)
  local chosen = answer_of(function(on_answer)
    vim.ui.select(result.options, {
      prompt = result.title,
      format_item = function(option)
        return option.label
      end,
    }, on_answer)
  end)
  local text = result.words and chosen and chosen.kind ~= "deny" and words(result.title) or nil
  return { option = chosen and chosen.id or vim.NIL, text = text }
end

--- A note to a run, or a comment on a change.
handlers["kiro/input"] = function(_, result)
  return { text = words(result.title) or vim.NIL }
end

--- Save the files that an accept changed; answers with those that were saved.
handlers["kiro/save"] = function(_, result)
  local saved = {}
  for _, uri in ipairs(result.uris) do
    local bufnr = vim.uri_to_bufnr(uri)
    local ok = pcall(vim.api.nvim_buf_call, bufnr, function()
      vim.cmd("silent update")
    end)
    if ok and not vim.api.nvim_buf_get_option(bufnr, "modified") then
      table.insert(saved, uri)
    end
  end
  return { uris = saved }
end

--- Start the server for a task file, or attach the buffer to the one that runs for its project.
---@param bufnr integer
---@return integer? client id
function M.attach(bufnr)
  local path = vim.api.nvim_buf_get_name(bufnr)
  if not is_task_file(path) then
    return nil
  end
  local id = M.start(path, bufnr)
  M.keep_lenses_fresh(bufnr)
  return id
end

--- The server of the project that a path belongs to, started when none runs there.
---@param path string a file, or a folder with a slash at its end
---@param bufnr? integer a buffer to attach, so that the server sees what is not saved yet
---@return integer? client id
function M.start(path, bufnr)
  local root = root_of(path)
  local config = {
    name = "kiro_lsp",
    cmd = M.config.cmd,
    root_dir = root,
    init_options = M.init_options,
    handlers = handlers,
    on_attach = function(_, attached)
      M.refresh_lenses(attached)
    end,
    workspace_folders = { { uri = vim.uri_from_fname(root), name = vim.fn.fnamemodify(root, ":t") } },
  }
  if vim.lsp.start and bufnr then
    return vim.lsp.start(config, { bufnr = bufnr })
  end
  local id
  for _, client in pairs(vim.lsp.get_active_clients()) do
    if client.name == "kiro_lsp" and client.config.root_dir == root then
      id = client.id
    end
  end
  id = id or vim.lsp.start_client(config)
  if id and bufnr then
    vim.lsp.buf_attach_client(bufnr, id)
  end
  return id
end

--- Call `done` with a client as soon as it can be asked something; never when it dies before that.
---@param id integer
---@param done fun(client: table)
function M.when_ready(id, done)
  local client = vim.lsp.get_client_by_id(id)
  if client and client.initialized then
    done(client)
  elseif client then
    vim.defer_fn(function()
      M.when_ready(id, done)
    end, 50)
  else
    vim.notify("kiro-lsp has ended; :checkhealth kiro says what is missing", vim.log.levels.ERROR)
  end
end

--- Neovim before 0.12 refreshes lenses only when it is told to; those of requirements change with the tasks beside them.
---@param bufnr integer
function M.keep_lenses_fresh(bufnr)
  vim.api.nvim_create_autocmd({ "BufEnter", "InsertLeave", "TextChanged", "BufWritePost" }, {
    group = vim.api.nvim_create_augroup("kiro_lenses_" .. bufnr, {}),
    buffer = bufnr,
    desc = "Refresh the lenses of the spec's documents that are shown",
    callback = function()
      M.refresh_lenses(bufnr) -- first: what was typed here is sent before it is asked about
      for _, window in ipairs(vim.api.nvim_tabpage_list_wins(0)) do
        local shown = vim.api.nvim_win_get_buf(window)
        if shown ~= bufnr then
          M.refresh_lenses(shown)
        end
      end
    end,
  })
end

--- Send a command to the server; `done` gets its answer.
---@param name string without the `kiroLsp.` prefix
---@param arguments table
---@param done? fun(answer: table)
---@param bufnr? integer
---@param client? table which server; without it the one of the buffer, else any
function M.execute(name, arguments, done, bufnr, client)
  client = client or M.clients(bufnr or vim.api.nvim_get_current_buf())[1]
  if not client then
    for _, other in pairs(vim.lsp.get_active_clients()) do
      if other.name == "kiro_lsp" or other.name == "kiro-lsp" then
        client = other
      end
    end
  end
  if not client then
    vim.notify("kiro-lsp is not running here: open a tasks.md first", vim.log.levels.WARN)
    return
  end
  client.request(
    "workspace/executeCommand",
    { command = "kiroLsp." .. name, arguments = { arguments } },
    function(err, answer)
      if err then
        vim.notify(err.message, vim.log.levels.ERROR)
      elseif answer and answer.refused then
        vim.notify(answer.refused.message, vim.log.levels.WARN)
      elseif answer and answer.ok == false then
        vim.notify(answer.message or "refused", vim.log.levels.WARN)
      elseif done then
        done(answer)
      end
    end,
    bufnr or 0
  )
end

return M
