"""The trader: takes stored alerts to the broker, and the broker's fills to the ledger. Run as a module."""
