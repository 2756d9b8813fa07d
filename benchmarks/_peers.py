"""The same run in other backtesting libraries: decisions at a close, filled in full at the next open, without costs.

Each function takes bars and two arrays of decisions and gives the final value of 10,000. None of them allows that on
its own terms without a word: ``bt`` trades at the price of the row, so it is given opens and decisions one bar later;
``backtrader`` buys in its hook before the open; ``backtesting.py`` trades whole units, which prices in thousandths
make small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

CASH = 10_000.0
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def vectorbt(bars: pd.DataFrame, enter: Flags, leave: Flags, engine: str) -> float:
    import vectorbt as vbt

    late = [np.append(False, flags[:-1]) for flags in (enter, leave)]
    portfolio = vbt.Portfolio.from_signals(
        bars["close"], late[0], late[1], price=bars["open"], init_cash=CASH, min_size=0.0, engine=engine, freq="1min"
    )
    portfolio.drawdown(), portfolio.sharpe_ratio(), portfolio.orders.records_readable, portfolio.trades.records_readable
    return float(np.asarray(portfolio.value())[-1])


def backtesting_py(bars: pd.DataFrame, enter: Flags, leave: Flags) -> float:
    from backtesting import Backtest, Strategy

    class Given(Strategy):
        def init(self) -> None:
            pass

        def next(self) -> None:
            n = len(self.data) - 1
            if leave[n]:
                self.position.close()
            elif enter[n] and not self.position:
                self.buy(size=0.99999999)

    frame = bars.rename(columns=str.capitalize).tz_localize(None)
    frame[["Open", "High", "Low", "Close"]] /= 1_000
    found = Backtest(frame, Given, cash=CASH, finalize_trades=False).run()
    return float(found["Equity Final [$]"])


def bt(bars: pd.DataFrame, enter: Flags, leave: Flags) -> float:
    import bt

    wanted = np.where(leave, 0.0, np.where(enter, 1.0, np.nan))
    weights = pd.Series(wanted, bars.index).ffill().fillna(0.0).shift(fill_value=0.0).to_frame("X")
    prices = bars[["open"]].set_axis(["X"], axis=1)
    strategy = bt.Strategy("given", [bt.algos.WeighTarget(weights), bt.algos.Rebalance()])
    test = bt.Backtest(strategy, prices, initial_capital=CASH, integer_positions=False, progress_bar=False)
    test.run()
    return float(test.strategy.values.iloc[-1])


def backtrader(bars: pd.DataFrame, enter: Flags, leave: Flags) -> float:
    import backtrader

    class Given(backtrader.Strategy):  # type: ignore[misc]
        def next_open(self) -> None:
            n = len(self) - 1  # the bar that has closed: the strategy does not count the new one yet
            if n < 0:
                return
            if leave[n] and self.position:
                self.close()
            elif enter[n] and not leave[n] and not self.position:
                self.buy(size=(1 - 1e-12) * self.broker.getcash() / self.data.open[0])

    cerebro = backtrader.Cerebro(cheat_on_open=True)
    cerebro.broker.setcash(CASH)
    cerebro.broker.set_checksubmit(False)
    cerebro.adddata(backtrader.feeds.PandasData(dataname=bars.tz_localize(None)))
    cerebro.addstrategy(Given)
    cerebro.run()
    return float(cerebro.broker.getvalue())
