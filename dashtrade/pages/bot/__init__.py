"""Trading bots: set up, switch, watch, stop."""
