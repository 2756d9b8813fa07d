"""The simulator's own tables, in their own PostgreSQL schema, so that broker and bot can crash apart.

The schema is made or upgraded at start, in one transaction under an advisory lock: two simulators that start at once,
or one killed half-way, leave either the old schema or the new one.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Engine,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from dashtrade.errors import ConfigurationError

SCHEMA = "simulator"
VERSION = 1
_LOCK = 7_402_118_055  # any fixed number: the key of the advisory lock around making the schema

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)
_TIME = DateTime(timezone=True)
_QTY = Numeric(18, 9)
_PRICE = Numeric(18, 9)
_MONEY = Numeric(22, 9)

schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))

accounts = Table(
    "accounts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("key_id", String(64), nullable=False, unique=True),
    Column("number", String(20), nullable=False),
    Column("cash", _MONEY, nullable=False),
    Column("initial_cash", _MONEY, nullable=False),
    Column("multiplier", Numeric(4, 1), nullable=False),
    Column("shorting_enabled", Boolean, nullable=False, default=True),
    Column("trading_blocked", Boolean, nullable=False, default=False),
    Column("created_at", _TIME, nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("seq", BigInteger, Identity(), nullable=False, unique=True),
    Column("account_id", ForeignKey(accounts.c.id), nullable=False),
    Column("client_order_id", String(128), nullable=False),
    Column("symbol", String(20), nullable=False),
    Column("side", String(4), nullable=False),
    Column("type", String(16), nullable=False),
    Column("order_class", String(8), nullable=False),
    Column("time_in_force", String(4), nullable=False),
    Column("qty", _QTY),
    Column("notional", _MONEY),
    Column("limit_price", _PRICE),
    Column("stop_price", _PRICE),
    Column("trail_price", _PRICE),
    Column("trail_percent", _PRICE),
    Column("hwm", _PRICE),
    Column("extended_hours", Boolean, nullable=False, default=False),
    Column("position_intent", String(16), nullable=False),
    Column("status", String(20), nullable=False),
    # a stop that has been touched; a leg is active once its parent is filled
    Column("triggered", Boolean, nullable=False, default=False),
    Column("active", Boolean, nullable=False, default=True),
    Column("filled_qty", _QTY, nullable=False, default=0),
    Column("filled_value", _MONEY, nullable=False, default=0),
    # money held for an opening order, priced when it was placed; nothing for a closing one
    Column("reserved", _MONEY, nullable=False, default=0),
    Column("parent_id", ForeignKey(f"{SCHEMA}.orders.id")),
    Column("leg", String(12)),
    Column("replaces", Uuid),
    Column("replaced_by", Uuid),
    Column("source", String(40)),
    Column("reject_reason", String(200)),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
    Column("submitted_at", _TIME, nullable=False),
    Column("expires_at", _TIME),
    Column("filled_at", _TIME),
    Column("canceled_at", _TIME),
    Column("expired_at", _TIME),
    Column("failed_at", _TIME),
    Column("replaced_at", _TIME),
    UniqueConstraint("account_id", "client_order_id"),
    CheckConstraint("qty IS NOT NULL OR notional IS NOT NULL", name="amount"),
    CheckConstraint("qty IS NULL OR filled_qty <= qty", name="not_overfilled"),
    CheckConstraint("side IN ('buy', 'sell')", name="side"),
)
Index("ix_orders_account_id_submitted_at", orders.c.account_id, orders.c.submitted_at)
OPEN = ("new", "accepted", "pending_new", "partially_filled", "held", "pending_cancel", "pending_replace")
Index(
    "ix_orders_open",
    orders.c.symbol,
    postgresql_where=text("status IN ({})".format(", ".join(f"'{status}'" for status in OPEN))),
)

positions = Table(
    "positions",
    metadata,
    Column("account_id", ForeignKey(accounts.c.id), primary_key=True),
    Column("symbol", String(20), primary_key=True),
    Column("qty", _QTY, nullable=False),
    Column("avg_entry_price", _PRICE, nullable=False),
    # what the last fill was priced from, and at how much: the mark where no newer price is known
    Column("source", String(40), nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("last_price", _PRICE, nullable=False),
    CheckConstraint("qty <> 0", name="not_flat"),
)

activities = Table(
    "activities",
    metadata,
    Column("id", String(60), primary_key=True),
    Column("account_id", ForeignKey(accounts.c.id), nullable=False),
    Column("activity_type", String(10), nullable=False),
    Column("time", _TIME, nullable=False),
    Column("execution_id", Uuid, unique=True),
    Column("busted", Boolean, nullable=False, default=False),
    Column("order_id", ForeignKey(orders.c.id)),
    Column("symbol", String(20)),
    Column("side", String(4)),
    Column("qty", _QTY),
    Column("price", _PRICE),
    Column("cum_qty", _QTY),
    Column("leaves_qty", _QTY),
    Column("net_amount", _MONEY),
    Column("source", String(40)),
    Column("description", String(200)),
)
Index("ix_activities_account_id_time", activities.c.account_id, activities.c.time, activities.c.id)

# append-only: every event of every order, with the body that the stream carried
order_events = Table(
    "order_events",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("account_id", ForeignKey(accounts.c.id), nullable=False),
    Column("order_id", ForeignKey(orders.c.id), nullable=False, index=True),
    Column("event", String(20), nullable=False),
    Column("time", _TIME, nullable=False),
    Column("source", String(40)),
    Column("body", JSONB, nullable=False),
)

equity_points = Table(
    "equity_points",
    metadata,
    Column("account_id", ForeignKey(accounts.c.id), primary_key=True),
    Column("time", _TIME, primary_key=True),
    Column("equity", _MONEY, nullable=False),
)

# only what differs from the default: every well-formed ticker is a tradable asset unless listed here
assets = Table(
    "assets",
    metadata,
    Column("symbol", String(20), primary_key=True),
    Column("known", Boolean, nullable=False, default=True),
    Column("tradable", Boolean, nullable=False, default=True),
    Column("shortable", Boolean, nullable=False, default=True),
    Column("fractionable", Boolean, nullable=False, default=True),
    Column("halted", Boolean, nullable=False, default=False),
)


def ensure_schema(engine: Engine) -> None:
    """Make or upgrade the schema. Raises ConfigurationError when a newer program has made it."""
    with engine.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        found = _version(connection)
        if found is None:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            metadata.create_all(connection)
            connection.execute(insert(schema_version).values(version=VERSION))
        elif found > VERSION:
            raise ConfigurationError(
                f"The simulator's tables are of version {found}, this program knows {VERSION}: start the newer program."
            )


def reset_account(engine: Engine, key_id: str) -> bool:
    """Delete what an account has done and give it its first cash again; False when there is no such account."""
    with engine.begin() as connection:
        query = select(accounts.c.id).where(accounts.c.key_id == key_id).with_for_update()
        account_id = connection.execute(query).scalar()
        if account_id is None:
            return False
        for table in (order_events, activities, equity_points, positions):
            connection.execute(delete(table).where(table.c.account_id == account_id))
        connection.execute(delete(orders).where(orders.c.account_id == account_id))
        fresh = {"cash": accounts.c.initial_cash, "created_at": func.now()}
        connection.execute(update(accounts).where(accounts.c.id == account_id).values(fresh))
        return True


def _version(connection: Connection) -> int | None:
    exists = connection.execute(select(func.to_regclass(f"{SCHEMA}.schema_version"))).scalar()
    return None if exists is None else connection.execute(select(schema_version.c.version)).scalar_one()
