"""One picture from a host that the operator named: https, public addresses, no redirect, bounded in size.

What is checked is what is used: the host is resolved once, every address it has must be public, and the connection
goes to the very address that was checked (otherwise a second answer of the name server could point inside).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv6 that leads to any IPv4 address, private ones included


class Refused(Exception):
    """An address that is not opened, or an answer that is not taken."""

    def __init__(self, message: str, code: str = "unsupported_url") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Place:
    """Where a picture lies: an allowed host, and the path with its query."""

    host: str
    path: str
    port: int = 443


def allowed_place(url: str, hosts: Collection[str]) -> Place:
    """The place that `url` names. Raises Refused unless it is https, on port 443 of one of `hosts`."""
    if not hosts:
        raise Refused("remote images are refused here; send the picture as a data: URL")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url or len(url) > 2048:
        raise Refused("the URL holds characters that a URL does not, or more than 2048 of them")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise Refused(f"not a URL: {error}") from None
    if parts.scheme.lower() != "https" or port not in (None, 443) or "@" in parts.netloc:
        raise Refused("remote images are fetched by https from port 443, without user and password")
    if host not in hosts:
        raise Refused("this host is not one of those whose images are allowed here")
    return Place(host, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def is_public(address: str) -> bool:
    """Whether an IP address lies in the public internet: not private, loopback, link-local, multicast or a tunnel."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        if ip.sixtofour or ip.teredo or ip in _NAT64:
            return False
    return ip.is_global and not ip.is_multicast


async def fetch(place: Place, most: int) -> bytes:
    """The bytes at `place`, at most `most`. Raises Refused; time is the caller's to bound."""
    addresses = await _addresses(place)
    if not_public := next((each for each in addresses if not is_public(each)), None):
        raise Refused(f"this host has the address {not_public}, which is not public")
    return await get(addresses[0], place, most, ssl.create_default_context())


async def _addresses(place: Place) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        found: Iterable[Any] = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except OSError:
        raise Refused("the host has no address", "unreachable_url") from None
    return [str(each[4][0]) for each in found]


async def get(address: str, place: Place, most: int, tls: ssl.SSLContext | None) -> bytes:
    """The body of GET at `address`. tls: checks that it is the host; None for plain HTTP, which only tests use."""
    import h11

    name = place.host if tls else None
    try:
        reader, writer = await asyncio.open_connection(address, place.port, ssl=tls, server_hostname=name)
    except OSError as error:  # a certificate that does not fit too
        raise Refused(f"no connection to the host ({type(error).__name__})", "unreachable_url") from None
    try:
        ours = h11.Connection(h11.CLIENT)
        headers = [("Host", place.host), ("Accept", "image/*"), ("Connection", "close")]
        writer.write(ours.send(h11.Request(method="GET", target=place.path, headers=headers)))
        writer.write(ours.send(h11.EndOfMessage()))
        return await _body(ours, reader, most)
    except (h11.ProtocolError, OSError) as error:
        raise Refused(f"the host's answer broke off ({type(error).__name__})", "unreachable_url") from None
    finally:
        writer.transport.abort()  # a polite end would wait for a host that may never answer


async def _body(ours: Any, reader: asyncio.StreamReader, most: int) -> bytes:
    import h11

    body = bytearray()
    while True:
        event = ours.next_event()
        if event is h11.NEED_DATA:
            ours.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            if event.status_code != 200:
                why = "redirects are not followed" if 300 <= event.status_code < 400 else "expected 200"
                raise Refused(f"the host answered {event.status_code}; {why}", "unreachable_url")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > most:
                raise Refused(f"more than {most} bytes", "image_too_large")
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)
