"""Reports: parameterised notebooks run by papermill and kept as HTML without code.

Every notebook in ``notebooks/reports`` is a report; its cell tagged ``parameters`` says what can be set.
"""

from __future__ import annotations

import ast
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashtrade.errors import ConfigurationError, DashTradeError, InvalidInput, NotFound, UnknownOption
from dashtrade.settings import CHECKOUT

if TYPE_CHECKING:
    from dashtrade.db.unit_of_work import UnitOfWork

FOLDER = CHECKOUT / "notebooks" / "reports"
TIMEOUT_SECONDS = 600
_LONGEST_TEXT = 4000
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,39}$")


class ReportFailed(DashTradeError):
    """The notebook stopped with an error; its text says which."""

    code = "REPORT_FAILED"


@dataclass(frozen=True, slots=True)
class Report:
    """A report that can be run: its name, title and parameters with their defaults."""

    name: str
    title: str
    parameters: Mapping[str, Any]
    path: Path


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
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parameters: dict[str, Any] = {}
    heading = path.stem.replace("_", " ").capitalize()
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and source.startswith("# "):
            heading = source.splitlines()[0].removeprefix("# ").strip()
        if cell["cell_type"] == "code" and "parameters" in cell.get("metadata", {}).get("tags", []):
            for node in ast.parse(source).body:
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    parameters[node.targets[0].id] = ast.literal_eval(node.value)
    return Report(path.stem, heading, parameters, path)


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
        return int(number) if isinstance(default, int) and number.is_integer() else number
    if isinstance(default, list):
        return [str(v).strip() for v in (value.split(",") if isinstance(value, str) else value) if str(v).strip()]
    if isinstance(default, dict):
        return value if isinstance(value, dict) else json.loads(value)
    return str(value)


def run_report(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    data_dir: Path,
    uow: UnitOfWork | None = None,
    user_id: int | None = None,
    folder: Path = FOLDER,
) -> Path:
    """Runs a report and returns the path of its HTML, below ``reports`` in the data folder.

    With a unit of work the run is recorded for the user. Raises InvalidInput for a wrong parameter, ReportFailed with
    the
    notebook's own error, ConfigurationError where the data folder cannot be written.
    """
    chosen = report(name, folder)
    values = check_parameters(chosen, parameters or {})
    started = datetime.now(UTC)
    owner = f"user-{user_id}" if user_id is not None else "local"
    place = data_dir / "reports" / owner
    stem = f"{started:%Y%m%d-%H%M%S}-{name}-{uuid.uuid4().hex[:8]}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {data_dir} cannot be written ({error.strerror}): "
            "correct its permissions or set DASHTRADE_DATA_DIR."
        ) from None
    target = place / f"{stem}.html"
    record = _open_record(uow, user_id, name, values, started)
    try:
        notebook = _execute(chosen, values, place / f"{stem}.ipynb")
        target.write_text(to_html(notebook, chosen.title, started), encoding="utf-8")
    except DashTradeError as error:
        _close_record(uow, record, error=str(error))
        raise
    finally:
        (place / f"{stem}.ipynb").unlink(missing_ok=True)
    _close_record(uow, record, path=str(target.relative_to(data_dir)))
    return target


def _execute(chosen: Report, values: Mapping[str, Any], output: Path) -> Any:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from dashtrade.services.report_kernel import ReportKernelManager

    try:
        return papermill.execute_notebook(
            str(chosen.path),
            str(output),
            parameters=dict(values),
            kernel_name="python3",
            progress_bar=False,
            execution_timeout=TIMEOUT_SECONDS,
            kernel_manager_class=ReportKernelManager,
            cwd=str(output.parent),
        )
    except PapermillExecutionError as error:
        raise ReportFailed(f"The report stopped: {error.ename}: {error.evalue}") from None


def to_html(notebook: Any, title: str, made: datetime) -> str:
    """One HTML page with the notebook's words and results, without its code."""
    from nbconvert import HTMLExporter

    for cell in notebook.cells:  # warnings of libraries are for developers, not for the reader of a report
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr")]
    exporter = HTMLExporter(
        template_name="basic", exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True
    )
    body, _ = exporter.from_notebook_node(notebook)
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>'
        f"<body><main>{body}</main><footer>Made by DashTrade on {made:%d %b %Y, %H:%M} UTC. "
        "Past results say nothing certain about the future.</footer></body></html>"
    )


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
