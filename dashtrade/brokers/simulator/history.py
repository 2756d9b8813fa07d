"""The equity curve of an account, in the form of Alpaca's portfolio history."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from dashtrade.brokers.simulator import store
from dashtrade.brokers.simulator.desk import Desk
from dashtrade.brokers.simulator.queries import moment
from dashtrade.brokers.simulator.refusals import malformed

_FRAMES = {
    "1Min": timedelta(minutes=1),
    "5Min": timedelta(minutes=5),
    "15Min": timedelta(minutes=15),
    "1H": timedelta(hours=1),
    "1D": timedelta(days=1),
}
_UNITS = {"D": 1, "W": 7, "M": 30, "A": 365}


def portfolio_history(desk: Desk, query: Mapping[str, str]) -> dict[str, Any]:
    """Equity at the end of each window that has begun, from the account's opening at the earliest.

    ``period`` is a number and D, W, M (30 days) or A (365 days), default 1M; ``timeframe`` 1Min, 5Min, 15Min, 1H or
    1D. A window without a recorded point repeats the equity before it.
    """
    end = moment(query["end"], "end") if query.get("end") else desk.now
    start = moment(query["start"], "start") if query.get("start") else end - _length(query.get("period") or "1M")
    frame = query.get("timeframe") or _default_frame(end - start)
    step = _FRAMES.get(frame)
    if step is None:
        raise malformed(f"invalid timeframe: {frame}")
    start = max(start, desk.account.created_at)
    first = _floor(start, step)
    if (end - first) / step > 20_000:
        raise malformed("too many points; use a longer timeframe or a shorter period")
    points = store.equity_points
    mine = select(points.c.time, points.c.equity).where(points.c.account_id == desk.account.id)
    before = desk.connection.execute(mine.where(points.c.time < first).order_by(points.c.time.desc()).limit(1)).first()
    rows = desk.connection.execute(mine.where(points.c.time.between(first, end)).order_by(points.c.time)).all()
    current = base = desk.account.initial_cash if before is None else before.equity
    position = 0
    times: list[int] = []
    equity: list[float] = []
    window = first
    while window <= end:
        while position < len(rows) and rows[position].time < window + step:
            current = rows[position].equity
            position += 1
        times.append(int(window.timestamp()))
        equity.append(round(float(current), 2))
        window += step
    if equity and end == desk.now:
        equity[-1] = round(float(desk.balance().equity), 2)
    start_value = float(base)
    return {
        "timestamp": times,
        "equity": equity,
        "profit_loss": [round(value - start_value, 2) for value in equity],
        "profit_loss_pct": [round(value / start_value - 1, 6) if start_value else None for value in equity],
        "base_value": round(start_value, 2),
        "base_value_asof": f"{first:%Y-%m-%d}",
        "timeframe": frame,
        "cashflow": {},
    }


def _length(period: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,4})([DWMA])", period)
    if found is None:
        raise malformed(f"invalid period: {period}")
    return timedelta(days=int(found[1]) * _UNITS[found[2]])


def _default_frame(length: timedelta) -> str:
    if length < timedelta(days=7):
        return "1Min"
    return "15Min" if length < timedelta(days=30) else "1D"


def _floor(time: datetime, step: timedelta) -> datetime:
    seconds = int(step.total_seconds())
    return datetime.fromtimestamp(int(time.timestamp()) // seconds * seconds, time.tzinfo)
