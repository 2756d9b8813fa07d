"""Widgets that look back: bots against their backtests, and past alerts under other limits. No services here."""

from __future__ import annotations

from html import escape

import ipywidgets as w
import pandas as pd

from dashtrade.pages.bot import rows
from dashtrade.pages.bot.model import BotModel
from dashtrade.pages.bot.setup_view import RISK_LIMITS
from dashtrade.pages.bot.study import curves
from dashtrade.pages.formats import formats
from dashtrade.pages.widgets.bits import Card, cards_html, field, heading, html, panel, row, show_if, stack
from dashtrade.pages.widgets.form import FieldSpec, ParamForm
from dashtrade.pages.widgets.lines import LinesPlot
from dashtrade.pages.widgets.table import DataTable
from dashtrade.pages.widgets.view import PageView

NAMES = ("Backtest", "Bot")
EQUITY = FieldSpec("equity", "Equity at the start $", "decimal", None, 1, optional=True,
                   help="Left out: what the account holds now")  # fmt: skip


class PerformanceView:
    """A table of all bots, and for one of them every fill and both curves."""

    def __init__(self, model: BotModel, page: PageView) -> None:
        self.model = model
        self.compare = w.Button(description="Compare with backtests", button_style="primary")
        self.table = DataTable(rows.COMPARED, caption="Bots", filename="bot-performance")
        self.sentence, self.cards = html(""), html("")
        self.plot = LinesPlot("300px")
        self.fills = DataTable(rows.FILLS, caption="Fills", filename="bot-fills", empty="No fill of either yet.")
        note = html(
            '<p class="dt-muted">Each bot that names a strategy, against that strategy\'s backtest over the days since '
            "the bot was made: the same symbol, bars and size, and no costs, so that slippage shows.</p>"
        )
        # a plot that is hidden when it is first drawn measures nothing, so it comes with its first lines
        self.room = stack()
        self.problems = html("")
        self.detail = panel(self.sentence, self.cards, self.room, self.fills)
        head = panel(heading("Against the backtest"), note, row(self.compare), self.table, self.problems)
        self.widget = stack(head, self.detail)
        page.click(self.compare, model.compare_all)
        self.table.on_action(model.guard(self._show))
        page.follow("busy", self._draw_busy)
        page.follow(["compared", "snapshot"], self._draw_table)
        page.follow(["compared", "chosen_bot", "tab"], self._draw_detail)

    def _show(self, _name: str, row_id: str) -> None:
        self.model.chosen_bot = int(row_id)

    def _draw_busy(self) -> None:
        self.compare.disabled = self.model.busy

    def _draw_table(self) -> None:
        compared = self.model.compared
        self.table.empty = "Not compared yet." if compared is None else "No bot names a strategy."
        self.table.show(rows.compared_rows(self.model.snapshot, compared or {}))
        names = {bot.id: rows.name_of(bot) for bot in self.model.snapshot.bots}
        found = [(names.get(one.bot_id, ""), one.problem) for one in (compared or {}).values() if one.problem]
        self.problems.value = "".join(
            f'<p class="dt-blocker" role="status">⚠ {escape(name)}: {escape(text)}</p>' for name, text in found
        )
        show_if(self.problems, bool(found))

    def _draw_detail(self) -> None:
        one = self.model.performance
        found = one.found if one else None
        show_if(self.detail, found is not None)
        if found is None or self.model.tab != "performance":
            return
        f = formats()
        self.sentence.value = (
            f"<h2>{escape(found.symbol)} with {escape(found.strategy)}</h2><p>{escape(found.sentence)}</p>"
        )
        times, expected, actual = curves(found)
        self.cards.value = cards_html(
            (
                Card("Matched", str(len(found.pairs))),
                Card("Missed", str(len(found.missed)), "The backtest traded, the bot did not"),
                Card("Extra", str(len(found.extra)), "The bot traded, the backtest did not"),
                Card("Slippage", "–" if found.mean_slippage_bps is None else
                     f"{f.number(found.mean_slippage_bps, 1, signed=True)} bps", "Above zero where the bot did worse"),
                Card("Bot", f.money(actual[-1] if actual else 0.0, signed=True), "Valued at the last fill's price"),
                Card("Backtest", f.money(expected[-1] if expected else 0.0, signed=True), "Valued the same way"),
            )
        )  # fmt: skip
        self.room.children = [self.plot.widget] if len(times) > 1 else []
        if len(times) > 1:
            frame = pd.DataFrame({NAMES[0]: expected, NAMES[1]: actual}, index=pd.DatetimeIndex(times))
            self.plot.show(frame, NAMES, form="+,.2f")
        self.fills.show(rows.fill_rows(found))


class ReplayView:
    """Limits to try, and what each past alert would have met."""

    def __init__(self, model: BotModel, page: PageView) -> None:
        self.model = model
        self.bot = w.Dropdown(options=[("no bot yet", None)])
        self.limits, self.equity = ParamForm(RISK_LIMITS), ParamForm((EQUITY,))
        self.run = w.Button(description="Replay past alerts", button_style="primary")
        self.apply = w.Button(description="Give the bot these limits")
        self.sentence, self.cards = html(""), html("")
        self.table = DataTable(rows.VERDICTS, caption="Alerts", filename="replay", empty="No stored alert.")
        note = html(
            '<p class="dt-muted">Every stored alert of the bot once more, under limits that you propose: which would '
            "have been refused, and why. Prices are those of the alerts and their fills; a loss between two alerts "
            "shows at the second one. Nothing is traded or changed.</p>"
        )
        self.result = panel(self.sentence, self.cards, row(self.apply), self.table)
        head = panel(
            heading("Past alerts under other limits"), note,
            row(field("Bot", self.bot), field("Equity at the start $", self.equity.controls["equity"], EQUITY.help)),
            self.limits.widget, row(self.run),
        )  # fmt: skip
        self.widget = stack(head, self.result)
        page.click(self.run, self._run)
        page.click(self.apply, model.apply_limits)
        self.bot.observe(model.guard(self._choose), "value")
        page.follow(["snapshot", "chosen_bot"], self._draw_choice)
        page.follow(["chosen_bot", "loaded"], self._draw_limits)
        page.follow("busy", self._draw_busy)
        page.follow("replayed", self._draw_result)

    def _run(self) -> None:
        self.model.run_replay(self.limits.values(), self.equity.values()["equity"])

    def _choose(self, change: dict[str, object]) -> None:
        if change["new"] is not None:
            self.model.chosen_bot = change["new"]  # type: ignore[assignment]

    def _draw_busy(self) -> None:
        self.run.disabled = self.model.busy

    def _draw_choice(self) -> None:
        options: list[tuple[str, int | None]] = [(rows.name_of(b), b.id) for b in self.model.snapshot.bots]
        options = options or [("no bot yet", None)]
        if list(self.bot.options) != options:
            self.bot.options = options
        if self.model.chosen_bot in [value for _, value in options]:
            self.bot.value = self.model.chosen_bot

    def _draw_limits(self) -> None:
        bot = self.model.bot
        if bot is not None:
            self.limits.fill({spec.name: getattr(bot.config.limits, spec.name) for spec in RISK_LIMITS})

    def _draw_result(self) -> None:
        found = self.model.replayed
        show_if(self.result, found is not None)
        if found is None:
            return
        self.sentence.value = f'<p role="status">{escape(rows.replay_sentence(found))}</p>'
        self.cards.value = cards_html([Card(name, str(count)) for name, count in rows.by_limit(found)])
        show_if(self.cards, bool(found.refused))
        self.table.show(rows.verdict_rows(found))
