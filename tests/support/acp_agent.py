"""A scriptable agent that speaks ACP, built on the SDK and started as a program of its own.

Its script is a list of steps in the file that the variable SCRIPT names. It behaves as Goose, Kiro CLI and the programs
from npm are documented to: tool calls are announced, permission is asked for where a step says so, edits go to the disk or
through the client. What it was told and answered is written, one JSON value a line, to the file LOG names.

    {"say": text}  {"think": text}  {"plan": [[text, status]…]}
    {"edit": path, "text": text, "by": "disk"|"fs", "ask": true}   {"read": path}  {"usage": {…}}
    {"run": argv, "ask": true}   a command in a terminal of the client, {"shell": line} one of its own
    {"ask": kind, "title": text, "path": path, "options": [[id, name, kind]…]}
    {"update": {…}}  any other update as it is,  {"raw": text}  a line on its output that no SDK would write
    {"flood": n, "with": text}  that text n times and nothing else
    {"stop": reason}  {"fail": [code, message, data]}  {"exit": code, "says": text}  with $VARIABLES  {"wait": "cancel"|"for ever"}
    {"deaf": true}  ignore cancel and SIGTERM

"login" is the way to log in that opens sessions, of those in "logins". The keys "initialize", "new", "load" of the script (a
dict then, with "steps") change how those are answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import acp
from acp import schema

OPTIONS = [["yes", "Allow", "allow_once"], ["always", "Always allow", "allow_always"], ["no", "Reject", "reject_once"]]


class Ending(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Agent(acp.Agent):
    def __init__(self, script: Any, log: Path | None) -> None:
        self.script: dict[str, Any] = script if isinstance(script, dict) else {"steps": script}
        self.log = log
        self.client: Any = None
        self.cwd = Path()
        self.cancelled = asyncio.Event()
        self.deaf = False
        self.logged_in = False
        self.calls = 0

    def on_connect(self, conn: Any) -> None:
        self.client = conn

    def note(self, name: str, value: Any) -> None:
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps([name, value], default=str) + "\n")

    async def initialize(self, protocol_version: int, client_capabilities: Any = None, **more: Any) -> Any:
        told = client_capabilities.model_dump(by_alias=True) if client_capabilities else {}
        self.note("initialize", {"version": protocol_version, "fs": told.get("fs"), "terminal": told.get("terminal")})
        await self._as_told("initialize")
        able = schema.AgentCapabilities(load_session=bool(self.script.get("loads")))
        version = self.script.get("version", acp.PROTOCOL_VERSION)
        info = schema.Implementation(name="script", version="1.0")
        offered = [schema.AuthMethodAgent(id=name, name=name) for name in self.script.get("logins", ())]
        return acp.InitializeResponse(
            protocol_version=version, agent_capabilities=able, agent_info=info, auth_methods=offered
        )

    async def new_session(self, cwd: str, **more: Any) -> Any:
        self.note("new", {"cwd": cwd})
        self.cwd = Path(cwd)
        if "login" in self.script and not self.logged_in:
            raise acp.RequestError.auth_required()
        await self._as_told("new")
        options = self.script.get("modes")
        modes = None
        if options:
            listed = [schema.SessionMode(id=name, name=name) for name in options]
            modes = schema.SessionModeState(available_modes=listed, current_mode_id=options[0])
        return acp.NewSessionResponse(session_id="session-1", modes=modes, config_options=self._config())

    async def load_session(self, cwd: str, session_id: str, **more: Any) -> Any:
        self.note("load", {"cwd": cwd, "session": session_id})
        self.cwd = Path(cwd)
        await self._as_told("load")
        await self._update(session_id, acp.update_agent_message_text("what was said long ago"))
        return acp.LoadSessionResponse()

    async def set_session_mode(self, mode_id: str, session_id: str, **more: Any) -> Any:
        self.note("mode", mode_id)
        return schema.SetSessionModeResponse()

    async def set_config_option(self, config_id: str, session_id: str, value: Any, **more: Any) -> Any:
        self.note("option", [config_id, value])
        return schema.SetSessionConfigOptionResponse(config_options=self._config() or [])

    async def authenticate(self, method_id: str, **more: Any) -> Any:
        self.note("authenticate", method_id)
        self.logged_in = method_id == self.script.get("login")
        return schema.AuthenticateResponse()

    async def cancel(self, session_id: str, **more: Any) -> None:
        self.note("cancel", session_id)
        if not self.deaf:
            self.cancelled.set()

    async def prompt(self, prompt: list[Any], session_id: str, **more: Any) -> Any:
        self.note("prompt", [block.text for block in prompt])
        usage: dict[str, Any] | None = None
        try:
            for step in self.script["steps"]:
                if "usage" in step:
                    usage = step["usage"]
                    continue
                await self._step(session_id, step)
        except Ending as ending:
            self.note("ended", ending.reason)
            return acp.PromptResponse(stop_reason=ending.reason)
        if usage is not None and "_meta" in usage:
            return acp.PromptResponse(stop_reason="end_turn", field_meta=usage["_meta"])
        return acp.PromptResponse(stop_reason="end_turn", usage=usage and schema.Usage(**usage))

    async def ext_method(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        raise acp.RequestError.method_not_found(method)

    async def ext_notification(self, method: str, params: dict[str, Any]) -> None:
        return None

    # Steps

    async def _step(self, session: str, step: dict[str, Any]) -> None:
        match step:
            case {"say": text}:
                await self._update(session, acp.update_agent_message_text(text))
            case {"think": text}:
                await self._update(session, acp.update_agent_thought_text(text))
            case {"plan": entries}:
                listed = [acp.plan_entry(text, status=status) for text, status in entries]
                await self._update(session, acp.update_plan(listed))
            case {"edit": path, "text": text}:
                await self._edit(session, path, text, step)
            case {"read": path}:
                await self._read(session, path, step)
            case {"run": argv}:
                await self._run(session, argv, step)
            case {"shell": line}:
                await self._shell(session, line, step)
            case {"ask": kind}:
                await self._leave(session, self._call_id(), kind, step.get("title", kind), step)
            case {"update": update}:
                await self.client._conn.send_notification("session/update", {"sessionId": session, "update": update})
            case {"raw": text}:
                _write(text + "\n")
            case {"flood": times}:
                for _ in range(times):
                    _write(step["with"])
            case _:
                await self._end(step)

    async def _end(self, step: dict[str, Any]) -> None:
        match step:
            case {"stop": reason}:
                raise Ending(reason)
            case {"fail": [code, message, *data]}:
                raise acp.RequestError(code, message, data[0] if data else None)
            case {"exit": code}:
                sys.stderr.write(os.path.expandvars(step.get("says", "")))
                sys.stderr.flush()
                os._exit(code)
            case {"deaf": True}:
                self.deaf = True
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            case {"wait": "cancel"}:
                await self.cancelled.wait()
                raise Ending("cancelled")
            case {"wait": _}:
                await asyncio.Event().wait()
            case _:
                raise ValueError(f"no such step: {step}")

    async def _edit(self, session: str, path: str, text: str, step: dict[str, Any]) -> None:
        call, place = self._call_id(), self.cwd / path
        old = place.read_text("utf-8") if place.is_file() else None
        content = [acp.tool_diff_content(str(place), text, old)]
        where = [schema.ToolCallLocation(path=str(place))]
        start = acp.start_tool_call(
            call, f"Edit {path}", kind="edit", status="pending", content=content, locations=where
        )
        await self._update(session, start)
        if step.get("ask") and not await self._leave(session, call, "edit", f"Edit {path}", {"path": path, **step}):
            await self._update(session, acp.update_tool_call(call, status="failed"))
            return
        await self._update(session, acp.update_tool_call(call, status="in_progress"))
        if step.get("by", "disk") == "fs":
            await self.client.write_text_file(content=text, path=str(place), session_id=session)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, "utf-8")
        await self._update(session, acp.update_tool_call(call, status="completed"))

    async def _read(self, session: str, path: str, step: dict[str, Any]) -> None:
        more = {name: step[name] for name in ("line", "limit") if name in step}
        try:
            answer = await self.client.read_text_file(path=str(self.cwd / path), session_id=session, **more)
            self.note("read", answer.content)
        except acp.RequestError as error:
            self.note("refused", str(error))

    async def _run(self, session: str, argv: list[str], step: dict[str, Any]) -> None:
        call = self._call_id()
        line = " ".join(argv)
        start = acp.start_tool_call(call, f"Run {line}", kind="execute", status="pending", raw_input={"command": line})
        await self._update(session, start)
        try:
            more = {name: step[name] for name in ("cwd", "env", "output_byte_limit") if name in step}
            made = await self.client.create_terminal(command=argv[0], args=argv[1:], session_id=session, **more)
        except acp.RequestError as error:
            self.note("refused", str(error))
            await self._update(session, acp.update_tool_call(call, status="failed"))
            return
        names = {"session_id": session, "terminal_id": made.terminal_id}
        shown = [acp.tool_terminal_ref(made.terminal_id)]
        await self._update(session, acp.update_tool_call(call, status="in_progress", content=shown))
        if step.get("kill"):
            await self.client.kill_terminal(**names)
        ended = await self.client.wait_for_terminal_exit(**names)
        said = await self.client.terminal_output(**names)
        self.note("terminal", {"exit": ended.exit_code, "output": said.output, "truncated": said.truncated})
        await self.client.release_terminal(**names)
        await self._update(session, acp.update_tool_call(call, status="completed"))

    async def _shell(self, session: str, line: str, step: dict[str, Any]) -> None:
        call = self._call_id()
        start = acp.start_tool_call(call, line, kind="execute", status="pending", raw_input={"command": line})
        await self._update(session, start)
        if step.get("ask") and not await self._leave(session, call, "execute", line, step):
            await self._update(session, acp.update_tool_call(call, status="failed"))
            return
        ended = await asyncio.to_thread(
            subprocess.run, ["sh", "-c", line], cwd=self.cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        self.note("shell", {"exit": ended.returncode, "output": ended.stdout + ended.stderr})
        await self._update(session, acp.update_tool_call(call, status="completed"))

    async def _leave(self, session: str, call: str, kind: str, title: str, step: dict[str, Any]) -> bool:
        listed = step.get("options", OPTIONS)
        options = [schema.PermissionOption(option_id=key, name=name, kind=kind_) for key, name, kind_ in listed]
        path = step.get("path")
        where = [schema.ToolCallLocation(path=str(self.cwd / path))] if path else None
        raw = {"command": step["shell"]} if "shell" in step else step.get("raw_input")
        about = schema.ToolCallUpdate(
            tool_call_id=call, kind=kind, title=title, status="pending", locations=where, raw_input=raw
        )
        answer = await self.client.request_permission(options=options, session_id=session, tool_call=about)
        outcome = answer.outcome
        self.note("permission", getattr(outcome, "option_id", outcome.outcome))
        chosen = next((kind_ for key, _, kind_ in listed if key == getattr(outcome, "option_id", None)), "")
        return chosen.startswith("allow")

    async def _update(self, session: str, update: Any) -> None:
        await self.client.session_update(session_id=session, update=update)

    async def _as_told(self, name: str) -> None:
        """What the script says that happens at a request before the work."""
        for step in self.script.get(name, ()):
            await self._step("session-1", step)

    def _config(self) -> Any:
        models = self.script.get("models")
        if not models:
            return None
        choices = [schema.SessionConfigSelectOption(value=name, name=name) for name in models]
        return [
            schema.SessionConfigOptionSelect(
                id="model", name="Model", category="model", type="select", current_value=models[0], options=choices
            )
        ]

    def _call_id(self) -> str:
        self.calls += 1
        return f"call-{self.calls}"


def _write(text: str) -> None:
    """To the output past the SDK, which has made it non-blocking."""
    os.set_blocking(1, True)
    data = text.encode()
    while data:
        data = data[os.write(1, data) :]


def main() -> None:
    log = os.environ.get("LOG")
    script = json.loads(Path(os.environ["SCRIPT"]).read_text("utf-8"))
    if isinstance(script, dict) and "first" in script:  # before a word of ACP
        sys.stdout.write(script["first"])
        sys.stdout.flush()
    if isinstance(script, dict) and "dies" in script:
        sys.stderr.write(script.get("says", ""))
        raise SystemExit(script["dies"])
    asyncio.run(acp.run_agent(Agent(script, Path(log) if log else None)))


if __name__ == "__main__":
    main()
