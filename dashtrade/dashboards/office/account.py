"""The account page: everything a person changes about themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, ClassVar
from zoneinfo import available_timezones

from tornado import web

from dashtrade.auth.totp import Enrolment
from dashtrade.dashboards.catalogue import ACCOUNT
from dashtrade.dashboards.office.shell import OfficePage
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.formats import NUMBER_FORMATS, NUMBERS, TIME_ZONE, known_zone, parse_number_format
from dashtrade.errors import ConfigurationError, InvalidInput
from dashtrade.services import (
    accounts,
    api_keys,
    bots,
    channels,
    kill_switches,
    own_data,
    second_factor,
    source_keys,
    throttle,
    users,
)
from dashtrade.services import deliveries as _deliveries  # noqa: F401  declares the job that a test message queues
from dashtrade.services.actors import get_user
from dashtrade.services.channel_entry import enter_channel
from dashtrade.services.preferences import get_preference, set_preference


def page_colours() -> Any:
    """The pages' palettes. Looked up by name, since that package is built on top of this one."""
    return import_module("dashtrade.pages.palette")


class AccountPage(OfficePage):
    """Password, sessions, time zone, API keys, webhook tokens, live trading, export, end of the account."""

    page = ACCOUNT
    done: ClassVar[dict[str, str]] = {
        "password": "Your password is changed. All your other browsers are signed out.",
        "profile": "Saved.",
        "ended": "That browser is signed out.",
        "others": "All your other browsers are signed out.",
        "second-factor": "Scan the picture with your app, then type the code it shows.",
        "second-factor-off": "The second factor is off.",
        "channel": "The channel is added. Send a test to see whether it works.",
        "channel-tested": "A test message is on its way; below you see whether it arrived.",
        "channel-removed": "The channel is removed.",
        "channel-switched": "Saved.",
        "keys": "The API keys are stored. Nobody can read them back, you included.",
        "keys-deleted": "The API keys are deleted.",
        "token": "The token is revoked. Alerts that carry it are refused from now on.",
        "live": "Trading with real money is allowed for your bots now.",
        "live-off": "Trading with real money is not allowed any more.",
    }
    actions: ClassVar[dict[str, str]] = {
        "password": "change_password",
        "profile": "save_profile",
        "end-session": "end_session",
        "end-others": "end_others",
        "second-factor-start": "start_second_factor",
        "second-factor-confirm": "confirm_second_factor",
        "second-factor-off": "switch_second_factor_off",
        "recovery-codes": "renew_recovery_codes",
        "store-source-key": "store_source_key",
        "delete-source-key": "delete_source_key",
        "add-channel": "add_channel",
        "test-channel": "test_channel",
        "switch-channel": "switch_channel",
        "remove-channel": "remove_channel",
        "store-keys": "store_keys",
        "delete-keys": "delete_keys",
        "revoke-token": "revoke_token",
        "allow-live": "allow_live",
        "withdraw-live": "withdraw_live",
        "export": "export",
        "delete": "delete_account",
    }

    async def show(self, part: str = "", problem: str = "") -> None:
        if part:
            raise web.HTTPError(404)
        await self.show_with(problem=problem)

    async def show_with(self, *, problem: str = "", codes: list[str] | None = None) -> None:
        """The page; ``codes`` are recovery codes just made, which no later page shows."""
        self.write_page("account.html", problem=problem, codes=codes or [], **await self.gate.ask(self._values))

    def _values(self, uow: UnitOfWork) -> dict[str, Any]:
        me, common, palette = self.me.user_id, self.common(uow), page_colours()
        return {
            **common,
            "numbers": common["formats"].numbers.key,
            "number_formats": list(NUMBER_FORMATS.values()),
            "palette": get_preference(uow, me, palette.PREFERENCE) or palette.DEFAULT,
            "palettes": list(palette.PALETTES.values()),
            "factor": second_factor.second_factor(uow, me),
            # the secret is shown only for minutes after the password was typed
            "enrolment": self._enrolment(uow) if common["confirmed"] else None,
            "zones": sorted(available_timezones()),
            "user": get_user(uow, me),
            "email_enabled": users.wants_email(uow, me),
            "sessions": accounts.list_sessions(uow, me, current=self.me.token),
            "api_keys": api_keys.list_api_keys(uow, me),
            "source_keys": source_keys.list_source_keys(uow, me),
            "providers": {provider.key: provider for provider in source_keys.providers()},
            "channels": channels.list_channels(uow, me),
            "deliveries": channels.list_deliveries(uow, me, limit=5),
            "tokens": bots.list_tokens(uow, me),
            "live_since": own_data.live_allowed_since(uow, me),
            "live_sentence": kill_switches.LIVE_SENTENCE,
        }

    def _enrolment(self, uow: UnitOfWork) -> Enrolment | None:
        try:
            return second_factor.waiting(uow, self.me.user_id, self.gate.vault())
        except ConfigurationError:
            return None

    async def start_second_factor(self) -> None:
        await self.confirm(always=True)
        me, vault = self.me.user_id, self.gate.vault()
        await self.gate.ask(lambda uow: second_factor.start(uow, me, vault))
        self.go("second-factor")

    async def confirm_second_factor(self) -> None:
        me, code, address, vault = self.me, self.field("code"), self.address, self.gate.vault()
        codes = await self.gate.ask(
            lambda uow: second_factor.confirm(uow, me.user_id, vault, code, keep=me.token, address=address)
        )
        await self.show_with(codes=codes)

    async def switch_second_factor_off(self) -> None:
        await self.confirm(always=True)
        me, address = self.me.user_id, self.address
        await self.gate.ask(lambda uow: second_factor.switch_off(uow, me, address=address))
        self.go("second-factor-off")

    async def renew_recovery_codes(self) -> None:
        await self.confirm(always=True)
        me, address = self.me.user_id, self.address
        await self.show_with(
            codes=await self.gate.ask(lambda uow: second_factor.renew_recovery_codes(uow, me, address=address))
        )

    async def change_password(self) -> None:
        new, address, me = self.secret("new"), self.address, self.me
        if new != self.secret("repeat"):
            raise InvalidInput("new password", "was typed in two different ways.")
        await self.confirm(always=True)
        current = self.secret("confirm_password")
        await self.gate.check(
            lambda uow: users.change_password(uow, me.user_id, current, new, keep=me.token, address=address)
        )
        self.go("password")

    async def save_profile(self) -> None:
        zone, me = self.field("time_zone") or "UTC", self.me.user_id
        if not known_zone(zone):
            raise InvalidInput("time zone", f"{zone!r} is not known; choose one of the list, such as Europe/London.")
        numbers = parse_number_format(self.field("numbers") or "comma_point").key
        palette = page_colours()
        colours = palette.parse_palette(self.field("palette") or palette.DEFAULT).key
        name = self.field("full_name") if self.changed("full_name") else None
        email = self.field("email_enabled") == "yes" if self.changed("email_enabled") else None
        chosen = {
            "time_zone": (TIME_ZONE, zone),
            "numbers": (NUMBERS, numbers),
            "palette": (palette.PREFERENCE, colours),
        }
        preferences = [preference for field, preference in chosen.items() if self.changed(field)]

        def save(uow: UnitOfWork) -> None:
            users.set_profile(uow, me, full_name=name, email_enabled=email)
            for key, value in preferences:
                set_preference(uow, me, key, value)

        await self.gate.ask(save)
        self.go("profile")

    async def end_session(self) -> None:
        number, me = self.number("session"), self.me.user_id
        await self.gate.ask(lambda uow: accounts.end_session(uow, me, number))
        self.go("ended")

    async def end_others(self) -> None:
        me = self.me
        await self.gate.ask(lambda uow: accounts.end_other_sessions(uow, me.user_id, keep=me.token))
        self.go("others")

    async def store_keys(self) -> None:
        await self.confirm()
        me, mode, key, secret = self.me.user_id, self.field("mode"), self.secret("key"), self.secret("secret")
        await self.gate.ask(lambda uow: api_keys.hand_over_api_keys(uow, me, mode, key, secret))
        self.go("keys")

    async def delete_keys(self) -> None:
        await self.confirm()
        me, mode = self.me.user_id, self.field("mode")
        await self.gate.ask(lambda uow: api_keys.delete_api_keys(uow, me, mode))
        self.go("keys-deleted")

    async def store_source_key(self) -> None:
        await self.confirm()
        me, source, key, secret = self.me.user_id, self.field("source"), self.secret("key"), self.secret("secret")
        await self.gate.ask(lambda uow: source_keys.hand_over_source_keys(uow, me, source, key, secret))
        self.go("keys")

    async def delete_source_key(self) -> None:
        await self.confirm()
        me, source = self.me.user_id, self.field("source")
        await self.gate.ask(lambda uow: source_keys.delete_source_keys(uow, me, source))
        self.go("keys-deleted")

    async def add_channel(self) -> None:
        await self.confirm()
        me, name, url = self.me.user_id, self.field("name"), self.secret("url").strip()
        limit, zone = self.field("most_per_hour"), self.field("channel_zone") or "UTC"
        quiet = self.field("quiet_from") or None, self.field("quiet_until") or None
        most = self.number("most_per_hour") if limit else 30

        await self.gate.ask(
            lambda uow: enter_channel(
                uow, me, name, url, most_per_hour=most, quiet_from=quiet[0], quiet_until=quiet[1], timezone=zone
            )
        )
        self.go("channel")

    async def test_channel(self) -> None:
        me, number, address = self.me.user_id, self.number("channel"), self.address

        def test(uow: UnitOfWork) -> None:
            throttle.count_try(uow, f"channel test of {me}", address)
            channels.test_channel(uow, me, number)

        await self.gate.ask(test)
        self.go("channel-tested")

    async def switch_channel(self) -> None:
        me, number, active = self.me.user_id, self.number("channel"), self.field("active") == "yes"
        await self.gate.ask(lambda uow: channels.update_channel(uow, me, number, is_active=active))
        self.go("channel-switched")

    async def remove_channel(self) -> None:
        me, number = self.me.user_id, self.number("channel")
        await self.gate.ask(lambda uow: channels.remove_channel(uow, me, number))
        self.go("channel-removed")

    async def revoke_token(self) -> None:
        me, number = self.me.user_id, self.number("token")
        await self.gate.ask(lambda uow: bots.revoke_token(uow, me, number))
        self.go("token")

    async def allow_live(self) -> None:
        await self.confirm(always=True)
        me, password, typed = self.me.user_id, self.secret("confirm_password"), self.field("sentence")
        await self.gate.check(lambda uow: kill_switches.confirm_live(uow, me, password, typed))
        self.go("live")

    async def withdraw_live(self) -> None:
        me = self.me.user_id
        await self.gate.ask(lambda uow: kill_switches.withdraw_live(uow, me))
        self.go("live-off")

    async def export(self) -> None:
        await self.confirm(always=True)
        me = self.me.user_id
        data = await self.gate.ask(lambda uow: json.dumps(own_data.export_data(uow, me), indent=1))
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        name = f"dashtrade-{self.me.username}-{datetime.now(UTC):%Y-%m-%d}.json"
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(data)

    async def delete_account(self) -> None:
        me, address = self.me, self.address
        if self.field("username").lower() != me.username:
            raise InvalidInput("user name", "type your own user name to delete your account.")
        await self.confirm(always=True)
        await self.gate.ask(lambda uow: own_data.delete_account(uow, me.user_id, address=address))
        await self.settings["kernel_manager"].end_session(me.token)
        self.identity_provider.clear_session(self)
        self.redirect(self.base_url + "login?done=deleted", status=303)
