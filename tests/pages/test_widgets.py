"""The widget kit: what is sent to the browser, and what is accepted from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from dashtrade.errors import InvalidInput
from dashtrade.indicators import REGISTRY
from dashtrade.pages.chart_data import ChartData, Line, Marker, PanelSpec, PriceLevel, pack_bars
from dashtrade.pages.widgets.chart import PriceChart
from dashtrade.pages.widgets.form import FieldSpec, ParamForm, specs_of_dataclass, specs_of_indicator
from dashtrade.pages.widgets.plots import EquityPlot, thin
from dashtrade.pages.widgets.shell import PageShell
from dashtrade.pages.widgets.table import Column, DataTable, action, plain


def rows(n: int) -> np.ndarray:
    out = np.arange(n * 6, dtype=np.float64).reshape(n, 6)
    out[:, 0] = 86_400.0 * np.arange(n)
    return out


def test_a_chart_sends_its_numbers_as_they_are() -> None:
    chart = PriceChart()
    line = Line("EMA 9", np.array([np.nan, 2.5, 3.5]), "--dt-accent")
    level = PriceLevel(101.5, "resistance")
    chart.show(
        ChartData(
            "AAPL · 1d",
            rows(3),
            intraday=False,
            lines=(line,),
            panels=(PanelSpec(1, "RSI", (30, 70)),),
            levels=(level,),
        )
    )
    assert np.array_equal(np.frombuffer(chart.bars, "<f8").reshape(3, 6), rows(3))
    np.testing.assert_array_equal(np.frombuffer(chart.lines[0]["values"], "<f8"), line.values)
    assert chart.panels[0]["guides"] == [30, 70] and chart.levels[0]["price"] == 101.5
    chart.show(None)
    assert chart.bars == b"" and chart.lines == []


def test_a_line_of_another_length_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="2 values for 3 bars"):
        PriceChart().show(ChartData("A", rows(3), False, (Line("x", np.zeros(2), "red"),)))


def test_the_chart_says_in_words_what_it_shows() -> None:
    chart = PriceChart()
    chart.show(ChartData("AAPL · 1d", rows(3), False, (Line("EMA 9", np.zeros(3), "red"),)))
    assert chart.label.startswith(
        "Price chart of AAPL · 1d: 3 bars, 01 January 1970 to 03 January 1970; last close 16.00"
    )
    assert "EMA 9" in chart.label


def test_the_charts_library_keeps_its_licence() -> None:
    assert "TradingView Lightweight Charts" in PriceChart._esm and "Apache License 2.0" in PriceChart._esm


def test_daily_bars_keep_their_date_whatever_the_zone() -> None:
    # midnight in New York, in winter and in summer, as UTC
    index = pd.DatetimeIndex(["2024-01-02 05:00", "2024-07-02 04:00"], tz="UTC")
    packed = pack_bars(index, [[1, 2]] * 5, intraday=False)
    days = [datetime.fromtimestamp(t, UTC) for t in packed[:, 0]]
    assert days == [datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 7, 2, tzinfo=UTC)]
    assert pack_bars(index, [[1, 2]] * 5, intraday=True)[0, 0] == datetime(2024, 1, 2, 5, tzinfo=UTC).timestamp()


def test_markers_stand_on_their_bar() -> None:
    chart = PriceChart()
    later = Marker(datetime(2024, 7, 2, 4, tzinfo=UTC), "sell", "exit")
    first = Marker(datetime(2024, 1, 2, tzinfo=UTC), "buy", "entry")
    chart.show(ChartData("A", rows(1), intraday=False, markers=(later, first)))
    assert [m["side"] for m in chart.markers] == ["buy", "sell"]
    assert [m["time"] for m in chart.markers] == [datetime(2024, m, 2, tzinfo=UTC).timestamp() for m in (1, 7)]


def test_a_last_bar_is_one_small_message() -> None:
    chart = PriceChart()
    chart.update_last((1.0, 2, 3, 4, 5, 6))
    assert chart.last == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_values_of_a_table_become_plain() -> None:
    moment = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    values = [
        Decimal("1.5"),
        moment,
        float("nan"),
        float("inf"),
        np.float64(2),
        np.int64(3),
        None,
        True,
        ["a", Decimal(1)],
    ]
    assert [plain(v) for v in values] == [1.5, moment.timestamp(), None, None, 2.0, 3, None, True, ["a", 1.0]]


def table() -> tuple[DataTable, list[tuple[str, str]]]:
    made = DataTable([Column("name", "Name"), Column("do", "", "actions")])
    made.show([{"id": 1, "name": "a", "do": [action("off", "Off")]}, {"id": 2, "name": "b", "do": []}])
    pressed: list[tuple[str, str]] = []
    made.on_action(lambda name, row: pressed.append((name, row)))
    return made, pressed


def test_a_rows_button_calls_back() -> None:
    made, pressed = table()
    made._handle_custom_msg({"type": "action", "name": "off", "id": 1}, [])
    assert pressed == [("off", "1")]


@pytest.mark.parametrize(
    "content",
    [{"type": "action", "name": "delete", "id": 1}, {"type": "action", "name": "off", "id": 2},
     {"type": "action", "name": "off", "id": 99}, {"type": "other"}, "text", {"type": "action"}],
)  # fmt: skip
def test_a_button_that_is_not_there_cannot_be_pressed(content: object) -> None:
    made, pressed = table()
    made._handle_custom_msg(content, [])
    assert pressed == []


def test_a_disabled_tables_buttons_do_nothing() -> None:
    made, pressed = table()
    made.disabled = True
    made._handle_custom_msg({"type": "action", "name": "off", "id": 1}, [])
    assert pressed == []


def test_a_form_gives_typed_values() -> None:
    form = ParamForm(
        (
            FieldSpec("n", "Bars", "int", 9, 2, 100),
            FieldSpec("x", "Factor", "float", 1.5),
            FieldSpec("money", "Dollars", "decimal", Decimal("1000"), 1, optional=True),
            FieldSpec("side", "Side", "choice", "long", choices=("long", "short")),
            FieldSpec("on", "On", "bool", True),
        )
    )
    assert form.values() == {"n": 9, "x": 1.5, "money": Decimal(1000), "side": "long", "on": True}
    form.fill({"n": 20, "money": None, "side": "short", "on": False})
    assert form.values() == {"n": 20, "x": 1.5, "money": None, "side": "short", "on": False}
    form.reset()
    assert form.values()["n"] == 9


@pytest.mark.parametrize("text", ["1", "101", "2.5", "x", "", "nan", "inf"])
def test_a_value_out_of_range_names_the_field_and_the_range(text: str) -> None:
    form = ParamForm((FieldSpec("n", "Bars", "int", 9, 2, 100),))
    form.controls["n"].value = text
    with pytest.raises(InvalidInput, match=r"Bars: .*a whole number from 2 to 100"):
        form.values()


def test_a_form_from_a_dataclass() -> None:
    @dataclass(frozen=True)
    class Params:
        window: int = field(default=14, metadata={"low": 2, "high": 50, "label": "Bars"})
        stop: Decimal | None = None
        name: str = "a"

    form = ParamForm(specs_of_dataclass(Params))
    assert Params(**form.values()) == Params()
    form.controls["window"].value = "1"
    with pytest.raises(InvalidInput, match="Bars"):
        form.values()


@pytest.mark.parametrize("key", list(REGISTRY))
def test_every_indicator_has_a_form_whose_defaults_it_accepts(key: str) -> None:
    entry = REGISTRY[key]
    assert entry.checked(ParamForm(specs_of_indicator(entry)).values()) == entry.defaults


def test_thinning_keeps_the_extremes() -> None:
    values = np.sin(np.arange(10_000) / 50.0)
    values[5_005], values[7_003] = 9.0, -9.0
    kept = thin(values, 400)
    assert len(kept) <= 402 and {0, 9_999, 5_005, 7_003} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()
    assert thin(values[:100], 400).tolist() == list(range(100))


def test_the_equity_plot_draws_its_numbers() -> None:
    plot = EquityPlot()
    times = [datetime(2024, 1, d, tzinfo=UTC) for d in range(1, 11)]
    equity, benchmark = np.linspace(100, 120, 10), np.linspace(100, 90, 10)
    plot.show(times, equity, benchmark, np.linspace(0, -0.1, 10), intraday=False)
    np.testing.assert_array_equal(plot.equity.y, equity)
    np.testing.assert_array_equal(plot.benchmark.y, benchmark)
    assert plot.drawdown.y[-1] == pytest.approx(-0.1)
    assert next(iter(plot.axes[0].tick_labels.values())) == "01 Jan 2024"
    assert plot.share.tick_values[-1] == 0 and plot.share.tick_values[0] <= -0.05


def test_the_address_holds_only_what_is_set(make_bars: Callable[..., pd.DataFrame]) -> None:
    shell = PageShell()
    shell.write_query({"symbol": "BRK B&C", "period": "1y", "source": "", "none": None})
    assert shell.query == "symbol=BRK+B%26C&period=1y"
