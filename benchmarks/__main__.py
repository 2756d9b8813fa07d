"""Run benchmarks by name, or all of them: ``python -m benchmarks startup imports``."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def main(names: list[str]) -> int:
    known = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_"))
    unknown = [n for n in names if n not in known]
    if unknown:
        print(f"Unknown benchmark: {', '.join(unknown)}. Known: {', '.join(known)}.", file=sys.stderr)
        return 2
    for name in names or known:
        print(f"\n== {name}", flush=True)
        sys.argv = [name]  # a benchmark's own arguments are for when it is run by itself
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
