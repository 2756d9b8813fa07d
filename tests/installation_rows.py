"""Rows for every table, in plain SQL as each revision of the schema allows: what an installation has when it is old."""

from __future__ import annotations

from sqlalchemy import Engine, text

#: revision → statements that this revision allows first. User 1 is theirs.
ROWS: dict[str, list[str]] = {
    "0001": [
        "INSERT INTO users (username, email, password_hash, role, full_name) VALUES"
        " ('ada', 'ada@example.com', '$2b$04$x', 'superadmin', 'Ada ''O'' Łovelace'),"
        " ('bob', 'bob@b.c', 'y', 'user', NULL)",
        "INSERT INTO user_preferences (user_id, key, value) VALUES (1, 'theme', '\"dark\"')",
        "INSERT INTO user_sessions (user_id, token_sha256, expires_at) VALUES"
        " (1, decode(repeat('ab', 32), 'hex'), now() + interval '1 hour')",
        "INSERT INTO account_tokens (user_id, purpose, token_sha256, expires_at) VALUES"
        " (1, 'reset', decode(repeat('cd', 32), 'hex'), now() + interval '1 hour')",
        "INSERT INTO login_failures (account_sha256) VALUES (decode('01', 'hex'))",
        "INSERT INTO audit_log (action, actor_id, user_id) VALUES ('login', 1, 1)",
        "INSERT INTO app_state (key, value) VALUES ('public_key', '{\"a\": [1, null]}')",
        "INSERT INTO watchlist (user_id, symbol, notes) VALUES (1, 'AAPL', E'two\\nlines'), (2, '^GSPC', NULL)",
        "INSERT INTO user_api_keys (user_id, alpaca_api_key_encrypted, alpaca_secret_key_encrypted)"
        " VALUES (1, 'sealed-key', 'sealed-secret')",
        "INSERT INTO user_bot_configs (user_id, symbol, timeframe, position_size) VALUES (1, 'AAPL', '5 Min', 1000.10)",
        "INSERT INTO user_webhook_tokens (user_id, token, prefix) VALUES (1, repeat('0f', 32), 'dt_12')",
        "INSERT INTO account_state (user_id, mode, client_prefix) VALUES (1, 'paper', 'dt-abc')",
        "INSERT INTO alert_inbox (user_id, bot_id, dedupe_key, dedupe_rule, body_hash, payload, received_at)"
        " VALUES (1, 1, 'k', 'id', 'h', '{\"action\": \"buy\"}', now())",
        "INSERT INTO webhook_requests (user_id, received_at, status, code, reason, latency_ms)"
        " VALUES (1, now(), 401, 'AUTH', 'wrong token', 1.5)",
        "INSERT INTO order_intents (user_id, bot_id, account_id, symbol, client_order_id, purpose, side, qty, deadline,"
        " alert_id) VALUES (1, 1, 1, 'AAPL', 'dt-1', 'entry', 'buy', 1.123456789, now(), 1)",
        "INSERT INTO order_events (user_id, kind) VALUES (1, 'sent')",
        "INSERT INTO bot_trades (user_id, bot_config_id, symbol, timeframe, action)"
        " VALUES (1, 1, 'AAPL', '5 Min', 'BUY')",
        "INSERT INTO bot_risk_events (user_id, bot_config_id, event_type) VALUES (1, 1, 'DAILY_LOSS')",
        "INSERT INTO executions (account_id, user_id, execution_id, symbol, side, qty, price, executed_at, trade_date,"
        " source) VALUES (1, 1, 'e1', 'AAPL', 'buy', 2, 100.5, now(), '2024-01-02', 'stream')",
        "INSERT INTO lots (account_id, user_id, bot_id, symbol, execution_id, opened_qty, open_qty, price, opened_at)"
        " VALUES (1, 1, 1, 'AAPL', 1, 2, 1, 100.5, now())",
        "INSERT INTO lot_closings (lot_id, execution_id, user_id, bot_id, qty, open_price, close_price, realized_pnl,"
        " closed_at, trade_date) VALUES (1, 1, 1, 1, 1, 100.5, 101, 0.5, now(), '2024-01-03')",
        "INSERT INTO cash_ledger (account_id, user_id, kind, amount, occurred_at, trade_date)"
        " VALUES (1, 1, 'trade', -201, now(), '2024-01-02')",
        "INSERT INTO external_orders (account_id, user_id, broker_order_id, symbol, side, status)"
        " VALUES (1, 1, 'x', 'MSFT', 'sell', 'new')",
        "INSERT INTO trading_halts (scope, reason, set_by) VALUES ('system', 'a test', 'ada')",
        "INSERT INTO trader_heartbeats (name) VALUES ('host:1')",
        "INSERT INTO alerts (user_id, symbol, alert_type, condition_text) VALUES (1, 'AAPL', 'price', 'price > 1')",
        "INSERT INTO alert_rules (alert_id) VALUES (1)",
        "INSERT INTO alert_events (user_id, alert_id, symbol, interval, bar_time, condition_text, values)"
        " VALUES (1, 1, 'AAPL', '1d', now(), 'price > 1', '{}')",
        "INSERT INTO alert_cursors (symbol, interval) VALUES ('AAPL', '1d')",
        "INSERT INTO notifications (user_id, kind, title, body) VALUES (1, 'alert', 'AAPL', 'above 1')",
        "INSERT INTO notification_channels (user_id, name, service, url_encrypted)"
        " VALUES (1, 'phone', 'ntfy', 'sealed')",
        "INSERT INTO notification_deliveries (user_id, notification_id, channel_id) VALUES (1, 1, 1)",
        "INSERT INTO report_schedules (user_id, report, name, parameters, cron)"
        " VALUES (1, 'watchlist', 'daily', '{}', '0 8 * * *')",
        "INSERT INTO report_runs (user_id, report, parameters) VALUES (1, 'watchlist', '{}')",
        "INSERT INTO strategies (user_id, name, version, definition) VALUES (1, 'mine', 1, '{}')",
        "INSERT INTO trial_counts (user_id, family, data_hash) VALUES (1, 'f', 'd')",
        "INSERT INTO backtest_runs (user_id, kind, family, symbols, interval, data_hash, request_hash, result_hash,"
        " request, statistics, provenance) VALUES (1, 'backtest', 'f', '[\"AAPL\"]', '1d', 'd', 'q', 'r', '{}',"
        " '{\"sharpe\": 0.1}', '{}')",
        "INSERT INTO live_interest (source, symbol, until) VALUES ('yahoo', 'AAPL', now())",
        "INSERT INTO live_prices (source, symbol, price, time, seen_at) VALUES ('yahoo', 'AAPL', 1.5, now(), now())",
        "INSERT INTO source_calls (source, day) VALUES ('alpha_vantage', '2024-01-02')",
    ],
    "0002": [
        "INSERT INTO recovery_codes (user_id, code_sha256) VALUES (1, decode(repeat('ef', 32), 'hex'))",
        "INSERT INTO account_tokens (user_id, purpose, token_sha256, expires_at) VALUES"
        " (1, 'second_step', decode(repeat('aa', 32), 'hex'), now() + interval '1 hour')",
    ],
    "0003": [
        "INSERT INTO order_intents (user_id, bot_id, account_id, symbol, client_order_id, purpose, side, qty, deadline,"
        " state, parent_id, stop_price) VALUES (1, 1, 1, 'AAPL', 'dt-2', 'exit', 'sell', 1, now(), 'resting', 1, 90)",
    ],
    "0004": [
        "INSERT INTO watchlist_names (user_id, name) VALUES (1, 'tech')",
        "INSERT INTO watchlist_members (list_id, watchlist_id, user_id) VALUES (1, 1, 1)",
        "INSERT INTO account_equity (account_id, day, user_id, equity) VALUES (1, '2024-01-02', 1, 1000.5)",
    ],
    "0005": [
        "INSERT INTO alert_cursors (symbol, interval, source) VALUES ('MSFT', '1d', repeat('s', 60))",
    ],
    "0006": [
        "INSERT INTO user_source_keys (user_id, source, key_encrypted) VALUES (1, 'alpha_vantage', 'sealed')",
        "INSERT INTO source_requests (user_id, source, what, arguments) VALUES (1, 'alpaca', 'history', '{}')",
    ],
    "0007": [
        "UPDATE alert_rules SET channel_ids = ARRAY[1::bigint]",
        "UPDATE notification_deliveries SET state = 'maybe', claim = 'abc.0'",
    ],
    "0008": [
        'UPDATE account_state SET suspected_drifts = \'{"AAPL": {"ours": "1"}}\' WHERE id = 1',
    ],
    "0009": [],  # indexes only
}


def fill(engine: Engine, revision: str) -> None:
    """Insert the rows of this revision and of all before it."""
    with engine.begin() as connection:
        for known, statements in ROWS.items():
            if known <= revision:
                for statement in statements:
                    connection.execute(text(statement.replace(":", r"\:")))
