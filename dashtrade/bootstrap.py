"""Composition root: the one place where ports meet implementations.

Heavy imports stay inside the functions, so that a process pays only for what it uses.
"""

from __future__ import annotations
