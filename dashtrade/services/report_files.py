"""The files of a report's run, for the person it belongs to and nobody else."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from dashtrade.db.tables.research import ReportRun
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import NotFound
from dashtrade.services.work import working

HTML, NOTEBOOK = "html", "ipynb"


def beside(data_dir: Path, output_path: str | None, kind: str) -> Path | None:
    """The run's page or executed notebook below ``reports`` in the data folder; None where it is not there.

    A failed run may keep its notebook alone, so ``output_path`` can name either of the two.
    """
    if not output_path:
        return None
    root = (data_dir / "reports").resolve()
    file = (data_dir / output_path).resolve().with_suffix(f".{kind}")
    return file if file.is_relative_to(root) and file.is_file() else None


def report_file(uow: UnitOfWork, user_id: int, run_id: int, kind: str, data_dir: Path) -> Path:
    """The path of a run's file; NotFound for another user's run, an unknown one, and one without this file."""
    r = ReportRun
    with working(uow) as work:
        kept = work.session.scalar(select(r.output_path).where(r.user_id == user_id, r.id == run_id))
    found = beside(data_dir, kept, kind)
    if found is None:
        raise NotFound("There is no such report.")
    return found
