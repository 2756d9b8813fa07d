"""A trade's size from what one is ready to lose, and the card that shows it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from dashtrade.analysis import RiskPlan, plan_trade, stop_price
from dashtrade.errors import DashTradeError
from dashtrade.pages.analysis.model import SIDES, AnalysisModel
from dashtrade.pages.formats import formats
from dashtrade.pages.guard import sentence
from dashtrade.pages.widgets.bits import heading, html, panel
from dashtrade.pages.widgets.form import FieldSpec, ParamForm

if TYPE_CHECKING:
    import pandas as pd

_SIDE_NAMES = {"signal": "As the signal", "long": "Long", "short": "Short"}
FIELDS = (
    FieldSpec("account", "Account $", "float", 10_000.0, 1, 1e12, help="What you trade with"),
    FieldSpec("risk", "Risk %", "float", 1.0, 0.01, 100, help="Of the account, lost where the stop is hit"),
    FieldSpec("side", "Side", "choice", SIDES[0], choices=SIDES, help="The signal's side, or your own"),
)


def plan_at_close(bars: pd.DataFrame, account: float, risk_percent: float, side: str) -> RiskPlan:
    """Entry at the last close, stop two average ranges away. Raises BadBars where there are too few bars for it."""
    stop, reason = stop_price(bars, side)
    entry = float(bars["close"].dropna().iloc[-1])
    return plan_trade(entry, stop, account, risk_percent, side, stop_reason=reason)


class RiskCard:
    """Account, risk and side in; stop, targets and size out, at once. The inputs are the model's, which keeps them."""

    def __init__(self, model: AnalysisModel) -> None:
        self._model = model
        self.form = ParamForm(FIELDS)
        self.form.controls["side"].options = [(_SIDE_NAMES[side], side) for side in SIDES]
        self.result = html("")
        self.widget = panel(heading("Risk"), self.form.widget, self.result)
        self.form.fill({"account": model.account, "risk": model.risk, "side": model.side})
        for name, control in self.form.controls.items():
            control.observe(model.guard(lambda change, name=name: self._changed(name, change["new"])), "value")
        model.observe(lambda change: self.form.fill({change["name"]: change["new"]}), ["account", "risk", "side"])

    def draw(self) -> None:
        try:
            values = self.form.values()
            self.result.value = self._html(values["account"], values["risk"], values["side"])
        except DashTradeError as error:
            self.result.value = f'<p class="dt-blocker" role="status">⚠ {escape(sentence(error))}</p>'

    def _html(self, account: float, risk: float, side: str) -> str:
        if self._model.bars is None or self._model.result is None:
            return plan_html(None)
        if side != "signal":
            return plan_html(self._model.plan(account, risk, side))
        report = self._model.result.signal
        action = report.action.value if report is not None else ""
        chosen = {"BUY": "long", "SELL": "short"}.get(action)
        if chosen is None:
            reason = "The signal is HOLD: no trade." if action else "There is no signal."
            return f'<p class="dt-muted">{reason} Choose Long or Short to size one anyway.</p>'
        said = f'<p class="dt-muted">{chosen.capitalize()}, as the signal says {escape(action)}.</p>'
        return said + plan_html(self._model.plan(account, risk, chosen))

    def _changed(self, name: str, value: str) -> None:
        setattr(self._model, name, value)
        self.draw()


def plan_html(plan: RiskPlan | None) -> str:
    if plan is None:
        return '<p class="dt-muted">Load a symbol to see its stop and size.</p>'
    write = formats()
    rows = [
        ("Entry", write.price(plan.entry), "the last close"),
        ("Stop", write.price(plan.stop), plan.stop_reason),
        *(
            ("Target", write.price(t.price), f"{write.number(t.reward_to_risk, 1)} times the risk")
            for t in plan.targets
        ),
        ("Shares", write.short(plan.shares), f"costs {write.money(plan.cost)}; limited by {plan.limited_by}"),
        ("At risk", write.money(plan.money_at_risk), f"{write.price(plan.risk_per_share)} a share"),
    ]
    body = "".join(
        f'<tr><th scope="row">{escape(a)}</th><td class="dt-num">{escape(b)}</td><td>{escape(c)}</td></tr>'
        for a, b, c in rows
    )
    note = "" if plan.shares else f'<p class="dt-blocker">⚠ {escape(plan.sentence)}</p>'
    return f'<table class="dt-plan">{body}</table>{note}'
