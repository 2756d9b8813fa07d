"""Frozen dataclasses, enums and ports shared by every layer. No I/O, no heavy imports."""
