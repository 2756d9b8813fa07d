"""The engine: vectorbt's compiled signal simulation. The only module that imports vectorbt.

The compiled call itself takes a fraction of a millisecond, but it looks up the record layout in
``vectorbt.portfolio.enums``, and importing that package takes seconds (plotting, machine learning, compilers). So the
lookup is served by a stand-in that holds the two record layouts, present in ``sys.modules`` only while a call runs.
``portfolio`` imports the real package when somebody asks for a ``vectorbt.Portfolio``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vectorbt_rust.portfolio import simulate_from_signals_rs

AMOUNT, VALUE, PERCENT = 0, 1, 2
"""How ``size`` is meant; the values of vectorbt's ``SizeType``."""

_I, _F, _B = np.int64, np.float64, np.bool_
ORDER_DTYPE = np.dtype(
    [("id", _I), ("col", _I), ("idx", _I), ("size", _F), ("price", _F), ("fees", _F), ("side", _I)], align=True
)
_LOG_DTYPE = np.dtype(
    [("id", _I), ("group", _I), ("col", _I), ("idx", _I)]
    + [(n, _F) for n in ("cash", "position", "debt", "free_cash", "val_price", "value", "req_size", "req_price")]
    + [("req_size_type", _I), ("req_direction", _I)]
    + [
        (f"req_{n}", _F)
        for n in ("fees", "fixed_fees", "slippage", "min_size", "max_size", "size_granularity", "reject_prob")
    ]
    + [(f"req_{n}", _B) for n in ("lock_cash", "allow_partial", "raise_reject", "log")]
    + [(f"new_{n}", _F) for n in ("cash", "position", "debt", "free_cash", "val_price", "value")]
    + [("res_size", _F), ("res_price", _F), ("res_fees", _F)]
    + [("res_side", _I), ("res_status", _I), ("res_status_info", _I), ("order_id", _I)],
    align=True,
)

_NAMES = ("vectorbt", "vectorbt.portfolio", "vectorbt.portfolio.enums")
_lock = threading.Lock()
_users = 0


def _make_stand_in() -> dict[str, ModuleType]:
    root, package, enums = (ModuleType(name) for name in _NAMES)
    root.__path__, package.__path__ = [], []
    enums.order_dt, enums.log_dt = ORDER_DTYPE, _LOG_DTYPE  # type: ignore[attr-defined]
    root.portfolio, package.enums = package, enums  # type: ignore[attr-defined]
    return dict(zip(_NAMES, (root, package, enums), strict=True))


_STAND_IN = _make_stand_in()


@contextmanager
def _record_layouts() -> Iterator[None]:
    """Makes the record layouts importable while calls run, without a trace afterwards; does nothing once vectorbt is
    loaded."""
    global _users
    with _lock:
        needed = sys.modules.get(_NAMES[0]) in {None, _STAND_IN[_NAMES[0]]}
        if needed:
            _users += 1
            sys.modules.update(_STAND_IN)
    try:
        yield
    finally:
        if needed:
            with _lock:
                _users -= 1
                if not _users:
                    for name in _NAMES:
                        sys.modules.pop(name, None)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Input of one simulation: rows × columns in C order (or 1×1 where one value holds everywhere).

    ``size`` is meant by ``size_type``; ``groups`` are the numbers of neighbouring columns that share one ``cash`` each.
    """

    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    long_entry: NDArray[np.bool_]
    long_exit: NDArray[np.bool_]
    short_entry: NDArray[np.bool_]
    short_exit: NDArray[np.bool_]
    size: NDArray[np.float64]
    size_type: int
    loss: NDArray[np.float64]
    trailing: NDArray[np.bool_]
    profit: NDArray[np.float64]
    cash: NDArray[np.float64]
    groups: NDArray[np.int64]
    commission: float = 0.0
    fixed: float = 0.0
    slippage: float = 0.0
    granularity: float = float("nan")
    lock_cash: bool = False
    use_stops: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        return self.long_entry.shape[0], self.long_entry.shape[1]

    @property
    def least(self) -> float:
        """The smallest order: with whole shares one, since the engine charges the fixed fee for an order of none."""
        return 0.0 if np.isnan(self.granularity) else self.granularity


def _one(value: float, dtype: Any) -> NDArray[Any]:
    return np.full((1, 1), value, dtype=dtype)


_INF, _ZERO = _one(np.inf, _F), _one(0, _F)
_I0, _I1, _I2 = (_one(v, _I) for v in (0, 1, 2))
_NO, _YES = _one(False, _B), _one(True, _B)


def simulate(rows: Rows) -> NDArray[Any]:
    """Order records (id, col, idx, size, price, fees, side: 0 buy, 1 sell), by column group and time.

    Orders are filled at the row's close; a stop at its level, or at the open where the row opens beyond it.
    """
    entries = int(np.count_nonzero(rows.long_entry) + np.count_nonzero(rows.short_entry))
    exits = int(np.count_nonzero(rows.long_exit) + np.count_nonzero(rows.short_exit))
    enough = 2 * entries + exits + 64  # the record buffer is what memory goes to in wide runs
    try:
        records = _simulate(rows, min(enough, rows.shape[0] * rows.shape[1]))
    except IndexError:  # a ruined account can leave in many small parts
        records = _simulate(rows, None)
    traded = records["size"] > 0  # whole shares that a ruined account cannot buy back come as an order of none
    return records if traded.all() else records[traded]


def _simulate(rows: Rows, max_orders: int | None) -> NDArray[Any]:
    shape = rows.shape
    sharing = bool((rows.groups > 1).any())
    call_seq = np.zeros(shape, dtype=_I)  # one for each call: the engine writes into it
    if sharing:
        call_seq[:] = np.concatenate([np.arange(g) for g in rows.groups])
    locked = (rows.long_entry | rows.short_entry) if rows.lock_cash else _NO
    with _record_layouts():
        records, _ = simulate_from_signals_rs(
            shape, rows.groups, rows.cash, call_seq, _NO, _NO, _I0,
            rows.long_entry, rows.long_exit, rows.short_entry, rows.short_exit,
            rows.size, _INF, _one(rows.size_type, _I),
            _one(rows.commission, _F), _one(rows.fixed, _F), _one(rows.slippage, _F),
            _one(rows.least, _F), _INF, _one(rows.granularity, _F), _ZERO, locked, _YES, _NO, _NO,
            _I0, _I0, _I0, _I0, _I0,
            _INF, rows.open, rows.high, rows.low, rows.close, rows.loss, rows.trailing, rows.profit,
            _I2, _I1, _I0, _I1,
            use_stops=rows.use_stops, auto_call_seq=sharing, ffill_val_price=True, update_value=False,
            max_orders=max_orders, max_logs=0, init_temp_records=False, seed=None, flex_2d=True,
        )  # fmt: skip
    return np.asarray(records)


def portfolio(rows: Rows, index: Any, columns: Any, freq: Any = None) -> Any:
    """The same simulation as a ``vectorbt.Portfolio``. Importing vectorbt takes seconds, once."""
    import pandas as pd

    with _lock:  # no stand-in may be visible while the real package is imported
        while _users:
            _lock.release()
            threading.Event().wait(0.001)
            _lock.acquire()
        import vectorbt

    def frame(values: NDArray[Any]) -> Any:
        return pd.DataFrame(np.broadcast_to(values, rows.shape).copy(), index=index, columns=columns)

    shared = bool((rows.groups > 1).any())
    return vectorbt.Portfolio.from_signals(
        frame(rows.close), entries=frame(rows.long_entry), exits=frame(rows.long_exit),
        short_entries=frame(rows.short_entry), short_exits=frame(rows.short_exit),
        size=frame(rows.size), size_type=rows.size_type, price=frame(rows.close),
        open=frame(rows.open), high=frame(rows.high), low=frame(rows.low),
        sl_stop=frame(rows.loss) if rows.use_stops else None, sl_trail=frame(rows.trailing),
        tp_stop=frame(rows.profit) if rows.use_stops else None,
        stop_entry_price="FillPrice", stop_exit_price="StopMarket", min_size=rows.least,
        fees=rows.commission, fixed_fees=rows.fixed, slippage=rows.slippage, size_granularity=rows.granularity,
        upon_opposite_entry="Ignore",
        lock_cash=frame(rows.long_entry | rows.short_entry) if rows.lock_cash else False,
        init_cash=rows.cash if shared or len(rows.cash) > 1 else float(rows.cash[0]),
        group_by=shared or None, cash_sharing=shared, call_seq="auto" if shared else "default", freq=freq,
    )  # fmt: skip
