"""Reports: parameterised notebooks run by papermill and kept as HTML without code.

Every notebook in ``notebooks/reports`` is a report; its cell tagged ``parameters`` says what can be set. One whose
metadata say ``"dashtrade": {"personal": true}`` reads its owner's data, and its kernel gets the database for that.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashtrade.errors import ConfigurationError, DashTradeError, InvalidInput, NotFound, UnknownOption
from dashtrade.resources import folder as program_folder
from dashtrade.services.report_page import to_html, write_failure

if TYPE_CHECKING:
    from dashtrade.db.unit_of_work import UnitOfWork

FOLDER = program_folder("notebooks") / "reports"
TIMEOUT_SECONDS = 600
_LONGEST_TEXT = 4000
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,39}$")


class ReportFailed(DashTradeError):
    """The notebook stopped with an error; its text says which. ``path`` is the page with what there was until then."""

    code = "REPORT_FAILED"

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class Report:
    """A report that can be run: its name, title and parameters with their defaults; ``personal``: about a user."""

    name: str
    title: str
    parameters: Mapping[str, Any]
    path: Path
    personal: bool = False


def reports(folder: Path = FOLDER) -> dict[str, Report]:
    """All reports by name."""
    return {path.stem: _read(path) for path in sorted(folder.glob("*.ipynb")) if _NAME.match(path.stem)}


def report(name: str, folder: Path = FOLDER) -> Report:
    path = folder / f"{name}.ipynb"
    if not _NAME.match(name) or not path.is_file():
        raise UnknownOption("report", name, reports(folder))
    return _read(path)


def _read(path: Path) -> Report:
    """Parameters are the plain assignments of the tagged cell, read without running anything."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells, own = notebook["cells"], notebook["metadata"].get("dashtrade", {})
    parameters: dict[str, Any] = {}
    heading = own.get("title") or path.stem.replace("_", " ").capitalize()
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and source.startswith("# "):
            heading = source.splitlines()[0].removeprefix("# ").strip()
        if cell["cell_type"] == "code" and "parameters" in cell.get("metadata", {}).get("tags", []):
            for node in ast.parse(source).body:
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    parameters[node.targets[0].id] = ast.literal_eval(node.value)
    return Report(path.stem, heading, parameters, path, bool(own.get("personal")))


def check_parameters(chosen: Report, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given values in the types of the defaults; text such as ``"0.5"`` and ``"true"`` is read where it fits."""
    out: dict[str, Any] = {}
    for name, value in given.items():
        if name not in chosen.parameters:
            raise InvalidInput(name, "is not a parameter of this report.", allowed=chosen.parameters)
        out[name] = _typed(name, value, chosen.parameters[name])
    return out


def _typed(name: str, value: Any, default: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        raise InvalidInput(name, f"is longer than {_LONGEST_TEXT} characters.")
    if isinstance(default, bool):
        word = str(value).strip().lower()
        if word not in {"true", "false", "1", "0", "yes", "no"}:
            raise InvalidInput(name, f"{value!r} is not yes or no.", allowed=["true", "false"])
        return word in {"true", "1", "yes"}
    if isinstance(default, int | float):
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise InvalidInput(name, f"{value!r} is not a number.") from None
        if not math.isfinite(number):
            raise InvalidInput(name, f"{value!r} is not a number.")
        if isinstance(default, int):
            if not number.is_integer():
                raise InvalidInput(name, f"{value!r} is not a whole number.")
            return int(number)
        return number
    if isinstance(default, list):
        return [str(v).strip() for v in (value.split(",") if isinstance(value, str) else value) if str(v).strip()]
    if isinstance(default, dict):
        try:
            read = value if isinstance(value, dict) else json.loads(value)
        except ValueError:
            read = None
        if not isinstance(read, dict):
            raise InvalidInput(name, 'is not understood; write for example {"fast": 9, "slow": 21}.')
        return read
    return str(value)


def run_report(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    data_dir: Path,
    uow: UnitOfWork | None = None,
    user_id: int | None = None,
    folder: Path = FOLDER,
    target: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Runs a report and returns the path of its HTML, below ``reports`` in the data folder; the executed notebook lies
    beside it under the same name. Both stay when the report fails, the page with what there was and the error.

    With a unit of work the run is recorded for the user, and a personal report reads that database. ``target`` names
    the HTML, ``environment`` is what the kernel gets beside the ordinary (:func:`kernel_environment`). Raises
    InvalidInput for a wrong parameter, ReportFailed with the notebook's own error, ConfigurationError where the data
    folder cannot be written.
    """
    chosen = report(name, folder)
    values = check_parameters(chosen, parameters or {})
    if environment is None:
        environment = kernel_environment(chosen, uow, user_id)
    started = datetime.now(UTC)
    target = target or place_of(data_dir, name, user_id, started)
    record = _open_record(uow, user_id, name, values, started)
    failed: ReportFailed | None = None
    try:
        notebook = _execute(chosen, values, target.with_suffix(".ipynb"), environment)
        target.write_text(to_html(notebook, chosen.title, started), encoding="utf-8")
    except ReportFailed as error:
        write_failure(target, chosen.title, started, str(error))
        failed = ReportFailed(str(error), target)
    _close_record(uow, record, path=str(target.relative_to(data_dir)), error=str(failed) if failed else None)
    if failed is not None:
        raise failed
    return target


def place_of(data_dir: Path, name: str, user_id: int | None, started: datetime) -> Path:
    """A free path for a report's HTML, in a folder that exists."""
    place = data_dir / "reports" / (f"user-{user_id}" if user_id is not None else "local")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {data_dir} cannot be written ({error.strerror}): "
            "correct its permissions or set DASHTRADE_DATA_DIR."
        ) from None
    return place / f"{started:%Y%m%d-%H%M%S}-{name}-{uuid.uuid4().hex[:8]}.html"


def kernel_environment(chosen: Report, uow: UnitOfWork | None, user_id: int | None) -> dict[str, str]:
    """What a report's kernel may know: the user's order of sources, and for a personal report the database, with the
    role of the pages where there is one. Raises InvalidInput for a personal report without a user."""
    if uow is None or user_id is None:
        if chosen.personal:
            raise InvalidInput("user", f"is missing: the report {chosen.name} is about a user; name one with --user.")
        return {}
    from dashtrade.services.source_order import get_source_order

    order = get_source_order(uow, user_id)
    given = {"DASHTRADE_SOURCES": ",".join(order)} if order else {}
    if chosen.personal:
        whole = uow.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        given["DATABASE_URL"] = os.environ.get("DASHTRADE_PAGES_DATABASE_URL") or whole
        given["DASHTRADE_USER_ID"] = str(user_id)
    return given


def _execute(chosen: Report, values: Mapping[str, Any], output: Path, environment: Mapping[str, str]) -> Any:
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    from dashtrade.services.report_kernel import manager_with

    try:
        return papermill.execute_notebook(
            str(chosen.path),
            str(output),
            parameters=dict(values),
            kernel_name="python3",
            progress_bar=False,
            execution_timeout=TIMEOUT_SECONDS,
            kernel_manager_class=manager_with(environment),
            cwd=str(output.parent),
        )
    except PapermillExecutionError as error:
        raise ReportFailed(f"The report stopped: {error.ename}: {error.evalue}") from None
    except DeadKernelError:
        raise ReportFailed("The report stopped: its process was ended, perhaps for want of memory.") from None
    except CellTimeoutError:
        raise ReportFailed(f"The report stopped: a step took longer than {TIMEOUT_SECONDS} seconds.") from None


def _open_record(
    uow: UnitOfWork | None, user_id: int | None, name: str, values: Mapping[str, Any], started: datetime
) -> int | None:
    if uow is None or user_id is None:
        return None
    from dashtrade.db.tables.research import ReportRun
    from dashtrade.services.work import working

    row = ReportRun(user_id=user_id, report=name, parameters=dict(values), status="running", started_at=started)
    with working(uow) as work:
        work.session.add(row)
        work.commit()
        return row.id


def _close_record(
    uow: UnitOfWork | None, record: int | None, *, path: str | None = None, error: str | None = None
) -> None:
    if uow is None or record is None:
        return
    from dashtrade.db.tables.research import ReportRun
    from dashtrade.services.work import working

    with working(uow) as work:
        row = work.session.get(ReportRun, record)
        if row is None:
            raise NotFound("The record of this report is gone.")
        row.status, row.output_path, row.error = ("failed" if error else "done"), path, error
        row.finished_at = datetime.now(UTC)
        work.commit()
