"""Password rules and bcrypt's limits."""

from __future__ import annotations

import bcrypt
import pytest

from dashtrade.auth import passwords
from dashtrade.auth.passwords import check_new_password, hash_password, needs_rehash, verify_password
from dashtrade.errors import InvalidInput


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "at least 10"),
        ("", "at least 10"),
        ("password123", "first that are guessed"),
        ("PassWord123", "first that are guessed"),
        ("aaaaaaaaaaaaaa", "first that are guessed"),
        ("ada.lovelace", "first that are guessed"),
        ("ada.lovelaceada.lovelace", "first that are guessed"),
        ("ada@analytical.engine", "first that are guessed"),
        ("x" * 30 + "y" * 43, "at most 72 bytes; this one has 73"),
        ("ä" * 37 + "xyz", "at most 72 bytes; this one has 77"),
        ("with a \x00 zero inside", "zero character"),
    ],
)
def test_refused_passwords_say_why(password, said):
    with pytest.raises(InvalidInput, match=said) as caught:
        check_new_password(password, username="ada.lovelace", email="ada@analytical.engine")
    assert caught.value.field == "password"
    assert len(password) < 6 or password not in str(caught.value)


@pytest.mark.parametrize("password", ["correct horse battery", "x1y2z3w4v5", "ü" * 20 + "abcd", "a" * 30 + "bcd" * 14])
def test_accepted_passwords_verify_and_only_they(password):
    check_new_password(password, username="ada", email="ada@example.com")
    stored = hash_password(password, rounds=4)
    assert verify_password(password, stored)
    assert not verify_password(password + "x", stored)
    assert not verify_password(password[:-1], stored)


def test_seventy_two_bytes_are_all_significant():
    password = "abcd" * 18
    check_new_password(password)
    assert not verify_password("abcd" * 17 + "abcX", hash_password(password, rounds=4))


def test_the_same_letters_from_another_keyboard_match():
    assert verify_password("cafe\u0301-con-leche", hash_password("caf\u00e9-con-leche", rounds=4))


def test_the_hash_is_plain_bcrypt():
    assert bcrypt.checkpw(b"correct horse battery", hash_password("correct horse battery", rounds=4).encode())


def test_an_overlong_or_broken_attempt_is_wrong_and_no_error():
    stored = hash_password("correct horse battery", rounds=4)
    assert not verify_password("y" * 100_000, stored)
    assert not verify_password("zero\x00inside", stored)


def test_an_unknown_user_costs_the_same_work(monkeypatch):
    checked = []
    real = bcrypt.checkpw
    monkeypatch.setattr(passwords.bcrypt, "checkpw", lambda p, h: checked.append(h) or real(p, h))
    known = hash_password("correct horse battery")
    assert not verify_password("wrong horse battery", known)
    assert not verify_password("wrong horse battery", None)
    cost = [hashed.decode().split("$")[2] for hashed in checked]
    assert cost == [str(passwords.ROUNDS)] * 2


def test_fewer_rounds_ask_for_a_new_hash():
    assert needs_rehash(hash_password("correct horse battery", rounds=4))
    assert needs_rehash("not a hash")
    assert not needs_rehash("$2b$12$" + "x" * 53)


def test_an_unknown_user_costs_as_much_as_a_known_one():
    """bcrypt's cost is in the hash: the one unknown names are checked against must have that of new passwords."""
    from dashtrade.auth import passwords

    assert passwords._decoy().split("$")[1:3] == passwords.hash_password("a long password").split("$")[1:3]
