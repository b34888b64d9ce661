"""Folders that belong to one living process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kiro_lsp.sandbox.ownership import OwnedFolder


def test_a_folder_is_owned_once_and_private(tmp_path: Path) -> None:
    owned = OwnedFolder.make(tmp_path / "a/b")
    assert stat.S_IMODE(owned.path.stat().st_mode) == 0o700
    with pytest.raises(FileExistsError):
        OwnedFolder.make(tmp_path / "a/b")
    assert OwnedFolder.abandoned(owned.path) is None
    owned.remove()
    assert not owned.path.exists()


def test_what_a_dead_owner_left_is_emptied_before_it_is_used_again(tmp_path: Path) -> None:
    owned = OwnedFolder.make(tmp_path / "x")
    (owned.path / "old").mkdir()
    (owned.path / "old/file").write_text("x")
    owned.release()  # as the system does when the process dies
    again = OwnedFolder.make(tmp_path / "x")
    assert os.listdir(again.path) == ["owner.lock"]
    again.remove()


def test_a_folder_without_a_lock_is_nobodys_to_clean(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert OwnedFolder.abandoned(tmp_path / "other") is None
    assert OwnedFolder.abandoned(tmp_path / "missing") is None


def test_a_folder_that_a_cleaner_takes_away_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cleaner wins the race between our opening the lock file and our locking it."""
    from kiro_lsp.sandbox import ownership

    real = ownership._locked
    first = [True]

    def cleaned_first(descriptor: int) -> bool:
        if first.pop() if first else False:
            os.unlink(tmp_path / "x/owner.lock")
            os.rmdir(tmp_path / "x")
        return real(descriptor)

    monkeypatch.setattr(ownership, "_locked", cleaned_first)
    owned = OwnedFolder.make(tmp_path / "x")
    assert (tmp_path / "x/owner.lock").exists()
    owned.remove()
