"""One symbol: its chart, its indicators and what they say."""
