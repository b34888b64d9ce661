"""Codex: `codex exec --json`.

A turn has worked when it was completed, whatever the exit code. `error` lines are also how it tells that it tries again;
without a network it does so for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kiro_lsp.budget import Usage
from kiro_lsp.events import Phase
from kiro_lsp.executors.streams import Failure, Json, Shown, Told, count, listed, message, of, plan, text, thought, tool

_STATUS: Final[Mapping[str, str]] = {"in_progress": "in_progress", "completed": "completed"}
_RETRY: Final = "Reconnecting..."
_NO_NETWORK: Final = "waiting for network"


@dataclass(slots=True)
class Reader(Told):
    def read(self, line: Json) -> Iterator[Shown]:
        match line.get("type"):
            case "thread.started":
                self.session_id = text(line, "thread_id") or self.session_id
            case "item.started" | "item.updated" | "item.completed":
                self.offline, self.failure = False, None
                yield from self._item(of(line, "item"), done=line["type"] == "item.completed")
            case "turn.completed":
                self.over, self.failure = True, None
                self._use(of(line, "usage"))
            case "turn.failed":
                self.over = True
                self.failure = Failure(text(of(line, "error"), "message") or "The turn failed.")
            case "error":
                said = text(line, "message")
                self.failure = Failure(said)
                if said.startswith(_RETRY):
                    self.offline = self.offline or _NO_NETWORK in said
                    yield Phase("waiting", said)

    def _use(self, usage: Json) -> None:
        """The usage of the whole thread: in one that was begun earlier nothing says what this turn took of it."""
        if self.resumed:
            return
        read, written = count(usage, "cached_input_tokens"), count(usage, "cache_write_input_tokens")
        used = Usage(count(usage, "input_tokens"), count(usage, "output_tokens"), read, written)
        if used != Usage():
            self.usages.append(("", used))

    def _item(self, item: Json, *, done: bool) -> Iterator[Shown]:
        self.began = self.began or item.get("type") != "error"
        status = _STATUS.get(text(item, "status"), "failed")
        match item.get("type"):
            case "agent_message" if done:
                self.summary = text(item, "text")
                yield from message(f"{self.summary}\n")
            case "reasoning" if done:
                yield from thought(f"{text(item, 'text')}\n")
            case "error" if done:
                yield from thought(f"{text(item, 'message')}\n")
            case "command_execution":
                command = text(item, "command")
                printed = text(item, "aggregated_output") if done else ""
                said = {"title": command, "command": command, "output": printed}
                yield tool(item.get("id"), status=status, kind="execute", **said)
            case "file_change":
                yield from _changes(item, status)
            case "mcp_tool_call":
                title = f"{text(item, 'server')}.{text(item, 'tool')}"
                yield tool(item.get("id"), status=status, kind="other", title=title)
            case "web_search":
                finished = "completed" if done else "in_progress"
                yield tool(item.get("id"), status=finished, kind="fetch", title=text(item, "query"))
            case "todo_list":
                entries = listed(item, "items")
                yield plan([(entry.get("text"), "completed" if entry.get("completed") else "") for entry in entries])


def _changes(item: Json, status: str) -> Iterator[Shown]:
    """A patch touches several files at once; each is shown as a call of its own."""
    for number, change in enumerate(listed(item, "changes")):
        path, kind = text(change, "path"), text(change, "kind")
        yield tool(
            f"{text(item, 'id')}.{number}" if number else item.get("id"),
            status=status,
            kind="delete" if kind == "delete" else "edit",
            title=f"{kind} {path}",
            path=path,
        )
