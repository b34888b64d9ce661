-- Commands and the start on a task file; everything else is loaded when it is first used.
if vim.g.loaded_kiro then
  return
end
vim.g.loaded_kiro = true

local function command(name, verb, opts)
  vim.api.nvim_create_user_command(name, function(args)
    require("kiro")[verb](args)
  end, opts)
end

command("KiroRun", "run", { desc = "Run the task under the cursor with an agent" })
command("KiroCancel", "cancel", { desc = "Stop the run of the task under the cursor" })
command("KiroRetry", "retry", { desc = "Go on from what the run under the cursor left, or with ! start again", bang = true })
command("KiroComment", "comment", { desc = "Have a change changed; with ! this file", bang = true, nargs = "*" })
command("KiroContinue", "continue", { desc = "The agent's own session in a terminal", nargs = "?" })
command("KiroReview", "review", { desc = "Review the changes of the task under the cursor", nargs = "?" })
command("KiroAccept", "accept", { desc = "Accept all changes, or with ! this file only", bang = true })
command("KiroReject", "reject", { desc = "Reject all changes, or with ! this file only", bang = true })
command("KiroApply", "apply", { desc = "Review what a chat answered: a range, or a register (+)", nargs = "?", range = true })
command("KiroUndo", "undo", { desc = "Undo an accepted run", nargs = "?" })

vim.api.nvim_create_autocmd("FileType", {
  group = vim.api.nvim_create_augroup("kiro", {}),
  pattern = "markdown",
  desc = "Start kiro-lsp on a task file",
  callback = function(event)
    require("kiro.client").attach(event.buf)
  end,
})

-- A click above a requirement: the tasks that cover it in the quickfix list, instead of the server's question.
vim.lsp.commands["kiroLsp.showTasks"] = function(command)
  local shown = command.arguments[1]
  if shown.requirement then
    vim.lsp.buf.references({ includeDeclaration = false })
  else
    require("kiro.client").execute("showTasks", shown)
  end
end
