"""Watchlist and stored API keys: every query is the user's own, and limits hold."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

from dashtrade.auth.vault import Vault, new_key
from dashtrade.db.tables.accounts import UserApiKeyRow
from dashtrade.errors import ConfigurationError, InvalidInput, NotFound
from dashtrade.services import api_keys, watchlist


@pytest.fixture
def two(make_user):
    return make_user("ada"), make_user("bob")


@pytest.fixture
def uow(uow_factory):
    with uow_factory() as uow:
        yield uow


class TestWatchlist:
    def test_each_user_has_their_own(self, uow, two):
        ada, bob = two
        assert watchlist.watch(uow, ada.id, " nasdaq:aapl ", name="Apple", notes="a note")
        assert not watchlist.watch(uow, ada.id, "AAPL")
        assert watchlist.watch(uow, bob.id, "^GSPC")
        watchlist.watch(uow, ada.id, "BTC-USD")
        assert [(line.symbol, line.name, line.notes) for line in watchlist.list_watchlist(uow, ada.id)] == [
            ("AAPL", "Apple", "a note"),
            ("BTC-USD", None, None),
        ]
        with pytest.raises(NotFound):
            watchlist.unwatch(uow, bob.id, "AAPL")
        with pytest.raises(NotFound):
            watchlist.set_notes(uow, bob.id, "AAPL", "mine")
        watchlist.set_notes(uow, ada.id, "aapl", " ")
        watchlist.unwatch(uow, ada.id, "btc-usd")
        assert [(line.symbol, line.notes) for line in watchlist.list_watchlist(uow, ada.id)] == [("AAPL", None)]
        assert [line.symbol for line in watchlist.list_watchlist(uow, bob.id)] == ["^GSPC"]

    @pytest.mark.parametrize("symbol", ["", " ", "<b>", "A B", "x" * 21, "AAPL'; DROP TABLE watchlist; --", "Ä"])
    def test_what_is_no_ticker_is_refused(self, uow, two, symbol):
        with pytest.raises(InvalidInput, match="symbol"):
            watchlist.watch(uow, two[0].id, symbol)

    def test_limits(self, uow, two, monkeypatch):
        monkeypatch.setattr(watchlist, "MOST", 2)
        with pytest.raises(InvalidInput, match="2000"):
            watchlist.watch(uow, two[0].id, "A", notes="x" * 2001)
        for symbol in ("A", "B"):
            watchlist.watch(uow, two[0].id, symbol)
        with pytest.raises(InvalidInput, match="full"):
            watchlist.watch(uow, two[0].id, "C")
        assert watchlist.watch(uow, two[1].id, "C")

    def test_it_goes_with_its_user(self, uow, two):
        watchlist.watch(uow, two[0].id, "A")
        uow.session.execute(text("DELETE FROM users WHERE id = :id"), {"id": two[0].id})
        uow.commit()
        assert uow.session.execute(text("SELECT count(*) FROM watchlist")).scalar() == 0


class TestApiKeys:
    def test_stored_sealed_listed_masked_opened_and_deleted(self, uow, two):
        ada, bob = two
        vault = Vault(new_key())
        api_keys.store_api_keys(uow, ada.id, vault, "paper", " PKOLDOLDOLD1 ", "old-secret-value")
        api_keys.store_api_keys(uow, ada.id, vault, "paper", "PKNEWNEWNEW9", "new-secret-value")
        api_keys.store_api_keys(uow, ada.id, vault, "live", "AKLIVELIVE42", "live-secret-value")
        assert [(view.mode, view.hint) for view in api_keys.list_api_keys(uow, ada.id)] == [
            ("live", "VE42"), ("paper", "NEW9")
        ]  # fmt: skip
        opened = api_keys.open_api_keys(uow, ada.id, vault, "paper")
        assert (opened.key, opened.secret) == ("PKNEWNEWNEW9", "new-secret-value")
        assert "new-secret" not in repr(opened)
        kept = uow.session.execute(text("SELECT user_api_keys::text || (SELECT string_agg(audit_log::text, '') "
                                        "FROM audit_log) FROM user_api_keys")).scalars().all()  # fmt: skip
        assert kept and not any("secret-value" in row or "PKNEW" in row for row in kept)
        assert api_keys.list_api_keys(uow, bob.id) == []
        for act in (lambda: api_keys.open_api_keys(uow, bob.id, vault, "paper"),
                    lambda: api_keys.delete_api_keys(uow, bob.id, "paper")):  # fmt: skip
            with pytest.raises(NotFound):
                act()
        api_keys.delete_api_keys(uow, ada.id, "live")
        with pytest.raises(NotFound):
            api_keys.open_api_keys(uow, ada.id, vault, "live")

    def test_a_row_copied_to_another_user_or_mode_does_not_open(self, uow, two):
        ada, bob = two
        vault = Vault(new_key())
        api_keys.store_api_keys(uow, ada.id, vault, "paper", "PKABCDEFGH", "secret-secret")
        row = uow.session.scalar(select(UserApiKeyRow))
        for user_id, mode in ((bob.id, "paper"), (ada.id, "live")):
            uow.session.add(
                UserApiKeyRow(
                    user_id=user_id, alpaca_mode=mode,
                    alpaca_api_key_encrypted=row.alpaca_api_key_encrypted,
                    alpaca_secret_key_encrypted=row.alpaca_secret_key_encrypted,
                )
            )  # fmt: skip
            uow.commit()
            with pytest.raises(ConfigurationError, match="tampered"):
                api_keys.open_api_keys(uow, user_id, vault, mode)

    def test_rotation(self, uow, two):
        old, new = new_key(), new_key()
        api_keys.store_api_keys(uow, two[0].id, Vault(old), "paper", "PKABCDEFGH", "secret-secret")
        with pytest.raises(ConfigurationError, match="ENCRYPTION_KEY"):
            api_keys.check_vault(uow, Vault(new))
        assert api_keys.renew_api_keys(uow, Vault(f"{new},{old}")) == 1
        assert api_keys.check_vault(uow, Vault(new)) == 1
        assert api_keys.open_api_keys(uow, two[0].id, Vault(new), "paper").key == "PKABCDEFGH"

    @pytest.mark.parametrize(
        ("mode", "key", "secret", "field"),
        [("demo", "PKABCDEFGH", "secret-secret", "mode"), ("paper", "", "secret-secret", "key"),
         ("paper", "PK ABCDEFGH", "secret-secret", "key"), ("paper", "PKABCDEFGH", "x" * 201, "secret"),
         ("live", "PKABCDEFGH", "sécret-secret", "secret")],
    )  # fmt: skip
    def test_bad_input_names_the_field_and_shows_no_value(self, uow, two, mode, key, secret, field):
        with pytest.raises(InvalidInput) as caught:
            api_keys.store_api_keys(uow, two[0].id, Vault(new_key()), mode, key, secret)
        assert caught.value.field == field
        assert secret not in str(caught.value)
