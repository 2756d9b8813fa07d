"""An Alpaca-compatible brokerage on the local machine: the default account, and where faults are rehearsed."""
