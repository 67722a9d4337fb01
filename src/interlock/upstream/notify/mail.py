"""A notice as mail, over SMTP with STARTTLS (or TLS from the start). No secret reaches a log."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import aiosmtplib

from interlock.errors import UsageError
from interlock.upstream.notify.message import Ending, Message, NotTaken, Sent

_TIMEOUT = 20.0
_HINT = "INTERLOCK_SMTP is smtp://user@host:587, smtps://user@host:465 or smtp+plain://host:25."


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed in. `security` is `starttls`, `tls`, or `plain` for a relay on this machine.

    `ca` is the file of the authority that signed its certificate, where the system does not know it.
    """

    host: str
    port: int
    security: str
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""


def mail_server(url: str, *, sender: str, password: str, ca: str = "") -> MailServer | None:
    """Return the server that a URL names, or None where there is none. Raises `UsageError`."""
    if not url:
        return None
    parts = urlsplit(url)
    known = {"smtp": ("starttls", 587), "smtps": ("tls", 465), "smtp+plain": ("plain", 25)}
    if parts.scheme not in known or not parts.hostname:
        raise UsageError("INTERLOCK_SMTP cannot be read.", hint=_HINT)
    if parts.password is not None:
        raise UsageError("INTERLOCK_SMTP holds a password.", hint="Set INTERLOCK_SMTP_PASSWORD instead.")
    security, port = known[parts.scheme]
    if security == "plain" and (parts.username or password):
        raise UsageError("A password is never sent unencrypted.", hint=_HINT)
    return MailServer(
        host=parts.hostname,
        port=parts.port or port,
        security=security,
        sender=sender or f"interlock@{parts.hostname}",
        user=unquote(parts.username or ""),
        password=password,
        ca=ca,
    )


async def hand_in(message: Message, server: MailServer) -> Ending:
    """Send a notice by mail. Never raises for what the mail server does."""
    try:
        mail = _mail(message, server.sender)
    except (MessageError, ValueError) as unusable:
        return NotTaken(detail=f"the address cannot be used: {type(unusable).__name__}", final=True)
    try:
        await aiosmtplib.send(
            mail,
            hostname=server.host,
            port=server.port,
            username=server.user or None,
            password=server.password or None,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            cert_bundle=server.ca or None,
            timeout=_TIMEOUT,
        )
    except aiosmtplib.SMTPAuthenticationError as refused:
        return NotTaken(detail=f"the mail server does not let us in: SMTP {refused.code}")
    except aiosmtplib.SMTPResponseException as refused:
        return NotTaken(detail=f"SMTP {refused.code}", final=500 <= refused.code < 600)
    except aiosmtplib.SMTPRecipientsRefused as refused:
        codes = [each.code for each in refused.recipients]
        return NotTaken(detail=f"SMTP {codes[0]}", final=all(500 <= code < 600 for code in codes))
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        return NotTaken(detail=f"the mail server could not be used: {type(error).__name__}")
    return Sent(detail="handed to the mail server")


def _mail(message: Message, sender: str) -> EmailMessage:
    """Return the mail. Line breaks of a title cannot add headers; a repetition has the same Message-ID."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = Address(addr_spec=message.target)
    mail["Subject"] = " ".join(message.title.split())[:200]
    mail["Message-ID"] = f"<{message.delivery}@interlock>"
    mail["X-Interlock-Delivery"] = message.delivery
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail
