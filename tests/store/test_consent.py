from __future__ import annotations

from pathlib import Path

from kiro_lsp.store import Store


def test_trust_is_for_one_root_and_one_digest(store: Store, folder: Path) -> None:
    assert store.trusted_digest("/p") is None
    store.trust("/p", "digest-1").result()
    store.trust("/p", "digest-2").result()
    assert store.trusted_digest("/p") == "digest-2"
    assert store.trusted_digest("/p/below") is None
    store.close()
    again = Store.open(folder)
    assert again.trusted_digest("/p") == "digest-2"
    again.close()


def test_revoking_takes_trust_consent_and_allowed_commands(store: Store) -> None:
    for root in ("/p", "/q"):
        store.trust(root, "d").result()
        store.remember_consent(root).result()
        store.allow_argv(root, "x", ["pytest"]).result()
    store.revoke_trust("/p").result()
    assert (store.trusted_digest("/p"), store.consented("/p"), store.allowed_argv("/p")) == (None, False, {})
    assert (store.trusted_digest("/q"), store.consented("/q")) == ("d", True)
    assert store.allowed_argv("/q") == {"x": ("pytest",)}


def test_an_allowed_command_is_listed_as_it_is_and_can_be_forbidden(store: Store) -> None:
    argv = ["sh", "-c", "echo 'a b' \"$X\"\n", "", "ü\ud83d"]
    store.allow_argv("/p", "1", argv).result()
    store.allow_argv("/p", "2", ["pytest", "-q"]).result()
    assert store.allowed_argv("/p") == {"1": tuple(argv), "2": ("pytest", "-q")}
    assert store.allowed_argv("/q") == {}
    store.forbid_argv("/p", "1").result()
    assert set(store.allowed_argv("/p")) == {"2"}
