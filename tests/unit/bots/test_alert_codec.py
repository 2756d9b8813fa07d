"""An alert that is stored and read again is the same alert."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from dashtrade.domain.bots import Action, Alert, BotTimeframe, Target
from dashtrade.domain.orders import OrderType
from dashtrade.services.alert_codec import alert_from_json, alert_to_json

numbers = st.none() | st.decimals("0.0001", "99999999", places=6)
times = st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))


@given(
    st.builds(
        Alert,
        action=st.sampled_from(Action),
        symbol=st.sampled_from(["AAPL", "BRK.B", "BTC-USD"]),
        timeframe=st.none() | st.sampled_from(BotTimeframe),
        price=numbers,
        quantity=numbers,
        target=st.none() | st.sampled_from(Target),
        previous=st.none() | st.sampled_from(Target),
        position_size=st.none() | st.decimals("-9999", "9999", places=2),
        order_type=st.sampled_from([OrderType.MARKET, OrderType.LIMIT]),
        limit_price=numbers,
        stop_loss=numbers,
        take_profit=numbers,
        alert_id=st.none() | st.text(max_size=20),
        bar_time=times,
        sent_at=times,
        delayed_data=st.booleans(),
    )
)
def test_round_trip(alert: Alert) -> None:
    assert alert_from_json(alert_to_json(alert)) == alert


def test_an_alert_with_only_what_is_needed() -> None:
    assert alert_from_json({"action": "BUY", "symbol": "AAPL"}) == Alert(Action.BUY, "AAPL")
    assert alert_from_json({"action": "BUY", "symbol": "AAPL", "price": "1.50", "later": 1}).price == Decimal("1.50")
