"""A small mail server that speaks SMTP with STARTTLS and AUTH PLAIN, for tests of what goes out."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Mailbox:
    """What arrived. ``refuse`` is the status of the next RCPT instead of 250."""

    host: str = ""
    port: int = 0
    certificate: Path | None = None
    mails: list[tuple[str, list[str], str]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    refuse: int = 0


def make_certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, False).add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    certificate, private = folder / "mail.pem", folder / "mail.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


@contextmanager
def smtp_server(folder: Path) -> Iterator[Mailbox]:
    certificate, private = make_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    box = Mailbox(certificate=certificate)

    class Session(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            secure, sender, receivers = False, "", []
            self.say("220 mail.test ready")
            while raw := self.rfile.readline():
                line = raw.decode().strip()
                verb = line.upper()
                if verb.startswith("EHLO"):
                    self.say("250-mail.test")
                    self.say("250 AUTH PLAIN" if secure else "250 STARTTLS")
                elif verb == "STARTTLS":
                    self.say("220 go ahead")
                    try:
                        self.request = context.wrap_socket(self.request, server_side=True)
                    except (ssl.SSLError, OSError):
                        return  # the client did not trust the certificate
                    self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)
                    secure = True
                elif verb.startswith("AUTH PLAIN"):
                    _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
                    box.logins.append((user, password))
                    self.say("235 welcome")
                elif verb.startswith("MAIL FROM:"):
                    sender, receivers = line[10:].split()[0].strip("<>"), []
                    self.say("250 ok")
                elif verb.startswith("RCPT TO:"):
                    if box.refuse:
                        self.say(f"{box.refuse} not now")
                        continue
                    receivers.append(line[8:].split()[0].strip("<>"))
                    self.say("250 ok")
                elif verb == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (part := self.rfile.readline().decode()) not in (".\r\n", ""):
                        lines.append(part.removeprefix(".") if part.startswith("..") else part)
                    box.mails.append((sender, receivers, "".join(lines)))
                    box.encrypted.append(secure)
                    self.say("250 taken")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Session) as server:
        box.host, box.port = "127.0.0.1", server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield box
        finally:
            server.shutdown()
            thread.join()
