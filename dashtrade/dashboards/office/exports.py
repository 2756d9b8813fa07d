"""A long list as a CSV file: all lines of it, in the order it is shown."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import IO, Any

from tornado.iostream import StreamClosedError

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import InvalidInput
from dashtrade.services import audit
from dashtrade.services.listing import Listing

MOST = 250_000  # lines of a file
IN_MEMORY, PIECE = 1 << 22, 1 << 16  # bytes
#: What a spreadsheet takes for the beginning of a formula; also in full width.
FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
Cells = tuple[tuple[str, Callable[[Any], object]], ...]


def cell(value: object) -> object:
    """Numbers as they are, times in UTC, texts so that no spreadsheet runs them."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, int | float):
        return value
    text = str(value)
    return "'" + text if FORMULA.match(text) else text


def write_csv(file: IO[bytes], cells: Cells, lines: Iterable[object]) -> int:
    """With the mark by which spreadsheets know UTF-8; returns how many lines there are below the heads."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    # texts in quotes: some spreadsheets cut at a semicolon, and what is behind it could be a formula again
    writer, written = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC), 0
    writer.writerow([title for title, _ in cells])
    for line in lines:
        writer.writerow([cell(value(line)) for _, value in cells])
        written += 1
    text.detach()
    return written


def csv_file(
    uow: UnitOfWork, actor_id: int, name: str, cells: Cells, found: Listing[Any], asked: dict[str, str]
) -> IO[bytes]:
    """The file, to be read from its beginning; the caller closes it. Beyond some megabytes it is on the disk, without a
    name. That it was taken stands in the audit log. Raises InvalidInput for a list with too many lines."""
    if found.count() > MOST:
        raise InvalidInput("list", f"has more than {MOST:,} lines. Search for fewer.")
    with ExitStack() as unfinished:
        file = unfinished.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY))
        lines = write_csv(file, cells, found.every(asked.get("sort", "")))
        audit.record(uow, "list_exported", actor_id=actor_id, list=name, lines=lines, asked=asked)
        uow.commit()
        file.seek(0)
        unfinished.pop_all()
    return file


async def send_file(handler: Any, file: IO[bytes], name: str) -> None:
    """Bit by bit, as fast as the browser takes it."""
    handler.set_header("Content-Type", "text/csv; charset=utf-8")
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("Content-Disposition", f'attachment; filename="{name}"')
    try:
        while piece := file.read(PIECE):
            handler.write(piece)
            await handler.flush()
    except StreamClosedError:
        return  # the browser has left
    await handler.finish()
