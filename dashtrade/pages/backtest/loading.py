"""A recorded run back into the form: the texts that ask for the very same bars, rules, sizes and costs. No widgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dashtrade.domain.market import Interval
from dashtrade.domain.strategy import Stops, Strategy
from dashtrade.errors import InvalidInput
from dashtrade.pages.backtest.inputs import DATES, DEFAULTS, ON, OWN, OWN_NAME, RULES, RUN

if TYPE_CHECKING:
    from dashtrade.backtest.request import BacktestRequest
    from dashtrade.services.backtest_runs import StoredRun
    from dashtrade.strategies import Preset


@dataclass(frozen=True, slots=True)
class Loaded:
    """The form's fields, and a preset's settings that are not the usual ones."""

    values: Mapping[str, str]
    settings: Mapping[str, str]


def strategy_of(run: StoredRun) -> Strategy:
    """The recorded strategy, with the run's own stops in it."""
    from dashtrade.strategies import from_dict

    return from_dict(dict(run.request["strategy"]))


def load(run: StoredRun, presets: Mapping[str, Preset], mine: Mapping[str, Strategy], sources: Iterable[str]) -> Loaded:
    """The form that asks for this run. ``mine`` are the user's strategies by their key. Of a sweep or a walk-forward,
    the run that was varied.

    Raises InvalidInput for what the form has no field for, so that nothing is changed in silence.
    """
    from dashtrade.backtest.provenance import request_of
    from dashtrade.services.backtest_texts import distance_text, number_text, share_text, size_text

    asked = request_of(run.request, dict.fromkeys(run.symbols))  # type: ignore[arg-type]  # no bars are needed
    _has_fields(run, asked)
    strategy = strategy_of(run)
    key, settings, stops = _name(strategy, run.id, presets, mine)
    source = str(run.provenance.get("source", ""))
    plan, costs = asked.rebalance, asked.costs
    values = {
        **DEFAULTS, "strategy": key, "symbols": ", ".join(run.symbols), "period": DATES, **_dates(run),
        "interval": run.interval, "source": source if source in tuple(sources) else "",
        "cash": number_text(asked.cash), "size": size_text(asked.size), "direction": str(asked.direction),
        "fill": str(asked.fill), "whole": ON if asked.whole_shares else "",
        "commission": share_text(costs.commission) if costs.commission else "0",
        "fixed": number_text(costs.fixed), "slippage": share_text(costs.slippage), "spread": share_text(costs.spread),
        "stop": distance_text(stops, "loss"), "target": distance_text(stops, "profit"),
        "trail": distance_text(stops, "trail"), "time_stop": "" if stops.bars is None else str(stops.bars),
        "risk_free": share_text(asked.risk_free),
    }  # fmt: skip
    if plan is not None:
        values |= {"weights": str(plan.weighting), "every": str(plan.every), "band": share_text(plan.band),
                   "look_back": str(plan.window)}  # fmt: skip
    if key == OWN:
        values |= {name: str(run.request["strategy"].get(name, "")) for name in RULES}
    return Loaded(values, settings)


def _has_fields(run: StoredRun, asked: BacktestRequest) -> None:
    odd = []
    if not asked.share_cash:
        odd.append("capital in equal parts")
    if asked.seed:
        odd.append(f"the seed {asked.seed}")
    if run.interval not in list(Interval):
        odd.append("bars that were given to it")
    if odd:
        raise InvalidInput(
            "run", f"{run.id} has {' and '.join(odd)}, which this form has no field for; press Run again."
        )


def _name(
    strategy: Strategy, number: int, presets: Mapping[str, Preset], mine: Mapping[str, Strategy]
) -> tuple[str, dict[str, str], Stops]:
    """What the form calls the strategy, a preset's settings, and the stops that are typed beside it."""
    from dashtrade.services.backtest_texts import number_text

    if strategy.name in list(presets):
        preset = presets[strategy.name]
        values = preset.settings_of(strategy)
        if values is not None and (stops := _typed(preset.build(**values), strategy)) is not None:
            usual = {p.name: p.default for p in preset.params}
            return strategy.name, {n: number_text(v) for n, v in values.items() if v != usual[n]}, stops
    for key, own in mine.items():
        if own.name == strategy.name and (stops := _typed(own, strategy)) is not None:
            return key, {}, stops
    rules: dict[str, Any] = {name: getattr(strategy, name) for name in RULES}
    if (stops := _typed(Strategy(OWN_NAME, **rules), strategy)) is not None:
        return OWN, {}, stops
    return f"{RUN}{number}", {}, Stops()


def _typed(base: Strategy, strategy: Strategy) -> Stops | None:
    """The stops to type so that ``base`` becomes ``strategy``; None where no stops do."""
    from dashtrade.strategies import with_stops

    if base.stops.atr_window != strategy.stops.atr_window:
        return None  # the form has no field for it
    own = {n: getattr(strategy.stops, n) for n in Stops.__slots__ if n != "atr_window"}
    stops = Stops(**{n: v for n, v in own.items() if v != getattr(base.stops, n)})
    return stops if with_stops(base, stops) == strategy else None


def _dates(run: StoredRun) -> dict[str, str]:
    """Days for daily and longer bars; else the first bar's moment, and the one just after the last."""
    first, last = (datetime.fromisoformat(str(run.provenance[n])).astimezone(UTC) for n in ("first_bar", "last_bar"))
    if not Interval(run.interval).intraday:
        return {"start": first.date().isoformat(), "end": last.date().isoformat()}
    return {"start": first.isoformat(), "end": (last + timedelta(seconds=1)).isoformat()}
