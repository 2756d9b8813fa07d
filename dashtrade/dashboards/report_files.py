"""A report as a page of its own, and its executed notebook: for the owner of the run alone.

A report is made from names and notes that people typed, and from notebooks that anybody may write. So its page is
sandboxed: the browser runs no script in it and gives it no origin, which keeps it away from the session.
"""

from __future__ import annotations

from pathlib import Path

from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from dashtrade.dashboards.errors import Screens
from dashtrade.dashboards.identity import SessionIdentity
from dashtrade.errors import DatabaseUnavailable, NotFound
from dashtrade.services.report_files import HTML, report_file

REPORT_POLICY = "; ".join(
    (
        "sandbox",
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "font-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class ReportFileHandler(Screens, JupyterHandler):
    """``reports/<run>.html`` shows, ``reports/<run>.ipynb`` downloads."""

    SUPPORTED_METHODS = ("GET",)
    identity_provider: SessionIdentity

    @web.authenticated
    async def get(self, run: str, kind: str) -> None:
        me, folder = self.current_user.user_id, self.settings["dashtrade_settings"].data_dir
        try:
            path, body = await self.identity_provider.gate.ask(
                lambda uow: _read(report_file(uow, me, int(run), kind, folder))
            )
        except (NotFound, FileNotFoundError):  # the same for somebody else's as for none
            raise web.HTTPError(404) from None
        except DatabaseUnavailable:
            raise web.HTTPError(503) from None
        self.set_header("Content-Security-Policy", REPORT_POLICY)
        self.set_header("Cache-Control", "no-store")
        if kind == HTML:
            self.set_header("Content-Type", "text/html; charset=utf-8")
        else:
            self.set_header("Content-Type", "application/x-ipynb+json")
            self.set_header("Content-Disposition", f'attachment; filename="{path.name}"')
        self.finish(body)


def _read(path: Path) -> tuple[Path, bytes]:
    return path, path.read_bytes()
