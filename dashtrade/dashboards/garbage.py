"""Gives back what closed pages leave behind."""

from __future__ import annotations

import asyncio
import gc

#: One look takes some 10 ms, in which nobody is answered.
SECONDS = 30.0


async def collect_garbage(seconds: float = SECONDS) -> None:
    """Collect all garbage from time to time; runs until it is cancelled.

    A page leaves objects that hold each other: sockets, clients, half a thousand messages. Python looks for such among
    old objects only when a quarter of all are new, which in a server with many libraries is after dozens of pages;
    memory has grown by then. What the libraries have made when this begins is never looked at again.
    """
    gc.collect()
    gc.freeze()
    while True:
        await asyncio.sleep(seconds)
        gc.collect()
