"""Where a result comes from, so that it can be made again: hashes of the bars, the request and the result, and
versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

import dashtrade
from dashtrade.backtest.rebalance import Rebalance
from dashtrade.backtest.request import BacktestRequest, Cash, Costs, Percent, RiskPercent, Shares, Size
from dashtrade.domain.frames import numbers_of
from dashtrade.domain.market import OHLCV
from dashtrade.domain.strategy import Strategy
from dashtrade.errors import InvalidInput
from dashtrade.strategies import from_dict, to_dict

PACKAGES = ("vectorbt", "vectorbt-rust", "numpy", "pandas", "TA-Lib")


def bars_hash(bars: Mapping[str, pd.DataFrame]) -> str:
    """SHA-256 of every symbol, time and value."""
    digest = hashlib.sha256()
    for symbol, frame in bars.items():
        digest.update(symbol.encode())
        digest.update(np.ascontiguousarray(frame.index.asi8 if isinstance(frame.index, pd.DatetimeIndex) else 0).data)
        numbers = numbers_of(frame)
        for name in OHLCV:
            if name in (frame.columns if numbers is None else numbers):
                column = frame[name].to_numpy(dtype=np.float64) if numbers is None else numbers[name]
                digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def hashing(bars: Mapping[str, pd.DataFrame], aside: bool) -> Callable[[], str]:
    """Gives ``bars_hash``; ``aside`` works it out in a thread meanwhile, which large ones are worth."""
    if not aside:
        return lambda: bars_hash(bars)
    pool = ThreadPoolExecutor(1, "hash of the bars")
    found = pool.submit(bars_hash, bars)
    pool.shutdown(wait=False)
    return found.result


def request_fields(request: BacktestRequest, strategy: Strategy) -> dict[str, Any]:
    """The request as plain JSON values, without the bars."""
    return {
        "strategy": to_dict(strategy),
        "symbols": list(request.bars),
        "cash": request.cash,
        "size": {"kind": type(request.size).__name__, **asdict(request.size)},
        "costs": asdict(request.costs),
        "direction": str(request.direction),
        "fill": str(request.fill),
        "share_cash": request.share_cash,
        "whole_shares": request.whole_shares,
        "risk_free": request.risk_free,
        "seed": request.seed,
        "rebalance": None if request.rebalance is None else asdict(request.rebalance),
    }


def request_of(fields: Mapping[str, Any], bars: Mapping[str, pd.DataFrame]) -> BacktestRequest:
    """The request that ``request_fields`` describes, over these bars. Entries of sweeps and windows are left aside.

    Raises InvalidInput where the description was written by a program that knew other settings.
    """
    try:
        return BacktestRequest(
            from_dict(dict(fields["strategy"])),
            bars,
            cash=fields["cash"],
            size=size_of(fields["size"]),
            costs=Costs(**fields["costs"]),
            direction=fields["direction"],
            fill=fields["fill"],
            share_cash=fields["share_cash"],
            whole_shares=fields["whole_shares"],
            risk_free=fields["risk_free"],
            seed=fields["seed"],
            rebalance=Rebalance(**plan) if (plan := fields.get("rebalance")) else None,
        )
    except (KeyError, TypeError) as error:
        raise InvalidInput("run", f"its record is not of this version of the program ({error}).") from None


def size_of(fields: Mapping[str, Any]) -> Size:
    """The size that ``request_fields`` describes. KeyError or TypeError where it is none."""
    kinds = {kind.__name__: kind for kind in (Percent, Cash, Shares, RiskPercent)}
    return kinds[fields["kind"]](**{name: value for name, value in fields.items() if name != "kind"})


def hash_of(values: Any) -> str:
    """SHA-256 of the canonical JSON of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    """Read once: it means parsing every package's metadata."""
    return (("dashtrade", dashtrade.__version__), *((p, version(p)) for p in PACKAGES))


def provenance(
    request: BacktestRequest,
    strategy: Strategy,
    slippage: float,
    basis: str,
    factor: float,
    orders: Any,
    bars_hash: str,
) -> dict[str, Any]:
    """How to make a result again, as plain values."""
    fields = request_fields(request, strategy)
    return {
        "request_hash": hash_of(fields),
        "result_hash": hashlib.sha256(np.ascontiguousarray(orders).tobytes()).hexdigest(),
        "request": fields,
        **source_fields(request, bars_hash),
        "slippage_per_side": slippage,
        "annualisation": {"bars_per_year": factor, "basis": basis},
        "versions": versions(),
        "engine": "vectorbt (Rust) on two-phase bars" if request.rebalance is None else "rebalancing at the next open",
    }


def versions() -> dict[str, str]:
    """Of this program and of the packages that numbers depend on."""
    return dict(_versions())


def source_fields(request: BacktestRequest, hashed: str) -> dict[str, Any]:
    """Where the bars come from and which they are; ``simulated`` is True where any of the prices are made up."""
    first = next(iter(request.bars.values()))
    attributes = [frame.attrs for frame in request.bars.values()]
    indices: list[pd.DatetimeIndex] = [frame.index for frame in request.bars.values()]  # type: ignore[misc]
    spans = {(index.dtype, int(index.asi8[0]), int(index.asi8[-1])): index for index in indices}
    return {
        "bars_hash": hashed,
        "source": str(first.attrs.get("source", "unknown")),
        "interval": str(first.attrs.get("interval", "unknown")),
        "adjustment": str(first.attrs.get("adjustment", "unknown")),
        "simulated": any(bool(a.get("simulated")) for a in attributes),
        "delay_seconds": max(int(a.get("delay_seconds") or 0) for a in attributes),
        "fetched_at": min((str(a["fetched_at"]) for a in attributes if a.get("fetched_at")), default="unknown"),
        "first_bar": str(min(index[0] for index in spans.values())),
        "last_bar": str(max(index[-1] for index in spans.values())),
        "bars": {symbol: len(frame) for symbol, frame in request.bars.items()},
    }
