"""TradingView alerts in, durable signals out."""
