"""Who is told: a webhook receiver and a mail server on real sockets, which keep what they got."""

from __future__ import annotations

import asyncio
import hmac
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

KEY = "a key that both sides know"


def signed(got: tuple[dict[str, str], bytes], key: str = KEY) -> bool:
    """Check a signature as the how-to page tells a receiver to."""
    headers, body = got
    stamp = headers["x-interlock-timestamp"]
    expected = "v1=" + hmac.new(key.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()
    return hmac.compare_digest(expected, headers["x-interlock-signature"])


@dataclass
class Hook:
    """A webhook receiver: what it got, and what it answers (200 if nothing is left), once `gate` lets it."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list[tuple[dict[str, str], bytes]])
    answers: list[int] = field(default_factory=list[int])
    gate: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append((headers, await request.read()))
        if self.gate is not None:
            await self.gate.wait()
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status in (302, 307) else {})


@asynccontextmanager
async def hook(*answers: int) -> AsyncGenerator[Hook]:
    """A webhook receiver on a free port."""
    receiver = Hook(answers=list(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    receiver.url = f"http://{host}:{port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@dataclass
class Mailbox:
    """A mail server that insists on STARTTLS and a password; `refuses` is what it says to a recipient."""

    context: ssl.SSLContext
    port: int = 0
    mails: list[Message] = field(default_factory=list[Message])
    said: list[str] = field(default_factory=list[str])
    refuses: list[str] = field(default_factory=list[str])

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secure = False
        writer.write(b"220 mail ESMTP\r\n")
        while line := await reader.readline():
            command = line.decode().strip()
            self.said.append(command)
            match command.split(" ")[0].upper():
                case "EHLO":
                    offered = b"250 AUTH PLAIN" if secure else b"250 STARTTLS"
                    writer.write(b"250-mail\r\n" + offered + b"\r\n")
                case "STARTTLS":
                    writer.write(b"220 go\r\n")
                    await writer.drain()
                    await writer.start_tls(self.context)
                    secure = True
                case "AUTH":
                    writer.write(b"235 ok\r\n" if secure else b"530 no\r\n")
                case "RCPT" if self.refuses:
                    writer.write(f"{self.refuses.pop(0)}\r\n".encode())
                case "DATA":
                    writer.write(b"354 send\r\n")
                    raw = await reader.readuntil(b"\r\n.\r\n")
                    self.mails.append(message_from_bytes(raw[:-5].replace(b"\r\n..", b"\r\n.")))
                    writer.write(b"250 taken\r\n")
                case "QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case _:
                    writer.write(b"250 ok\r\n" if secure else b"530 Must issue STARTTLS first\r\n")
            await writer.drain()
        writer.close()


@asynccontextmanager
async def mailbox(folder: Path) -> AsyncGenerator[Mailbox]:
    """A mail server on a free port; the authority of its certificate is `folder`/ca.pem."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder))
    box = Mailbox(context)
    server = await asyncio.start_server(box, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate of this machine, and its key; it is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "ca.pem", folder / "mail.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, secret
