"""What needs attention: bots, positions, signals, and the symbols one follows."""
