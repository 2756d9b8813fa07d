"""Past alerts under other limits, reckoned by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from dashtrade.bots.replay import PastAlert, Replay, replay
from dashtrade.domain.bots import Action, Alert, BotConfig, BotTimeframe, Direction, RiskLimits

BOT = BotConfig(1, 1, "AAPL", BotTimeframe.H1, Decimal(1000))
OFF = RiskLimits(risk_limit_percent=None, max_orders_per_day=None)
START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)  # 10:00 in New York


def past(number: int, action: Action, price: str | None, *, hours: float = 0) -> PastAlert:
    at = START + timedelta(hours=hours or number)
    return PastAlert(number, at, Alert(action, "AAPL"), None if price is None else Decimal(price), "done")


def run(limits: RiskLimits, *alerts: PastAlert, bot: BotConfig = BOT) -> Replay:
    return replay(bot, limits, alerts, Decimal(100_000))


def test_without_limits_everything_is_traded_and_the_result_is_the_sum_of_the_trades() -> None:
    found = run(OFF, past(1, Action.BUY, "100"), past(2, Action.SELL, "110"), past(3, Action.BUY, "50"))
    assert [v.outcome for v in found.verdicts] == ["traded"] * 3
    assert found.realized == 100 and found.lowest == 0  # 10 shares, 10 dollars more
    assert found.verdicts[1].pnl == 100 and found.verdicts[2].held == 20


def test_a_position_limit_refuses_the_second_purchase_and_never_an_exit() -> None:
    limits = replace(OFF, max_position_size=Decimal(1500))
    found = run(limits, past(1, Action.BUY, "100"), past(2, Action.BUY, "100"), past(3, Action.SELL, "90"))
    assert [v.outcome for v in found.verdicts] == ["traded", "refused", "traded"]
    [refused] = found.refused
    assert refused.limit == "MAX_POSITION_SIZE" and "$2,000.00" in refused.why
    assert found.realized == found.lowest == -100


def test_a_daily_loss_switches_off_until_the_next_day_in_new_york() -> None:
    limits = replace(OFF, daily_loss_limit=Decimal(100))
    losing = (past(1, Action.BUY, "100"), past(2, Action.SELL, "90"), past(3, Action.BUY, "90"))
    # 02:00 UTC is still the same evening in New York, 15:00 UTC is another day
    later = (past(4, Action.BUY, "90", hours=11), past(5, Action.BUY, "90", hours=24))
    found = run(limits, *losing, *later)
    assert [v.outcome for v in found.verdicts] == ["traded", "traded", "refused", "refused", "traded"]
    assert [v.limit for v in found.refused] == ["DAILY_LOSS_LIMIT"] * 2
    assert "earlier that day" in found.refused[1].why


def test_losses_in_a_row_pause_for_an_hour() -> None:
    limits = replace(OFF, cooldown_losses=1, cooldown_minutes=60)
    alerts = (past(1, Action.BUY, "100"), past(2, Action.SELL, "99"))
    soon, later = past(3, Action.BUY, "99", hours=2.5), past(4, Action.BUY, "99", hours=3.5)
    found = run(limits, *alerts, soon, later)
    assert [v.outcome for v in found.verdicts] == ["traded", "traded", "refused", "traded"]
    assert found.refused[0].limit == "COOLDOWN"


def test_orders_a_day_count_exits_too_and_begin_anew_at_midnight() -> None:
    limits = replace(OFF, max_orders_per_day=2)
    alerts = (past(1, Action.BUY, "100"), past(2, Action.SELL, "100"), past(3, Action.BUY, "100"))
    found = run(limits, *alerts, past(4, Action.BUY, "100", hours=24))
    assert [v.outcome for v in found.verdicts] == ["traded", "traded", "refused", "traded"]


def test_a_refused_reversal_still_gives_up_its_position() -> None:
    bot = replace(BOT, direction=Direction.LONG_SHORT)
    limits = replace(OFF, daily_loss_limit=Decimal(50))
    found = run(limits, past(1, Action.BUY, "100"), past(2, Action.SELL, "90"), bot=bot)
    last = found.verdicts[-1]
    assert (last.outcome, last.pnl, last.held) == ("refused", -100, 0) and "was closed" in last.why


def test_an_alert_without_a_price_is_left_out_and_the_order_of_arrival_does_not_matter() -> None:
    alerts = (past(1, Action.BUY, "100"), past(2, Action.SELL, None), past(3, Action.SELL, "105"))
    found = run(OFF, *reversed(alerts))
    assert [v.outcome for v in found.verdicts] == ["traded", "skipped", "traded"] and found.realized == 50
    assert replay(BOT, OFF, (), Decimal(1)).verdicts == ()
