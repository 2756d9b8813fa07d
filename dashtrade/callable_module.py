"""Lets a subpackage that shares its name with a public function be called as that function.

``import dashtrade as dt`` offers ``dt.backtest(request)``, and ``dashtrade.backtest`` is also a package. Python binds a
subpackage as an attribute of its parent on import, so the function would be hidden from then on. A callable module
serves both.
"""

from __future__ import annotations

import sys
from inspect import Signature, signature
from types import ModuleType
from typing import Any


def make_callable(module: str, function: str) -> None:
    """Calling the imported ``module`` calls its attribute ``function``."""

    class CallableModule(ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return getattr(self, function)(*args, **kwargs)

        @property
        def __signature__(self) -> Signature:
            """The function's, for ``?`` and for completion."""
            return signature(getattr(self, function))

        def __dir__(self) -> list[str]:
            """What completion offers: the public names. Everything else is still reached by its name."""
            return sorted(self.__all__)

    sys.modules[module].__class__ = CallableModule
