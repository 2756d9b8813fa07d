"""``dashtrade backup`` and ``dashtrade restore``: all of an installation in one sealed file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PassphraseFile = Annotated[
    Path | None, typer.Option(help="File whose first line is the passphrase; without it, the passphrase is asked for.")
]


def register(app: typer.Typer) -> None:
    app.command()(backup)
    app.command()(restore)


def backup(
    file: Annotated[
        Path | None, typer.Argument(help="New file, or a folder; default: backups in the data folder.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="No passphrase; secrets are left out, people's data is not.")
    ] = False,
) -> None:
    """Write the database, the secrets, reports, imported prices and notebooks to one sealed file. Services may run."""
    import signal
    from datetime import UTC, datetime

    from dashtrade.bootstrap import connect
    from dashtrade.errors import ConfigurationError
    from dashtrade.services.backup import back_up
    from dashtrade.settings import get_settings

    signal.signal(signal.SIGTERM, _leave)  # so that no half file stays behind
    settings = get_settings()
    target = (file or settings.data_dir / "backups").absolute()
    if file is None:
        try:
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The folder {target} cannot be made ({error.strerror}). Name a file or another folder for the backup, "
                "or correct DASHTRADE_DATA_DIR."
            ) from None
    if target.is_dir():
        target /= f"dashtrade-{datetime.now(UTC):%Y%m%d-%H%M%S}.backup"
    passphrase = None if plain else _passphrase(passphrase_file, confirm=True)
    report = back_up(connect(settings).engine, settings, target, passphrase)
    size = target.stat().st_size / 1e6
    typer.echo(
        f"{target}: {len(report.tables)} tables and sequences, {report.rows} rows, {report.files} files, {size:.1f} MB."
    )
    if plain:
        typer.echo(
            "It is not sealed: whoever has it can read people's data. The secrets are not in it; keep them apart."
        )
    else:
        typer.echo("Nobody can open it without the passphrase, you included. Keep both, apart from each other.")


def restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    passphrase_file: PassphraseFile = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only read the file to its end and say what it holds.")
    ] = False,
    trade: Annotated[
        bool,
        typer.Option("--trade", help="Do not stop entries; by default bots open nothing until somebody has looked."),
    ] = False,
) -> None:
    """Fill an empty database and data folder from a backup. Nothing is overwritten."""
    from dashtrade.auth.secret_files import ensure_secrets, pages_password
    from dashtrade.bootstrap import connect
    from dashtrade.db.pages_role import ensure_pages_role
    from dashtrade.services.backup import inspect_backup, is_sealed, restore_backup
    from dashtrade.services.kill_switches import set_halt
    from dashtrade.settings import get_settings

    passphrase = _passphrase(passphrase_file, confirm=False) if is_sealed(file) else None
    if check:
        report = inspect_backup(file, passphrase)
        typer.echo(
            f"Whole: made {report.made_at} by DashTrade {report.program}, schema {report.revision}, "
            f"{report.rows} rows, {report.files} files."
        )
        return
    runtime = connect(get_settings())
    report = restore_backup(runtime.engine, runtime.settings, file, passphrase)
    ensure_secrets(runtime.settings)
    warning = ensure_pages_role(runtime.engine, pages_password(runtime.settings))
    typer.echo(f"Restored the state of {report.made_at}: {report.rows} rows and {report.files} files, all compared.")
    if not report.sealed:
        typer.echo("The backup held no secrets: stored API keys open only with the encryption key of then.")
    if not trade:
        set_halt(runtime.uow(), reason=f"Restored from a backup of {report.made_at}", set_by="restore")
        typer.echo("Entries are stopped for everybody until a superadmin lets them go on: compare the books first.")
    if warning:
        typer.echo(f"Note: {warning}", err=True)


def _passphrase(file: Path | None, *, confirm: bool) -> str:
    """Never an argument: those are seen by every local user."""
    from dashtrade.errors import ConfigurationError

    if file is None:
        return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm))
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read ({error.strerror}).") from None
    if not lines or not lines[0]:
        raise ConfigurationError(f"The first line of {file} is empty; it is to be the passphrase.")
    return lines[0]


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
