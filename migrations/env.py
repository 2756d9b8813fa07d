"""Alembic's environment. The program hands over an open connection (dashtrade/db/migrate.py), the only way in."""

from __future__ import annotations

from alembic import context

from dashtrade.db.tables import Base

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("Run `dashtrade migrate`: it knows the database and takes the lock.")

context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=True, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
