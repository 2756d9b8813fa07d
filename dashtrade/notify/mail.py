"""Mail through the operator's own server."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from typing import Literal

from dashtrade.errors import ConfigurationError

TIMEOUT = 20.0  # seconds for each answer of the server
HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class MailServer:
    """``security``: ``starttls`` and ``tls`` check the certificate; ``none`` sends no password beyond this machine."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    sender: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)


class MailFailed(ConfigurationError):
    """The server did not take the mail; says why without the mail's text."""


def send_mail(server: MailServer, to: str, subject: str, text: str) -> None:
    """Hand one plain-text mail over. Raises MailFailed when the server cannot be reached or refuses it."""
    if server.security == "none" and server.user and server.host not in HERE:
        raise MailFailed("The password of the mail server would travel unprotected. Set DASHTRADE_SMTP_SECURITY.")
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = server.sender, to, subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=parseaddr(server.sender)[1].rpartition("@")[2] or "localhost")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    try:
        with _connect(server) as connection:
            if server.user and server.password is not None:
                connection.login(server.user, server.password)
            connection.send_message(message)
    except smtplib.SMTPResponseException as error:
        raise MailFailed(f"The mail server answered {error.smtp_code}.") from None
    except smtplib.SMTPRecipientsRefused:
        raise MailFailed("The mail server refused the address.") from None
    except (smtplib.SMTPException, OSError) as error:
        raise MailFailed(f"The mail server {server.host}:{server.port} failed ({type(error).__name__}).") from None


def _connect(server: MailServer) -> smtplib.SMTP:
    if server.security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=context)
    connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)
    if server.security == "starttls":
        try:
            connection.starttls(context=ssl.create_default_context())
        except BaseException:
            connection.close()
            raise
    return connection
