"""What closed pages leave behind is given back in time."""

import asyncio
import gc
import weakref

import pytest

from dashtrade.dashboards.garbage import collect_garbage


class Left:
    """Holds itself, as a closed page's sockets and clients do."""

    def __init__(self) -> None:
        self.me = self


def test_garbage_that_python_would_keep_for_long_is_collected():
    async def left_behind() -> bool:
        task = asyncio.create_task(collect_garbage(0.01))
        await asyncio.sleep(0)
        left = Left()
        gc.collect(1)  # it has come of age: from here on only a look at everything finds it
        gone = weakref.ref(left)
        del left
        assert gone() is not None
        async with asyncio.timeout(30):
            while gone() is not None:
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return gone() is None

    gc.disable()
    try:
        assert asyncio.run(left_behind())
    finally:
        gc.enable()
        gc.unfreeze()
