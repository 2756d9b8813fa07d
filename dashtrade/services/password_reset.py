"""A forgotten password, reset by mail. Who asks learns nothing: the page only queues a job, for every address alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import func, select

from dashtrade.db.tables.accounts import AuditLogRow, UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import InvalidInput
from dashtrade.notify.mail import MailServer, send_mail
from dashtrade.services import invitations, throttle
from dashtrade.services.jobs import JobContext, enqueue, job
from dashtrade.services.users import clean_email
from dashtrade.settings import Settings

log = structlog.get_logger(__name__)

FORGOTTEN = "forgotten password"  # no user name: it has blanks
MOST_AN_HOUR = 3
SUBJECT = "Set a new DashTrade password"
TEXT = """Hello {name},

somebody, probably you, asked for a new password for your DashTrade account.
This link sets one. It works once, for an hour:

{link}

If it was not you, do nothing: your password stays as it is.
"""


def by_mail(settings: Settings) -> bool:
    """Whether mails can be sent at all."""
    return settings.smtp_host is not None


def ask(uow: UnitOfWork, email: str, *, address: str, now: datetime | None = None) -> None:
    """Queue the mail. Known and unknown addresses cost the same work. Raises TooManyAttempts, InvalidInput."""
    mail = clean_email(email)
    throttle.count_try(uow, FORGOTTEN, address, now)
    enqueue(uow, "send_password_reset", email=mail)
    uow.commit()


@job("send_password_reset", retries=4)
def send_password_reset(context: JobContext, email: str) -> bool:
    """Send the link, if somebody active has that address and was not sent several already; tells whether it was."""
    with context.uow() as uow:
        found = invitations.prepare_reset(uow, email)
        if found is None:
            return False
        user, token = found
        password_of = select(UserRow.password_changed_at).where(UserRow.id == user.id)
        before = uow.session.scalar(password_of)
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        mails = select(func.count()).where(
            AuditLogRow.action == "reset_started", AuditLogRow.user_id == user.id, AuditLogRow.at > hour_ago
        )
        if (uow.session.scalar(mails) or 0) > MOST_AN_HOUR:  # this one is counted too
            log.warning("No further reset mail within the hour", user_id=user.id)
            uow.rollback()
            return False
        link = f"{address_of(context.settings)}set-password?link={token}"
        text = TEXT.format(name=user.full_name or user.username, link=link)
        send_mail(mail_server(context.settings), user.email, SUBJECT, text)
        if uow.session.scalar(password_of.with_for_update(read=True)) != before:
            log.warning("The password was changed while its mail went out; the link is dead", user_id=user.id)
            uow.rollback()
            return False
        # only now: the link of a mail that did not go out opens nothing
        uow.commit()
        return True


def address_of(settings: Settings) -> str:
    """Where people reach the dashboards, with a slash at the end: from the settings, never from a request, whose
    Host header is whatever the sender likes."""
    if settings.public_url:
        return settings.public_url.rstrip("/") + "/"
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104  compared, not bound
    return f"http://{host}:{settings.dashboards_port}{settings.base_url}"


def mail_server(settings: Settings) -> MailServer:
    """The mail server of the settings; raises InvalidInput where they are not complete."""
    sender = settings.smtp_from or (settings.smtp_user if "@" in (settings.smtp_user or "") else None)
    if settings.smtp_host is None or sender is None:
        raise InvalidInput("DASHTRADE_SMTP_FROM", "is missing; write for example DashTrade <trade@example.com>.")
    password = settings.smtp_password.get_secret_value() if settings.smtp_password else None
    return MailServer(
        settings.smtp_host, settings.smtp_port, settings.smtp_security, sender, settings.smtp_user, password
    )
