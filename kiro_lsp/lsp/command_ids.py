"""The ids of the commands that are announced; apart from commands.py, so that `initialize` needs no engine."""

from __future__ import annotations

COMMAND_IDS: tuple[str, ...] = (
    "kiroLsp.runTask",
    "kiroLsp.retryRun",
    "kiroLsp.followUp",
    "kiroLsp.continueInTerminal",
    "kiroLsp.repairRun",
    "kiroLsp.verifyRun",
    "kiroLsp.applyFromClipboard",
    "kiroLsp.cancelRun",
    "kiroLsp.answer",
    "kiroLsp.openReview",
    "kiroLsp.accept",
    "kiroLsp.reject",
    "kiroLsp.undoRun",
    "kiroLsp.restoreBackup",
    "kiroLsp.commit",
    "kiroLsp.setStatus",
    "kiroLsp.copyPrompt",
    "kiroLsp.pickAgent",
    "kiroLsp.showTasks",
    "kiroLsp.trustWorkspace",
    "kiroLsp.doctor",
)
