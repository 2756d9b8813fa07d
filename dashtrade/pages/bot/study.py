"""Looking back: each bot against its strategy's backtest, and its past alerts under other limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import traitlets as t

from dashtrade.errors import DashTradeError, InvalidInput
from dashtrade.pages.bot.setup import SetupModel
from dashtrade.pages.guard import Message, sentence
from dashtrade.pages.model import Job

if TYPE_CHECKING:
    from dashtrade.bots.performance import PricedFill
    from dashtrade.bots.replay import Replay
    from dashtrade.services.bot_performance import BotPerformance


@dataclass(frozen=True, slots=True)
class Compared:
    """One bot's comparison, or why there is none."""

    bot_id: int
    found: BotPerformance | None = None
    problem: str = ""


class StudyModel(SetupModel):
    """``compared`` and ``replayed`` are None until they were asked for."""

    compared: Mapping[int, Compared] | None = t.Any(None)  # type: ignore[assignment]
    replayed: Replay | None = t.Any(None)  # type: ignore[assignment]
    proposed: Mapping[str, Any] = t.Any({})  # type: ignore[assignment]

    def compare_all(self) -> None:
        """Every bot that names a strategy, one after the other, off the event loop."""
        bots = [bot for bot in self.snapshot.bots if bot.config.strategy_name]
        if not bots:
            raise InvalidInput("strategy", "no bot names the strategy behind its alerts. Name one under Set up, Bot.")

        def work(job: Job) -> dict[int, Compared]:
            found: dict[int, Compared] = {}
            for number, bot in enumerate(bots):
                if job.cancelled():
                    break
                job.report(number / len(bots), f"Backtesting {bot.config.symbol}")
                try:
                    found[bot.id] = Compared(bot.id, self._services.compare(bot.id))
                except DashTradeError as error:
                    found[bot.id] = Compared(bot.id, None, sentence(error))
            return found

        def done(found: dict[int, Compared]) -> None:
            self.compared = found
            if self.chosen_bot not in found:
                self.chosen_bot = next(iter(found), self.chosen_bot)

        self.in_background(work, done, label="Comparing…")

    @property
    def performance(self) -> Compared | None:
        """The chosen bot's comparison."""
        return (self.compared or {}).get(self.chosen_bot or 0)

    def run_replay(self, proposed: Mapping[str, Any], equity: Decimal | None = None) -> None:
        """The chosen bot's past alerts under these limits."""
        bot = self.bot
        if bot is None:
            raise InvalidInput("bot", "there is none yet. Make one under Set up.")
        number, limits = bot.id, dict(proposed)

        def done(found: Replay) -> None:
            self.proposed, self.replayed = limits, found

        self.in_background(lambda _job: self._services.replay(number, limits, equity), done, label="Replaying alerts…")

    def apply_limits(self) -> None:
        """Gives the replayed limits to the bot."""
        if self.bot is None or self.replayed is None:
            raise InvalidInput("limits", "replay the alerts first.")
        self._services.update_bot(self.bot.id, self.proposed)
        self.reread()
        self.say(Message("success", f"The bot for {self.bot.config.symbol} has these limits from now on."))

    @t.observe("chosen_bot")
    def _another_bot(self, _change: Any) -> None:
        self.replayed = None


def curves(found: BotPerformance) -> tuple[list[datetime], list[float], list[float]]:
    """Times of all fills, and profit and loss there of the backtest and of the bot, in dollars.

    Positions are valued at the latest fill's price; both begin flat.
    """
    expected = [pair.expected for pair in found.pairs] + list(found.missed)
    actual = [pair.actual for pair in found.pairs] + list(found.extra)
    every = sorted([(fill, 0) for fill in expected] + [(fill, 1) for fill in actual], key=lambda item: item[0].time)
    cash, held = [0.0, 0.0], [0.0, 0.0]
    times: list[datetime] = []
    values: tuple[list[float], list[float]] = ([], [])
    for fill, whose in every:
        signed = _signed(fill)
        cash[whose] -= signed * fill.price
        held[whose] += signed
        times.append(fill.time)
        for side in (0, 1):
            values[side].append(cash[side] + held[side] * fill.price)
    return times, *values


def _signed(fill: PricedFill) -> float:
    return fill.qty if fill.side == "buy" else -fill.qty
