"""The widget kit: what is sent to the browser, and what is accepted from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from dashtrade.domain.formats import Formats
from dashtrade.domain.market import SymbolMatch
from dashtrade.errors import InvalidInput
from dashtrade.indicators import REGISTRY
from dashtrade.pages import formats, palette
from dashtrade.pages.chart_data import ChartData, Line, Marker, PanelSpec, PriceLevel, Zone, pack_bars
from dashtrade.pages.widgets.bits import when_html
from dashtrade.pages.widgets.chart import PriceChart
from dashtrade.pages.widgets.combo import SymbolBox
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
    assert list(plot.axes[0].tick_labels.values())[:2] == ["03 Jan 2024", "05 Jan"]
    assert plot.share.tick_values[-1] == 0 and plot.share.tick_values[0] <= -0.05


def test_the_address_holds_only_what_is_set(make_bars: Callable[..., pd.DataFrame]) -> None:
    shell = PageShell()
    shell.write_query({"symbol": "BRK B&C", "period": "1y", "source": "", "none": None})
    assert shell.query == "symbol=BRK+B%26C&period=1y"


def test_marks_levels_and_zones_carry_what_hover_shows() -> None:
    chart = PriceChart()
    day = datetime(1970, 1, 2, tzinfo=UTC)
    zone = Zone(datetime(1970, 1, 1, tzinfo=UTC), day, 1.0, 2.0, "Double top", "--dt-down")
    mark = Marker(day, "bearish", detail="Bearish candlestick: Harami")
    level = PriceLevel(101.5, "R", detail="Resistance at 101.50")
    chart.show(ChartData("A", rows(3), False, markers=(mark,), levels=(level,), zones=(zone,)))
    assert chart.zones == [
        {"start": 0.0, "end": 86_400.0, "low": 1.0, "high": 2.0, "text": "Double top", "colour": "--dt-down"}
    ]
    assert chart.markers[0]["detail"] == "Bearish candlestick: Harami"
    assert chart.levels[0]["detail"] == "Resistance at 101.50"


def test_the_last_bar_moves_with_its_lines_until_the_bars_are_others() -> None:
    chart = PriceChart()
    chart.show(ChartData("A", rows(3), False, (Line("x", np.zeros(3), "red"),)))
    chart.update_last((172_800, 1, 2, 0.5, 1.5, 10), (np.nan,))
    assert chart.last == [172_800.0, 1.0, 2.0, 0.5, 1.5, 10.0] and chart.last_values == [None]
    chart.show(ChartData("A", rows(3), False))
    assert chart.last_values == [] and len(chart.last) == 6  # other lines over the same bars
    chart.show(ChartData("A", rows(4), False))
    assert chart.last == []


def test_a_symbol_box_takes_messages_of_its_kind_only() -> None:
    box = SymbolBox(value="AAPL")
    heard: list[str] = []
    box.on_search(heard.append)
    box.on_submit(lambda: heard.append("submit"))
    for content in ("search", {"type": "other"}, {"type": "search", "text": "x" * 500}, {"type": "submit"}):
        box._receive(box, content, None)
    assert heard == ["x" * 100, "submit"]
    box.offer([SymbolMatch("IBM", "Business", "NYSE", "stock")])
    assert box.matches == [{"value": "IBM", "name": "Business", "detail": "NYSE · stock"}]
    asked = box.asked
    box.offer([SymbolMatch("IBM", "Business", "NYSE", "stock")])
    assert box.asked == asked + 1  # the same answer is drawn again


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("key", palette.PALETTES)
def test_up_and_down_can_be_read_on_both_themes(key: str) -> None:
    chosen = palette.PALETTES[key]
    for ground, at in (("#ffffff", 0), ("#131822", 1)):
        for colours in (chosen.up, chosen.down):
            bright, dark = sorted((luminance(ground), luminance(colours[at])), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, (key, ground, colours[at])


def test_the_shell_brings_the_chosen_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PageShell().palette == {} and PageShell().palette_key == "teal_red"
    monkeypatch.setattr(palette, "_chosen", ["blue_orange"])
    shell = PageShell()
    assert shell.palette_key == "blue_orange" and set(shell.palette) == {"up", "down"}
    monkeypatch.setattr(formats, "_chosen", [Formats(zone="Asia/Tokyo")])
    assert PageShell().zone == DataTable([]).formats["zone"] == "Asia/Tokyo"
    with pytest.raises(InvalidInput, match="is not a palette"):
        palette.use("pink")


def test_a_comma_groups_thousands_or_is_refused() -> None:
    field = FieldSpec("size", "Size", "float", 1.0)
    assert [field.parse(text) for text in ("1,234.5", "1_000", "-2,000")] == [1234.5, 1000.0, -2000.0]
    for text in ("1,5", "1,23", "12,3456", "1.234,5", ",5"):
        with pytest.raises(InvalidInput, match="write decimals with a point"):
            field.parse(text)


def test_a_time_in_a_sentence_says_on_hover_what_the_exchange_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_chosen", [Formats(zone="Asia/Tokyo")])
    assert when_html(datetime(2026, 3, 2, 15, 4, 5, tzinfo=UTC), zone=True) == (
        '<time title="2026-03-03 00:04:05 Tokyo · 2026-03-02 15:04:05 UTC · 2026-03-02 10:04:05 New York">'
        "2026-03-03 00:04 JST</time>"
    )
