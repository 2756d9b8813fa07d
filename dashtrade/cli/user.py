"""``dashtrade user``: accounts from the command line. The operator of the machine acts, so no role is asked."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dashtrade.settings import Settings

app = typer.Typer(
    help="Users: create, list, invite, password, reset-link, reset-second-factor, role, lab, disable, enable.",
    no_args_is_help=True,
)

Username = Annotated[str, typer.Argument(help="User name, in any case.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Generate = Annotated[bool, typer.Option("--generate", help="Make a random password and print it once.")]


def _ask_password(from_stdin: bool, generate: bool) -> tuple[str, bool]:
    """The password and whether it is to be printed. Never an argument: those are seen by every local user."""
    if generate:
        return secrets.token_urlsafe(15), True
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n"), False
    return typer.prompt("Password", hide_input=True, confirmation_prompt=True), False


@app.command()
def create(
    username: Username,
    email: Annotated[str, typer.Option(help="E-mail address.")],
    role: Annotated[str, typer.Option(help="user, admin or superadmin.")] = "user",
    full_name: Annotated[str | None, typer.Option("--name", help="Full name.")] = None,
    password_stdin: FromStdin = False,
    generate: Generate = False,
) -> None:
    """Create a user."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import users

    users.parse_role(role), users.clean_username(username), users.clean_email(email)
    with runtime().uow() as uow:
        password, show = _ask_password(password_stdin, generate)
        user = users.create_user(uow, username, email, password, role=role, full_name=full_name)
    typer.echo(f"Created {user.role.value} {user.username}." + (f" Password: {password}" if show else ""))


@app.command("list")
def list_() -> None:
    """List all users."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import users

    with runtime().uow() as uow:
        found = users.list_users(uow)
    if not found:
        typer.echo("There are no users yet. `dashtrade user create NAME --email ADDRESS` makes one.")
        return
    width = max(len(line.user.username) for line in found)
    for line in found:
        state = "active" if line.user.is_active else "disabled"
        user, last = line.user, f"{line.last_login:%Y-%m-%d %H:%M} UTC" if line.last_login else "never"
        typer.echo(f"{user.username:<{width}}  {user.role.value:<10}  {state:<8}  last login {last}  {user.email}")


@app.command()
def password(
    username: Username,
    password_stdin: FromStdin = False,
    generate: Generate = False,
    keep: Annotated[bool, typer.Option("--keep", help="It may stay; else they must choose their own first.")] = False,
) -> None:
    """Set a user's password and end all their sessions."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import users

    with runtime().uow() as uow:
        user = users.user_named(uow, username)
        new, show = _ask_password(password_stdin, generate)
        users.set_password(uow, user.id, new, must_change=not keep)
    then = "" if keep else " They choose their own when they sign in."
    typer.echo(
        f"The password of {user.username} is set; all their sessions ended.{then}"
        + (f" Password: {new}" if show else "")
    )


@app.command()
def invite(
    email: Annotated[str | None, typer.Option(help="Good for this address alone.")] = None,
    role: Annotated[str, typer.Option(help="user, admin or superadmin.")] = "user",
) -> None:
    """Print a link with which one account can be opened, within 7 days."""
    from dashtrade.bootstrap import runtime
    from dashtrade.errors import InvalidInput
    from dashtrade.services import invitations
    from dashtrade.services.system_settings import effective

    made = runtime()
    with made.uow() as uow:
        if effective(uow, made.settings).registration == "closed":
            raise InvalidInput(
                "registration",
                "is closed. `dashtrade settings set registration invitation` opens it, or use `dashtrade user create`.",
            )
        token = invitations.invite(uow, email=email, role=role)
    typer.echo(_address(made.settings, f"register?invitation={token}"))


@app.command("reset-link")
def reset_link(username: Username) -> None:
    """Print a link with which a user sets a new password, within an hour."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import invitations, users

    made = runtime()
    with made.uow() as uow:
        token = invitations.reset_link(uow, users.user_named(uow, username).id)
    typer.echo(_address(made.settings, f"set-password?link={token}"))


def _address(settings: Settings, path: str) -> str:
    """The page as this machine reaches it; behind a proxy its name takes the place of the first part."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104  compared, not bound
    return f"http://{host}:{settings.dashboards_port}{settings.base_url}{path}"


@app.command()
def role(username: Username, role: Annotated[str, typer.Argument(help="user, admin or superadmin.")]) -> None:
    """Give a user a role; it counts at once."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import users

    with runtime().uow() as uow:
        user = users.set_role(uow, users.user_named(uow, username).id, role)
    typer.echo(f"{user.username} is {user.role.value} now.")


@app.command("reset-second-factor")
def reset_second_factor(username: Username) -> None:
    """Switch off the second factor of somebody who lost app and recovery codes; their sessions end."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import second_factor, users

    with runtime().uow() as uow:
        user = users.user_named(uow, username)
        second_factor.reset(uow, user.id)
    typer.echo(f"{user.username} signs in with the password alone now; all their sessions ended.")


@app.command("lab")
def lab_access(username: Username, access: Annotated[str, typer.Argument(help="allow or refuse.")]) -> None:
    """Let a trusted analyst use JupyterLab where `dashtrade lab --serve` runs: any code, with the server's rights."""
    from dashtrade.bootstrap import runtime
    from dashtrade.errors import InvalidInput
    from dashtrade.services import users

    if access not in ("allow", "refuse"):
        raise InvalidInput("access", f"{access!r} is not known.", allowed=["allow", "refuse"])
    with runtime().uow() as uow:
        user = users.set_lab_access(uow, users.user_named(uow, username).id, access == "allow")
    typer.echo(f"{user.username} {'may' if user.may_use_lab else 'may not'} use JupyterLab.")


@app.command()
def disable(username: Username) -> None:
    """Switch an account off; all its sessions end."""
    _switch(username, False)


@app.command()
def enable(username: Username) -> None:
    """Switch an account on again."""
    _switch(username, True)


def _switch(username: str, active: bool) -> None:
    from dashtrade.bootstrap import runtime
    from dashtrade.services import users

    with runtime().uow() as uow:
        user = users.set_active(uow, users.user_named(uow, username).id, active)
    typer.echo(f"{user.username} is {'active' if active else 'disabled'} now.")
