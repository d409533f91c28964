"""Pictures of strangers: sizes before contents, no address but an allowed and public one, every failure named."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import struct
import subprocess
import threading
import weakref
import zlib

import numpy as np
import pytest

from proofglass.serve import remote
from proofglass.serve.limits import Limits
from proofglass.serve.messages import Link
from proofglass.serve.pictures import LinkedPictures
from proofglass.serve.problems import Problem
from serve.live import data_url, encode, picture

LIMITS = Limits(image_bytes=5000, image_pixels=10_000, fetch_s=0.3)
WHERE = "messages[0].content[0].image_url.url"


def read(url: str, hosts=(), limits: Limits = LIMITS):
    async def once():
        return await LinkedPictures(limits, hosts).read(Link(url, WHERE))

    return asyncio.run(once())


def problem(url: str, hosts=(), limits: Limits = LIMITS) -> Problem:
    with pytest.raises(Problem) as caught:
        read(url, hosts, limits)
    assert caught.value.param == WHERE
    assert caught.value.message.startswith(WHERE)
    return caught.value


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


# ----------------------------------------------------------------------------------------------------- data URLs


def test_a_data_url_is_its_picture_pixel_for_pixel():
    found = read(data_url(picture()))
    assert found == picture()
    assert np.array_equal(found.array(), picture().array())


def test_the_type_that_a_url_states_may_be_wrong_or_have_parameters():
    url = data_url(picture())
    assert read(url.replace("image/png", "IMAGE/JPEG")) == picture()
    assert read(url.replace("image/png", "image/png;charset=utf-8")) == picture()


def test_pixels_are_let_go_before_and_after_they_are_looked_at():
    found = read(data_url(picture()))
    pixels = [weakref.ref(found.array()) for _ in range(2)]
    assert [each() for each in pixels] == [None, None]
    assert np.array_equal(found.array(), picture().array())


@pytest.mark.parametrize("fails", [False, True])
def test_the_victim_sees_a_picture_ahead_in_the_thread_that_decodes_it(fails):
    seen = []

    def look_ahead(image):
        seen.append((threading.current_thread(), image.array() is image.array(), image))
        if fails:
            raise ValueError("too thin")  # the ask will be told

    async def once():
        return await LinkedPictures(LIMITS, look_ahead=look_ahead).read(Link(data_url(picture()), WHERE))

    assert asyncio.run(once()) == picture()
    ((thread, at_hand, image),) = seen
    assert thread is not threading.main_thread()
    assert (at_hand, image) == (True, picture())


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        (data_url(picture())[:-7], "invalid_image", "not base64"),
        (data_url(picture()).replace("iVBOR", "iV BOR"), "invalid_image", "not base64"),
        (data_url(encode(picture())[:60]), "invalid_image", "truncated"),
        (data_url(b"not a picture at all"), "invalid_image", "not a picture that can be read"),
        (data_url(b""), "invalid_image", "not a picture that can be read"),
        (data_url(b"%!PS-Adobe-3.0 EPSF-3.0\n"), "invalid_image", "not a picture that can be read"),
        (data_url(png_header(50_000, 50_000)), "invalid_image", "larger than the limit"),
        (data_url(png_header(101, 100)), "invalid_image", "101 x 100 px, larger than the limit of 10000 pixels"),
        ("data:image/png;base64", "invalid_image", "expected data:image/TYPE;base64"),
        ("data:image/png,abc", "invalid_image", "expected data:image/TYPE;base64"),
        ("data:text/html;base64,AAAA", "invalid_image", "expected data:image/TYPE;base64"),
        ("data:" + "x" * 5000, "invalid_image", "expected data:image/TYPE;base64"),
        ("", "unsupported_url", "only data: URLs"),
        ("file:///etc/passwd", "unsupported_url", "only data: URLs"),
        ("ftp://example.org/a.png", "unsupported_url", "only data: URLs"),
        ("/etc/passwd", "unsupported_url", "only data: URLs"),
        ("javascript:alert(1)", "unsupported_url", "only data: URLs"),
        ("http://169.254.169.254/latest/meta-data/", "unsupported_url", "remote images are refused"),
        ("https://example.org/a.png", "unsupported_url", "remote images are refused"),
        ("HTTPS://example.org/a.png", "unsupported_url", "remote images are refused"),
    ],
)
def test_what_is_no_picture_to_be_read_is_refused(url, code, says):
    found = problem(url)
    assert (found.status, found.code) == (400, code)
    assert says in found.message
    assert len(found.message) < 300


def test_a_file_that_is_too_large_is_refused_before_it_is_decoded():
    assert problem(data_url(b"\0" * 5003)).status == 413
    # A megabyte of what is not even base64: the length is looked at first.
    assert problem("data:image/png;base64," + "!" * 2**20).code == "image_too_large"


def test_an_alien_colour_mode_is_read_as_rgb():
    import io

    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.new("RGBA", (4, 4), (255, 0, 0, 0)).save(buffer, "PNG")
    assert (read(data_url(buffer.getvalue())).array() == 255).all()  # transparent: white shows


# ------------------------------------------------------------------------------------------------------- remote


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://pictures.example/a.png", "by https from port 443"),
        ("https://pictures.example:8443/a.png", "by https from port 443"),
        ("https://user:word@pictures.example/a.png", "without user and password"),
        ("https://pictures.example@evil.example/a.png", "without user and password"),
        ("https://evil.example/pictures.example", "not one of those"),
        ("https://sub.pictures.example/a.png", "not one of those"),
        ("https://pictures.example.evil.example/", "not one of those"),
        ("https://evil.example\\@pictures.example/", "characters that a URL does not"),
        ("https://pictures.example/a b", "characters that a URL does not"),
        ("https://pictures.example/\r\nHost: evil", "characters that a URL does not"),
        ("https://pictures.exampl\u0435/a.png", "characters that a URL does not"),
        ("https://pictures.example:99999/", "not a URL"),
        ("https://[::1/", "not a URL"),
        ("https:///a.png", "not one of those"),
        ("https://pictures.example/" + "a" * 3000, "more than 2048"),
    ],
)
def test_only_the_named_host_is_fetched_from(url, says):
    found = problem(url, ["pictures.example"])
    assert found.code == "unsupported_url"
    assert says in found.message


def test_an_allowed_place_keeps_its_path_and_query():
    place = remote.allowed_place("https://Pictures.Example/a/b.png?c=d#e", {"pictures.example"})
    assert place == remote.Place("pictures.example", "/a/b.png?c=d", 443)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:a9fe:a9fe::1", False),
    ],
)
def test_public_addresses_are_told_from_others(address, public):
    assert remote.is_public(address) is public


@pytest.mark.parametrize("addresses", [["169.254.169.254"], ["8.8.8.8", "10.0.0.1"], ["::1"]])
def test_a_name_that_points_inside_is_not_opened(monkeypatch, addresses):
    opened = []

    async def resolves(place):
        return addresses

    async def opens(*args):
        opened.append(args)
        return encode(picture())

    monkeypatch.setattr(remote, "_addresses", resolves)
    monkeypatch.setattr(remote, "get", opens)
    found = problem("https://pictures.example/a.png", ["pictures.example"])
    assert "which is not public" in found.message
    assert opened == []


def test_the_address_that_was_checked_is_the_one_that_is_opened_with_the_hosts_certificate(monkeypatch):
    opened = []

    async def resolves(place):
        return ["8.8.8.8", "9.9.9.9"]

    async def opens(address, place, most, tls):
        opened.append((address, place.host, most, tls.check_hostname, tls.verify_mode.name))
        return encode(picture())

    monkeypatch.setattr(remote, "_addresses", resolves)
    monkeypatch.setattr(remote, "get", opens)
    assert read("https://pictures.example/a.png", ["Pictures.Example"]) == picture()
    assert opened == [("8.8.8.8", "pictures.example", 5000, True, "CERT_REQUIRED")]


def test_a_name_without_an_address_is_said_to_have_none(monkeypatch):
    import socket

    def knows_nothing(*args, **named):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", knows_nothing)
    assert problem("https://pictures.example/a.png", ["pictures.example"]).code == "unreachable_url"


def answered_by(answer: bytes, *, pause_s: float = 0.0, most: int = 1000) -> bytes:
    """What `remote.get` makes of a host that answers with `answer` (plain HTTP, on this machine)."""

    async def host(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(pause_s)
        writer.write(answer)
        writer.close()

    async def once():
        async with await asyncio.start_server(host, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with asyncio.timeout(2):
                return await remote.get("127.0.0.1", remote.Place("pictures.example", "/a?b", port), most, None)

    asked: list[bytes] = []
    try:
        return asyncio.run(once())
    finally:
        assert asked[0].startswith(b"GET /a?b HTTP/1.1\r\nHost: pictures.example\r\n")


def test_a_body_is_fetched_whole():
    head = b"HTTP/1.1 200 OK\r\n"
    assert answered_by(head + b"Content-Length: 3\r\n\r\nabc") == b"abc"
    assert answered_by(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n") == b"abc"
    assert answered_by(head + b"\r\nabc") == b"abc"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", "redirects are not followed"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"a" * 5000, "more than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 5000, "more than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "broke off"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "broke off"),
        (b"", "broke off"),
    ],
)
def test_an_answer_that_is_no_picture_is_not_taken(answer, says):
    with pytest.raises(remote.Refused, match=says):
        answered_by(answer)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl, to make a certificate")
def test_a_host_is_believed_only_with_its_own_certificate(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=x -addext subjectAltName=DNS:pictures.example"
    subprocess.run(["openssl", *made.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=certificate)

    async def host(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        await writer.drain()
        writer.close()

    async def ask(name: str, context: ssl.SSLContext) -> bytes | str:
        async with await asyncio.start_server(host, "127.0.0.1", 0, ssl=shown) as server:
            port = server.sockets[0].getsockname()[1]
            try:
                return await remote.get("127.0.0.1", remote.Place(name, "/", port), 1000, context)
            except remote.Refused as error:
                return str(error)

    refused = "no connection to the host (SSLCertVerificationError)"
    assert asyncio.run(ask("pictures.example", trusting)) == b"abc"
    assert asyncio.run(ask("evil.example", trusting)) == refused
    assert asyncio.run(ask("pictures.example", ssl.create_default_context())) == refused


def test_a_host_that_does_not_answer_costs_the_time_allowed(monkeypatch):
    async def never(place, most):
        await asyncio.Event().wait()

    monkeypatch.setattr(remote, "fetch", never)
    found = problem("https://pictures.example/a.png", ["pictures.example"])
    assert "took longer than 0.3 s" in found.message
