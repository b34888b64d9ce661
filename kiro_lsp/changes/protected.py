"""Files that need their own yes: those that make some program run something, or that hold secrets or gates.

Protection is by name, not by what exists, so that creating such a file is caught as well, and names are compared as the
most forgiving file system would: case folded, compatibility forms folded, invisible characters and trailing dots and
blanks dropped. Nothing is refused here; a review leaves such hunks out of "accept all".
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_FOLDERS = frozenset(
    """
    .git .hg .svn .jj .bzr .vscode .vscode-server .idea .fleet .zed .helix .nvim .devcontainer .settings
    .claude .codex .gemini .cursor .windsurf .continue .aider .amazonq .qwen .opencode .roo .cline .goose .trae
    .agents
    .husky .githooks .lefthook .circleci .buildkite .woodpecker .gitea .forgejo .teamcity .tekton
    .ssh .aws .gnupg .docker .kube .direnv .cargo .yarn
    """.split()  # noqa: SIM905  # eighty quoted names would be harder to read
)
"""A file anywhere below one of these."""

_PATHS = tuple(
    tuple(path.split("/"))
    for path in """
    .kiro/settings .kiro/hooks .kiro/agents .github/workflows .github/actions .gitlab/ci .config/fish .config/git
    .spec-workflow/kiro.toml .spec-workflow/state
    """.split()  # noqa: SIM905  # eighty quoted names would be harder to read
)
"""These parts one after the other, anywhere in the path."""

_FILES = frozenset(
    """
    .git .gitmodules .gitconfig .mcp.json mcp.json .claude.json .cursorrules .windsurfrules .aider.conf.yml
    .ripgreprc .env .envrc .nvim.lua .nvimrc .exrc .vimrc .lvimrc .dir-locals.el .dir-locals-2.el .sublime-project
    .bashrc .bash_profile .bash_login .bash_logout .bash_aliases .profile .zshrc .zshenv .zprofile .zlogin .zlogout
    .kshrc .cshrc .tcshrc .login .inputrc .xprofile .xinitrc config.fish microsoft.powershell_profile.ps1
    .npmrc .yarnrc .yarnrc.yml .pnpmfile.cjs .pypirc .netrc .curlrc .wgetrc .condarc pip.conf pip.ini
    .pre-commit-config.yaml .pre-commit-config.yml .pre-commit-hooks.yaml lefthook.yml lefthook.yaml .lefthook.yml
    .overcommit.yml .huskyrc .huskyrc.json .lintstagedrc .lintstagedrc.json
    .gitlab-ci.yml .travis.yml .appveyor.yml appveyor.yml azure-pipelines.yml bitbucket-pipelines.yml jenkinsfile
    .drone.yml .cirrus.yml .woodpecker.yml .woodpecker.yaml cloudbuild.yaml cloudbuild.yml buildspec.yml .semaphore.yml
    .buildkite.yml sitecustomize.py usercustomize.py
    """.split()  # noqa: SIM905  # eighty quoted names would be harder to read
)
"""A file of this name anywhere."""

_ENDINGS = (".code-workspace", ".sublime-project", ".desktop")

_SAMPLES = (".example", ".sample", ".template", ".dist")
"""Endings of `.env.*` files that are meant to be shared."""

_GIT_HOOKS = frozenset(
    """
    applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit prepare-commit-msg commit-msg post-commit
    pre-rebase post-checkout post-merge pre-push pre-receive update proc-receive post-receive post-update
    reference-transaction push-to-checkout pre-auto-gc post-rewrite sendemail-validate fsmonitor-watchman
    post-index-change
    """.split()  # noqa: SIM905  # eighty quoted names would be harder to read
)
"""Git runs these from any folder that `core.hooksPath` names; a plain `hooks` folder of a project is left alone."""

_IGNORABLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")


def protected(path: str) -> bool:
    """Whether a root-relative path (`/` or `\\`) names a file that "accept all" must leave out."""
    parts = tuple(part for part in (_plain(part) for part in path.replace("\\", "/").split("/")) if part)
    if not parts:
        return False
    name = parts[-1]
    if name in _FILES or name.endswith(_ENDINGS) or (name in _GIT_HOOKS and len(parts) > 1 and "hooks" in parts[-2]):
        return True
    if name.startswith(".env.") and not name.endswith(_SAMPLES):
        return True
    if any(part in _FOLDERS for part in parts):
        return True
    return any(parts[at : at + len(wanted)] == wanted for wanted in _PATHS for at in range(len(parts)))


@lru_cache(maxsize=4096)
def _plain(part: str) -> str:
    """A path component as the most forgiving file system reads it."""
    folded = unicodedata.normalize("NFKC", part.casefold()).casefold()
    # Folding can compose what it decomposed before; a second pass makes the form stable.
    folded = unicodedata.normalize("NFKC", folded)
    visible = "".join(character for character in folded if not _is_ignorable(character))
    stream = visible.find(":")
    visible = (visible if stream <= 0 else visible[:stream]).rstrip(". ")
    return ".git" if visible in ("git~1", "git~2") else visible


def _is_ignorable(character: str) -> bool:
    if character in _IGNORABLE or "\ufe00" <= character <= "\ufe0f" or "\U000e0000" <= character <= "\U000e0fff":
        return True
    return unicodedata.category(character) in ("Cf", "Cc")
