"""Sealed API keys: bound to user, mode and field; several keys; clear errors."""

from __future__ import annotations

import base64

import pytest
from cryptography.fernet import Fernet

from dashtrade.auth.vault import BOX, Vault, new_key, seal_to
from dashtrade.errors import ConfigurationError

HERE = {"user_id": 7, "mode": "paper", "field": "secret"}


def test_seal_and_open():
    vault = Vault(new_key())
    sealed = vault.seal("ALPACA-SECRET", **HERE)
    assert "ALPACA" not in sealed
    assert vault.open(sealed, **HERE) == "ALPACA-SECRET"
    assert vault.seal("ALPACA-SECRET", **HERE) != sealed


@pytest.mark.parametrize("other", [{"user_id": 8}, {"mode": "live"}, {"field": "key"}])
def test_a_ciphertext_moved_elsewhere_does_not_open(other):
    vault = Vault(new_key())
    sealed = vault.seal("ALPACA-SECRET", **HERE)
    with pytest.raises(ConfigurationError, match="tampered") as caught:
        vault.open(sealed, **(HERE | other))
    assert "ALPACA" not in str(caught.value)


def test_rotation_opens_old_and_seals_new():
    old, new = new_key(), new_key()
    sealed = Vault(old).seal("ALPACA-SECRET", **HERE)
    both = Vault(f"{new}, {old}")
    assert both.open(sealed, **HERE) == "ALPACA-SECRET"
    renewed = both.renew(sealed)
    assert Vault(new).open(renewed, **HERE) == "ALPACA-SECRET"
    with pytest.raises(ConfigurationError, match="ENCRYPTION_KEY"):
        Vault(old).open(renewed, **HERE)


@pytest.mark.parametrize("keys", [None, "", " , "])
def test_a_missing_key_names_the_remedy(keys):
    with pytest.raises(ConfigurationError, match=r"encryption key is missing.*Set ENCRYPTION_KEY"):
        Vault(keys)


@pytest.mark.parametrize("key", ["short", "x" * 44, new_key()[:-2]], ids=["short", "not base64", "cut off"])
def test_a_broken_key_is_not_shown(key):
    with pytest.raises(ConfigurationError, match="not a Fernet key") as caught:
        Vault(key)
    assert key not in str(caught.value)


def test_a_wrong_key_and_broken_rows_are_configuration_errors():
    sealed = Vault(new_key()).seal("ALPACA-SECRET", **HERE)
    for text in (sealed, sealed[:-3], "", "no ciphertext", Fernet(Fernet.generate_key()).encrypt(b"[]").decode()):
        with pytest.raises(ConfigurationError, match="cannot be decrypted"):
            Vault(new_key()).open(text, **HERE)
        with pytest.raises(ConfigurationError, match="cannot be decrypted"):
            Vault(new_key()).renew(text)


def test_the_vault_prints_no_key():
    key = new_key()
    vault = Vault(key)
    assert key not in repr(vault) and len(vault.fingerprints[0]) == 16


def test_who_seals_to_the_public_key_cannot_open():
    keys = new_key()
    vault = Vault(keys)
    sealed = seal_to(vault.public_key, "ALPACA-SECRET", **HERE)
    assert "ALPACA" not in sealed and keys not in vault.public_key
    assert vault.open(sealed, **HERE) == "ALPACA-SECRET"
    assert seal_to(vault.public_key, "ALPACA-SECRET", **HERE) != sealed
    for other in ({"user_id": 8}, {"mode": "live"}, {"field": "key"}):
        with pytest.raises(ConfigurationError, match="tampered"):
            vault.open(sealed, **(HERE | other))
    with pytest.raises(ConfigurationError, match="cannot be decrypted"):
        Vault(new_key()).open(sealed, **HERE)


def test_a_box_that_was_changed_anywhere_does_not_open():
    vault = Vault(new_key())
    raw = bytearray(base64.urlsafe_b64decode(seal_to(vault.public_key, "ALPACA-SECRET", **HERE).removeprefix(BOX)))
    for place in (0, 31, 32, len(raw) // 2, len(raw) - 1):
        changed = bytearray(raw)
        changed[place] ^= 1
        with pytest.raises(ConfigurationError, match="cannot be decrypted"):
            vault.open(BOX + base64.urlsafe_b64encode(bytes(changed)).decode(), **HERE)
    for broken in (BOX, BOX + "AAAA", BOX + base64.urlsafe_b64encode(bytes(80)).decode(), BOX + "ü"):
        with pytest.raises(ConfigurationError, match="cannot be decrypted"):
            vault.open(broken, **HERE)


def test_rotation_opens_boxes_for_the_old_key_and_renews_them():
    old, new = new_key(), new_key()
    sealed = seal_to(Vault(old).public_key, "ALPACA-SECRET", **HERE)
    both = Vault(f"{new},{old}")
    assert both.public_key == Vault(new).public_key != Vault(old).public_key
    assert both.open(sealed, **HERE) == "ALPACA-SECRET"
    assert Vault(new).open(both.renew(sealed), **HERE) == "ALPACA-SECRET"


@pytest.mark.parametrize("public", ["", "AAAA", "no key", "ü" * 43])
def test_a_damaged_public_key_names_the_remedy(public):
    with pytest.raises(ConfigurationError, match="Start the trader again"):
        seal_to(public, "ALPACA-SECRET", **HERE)
