"""Past alerts walked through once more under other limits: which would have been refused, and why. Pure.

The same rules decide as in trading (:func:`~dashtrade.bots.decide.decide`, :func:`~dashtrade.bots.risk.check_entry`).
Prices are those of the alerts and their fills, so what was lost between two alerts is seen at the second one only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from dashtrade.bots.decide import decide
from dashtrade.bots.pnl import Fill, Lot, apply_fill, loss_streak, position, unrealized
from dashtrade.bots.risk import RiskPicture, check_entry, trading_day
from dashtrade.domain.bots import Alert, AlertState, BotConfig, Leg, Purpose, RiskLimits

ZERO = Decimal(0)
NO_PRICE = "No price of this alert is known, so it was left out."


@dataclass(frozen=True, slots=True)
class PastAlert:
    """``price`` is its fill's, else its own; None where neither is known. ``was`` says how it ended, in one word."""

    id: int
    at: datetime
    alert: Alert
    price: Decimal | None
    was: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One alert under the other limits: ``outcome`` is traded, refused, nothing (to do) or skipped.

    ``limit`` is the name of what refused it; ``pnl`` what its closing realised, None without one.
    """

    past: PastAlert
    outcome: str
    why: str
    limit: str | None = None
    held: Decimal = ZERO
    pnl: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """``equity`` is the account's at the start; dollars."""

    verdicts: tuple[Verdict, ...]
    equity: Decimal
    realized: Decimal
    lowest: Decimal

    @property
    def refused(self) -> tuple[Verdict, ...]:
        return tuple(v for v in self.verdicts if v.outcome == "refused")

    @property
    def traded(self) -> int:
        return sum(v.outcome == "traded" for v in self.verdicts)


def replay(bot: BotConfig, limits: RiskLimits, alerts: Sequence[PastAlert], equity: Decimal) -> Replay:
    """Walk the alerts, oldest first, from a flat position and ``equity`` dollars.

    A limit that switches the bot off ends its entries for the rest of that New York day; the next day it is taken to be
    switched on again. Buying power is not limited, since nobody knows what else the account held.
    """
    walk = _Walk(bot, limits, equity)
    verdicts = tuple(walk.step(past) for past in sorted(alerts, key=lambda past: (past.at, past.id)))
    return Replay(verdicts, equity, walk.realized, walk.lowest)


class _Walk:
    def __init__(self, bot: BotConfig, limits: RiskLimits, equity: Decimal) -> None:
        self.bot, self.limits, self.equity = bot, limits, equity
        self.lots: list[Lot] = []
        self.realized = self.peak = self.lowest = ZERO
        self.streak = 0
        self.cooldown_until: datetime | None = None
        self.day: datetime | None = None
        self.today, self.orders, self.off = ZERO, 0, ""

    def step(self, past: PastAlert) -> Verdict:
        if past.price is None or past.price <= 0:
            return Verdict(past, "skipped", NO_PRICE, held=position(self.lots))
        day = trading_day(past.at)
        if day != self.day:
            self.day, self.today, self.orders, self.off = day, ZERO, 0, ""
        decision = decide(past.alert, self.bot, position(self.lots), past.price)
        if decision.state is not AlertState.PLANNED:
            outcome = "nothing" if decision.state is AlertState.IGNORED else "refused"
            return Verdict(past, outcome, decision.explanation, decision.code, position(self.lots))
        pnl: Decimal | None = None
        for leg in decision.legs:
            if leg.purpose is Purpose.EXIT:
                pnl = (pnl or ZERO) + self._fill(past, leg)
                continue
            value = leg.notional if leg.notional is not None else (leg.qty or ZERO) * past.price
            refusal = self._refusal(past, value)
            if refusal is not None:
                name, text = refusal
                closed = "" if pnl is None else " The position it asked to give up was closed."
                return Verdict(past, "refused", text + closed, name, position(self.lots), pnl)
            self._fill(past, leg)
        return Verdict(past, "traded", decision.explanation, None, position(self.lots), pnl)

    def _refusal(self, past: PastAlert, value: Decimal) -> tuple[str, str] | None:
        if self.off:
            return self.off, f"{self.off.replace('_', ' ').capitalize()} had switched the bot off earlier that day."
        price = past.price or ZERO
        open_ = unrealized(self.lots, price)
        worth = self.equity + self.realized + open_
        seen = RiskPicture(
            now=past.at,
            equity=worth,
            last_equity=worth - self.today - open_,
            buying_power=value,  # not limited
            exposure=abs(position(self.lots)) * price,
            realized_today=self.today,
            unrealized=open_,
            total_pnl=self.realized,
            peak_pnl=self.peak,
            orders_today=self.orders,
            loss_streak=self.streak,
            cooldown_until=self.cooldown_until,
            delayed_data=past.alert.delayed_data,
        )
        breach = check_entry(self.limits, seen, value)
        if breach is None:
            return None
        if breach.disables:
            self.off = breach.limit
        return breach.limit, breach.message

    def _fill(self, past: PastAlert, leg: Leg) -> Decimal:
        """Books a leg at the alert's price; returns what it realised."""
        price = past.price or ZERO
        qty = leg.qty if leg.qty is not None else (leg.notional or ZERO) / price
        self.lots, closings = apply_fill(self.lots, Fill(past.id, leg.side, qty, price, past.at))
        pnl = sum((closing.pnl for closing in closings), ZERO)
        self.orders += 1
        if closings:
            self.realized, self.today = self.realized + pnl, self.today + pnl
            self.peak, self.lowest = max(self.peak, self.realized), min(self.lowest, self.realized)
            self.streak = loss_streak(self.streak, pnl)
            if self.limits.cooldown_losses is not None and pnl < 0 and self.streak >= self.limits.cooldown_losses:
                self.cooldown_until = past.at + timedelta(minutes=self.limits.cooldown_minutes)
        return pnl
