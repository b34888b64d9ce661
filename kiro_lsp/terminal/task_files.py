"""`tasks`, `mark` and `prompt`: what can be done with a task file without running anything.

`tasks` and `mark` read the file as it lies on disk and need neither a project nor the store. `mark` is the person's own
hand, so it goes through no review; it still changes one byte of one task or nothing.
"""

from __future__ import annotations

import argparse
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from kiro_lsp.errors import Conflict, KiroError, RunRefused, UnreadableFile
from kiro_lsp.spec import tasks as task_lists
from kiro_lsp.spec.checks import problems_in
from kiro_lsp.spec.facts import facts_of
from kiro_lsp.spec.model import Problem, Task, TaskList
from kiro_lsp.terminal.console import Console, visible

_SIZE_LIMIT = 20 * 1024 * 1024
_NEVER_ENTERED = {".git", "node_modules", ".venv", "__pycache__"}
_REQUIREMENT_DOCUMENTS = ("requirements.md", "bugfix.md", "spec.md")
_BOX_COLOUR = {"done": (32,), "in-progress": (33,), "blocked": (31,)}
_WITHOUT_BOX = {"done": "x", "in-progress": "-", "blocked": "!"}
"""How the status of a heading or a row of a table is shown."""


def tasks(args: argparse.Namespace, console: Console) -> int:
    """List the tasks of files, and of the task files below folders. 0 also when a file has problems."""
    found: list[dict[str, object]] = []
    failed = False
    for path in (path for given in args.paths for path in task_files(given)):
        task_list = _readable(path, console)
        if task_list is None:
            failed = True
        elif console.json:
            found.append(task_lists.tasks_json(path, task_list))
        else:
            _print_tasks(path, task_list, console)
    if console.json:
        console.value(found)
    return 1 if failed else 0


def _readable(path: str, console: Console) -> TaskList | None:
    """The tasks of a file, or None after saying why it cannot be read."""
    try:
        return _parsed(path)
    except UnreadableFile as error:
        console.say(f"kiro-lsp: {error}")
    except OSError as error:
        console.say(f"kiro-lsp: {_why(path, error)}")
    return None


def task_files(given: str) -> Iterator[str]:
    """The file itself, or the task files below a folder; a folder without any stands for itself and is refused later."""
    if not os.path.isdir(given):
        yield given
        return
    nothing = True
    for folder, folders, names in os.walk(given):
        folders[:] = sorted(name for name in folders if name not in _NEVER_ENTERED)
        for name in sorted(names):
            path = os.path.join(folder, name)
            if task_lists.is_task_file(os.path.relpath(path, given)) or task_lists.is_task_file(path):
                nothing = False
                yield path
    if nothing:
        yield given


def _parsed(path: str) -> TaskList:
    decoded = task_lists.decode(read_bytes(path))
    if decoded.text is not None:
        facts = facts_of(decoded.text, path, documents=_documents_beside(path))
        return replace(facts.tasks, problems=problems_in(facts))
    problems = (decoded.problem,) if decoded.problem is not None else ()
    return replace(task_lists.parse("", path), problems=problems)


def _documents_beside(path: str) -> dict[str, str]:
    """The documents that may define the requirements of a task file; one that cannot be read defines none."""
    found = {}
    for name in _REQUIREMENT_DOCUMENTS:
        document = os.path.join(os.path.dirname(path), name)
        try:
            text = task_lists.decode(read_bytes(document)).text
        except (OSError, UnreadableFile):
            continue
        if text is not None:
            found[document.replace(os.sep, "/")] = text
    return found


def read_bytes(path: str) -> bytes:
    """A regular file's content. Raises OSError, or UnreadableFile for what is no ordinary file of sane size."""
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableFile(
            f"There is no task file below {path!r}.", hint="Name the file itself: any Markdown file with boxes will do."
        )
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFile(f"{path!r} is not a file.", hint="Name a task file, such as .kiro/specs/NAME/tasks.md.")
    if status.st_size > _SIZE_LIMIT:
        raise UnreadableFile(f"{path!r} has {status.st_size} bytes; a task file may have {_SIZE_LIMIT}.")
    return Path(path).read_bytes()


def _why(path: str, error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{path!r} cannot be read: {reason[:1].lower()}{reason[1:]}."


def _print_tasks(path: str, task_list: TaskList, console: Console) -> None:
    counts = task_lists.summary(task_list)
    console.print(
        f"{console.styled(visible(path), 1)}  {task_list.dialect}, {counts.done} of {counts.total} done"
        + (f", {counts.in_progress} in progress" if counts.in_progress else "")
        + (f", {counts.blocked} blocked" if counts.blocked else "")
    )
    width = len(str(task_list.tasks[-1].line + 1)) if task_list.tasks else 1
    for task in task_list.tasks:
        shown = visible(task.mark) or _WITHOUT_BOX.get(task.status, " ")
        mark = console.styled(f"[{shown}]", *_BOX_COLOUR.get(task.status, ()))
        console.print(f"  {task.line + 1:>{width}}  {'  ' * task.depth}{mark} {visible(label(task))}")
    for problem in task_list.problems:
        console.print(_problem_line(path, problem, console))


def label(task: Task) -> str:
    """How a task is called in front of people: its id, if it has one, and its title."""
    return f"{task.id} {task.title}" if task.id else task.title


def _problem_line(path: str, problem: Problem, console: Console) -> str:
    where = f"{visible(path)}:{problem.line + 1}:{problem.column + 1}"
    colour = 31 if problem.severity == "error" else 33
    return f"  {where}: {console.styled(problem.severity, colour)}: {visible(problem.message)} ({problem.code})"


def mark(args: argparse.Namespace, console: Console) -> int:
    """Write a status into the file: one byte of one task."""
    path: str = args.path
    try:
        data = read_bytes(path)
    except OSError as error:
        raise UnreadableFile(_why(path, error), hint="Check the path.") from error
    decoded = task_lists.decode(data)
    if decoded.text is None:
        reason = decoded.problem.message if decoded.problem else "it is not text"
        raise UnreadableFile(f"{path!r} cannot be changed: {reason}", hint="Save it as UTF-8 text first.")
    task_list = task_lists.parse(decoded.text, path)
    task = task_lists.find(task_list, args.task)
    edit = task_lists.mark_edit(task_list, decoded.text, task, args.status, path)
    if isinstance(edit, Problem):
        raise RunRefused(
            f"{path}:{task.line + 1}: {edit.message}",
            code=edit.code,
            hint="Change that line by hand; nothing was written.",
        )
    changed = task_lists.apply_mark(data, edit)
    if changed != data:
        _replace(path, data, changed)
    written = changed != data
    new = edit.new if written else task.mark
    if console.json:
        console.value(
            {
                "path": path,
                "key": task.key,
                "title": task.title,
                "line": task.line + 1,
                "status": args.status,
                "mark": new,
                "changed": written,
            }
        )
    else:
        what = f"[{task.mark}] → [{new}]" if written else f"[{new}] already, nothing written"
        console.line(f"{path}:{task.line + 1}: {label(task)}: {what}")
    return 0


def _replace(path: str, before: bytes, after: bytes) -> None:
    """Put the new content in the file's place in one step, if it still is what it was a moment ago.

    A link is followed, the mode stays, and a file that its owner made read-only is left alone, although an exchange would
    get past that.
    """
    from kiro_lsp.engine.disk import Change, Changed, Disk

    real = Path(os.path.realpath(path))
    mode = stat.S_IMODE(real.stat().st_mode)
    if not mode & 0o222 or not os.access(real, os.W_OK):
        raise KiroError(f"{path!r} is read-only; nothing was written.", hint="Make it writable and try again.")
    disk = Disk(real.parent, f"mark-{secrets.token_hex(4)}")
    change = Change(real.name, before, after, mode, mode)
    try:
        disk.lay(change, 0)
        disk.swap(change, 0)
    except Changed as error:
        raise Conflict(
            f"{path!r} changed while it was being marked; nothing was written.", (path,), hint="Try again."
        ) from error
    finally:
        disk.sweep(change, 0)


def prompt(args: argparse.Namespace, console: Console) -> int:
    """Print exactly what would be sent for a task."""
    from kiro_lsp.terminal.project import open_project

    with open_project(args.path) as project:
        file = project.read_tasks(args.path)
        task = task_lists.find(file.tasks, args.task)
        prompt, _ = project.workspace.prompt(file, task)
        text = project.workspace.as_sent(prompt)
    for left in prompt.left_out:
        console.say(f"Left out: {left.path} ({left.reason}, about {left.tokens} tokens)")
    if console.json:
        console.value(
            {
                "path": args.path,
                "task": task.key,
                "text": text,
                "tokens": prompt.tokens,
                "limit": prompt.limit,
                "leftOut": [
                    {"path": left.path, "reason": left.reason, "tokens": left.tokens} for left in prompt.left_out
                ],
            }
        )
    elif console.is_terminal:
        console.line(text)
    else:
        console.raw(text)
    return 0
