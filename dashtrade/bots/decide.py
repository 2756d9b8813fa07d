"""What an alert means for a bot: legs to trade, or none, with one sentence that says why.

``held`` is the signed quantity of the bot's own open lots; other bots' shares at the same broker are not seen here, so
one bot's exit never closes another's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from dashtrade.domain.bots import Action, Alert, AlertState, BotConfig, Decision, Direction, Leg, Purpose, Target
from dashtrade.domain.orders import OrderType, Side

ZERO = Decimal(0)
QTY_STEP = Decimal("0.000000001")
CENT = Decimal("0.01")
SMALL_STEP = Decimal("0.0001")


def decide(alert: Alert, bot: BotConfig, held: Decimal, price: Decimal | None) -> Decision:
    """The legs of an alert, exits before entries. ``price`` sizes whole-share entries; None where none is known."""
    wanted = _wanted(alert, bot)
    if alert.target is not None and alert.position_size is not None and bot.allow_quantity:
        return _trade_difference(alert, bot, held, wanted, price)
    if wanted is Target.FLAT:
        return _close(alert, bot, held)
    side = Side.BUY if wanted is Target.LONG else Side.SELL
    same_way = held > 0 if side is Side.BUY else held < 0
    names_position = alert.target is not None or alert.action in (Action.LONG, Action.SHORT)
    if same_way and names_position:
        return _ignored(f"{_name(bot)} is already {wanted.value} {_qty(held)} {bot.symbol}: nothing to do.")
    entry = _entry(alert, bot, side, price)
    if isinstance(entry, Decision):
        return entry if held == 0 or same_way else _close_only(bot, held, entry)
    if held == 0 or same_way:
        verb = "Adding to" if same_way else "Opening"
        return Decision(
            AlertState.PLANNED, f"{verb} a {wanted.value} position in {bot.symbol}: {_leg(entry)}.", (entry,)
        )
    out = _exit(held)
    text = f"Reversing {bot.symbol}: closing {_qty(held)}, then {_leg(entry)}."
    return Decision(AlertState.PLANNED, text, (out, entry))


def freshness(alert: Alert, received_at: datetime, now: datetime, limit_seconds: int) -> str | None:
    """None while the alert is fresh, else the sentence that says how old it is.

    Age counts from when TradingView says it fired (``timenow``), if that is in the past; a bar's ``time`` says nothing
    about when the alert was sent.
    """
    fired = min(alert.sent_at, received_at) if alert.sent_at is not None else received_at
    age = now - fired
    if age <= timedelta(seconds=limit_seconds):
        return None
    return (
        f"The alert was {age.total_seconds():.0f} s old, past the bot's limit of {limit_seconds} s: no order was sent."
    )


def is_exit(alert: Alert, bot: BotConfig, held: Decimal) -> bool:
    """Whether the first thing the alert asks for is to give up a held position."""
    if held == 0:
        return False
    wanted = _wanted(alert, bot)
    return wanted is Target.FLAT or (wanted is Target.LONG and held < 0) or (wanted is Target.SHORT and held > 0)


def _wanted(alert: Alert, bot: BotConfig) -> Target:
    """The position asked for, within what the bot's direction allows."""
    if alert.target is not None:
        asked = alert.target
    else:
        asked = {
            Action.BUY: Target.LONG,
            Action.LONG: Target.LONG,
            Action.SELL: Target.SHORT,
            Action.SHORT: Target.SHORT,
            Action.CLOSE: Target.FLAT,
        }[alert.action]
    if asked is Target.SHORT and bot.direction is Direction.LONG_ONLY:
        return Target.FLAT
    if asked is Target.LONG and bot.direction is Direction.SHORT_ONLY:
        return Target.FLAT
    return asked


def _close(alert: Alert, bot: BotConfig, held: Decimal) -> Decision:
    if held == 0:
        refused = {Direction.LONG_ONLY: "short", Direction.SHORT_ONLY: "long"}.get(bot.direction)
        opening = alert.action not in (Action.CLOSE,) and alert.target is not Target.FLAT
        never = f" and a {_style(bot)} bot never opens a {refused}" if refused and opening else ""
        return _ignored(f"{_name(bot)} holds no {bot.symbol}{never}: nothing to do.")
    qty = abs(held)
    if bot.allow_quantity and alert.quantity is not None and alert.action is not Action.CLOSE and alert.target is None:
        qty = min(qty, alert.quantity)
    leg = Leg(Purpose.EXIT, Side.SELL if held > 0 else Side.BUY, qty=qty)
    return Decision(AlertState.PLANNED, f"Closing {_qty(qty)} of {_qty(abs(held))} {bot.symbol}: {_leg(leg)}.", (leg,))


def _close_only(bot: BotConfig, held: Decimal, refused: Decision) -> Decision:
    """A reversal whose second leg cannot be sized still gives up the position: an exit never waits for an entry."""
    text = f"Closing {_qty(held)} {bot.symbol}, without opening the other side. {refused.explanation}"
    return Decision(AlertState.PLANNED, text, (_exit(held),))


def _entry(alert: Alert, bot: BotConfig, side: Side, price: Decimal | None) -> Leg | Decision:
    """An entry's leg, or the decision that says why it cannot be placed."""
    order_type, limit = alert.order_type, on_tick(alert.limit_price, up=side is Side.SELL)
    protection = protect(alert, side, limit if order_type is OrderType.LIMIT else price)
    if isinstance(protection, Decision):
        return protection
    stop_loss, take_profit = protection
    protected = stop_loss is not None or take_profit is not None
    if bot.allow_quantity and alert.quantity is not None:
        qty = alert.quantity if bot.max_quantity is None else min(alert.quantity, bot.max_quantity)
        if protected:  # the broker takes no parts of a share with a stop loss or take profit
            qty = qty.to_integral_value(ROUND_DOWN)
            if qty == 0:
                return _rejected(
                    "An order with a stop loss or take profit needs at least one whole share.", "TOO_SMALL"
                )
        return Leg(Purpose.ENTRY, side, qty, None, order_type, limit, stop_loss, take_profit)
    sizing = limit if order_type is OrderType.LIMIT else price
    if side is Side.SELL and sizing is not None and price is not None:
        sizing = max(sizing, price)  # a sale's limit may be far below the price, and make many shares of few dollars
    whole = side is Side.SELL or not bot.fractional or protected
    if not whole and order_type is OrderType.MARKET:
        return Leg(Purpose.ENTRY, side, notional=bot.position_size)
    if sizing is None:
        return _rejected(
            f"No price of {bot.symbol} is known, so {bot.position_size:f} dollars cannot be turned into whole shares. "
            'Add "price": "{{close}}" to the alert.',
            "NO_PRICE",
        )
    exact = bot.position_size / sizing
    qty = exact.to_integral_value(ROUND_DOWN) if whole else exact.quantize(QTY_STEP, ROUND_DOWN)
    if qty <= 0:
        return _rejected(
            f"{bot.position_size:f} dollars do not buy one whole share of {bot.symbol} at {sizing:f}. "
            "Raise the bot's position size.",
            "TOO_SMALL",
        )
    return Leg(Purpose.ENTRY, side, qty, None, order_type, limit, stop_loss, take_profit)


def protect(alert: Alert, side: Side, base: Decimal | None) -> tuple[Decimal | None, Decimal | None] | Decision:
    """Stop loss and take profit of an entry, on the broker's price steps; or why they cannot be placed.

    ``base`` is the price that the entry is expected at. Rounding never moves a stop away from it, nor a profit nearer.
    """
    if alert.stop_loss is None and alert.take_profit is None:
        return None, None
    if base is None:
        return _rejected(
            'No price is known to check the stop loss and take profit against. Add "price": "{{close}}".', "NO_PRICE"
        )
    buys = side is Side.BUY
    stop_loss, take_profit = on_tick(alert.stop_loss, up=buys), on_tick(alert.take_profit, up=buys)
    what, below, above = ("buy", "below", "above") if buys else ("short sale", "above", "below")
    for name, price, wrong, where in (
        ("stop loss", stop_loss, stop_loss is not None and (stop_loss >= base) is buys, below),
        ("take profit", take_profit, take_profit is not None and (take_profit <= base) is buys, above),
    ):
        if price is not None and (wrong or price == base):
            return _rejected(
                f"The {name} of a {what} must be {where} its price {_qty(base)}, and {_qty(price)} is not. Opening "
                "without it would be more risk than was asked for, so no order was sent.",
                "VALIDATION_ERROR",
            )
    return stop_loss, take_profit


def on_tick(price: Decimal | None, *, up: bool) -> Decimal | None:
    """On the steps that the exchange allows: cents from a dollar on, hundredths of them below."""
    if price is None:
        return None
    step = CENT if price >= 1 else SMALL_STEP
    return max(price.quantize(step, ROUND_UP if up else ROUND_DOWN), step)


def _trade_difference(alert: Alert, bot: BotConfig, held: Decimal, wanted: Target, price: Decimal | None) -> Decision:
    """Target mode with the strategy's own size: trade the difference to it, so that a repeat changes nothing."""
    size = abs(alert.position_size or ZERO)
    if bot.max_quantity is not None:
        size = min(size, bot.max_quantity)
    target = {Target.LONG: size, Target.SHORT: -size, Target.FLAT: ZERO}[wanted]
    if target == held:
        return _ignored(f"{_name(bot)} already holds {_qty(held)} {bot.symbol}, as the alert asks: nothing to do.")
    legs: list[Leg] = []
    reached = held
    if held != 0 and (target == 0 or (target > 0) != (held > 0)):
        legs.append(_exit(held))
        reached = ZERO
    elif held != 0 and abs(target) < abs(held):
        legs.append(Leg(Purpose.EXIT, Side.SELL if held > 0 else Side.BUY, qty=abs(held - target)))
        reached = target
    if target != reached:
        side = Side.BUY if target > reached else Side.SELL
        limit = on_tick(alert.limit_price, up=side is Side.SELL)
        protection = protect(alert, side, limit if alert.order_type is OrderType.LIMIT else price)
        qty = abs(target - reached)
        if not isinstance(protection, Decision) and protection != (None, None):
            qty = qty.to_integral_value(ROUND_DOWN)
            if qty == 0:
                protection = _rejected("A stop loss or take profit needs at least one whole share.", "TOO_SMALL")
        if isinstance(protection, Decision):
            return protection if reached == held else _close_only(bot, held, protection)
        legs.append(Leg(Purpose.ENTRY, side, qty, None, alert.order_type, limit, *protection))
    text = f"Trading from {_qty(held)} to {_qty(target)} {bot.symbol}: {', then '.join(_leg(leg) for leg in legs)}."
    return Decision(AlertState.PLANNED, text, tuple(legs))


def _exit(held: Decimal) -> Leg:
    return Leg(Purpose.EXIT, Side.SELL if held > 0 else Side.BUY, qty=abs(held))


def _ignored(text: str) -> Decision:
    return Decision(AlertState.IGNORED, text)


def _rejected(text: str, code: str) -> Decision:
    return Decision(AlertState.REJECTED, text, code=code)


def _name(bot: BotConfig) -> str:
    return f"The {bot.timeframe.value} bot"


def _style(bot: BotConfig) -> str:
    return bot.direction.value.replace("_", "-")


def _qty(qty: Decimal) -> str:
    return f"{qty.normalize():f}"


def _leg(leg: Leg) -> str:
    amount = f"${leg.notional.normalize():f}" if leg.notional is not None else f"{_qty(leg.qty or ZERO)} shares"
    limit = f" at {leg.limit_price.normalize():f} or better" if leg.limit_price is not None else ""
    stop = f", stop loss {_qty(leg.stop_loss)}" if leg.stop_loss is not None else ""
    profit = f", take profit {_qty(leg.take_profit)}" if leg.take_profit is not None else ""
    return f"{leg.side.value} {amount}{limit}{stop}{profit}"
