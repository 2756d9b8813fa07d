"""The filtered lists of the API: orders and activities, with Alpaca's query parameters and paging."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, select, tuple_

from dashtrade.brokers.simulator import store
from dashtrade.brokers.simulator.refusals import malformed

_O, _A = store.orders, store.activities


def moment(text: str, name: str) -> datetime:
    """RFC 3339, or a date, which means its start in UTC."""
    try:
        value = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise malformed(f"{name} is not a time: {text[:40]}") from None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def day(text: str, name: str) -> date:
    return moment(text, name).date()


def flag(query: Mapping[str, str], name: str) -> bool:
    """Clients write ``true`` or ``True``."""
    return (query.get(name) or "").lower() == "true"


def count(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    raw = query.get(name)
    if raw in (None, ""):
        return default
    try:
        value = int(str(raw))
    except ValueError:
        raise malformed(f"{name} is not a number") from None
    if not 1 <= value <= most:
        raise malformed(f"{name} must be between 1 and {most}")
    return value


def orders(connection: Connection, account_id: UUID, query: Mapping[str, str]) -> list[Row[Any]]:
    """``status`` open (default), closed or all; ``after`` and ``until`` exclusive; newest first unless
    ``direction=asc``.
    """
    wanted: Select[Any] = select(_O).where(_O.c.account_id == account_id)
    status = query.get("status") or "open"
    if status not in {"open", "closed", "all"}:
        raise malformed(f"invalid status: {status}")
    if status != "all":
        is_open = _O.c.status.in_(store.OPEN)
        wanted = wanted.where(is_open if status == "open" else ~is_open)
    if query.get("symbols"):
        wanted = wanted.where(_O.c.symbol.in_([s.strip().upper() for s in query["symbols"].split(",")]))
    if query.get("side"):
        wanted = wanted.where(_O.c.side == query["side"])
    if query.get("after"):
        wanted = wanted.where(_O.c.submitted_at > moment(query["after"], "after"))
    if query.get("until"):
        wanted = wanted.where(_O.c.submitted_at < moment(query["until"], "until"))
    if flag(query, "nested"):
        wanted = wanted.where(_O.c.parent_id.is_(None))
    order = (_O.c.submitted_at, _O.c.seq)
    if query.get("direction") != "asc":
        wanted = wanted.order_by(*[column.desc() for column in order])
    else:
        wanted = wanted.order_by(*order)
    return list(connection.execute(wanted.limit(count(query, "limit", 50, 500))))


def activities(connection: Connection, account_id: UUID, types: list[str], query: Mapping[str, str]) -> list[Row[Any]]:
    """``after`` and ``until`` exclusive, ``date`` one day; ``page_token`` is the id of the last activity seen."""
    wanted: Select[Any] = select(_A).where(_A.c.account_id == account_id, ~_A.c.busted)
    if types:
        wanted = wanted.where(_A.c.activity_type.in_(types))
    category = query.get("category")
    if category not in (None, "", "trade_activity", "non_trade_activity") or (category and types):
        raise malformed("category is trade_activity or non_trade_activity, and goes without activity_types")
    if category:
        fills = _A.c.activity_type == "FILL"
        wanted = wanted.where(fills if category == "trade_activity" else ~fills)
    if query.get("after"):
        wanted = wanted.where(_A.c.time > moment(query["after"], "after"))
    if query.get("until"):
        wanted = wanted.where(_A.c.time < moment(query["until"], "until"))
    if query.get("date"):
        start = datetime.combine(day(query["date"], "date"), time(), UTC)
        wanted = wanted.where(_A.c.time >= start, _A.c.time < start + timedelta(days=1))
    ascending = query.get("direction") == "asc"
    if query.get("page_token"):
        last = connection.execute(
            select(_A.c.time, _A.c.id).where(_A.c.account_id == account_id, _A.c.id == query["page_token"])
        ).one_or_none()
        if last is None:
            raise malformed("invalid page_token")
        here, there = tuple_(_A.c.time, _A.c.id), tuple_(last.time, last.id)
        wanted = wanted.where(here > there if ascending else here < there)
    order = (_A.c.time, _A.c.id)
    wanted = wanted.order_by(*(order if ascending else [column.desc() for column in order]))
    return list(connection.execute(wanted.limit(count(query, "page_size", 100, 100))))
