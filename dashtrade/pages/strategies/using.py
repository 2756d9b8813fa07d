"""What the strategy under edit is used for: exports, a bot, a backtest. No widgets."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import traitlets as t

from dashtrade.errors import InvalidInput
from dashtrade.pages.guard import Message
from dashtrade.pages.strategies.editor import KeepDraft, StrategyEditor
from dashtrade.pages.strategies.exports import make_export
from dashtrade.pages.strategies.preview import PreviewModel


class StrategyUse(StrategyEditor):
    """``promote(name, symbol, interval, dollars)`` makes a bot that is switched off and gives its number."""

    made_bot: int = t.Int(0)  # type: ignore[assignment]

    def __init__(
        self,
        preview: PreviewModel,
        keep_draft: KeepDraft,
        promote: Callable[[str, str, str, Decimal], int],
        **traits: Any,
    ) -> None:
        self._promote = promote
        super().__init__(preview, keep_draft, **traits)

    @property
    def draft_reason(self) -> str:
        """Why the newest saved version may not be promoted; empty where it may."""
        return self.versions[0].draft if self.versions else ""

    def make_export(self, kind: str) -> None:
        """Pine, the alert's message, a notebook or JSON, of what is in the editor."""
        if self.strategy is None:
            raise InvalidInput("strategy", " ".join(self.blockers) or "there is none in the editor.")
        p = self.preview
        self.export = make_export(kind, self.strategy, p.symbol, p.period, p.interval, p.bars)

    @property
    def why_not_promoted(self) -> str:
        """Why no bot can be made now; empty where it can."""
        if not self.opened:
            return "Save the strategy first: a bot carries a saved one."
        if self.dirty:
            return "Save your changes first: a bot carries a saved version."
        return f"The newest version is a draft: {self.draft_reason}." if self.draft_reason else ""

    def promote(self, dollars: str) -> None:
        """A bot on the simulated account, switched off, for the symbol and the bars of the preview."""
        if self.why_not_promoted:
            self.say(Message("warning", self.why_not_promoted))
            return
        try:
            amount = Decimal(dollars.replace(",", "").strip().removeprefix("$"))
        except InvalidOperation:
            raise InvalidInput("Position size $", f"{dollars[:40]!r} is not an amount, such as 1000.") from None
        number = self._promote(self.opened, self.preview.symbol, self.preview.interval, amount)
        self.made_bot = number
        self.say(Message("success", f"The bot for {self.preview.symbol} is there, switched off. Go on under Trading "
                                    "bot: its token, its alert, then the switch."))  # fmt: skip

    @property
    def backtest_query(self) -> dict[str, str]:
        """What the backtest page needs to test the saved strategy as it is previewed here."""
        if not self.opened:
            return {}
        p = self.preview
        found = {"strategy": self.opened, "symbols": p.symbol, "period": p.period, "interval": p.interval,
                 "source": p.source, "size": self.values["size"]}  # fmt: skip
        return {k: v for k, v in found.items() if v}
