"""Runs one report in a process of its own, which can be limited in time and memory and knows no secret.

``python -m dashtrade.services.report_child``: the order comes as JSON on stdin, the result goes as JSON to the file the
order names, since libraries print what they like.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashtrade.errors import DashTradeError
from dashtrade.services.report_kernel import SECRETS
from dashtrade.services.report_page import write_failure
from dashtrade.services.reports import FOLDER, ReportFailed, place_of, report, run_report


def run_limited(
    name: str,
    parameters: Mapping[str, Any],
    *,
    data_dir: Path,
    user_id: int,
    seconds: float,
    memory_mb: int,
    folder: Path = FOLDER,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """The HTML's path. Raises ReportFailed with the report's own error, or with the limit that ended it, and with the
    page of what there was until then.

    ``memory_mb`` bounds the data of each process of the report, on Linux.
    """
    started = datetime.now(UTC)
    target = place_of(data_dir, name, user_id, started)
    with tempfile.TemporaryDirectory(prefix="dashtrade-report-") as scratch:
        result = Path(scratch) / "result.json"
        order = {
            "name": name,
            "parameters": dict(parameters),
            "data_dir": str(data_dir),
            "user_id": user_id,
            "memory_mb": memory_mb,
            "folder": str(folder),
            "result": str(result),
            "target": str(target),
            "environment": dict(environment or {}),
        }
        life, held = os.pipe()  # its end tells the child that this process is gone, however it went
        order["life"] = life
        child = subprocess.Popen(
            [sys.executable, "-m", "dashtrade.services.report_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={key: value for key, value in os.environ.items() if key not in SECRETS},
            start_new_session=True,
            pass_fds=(life,),
            text=True,
        )
        try:
            child.communicate(json.dumps(order), timeout=seconds)
        except subprocess.TimeoutExpired:
            said: str | None = f"The report took longer than {seconds:g} seconds and was ended."
        else:
            said = None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)  # the kernel ends with its parent
            child.wait()
            os.close(life)
            os.close(held)
        try:
            if said is not None:
                raise ValueError(said)
            told = json.loads(result.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            said = said or (
                f"The report's process ended (code {child.returncode}); it may have needed more than {memory_mb} MB."
            )
            write_failure(target, report(name, folder).title, started, said)
            raise ReportFailed(said, target) from None
    if "error" in told:
        raise ReportFailed(told["error"], target if target.exists() else None)
    return target


def main() -> int:
    order = json.load(sys.stdin)
    threading.Thread(target=_end_with_parent, args=(order["life"],), daemon=True).start()
    with contextlib.suppress(ImportError, ValueError):  # not on every system
        import resource

        size = int(order["memory_mb"]) * 1_000_000
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    target = Path(order["result"])
    try:
        run_report(
            order["name"],
            order["parameters"],
            data_dir=Path(order["data_dir"]),
            user_id=order["user_id"],
            folder=Path(order["folder"]),
            target=Path(order["target"]),
            environment=order["environment"],
        )
        told: dict[str, str] = {}
    except DashTradeError as error:
        told = {"error": str(error)}
    target.write_text(json.dumps(told), encoding="utf-8")
    return 0


def _end_with_parent(life: int) -> None:
    """Nobody would keep the limits of a report whose worker was killed, or read what it makes."""
    os.read(life, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
