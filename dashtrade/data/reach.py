"""Which bars each network source has, known without its library: pages check a choice before they load anything."""

from __future__ import annotations

from dashtrade.data.limits import Limits
from dashtrade.domain.market import Adjustment, Interval

_LONG = (Interval.D1, Interval.D5, Interval.W1, Interval.MO1, Interval.MO3)
_YAHOO_MINUTES = (Interval.M2, Interval.M5, Interval.M15, Interval.M30, Interval.M90)

# Yahoo's own bars of several days are adjusted wrongly; they are made from daily ones.
YAHOO = Limits(
    "Yahoo",
    native={
        Interval.M1: Interval.M1,
        **{interval: interval for interval in _YAHOO_MINUTES},
        **dict.fromkeys((Interval.M60, Interval.H1, Interval.H4), Interval.H1),
        **dict.fromkeys(_LONG, Interval.D1),
    },
    days={Interval.M1: 8, **dict.fromkeys(_YAHOO_MINUTES, 60), Interval.H1: 730},
)

_ALPHA_INTRADAY = (Interval.M1, Interval.M5, Interval.M15, Interval.M30, Interval.H1)
# Without naming a month, which would be a call for each, a call returns the last thirty days.
ALPHA_VANTAGE = Limits(
    "Alpha Vantage",
    native={
        **{interval: interval for interval in _ALPHA_INTRADAY},
        Interval.M2: Interval.M1,
        Interval.M60: Interval.H1,
        Interval.M90: Interval.M30,
        Interval.H4: Interval.H1,
        **dict.fromkeys(_LONG, Interval.D1),
    },
    days=dict.fromkeys(_ALPHA_INTRADAY, 30),
)


def alpha_vantage_adjustment(interval: Interval) -> Adjustment:
    """Intraday bars come adjusted, free daily ones as they were traded."""
    return Adjustment.ALL if interval.intraday else Adjustment.RAW


def alpaca_adjustment(interval: Interval) -> Adjustment:
    return Adjustment.ALL


# Alpaca's hours start on the clock's hour, before the session does: longer intraday bars are made from half hours.
ALPACA = Limits(
    "Alpaca",
    native={
        Interval.M1: Interval.M1,
        Interval.M2: Interval.M1,
        Interval.M5: Interval.M5,
        Interval.M15: Interval.M15,
        **dict.fromkeys((Interval.M30, Interval.M60, Interval.M90, Interval.H1, Interval.H4), Interval.M30),
        **dict.fromkeys(_LONG, Interval.D1),
    },
)
