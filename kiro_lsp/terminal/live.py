"""A run as it happens: JSON lines, plain lines, or a live line with its log above it.

A view shows one envelope at a time and decides nothing. The words are the same as in an editor's lens.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from kiro_lsp import events
from kiro_lsp.events import Envelope, RunEvent
from kiro_lsp.terminal.console import Console, visible

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.live import Live
    from rich.text import Text


class View(Protocol):
    """Shows the events of one run, in order."""

    def show(self, envelope: Envelope) -> None: ...

    @contextmanager
    def held(self) -> Iterator[None]:
        """Leave the terminal to a question for a while."""
        ...

    def close(self) -> None: ...


def view_for(console: Console) -> View:
    if console.json:
        return JsonView(console)
    return LiveView(console) if console.colour else PlainView(console)


class JsonView:
    """The events as they go over the wire, one JSON object a line."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, envelope: Envelope) -> None:
        self._console.value(events.to_wire(envelope))

    @contextmanager
    def held(self) -> Iterator[None]:
        yield

    def close(self) -> None:
        pass


class PlainView:
    """One line for each thing that happened; the agent's words as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._inside_text = False

    def show(self, envelope: Envelope) -> None:
        event = envelope.event
        if isinstance(event, events.Chunk):
            self._console.out.write(visible(event.text))
            self._inside_text = not event.text.endswith("\n")
        elif (line := worded(event)) is not None:
            self._end_text()
            self._console.line(line)
        self._console.out.flush()

    @contextmanager
    def held(self) -> Iterator[None]:
        self._end_text()
        self._console.out.flush()
        yield

    def close(self) -> None:
        self._end_text()

    def _end_text(self) -> None:
        if self._inside_text:
            self._console.line()
            self._inside_text = False


class LiveView:
    """The log scrolls; below it one line says who does what, for how long, at what cost."""

    def __init__(self, console: Console) -> None:
        from rich.console import Console as RichConsole
        from rich.live import Live

        self._rich: RichConsole = RichConsole(file=console.out, highlight=False)
        self._agent, self._phase, self._cost = "", "queued", ""
        self._started = time.monotonic()
        self._text = ""
        self._live: Live = Live(
            get_renderable=self._status, console=self._rich, refresh_per_second=8, transient=True, redirect_stderr=False
        )
        self._live.start()

    def show(self, envelope: Envelope) -> None:
        event = envelope.event
        match event:
            case events.Chunk(text):
                self._add_text(text)
                return
            case events.Start(agent=agent):
                self._agent = agent
            case events.Phase(phase, detail):
                self._phase = f"{phase} {detail}" if detail else phase
            case events.UsageReport(cost=cost):
                self._cost = "cost unknown" if cost is None else f"${cost}"
            case _:
                pass
        line = worded(event)
        if line is not None and not isinstance(event, events.Phase | events.UsageReport):
            self._end_text()
            self._print(line, _style(event))

    @contextmanager
    def held(self) -> Iterator[None]:
        self._end_text()
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def close(self) -> None:
        self._end_text()
        self._live.stop()

    def _status(self) -> Text:
        from rich.text import Text

        seconds = int(time.monotonic() - self._started)
        parts = [self._agent, self._phase, f"{seconds} s", self._cost]
        line = Text(
            "● " + visible(" · ".join(part for part in parts if part)), "bold", no_wrap=True, overflow="ellipsis"
        )
        return line + Text("   Ctrl-C stops", "dim")

    def _add_text(self, text: str) -> None:
        *lines, self._text = (self._text + text).split("\n")
        for line in lines:
            self._print(line, "dim")

    def _end_text(self) -> None:
        if self._text:
            self._print(self._text, "dim")
            self._text = ""

    def _print(self, line: str, style: str) -> None:
        from rich.text import Text

        self._rich.print(Text(visible(line), style))


def _style(event: RunEvent) -> str:
    match event:
        case events.Error() | events.ConflictFound() | events.Verify(ok=False):
            return "bold red"
        case events.Complete() | events.Applied():
            return "bold green"
        case events.File():
            return "cyan"
        case events.Permission() | events.Warned():
            return "yellow"
        case _:
            return ""


def worded(event: RunEvent) -> str | None:  # one branch for each kind of event
    """The line for an event, None for one that people need not see."""
    match event:
        case events.Start(agent, way, model, task, reason):
            recorded = "RECORDED, " if way == "replay" else ""
            return f"Task {task} by {agent} ({recorded}{way}{', ' + model if model else ''}; {reason})"
        case events.Phase(phase, detail):
            return f"{phase} {detail}" if detail else phase
        case events.Isolation(level, network):
            return f"isolation: {level}, network: {network}"
        case events.Plan(entries):
            return "\n".join(["plan:", *(f"  [{'x' if e.status == 'completed' else ' '}] {e.text}" for e in entries)])
        case events.Tool(title=title, status="completed" | "failed" as status):
            return f"{title}" + (" — failed" if status == "failed" else "")
        case events.File(action, path, to):
            return f"{action} {path}" + (f" → {to}" if to else "")
        case events.Permission(_, _, title):
            return f"? {title}"
        case events.Answer(_, option, by):
            return f"  answered {option} by {by}"
        case events.UsageReport() | events.Verify():
            return _measured(event)
        case events.Warned(_, message, hint):
            return f"Warning: {message}" + (f"\n  {hint}" if hint else "")
        case _:
            return _outcome(event)


def _measured(event: events.UsageReport | events.Verify) -> str:
    if isinstance(event, events.Verify):
        verdict = "ok" if event.ok else "FAILED"
        return f"verify: {shlex.join(event.command)}: {verdict} after {event.seconds:.1f} s. {event.summary}"
    cost = "cost unknown" if event.cost is None else f"${event.cost}"
    used = f"{event.input_tokens} tokens in, {event.output_tokens} out, {event.cached_tokens} from cache"
    turns = "" if event.turns is None else f", {event.turns} turn" + ("" if event.turns == 1 else "s")
    return f"usage: {used}{turns}; {cost if event.billing == 'metered' else event.billing}"


def _outcome(event: RunEvent) -> str | None:
    match event:
        case events.Complete(files, created, modified, deleted, tests, summary):
            counts = f"{created} new, {modified} changed, {deleted} deleted, {tests} tests added"
            return f"Done: {len(files)} files ({counts})." + (f" {summary}" if summary else "")
        case events.Error(kind, message, hint):
            return f"Failed ({kind}): {message}" + (f"\n  {hint}" if hint else "")
        case events.Cancelled():
            return "Cancelled; what was staged is kept."
        case events.Applied(files, partial, ticked, merged):
            what = "Applied in part" if partial else "Applied"
            noted = f" Merged with what changed meanwhile: {', '.join(merged)}." if merged else ""
            return f"{what}: {', '.join(files) or 'no files'}.{noted}" + (" The task is ticked." if ticked else "")
        case events.Rejected(files):
            return f"Rejected: {', '.join(files)}."
        case events.ConflictFound(files):
            return f"Conflict, nothing was written: {', '.join(files)}."
        case events.Undone(files):
            return f"Put back: {', '.join(files)}."
        case _:
            return None
