"""`kiro-lsp completion SHELL`: completion scripts made from the grammar, so that they cannot fall behind it.

The scripts are static: pressing Tab starts no program and reads no project.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from kiro_lsp.terminal.console import Console
from kiro_lsp.terminal.grammar import SHELLS, STATUSES, parser

_WORDS_OF = {"status": STATUSES, "shell": SHELLS}
_FILES = {"path", "paths", "root", "folder", "file", "log_file", "answer"}


@dataclass(frozen=True, slots=True)
class Argument:
    """One option (`flags`) or one positional (no flags) of a verb."""

    flags: tuple[str, ...]
    name: str
    help: str
    words: tuple[str, ...]
    takes_value: bool
    is_file: bool
    repeated: bool


def completion(args: argparse.Namespace, console: Console) -> int:
    """Print the script for one shell."""
    script = {"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell]
    console.raw(script(_verbs()))
    return 0


def _verbs() -> dict[str, tuple[str, tuple[Argument, ...]]]:
    """Verb → (what it does, its arguments), in the order of the help."""
    found: dict[str, tuple[str, tuple[Argument, ...]]] = {}
    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, verb in action.choices.items():
                found[name] = (summaries[name], tuple(_arguments(verb)))
    return found


def _arguments(verb: argparse.ArgumentParser) -> Iterator[Argument]:
    for action in verb._actions:
        if action.help == argparse.SUPPRESS:
            continue
        choices = action.choices if action.choices is not None else _WORDS_OF.get(action.dest, ())
        words = tuple(str(word) for word in choices)
        yield Argument(
            flags=tuple(action.option_strings),
            name=action.dest,
            help=(action.help or "").split(";")[0],
            words=words,
            takes_value=action.nargs != 0,
            is_file=action.dest in _FILES,
            repeated=action.nargs in ("+", "*"),
        )


def _bash(verbs: dict[str, tuple[str, tuple[Argument, ...]]]) -> str:
    cases = []
    for name, (_, arguments) in verbs.items():
        flags = " ".join(flag for argument in arguments for flag in argument.flags)
        words = " ".join(word for argument in arguments if not argument.flags for word in argument.words)
        cases.append(f'    {name}) options="{flags}"; words="{words}" ;;')
    values = []
    for flag, value in sorted(_values(verbs).items()):
        values.append(f'    {flag}) COMPREPLY=($(compgen {value} -- "$current")); return ;;')
    return f"""\
# bash completion for kiro-lsp; load it with: eval "$(kiro-lsp completion bash)"
_kiro_lsp() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" options="" words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{" ".join(verbs)} --help --version" -- "$current"))
    return
  fi
  case "$previous" in
{chr(10).join(values)}
  esac
  case "${{COMP_WORDS[1]}}" in
{chr(10).join(cases)}
  esac
  if [[ "$current" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if [ "${{#COMPREPLY[@]}}" -eq 0 ]; then compopt -o default 2>/dev/null; fi
  fi
}}
complete -F _kiro_lsp kiro-lsp
"""


def _values(verbs: dict[str, tuple[str, tuple[Argument, ...]]]) -> dict[str, str]:
    """Option → what bash's compgen offers after it. The same option means the same in every verb."""
    found: dict[str, str] = {}
    for _, arguments in verbs.values():
        for argument in arguments:
            if argument.takes_value:
                value = f'-W "{" ".join(argument.words)}"' if argument.words else "-f" if argument.is_file else '-W ""'
                found.update(dict.fromkeys(argument.flags, value))
    return found


def _zsh(verbs: dict[str, tuple[str, tuple[Argument, ...]]]) -> str:
    described = "\n".join(f"    {_quoted(f'{name}:{summary}')}" for name, (summary, _) in verbs.items())
    cases = []
    for name, (_, arguments) in verbs.items():
        lines = " \\\n        ".join(_zsh_argument(argument) for argument in arguments)
        cases.append(f"    {name})\n      _arguments \\\n        {lines}\n      ;;")
    return f"""\
#compdef kiro-lsp
# zsh completion for kiro-lsp; load it with: eval "$(kiro-lsp completion zsh)"
_kiro_lsp() {{
  local -a verbs
  verbs=(
{described}
  )
  if (( CURRENT == 2 )); then
    _describe -t verbs 'verb' verbs
    return
  fi
  local verb="$words[2]"
  shift words
  (( CURRENT-- ))
  case "$verb" in
{chr(10).join(cases)}
  esac
}}
if (( $+functions[compdef] )); then compdef _kiro_lsp kiro-lsp; fi
"""


def _zsh_argument(argument: Argument) -> str:
    label = argument.help.replace("[", "(").replace("]", ")").replace(":", " -")
    action = f"({' '.join(argument.words)})" if argument.words else "_files" if argument.is_file else ""
    if not argument.flags:
        return _quoted(f"{'*' if argument.repeated else ''}:{argument.name}:{action}")
    value = f":{argument.name}:{action}" if argument.takes_value else ""
    names = "{" + ",".join(argument.flags) + "}" if len(argument.flags) > 1 else argument.flags[0]
    if len(argument.flags) > 1:
        return f"'({' '.join(argument.flags)})'{names}{_quoted(f'[{label}]{value}')}"
    return _quoted(f"{names}[{label}]{value}")


def _fish(verbs: dict[str, tuple[str, tuple[Argument, ...]]]) -> str:
    lines = [
        "# fish completion for kiro-lsp; load it with: kiro-lsp completion fish | source",
        "complete -c kiro-lsp -n __fish_use_subcommand -l version -d 'print the version'",
    ]
    for name, (summary, arguments) in verbs.items():
        lines.append(f"complete -c kiro-lsp -f -n __fish_use_subcommand -a {name} -d {_fish_quoted(summary)}")
        for argument in arguments:
            lines.extend(_fish_argument(name, argument))
    return "\n".join(lines) + "\n"


def _fish_argument(verb: str, argument: Argument) -> Iterator[str]:
    head = f"complete -c kiro-lsp -n '__fish_seen_subcommand_from {verb}'"
    words = f" -a {_fish_quoted(' '.join(argument.words))}" if argument.words else ""
    if not argument.flags:
        if argument.words:
            yield f"{head} -f{words}"
        elif argument.is_file:
            yield f"{head} -F"
        return
    names = "".join(f" -l {flag[2:]}" if flag.startswith("--") else f" -s {flag[1:]}" for flag in argument.flags)
    value = (" -r -F" if argument.is_file else " -x") if argument.takes_value else ""
    yield f"{head}{names}{value}{words} -d {_fish_quoted(argument.help)}"


def _quoted(text: str) -> str:
    """In single quotes for a POSIX-like shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
