"""An executed notebook as one HTML page without its code; a failed one with what it had, and the error."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

STYLE = Path(__file__).parent / "report.css"


def to_html(notebook: Any, title: str, made: datetime, *, error: str | None = None) -> str:
    """The notebook's words and results. With ``error`` a note at the top says that, and why, the report stopped; the
    traceback stays in the notebook."""
    from nbconvert import HTMLExporter

    notebook.cells = [cell for cell in notebook.cells if not _papermills_own(cell)]
    for cell in notebook.cells:  # warnings of libraries are for developers, not for the reader of a report
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if _for_readers(o)]
    exporter = HTMLExporter(
        template_name="basic", exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True
    )
    body, _ = exporter.from_notebook_node(notebook)
    style = STYLE.read_text(encoding="utf-8")
    said = ""
    if error is not None:
        said = (
            f'<aside class="notes failed" role="alert"><h3>This report is not complete</h3><p>{escape(error)}</p>'
            "<p>The executed notebook beside it shows where it stopped.</p></aside>"
        )
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>'
        f"<body><main>{said}{body}</main><footer>Made by DashTrade on {made.astimezone(UTC):%d %b %Y, %H:%M} UTC. "
        "Past results say nothing certain about the future.</footer></body></html>"
    )


def write_failure(target: Path, title: str, made: datetime, error: str) -> None:
    """The page of a report that failed, beside what its notebook had come to; no notebook, or half of one, is fine."""
    import nbformat
    from nbformat.reader import NotJSONError

    kept = target.with_suffix(".ipynb")
    try:
        notebook = nbformat.read(kept, as_version=4)
    except (OSError, NotJSONError, nbformat.ValidationError):
        notebook = nbformat.v4.new_notebook()
    target.write_text(to_html(notebook, title, made, error=error), encoding="utf-8")


def _papermills_own(cell: Any) -> bool:
    """The cells papermill adds to point at an error."""
    return bool({"papermill-error-cell-tag"} & set(cell.metadata.get("tags", [])))


def _for_readers(output: Any) -> bool:
    return output.output_type != "error" and not (output.output_type == "stream" and output.name == "stderr")
