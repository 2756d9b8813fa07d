"""An Alpaca-compatible brokerage on the local machine: the default account, and the place where faults are rehearsed."""
