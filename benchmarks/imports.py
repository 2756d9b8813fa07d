"""CPU time of the light imports over a bare interpreter, beside the libraries they must not pull in."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys


def cpu_seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def median(code: str, runs: int = 7) -> float:
    cpu_seconds(code)  # warms the file cache
    return statistics.median(cpu_seconds(code) for _ in range(runs))


def main() -> None:
    bare = median("pass")
    print(f"bare interpreter            {bare:6.3f} s")
    reference = median("import pandas") - bare
    for module in ("dashtrade", "dashtrade.cli", "dashtrade.pages", "webhook.app", "pandas"):
        extra = reference if module == "pandas" else median(f"import {module}") - bare
        print(f"import {module:<20} {extra:6.3f} s over bare, {extra / reference:5.2f}x pandas")


if __name__ == "__main__":
    main()
