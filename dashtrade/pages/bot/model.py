"""State and actions of the bot page. Services come in as callables that know the user; no widgets here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import traitlets as t

from dashtrade.errors import DashTradeError, InvalidInput
from dashtrade.pages.background import Background, inline
from dashtrade.pages.bot.services import BotServices, Snapshot
from dashtrade.pages.bot.study import StudyModel
from dashtrade.pages.guard import Message, describe, log
from dashtrade.services.bot_day import results

TABS = {
    "overview": "Overview", "setup": "Set up", "orders": "Orders", "signals": "Signals",
    "performance": "Performance", "replay": "Replay", "risk": "Risk",
}  # fmt: skip


CALM_BEATS = 4
"""Beats in a row at which not everything is read."""


class BotModel(StudyModel):
    """The user's bots. ``refresh`` reads what is new; each action reads everything again when it is done."""

    loaded: bool = t.Bool(False)  # type: ignore[assignment]
    query: Mapping[str, str] = t.Any({})  # type: ignore[assignment]

    def __init__(self, services: BotServices, *, background: Background = inline, **traits: Any) -> None:
        self._services = services
        self._refreshing = False
        self._troubled = False
        self._wanted: dict[str, str] = {}
        self._mark: tuple[Any, ...] | None = None
        self._calm_beats = 0
        super().__init__(background=background, **traits)

    @t.validate("tab")
    def _known_tab(self, proposal: Any) -> str:
        if proposal["value"] not in TABS:
            raise InvalidInput("tab", "is not known.", allowed=TABS)
        return str(proposal["value"])

    def restore(self, values: Mapping[str, str]) -> None:
        """Takes a query or the last visit. The bot and the strategy are looked for once everything is read."""
        tab = values.get("tab", "")
        if tab in TABS:
            self.tab = tab
        elif tab:
            self.say(describe(InvalidInput("tab", f"{tab[:40]!r} is not known.", allowed=tuple(TABS))))
        self.base = values.get("base", "")[:300]
        self._wanted = {name: values[name] for name in ("bot", "strategy") if values.get(name)}

    def refresh(self) -> None:
        """Reads what is new off the event loop; skipped while a read is under way."""
        if self._refreshing:
            return
        self._refreshing = True

        def done(outcome: Any) -> None:
            self._refreshing = False
            if outcome.error is None:
                if self._troubled:
                    self._troubled = False
                    self.say(Message("success", "Connected again."))
                snapshot, names = outcome.value
                if snapshot is not None:
                    self._show(snapshot, names)
            elif not self._troubled:  # said once, not at every beat
                self._troubled = True
                self.say(describe(outcome.error))

        first = not self.loaded
        self._background(lambda _post: (self._news(), self._names() if first else None), self.guard(done))
        if self.connection is not None and self.connection.waiting:
            self.look_at_connection()

    def row_action(self, name: str, row_id: str) -> None:
        """A button in one of the tables."""
        number = int(row_id)
        if name in ("on", "off"):
            self._services.set_bot_active(number, name == "on")
        elif name == "delete":
            self._services.delete_bot(number)
        elif name == "edit":
            self.edit(number)
            return
        elif name == "setup":
            self.chosen_bot, self.tab, self.step = number, "setup", "alert"
            return
        elif name == "revoke":
            self._services.revoke_token(number)
            self.say(Message("success", "The token is revoked: no request with it is accepted any more."))
        elif name == "resume":
            self._services.resume(number)
            self.say(Message("success", "The kill switch is open: alerts may enter again."))
        else:
            raise InvalidInput("action", f"{name!r} is not known.")
        self.reread()

    def halt(self) -> None:
        """The kill switch: entries stop at once, exits still run."""
        self._services.halt("Stopped on the bot page.", None)
        self.reread()
        self.say(Message("warning", "Trading is stopped: no bot of yours enters a position. Exits still run."))

    def halt_symbol(self, symbol: str) -> None:
        """The kill switch of one symbol."""
        if not symbol.strip():
            raise InvalidInput("symbol", "type the symbol whose entries shall stop.")
        self._services.halt("Stopped on the bot page.", symbol)
        self.reread()
        self.say(Message("warning", f"Entries in {symbol.strip().upper()[:20]} are stopped. Exits still run."))

    def resume(self) -> None:
        halt = self.snapshot.resumable
        if halt is None:
            raise InvalidInput("kill switch", "there is none of yours to open.")
        self._services.resume(halt.id)
        self.reread()
        self.say(Message("success", "Trading may go on: bots that are on act on their next alert."))

    # ------------------------------------------------------------------ reading

    def _news(self) -> Snapshot | None:
        """None where nothing changed. Everything is read where something is new, and at every fifth beat."""
        s, seen = self._services, self.snapshot
        mark = s.latest_change()
        if self.loaded and mark == self._mark and self._calm_beats < CALM_BEATS:
            self._calm_beats += 1
            prices = self._prices(sorted({p.symbol for p in seen.positions}))
            if prices == seen.prices:
                return None
            return replace(seen, prices=prices, results=results(seen.bots, seen.positions, s.realized_today(), prices))
        self._mark, self._calm_beats = mark, 0
        return self._read()

    def _read(self) -> Snapshot:
        s = self._services
        bots, positions = tuple(s.list_bots()), tuple(s.list_positions())
        prices = self._prices(sorted({p.symbol for p in positions}))
        return Snapshot(
            bots,
            positions,
            tuple(s.list_trades()),
            tuple(s.list_signals()),
            tuple(s.list_risk_events()),
            tuple(s.list_tokens()),
            tuple(s.list_halts()),
            results(bots, positions, s.realized_today(), prices),
            prices,
        )

    def _prices(self, symbols: list[str]) -> Mapping[str, Decimal]:
        """Without prices the page shows what is realised; that they are away is no reason to show nothing."""
        if not symbols:
            return {}
        try:
            return self._services.prices(symbols)
        except DashTradeError as error:
            log.info("no prices for open positions: %s", error)
            return {}

    def _names(self) -> tuple[str, ...]:
        return tuple(self._services.strategies())

    def reread(self) -> None:
        self._show(self._read())

    def _show(self, snapshot: Snapshot, strategies: tuple[str, ...] | None = None) -> None:
        if strategies is not None:
            self.strategies = strategies
        self.snapshot = snapshot
        known = {b.id for b in snapshot.bots}
        if self.form_bot not in known:
            self.form_bot = None
        if self.chosen_bot not in known:
            self.chosen_bot = snapshot.bots[0].id if snapshot.bots else None
        if not self.loaded:
            self.loaded = self.loaded_once = True
            self._take_wishes()
            self.attempt(self.look_at_connection)

    def _take_wishes(self) -> None:
        """What the address asked for, now that it can be looked for."""
        number, name = self._wanted.pop("bot", ""), self._wanted.pop("strategy", "")
        if number:
            if number.isdecimal() and int(number) in {b.id for b in self.snapshot.bots}:
                self.chosen_bot = int(number)
            else:
                self.say(Message("info", f"You have no bot {number[:20]!r}; it may have been deleted."))
        if name:
            carrying = next((b for b in self.snapshot.bots if b.config.strategy_name == name), None)
            if carrying is not None and not number:
                self.chosen_bot = carrying.id
            elif name in self.strategies:
                self.strategy, self.tab, self.step = name, "setup", "bot"
            else:
                self.say(Message("info", f"There is no strategy {name[:80]!r}."))
        elif not self.snapshot.bots and not number:
            self.tab = "setup"
        self._write_query()

    @t.observe("tab", "chosen_bot", "base")
    def _on_place(self, _change: Any) -> None:
        if self.loaded:
            self._write_query()
            self.attempt(self._services.remember, {"tab": self.tab, "base": self.base})

    def _write_query(self) -> None:
        found = {"tab": self.tab}
        bot = self.bot
        if bot is not None:
            found["bot"] = str(bot.id)
            if bot.config.strategy_name:
                found["strategy"] = bot.config.strategy_name
        self.query = found
