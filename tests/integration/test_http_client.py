import asyncio
import gzip
import re
import socket
import ssl
from types import SimpleNamespace

import aiohttp
import pytest
from raw_server import (
    TLS_FILES,
    WIRES,
    RawServer,
    a_client,
    fixed,
    head,
    partial,
    ranged,
    read_all,
    run,
    source_of,
    use_wire,
)

from chunkdl.errors import (
    BodyCutShort,
    ConnectFailed,
    ContentEncoded,
    HTTPStatus,
    MirrorMisbehaved,
    NotTheFile,
    RangeMismatch,
    RedirectRefused,
    Stalled,
    UsageError,
)
from chunkdl.http.resolver import Addresses
from chunkdl.http.tls import trusted_context
from chunkdl.model import ByteRange, Mirror, Source

CONTENT = bytes(i * 11 % 253 for i in range(100_000))
SIZE = len(CONTENT)
WHOLE = ByteRange(0, SIZE)
SIGNED = "/cdn/x%7Ey/%E4%BD%A0?a=%2F%3A~b%20c+d&X-Amz-Signature=ab%2Fcd&k=%7e"


@pytest.fixture(autouse=True, params=[WIRES[0], WIRES[3]], ids=str)
def _wire(request):
    use_wire(request.param)
    yield
    use_wire(WIRES[0])


def fetch(client, source, asked=WHOLE, first_byte_s=5.0):
    return client.open_body(source, asked, size=SIZE, first_byte_s=first_byte_s)


async def taken(client, source, asked=WHOLE):
    body = await fetch(client, source, asked)
    data = await read_all(body)
    await body.close(reusable=True)
    return data


def redirecting(routes, *, status=302):
    """Serves CONTENT, but redirects the targets in ``routes`` to what stands there."""
    serve = ranged(CONTENT)

    async def answer(request, writer):
        location = routes.get(request.target)
        if location is None:
            await serve(request, writer)
            return
        writer.write(head(status, f"Location: {location}", "Content-Length: 5") + b"moved")
        await writer.drain()

    return answer


def failing(answer, error, match, *, first_byte_s=5.0, **mirror):
    """Check that opening a body against ``answer`` fails with one line that names the mirror."""

    async def scenario():
        async with RawServer(answer) as server, a_client() as client:
            with pytest.raises(error, match=match) as caught:
                await fetch(client, source_of(server, **mirror), first_byte_s=first_byte_s)
            assert caught.value.mirror == "m1"
            assert "m1" in caught.value.message
            assert "\n" not in caught.value.message
            return caught.value

    return run(scenario())


def test_headers_of_a_body_request():
    async def scenario():
        async with RawServer(ranged(CONTENT)) as server, a_client() as client:
            assert await taken(client, source_of(server, "/a%2Fb/%23?x=%7E"), ByteRange(5, 10)) == CONTENT[5:10]
            return server.requests[0]

    request = run(scenario())
    assert request.target == "/a%2Fb/%23?x=%7E"
    assert request.headers["range"] == "bytes=5-9"
    assert request.headers["accept-encoding"] == "identity"
    assert re.fullmatch(r"chunkdl/[\d.]+", request.headers["user-agent"])
    assert not {"authorization", "cookie"} & request.headers.keys()


def test_gzip_answers_are_refused():
    failing(fixed(partial(0, SIZE, SIZE, "Content-Encoding: gzip"), CONTENT), ContentEncoded, "identity was asked for")


def test_html_pages_are_refused():
    failing(fixed(head(200, "Content-Type: text/html", "Content-Length: 4"), b"<p/>"), NotTheFile, "HTML page")


def test_shifted_ranges_are_refused():
    failing(fixed(partial(4, SIZE, SIZE), CONTENT[4:]), RangeMismatch, "Content-Range")


def test_another_total_is_refused():
    failing(fixed(partial(0, SIZE, SIZE + 1), CONTENT), RangeMismatch, f"{SIZE + 1} bytes where {SIZE}")


@pytest.mark.parametrize(
    ("headers", "wish"),
    [(["Retry-After: 7"], 7.0), (['RateLimit: "resolvers";r=0;t=55', "Retry-After: 7"], 56.0), ([], None)],
)
def test_throttling_carries_the_peers_wish(headers, wish):
    error = failing(fixed(head(429, "Content-Length: 2", *headers), b"no"), HTTPStatus, "HTTP 429")
    assert (error.status, error.retry_after_s, error.retryable) == (429, wish, True)


def test_gated_answers_carry_the_hubs_code():
    error = failing(fixed(head(403, "Content-Length: 0", "X-Error-Code: GatedRepo")), HTTPStatus, "GatedRepo")
    assert (error.status, error.error_code, error.retryable) == (403, "GatedRepo", False)


def test_an_error_with_a_short_body_keeps_the_connection():
    async def scenario():
        async with RawServer(fixed(head(503, "Content-Length: 4"), b"busy")) as server, a_client() as client:
            for _ in range(3):
                with pytest.raises(HTTPStatus):
                    await fetch(client, source_of(server))
            return server.connections

    assert run(scenario()) == 1


def test_an_error_with_an_endless_body_is_dropped():
    async def scenario():
        answer = fixed(head(503, "Transfer-Encoding: chunked"), b"10000\r\n" + b"x" * 0x10000)
        async with RawServer(answer) as server, a_client() as client:
            for _ in range(2):
                with pytest.raises(HTTPStatus):
                    await fetch(client, source_of(server))
            return server.connections

    assert run(scenario()) == 2


async def silent(_, __):
    await asyncio.Event().wait()


def test_a_silent_peer_is_stalled_within_the_limit():
    async def scenario():
        async with RawServer(silent) as server, a_client() as client:
            began = asyncio.get_running_loop().time()
            with pytest.raises(Stalled, match=r"m1 sent no answer within 0\.2 s"):
                await fetch(client, source_of(server), first_byte_s=0.2)
            assert asyncio.get_running_loop().time() - began < 2
            with pytest.raises(Stalled):
                await client.get_metadata(server.url, mirror=Mirror(server.url, "m1"), timeout_s=0.05)

    run(scenario())


def test_a_slow_redirect_counts_against_the_same_limit():
    async def answer(request, writer):
        writer.write(head(302, "Location: /slow", "Content-Length: 5"))
        await asyncio.Event().wait()

    failing(answer, Stalled, "within", first_byte_s=0.2)


def test_a_refused_connection_names_the_mirror():
    async def scenario():
        with socket.socket() as held:  # bound but not listening
            held.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{held.getsockname()[1]}"
            async with a_client() as client:
                with pytest.raises(ConnectFailed, match=r"far-mirror: no answer from 127.0.0.1") as caught:
                    await fetch(client, Source(Mirror(url, "far-mirror"), url + "/f"))
                assert caught.value.mirror == "far-mirror"

    run(scenario())


def test_a_mirror_named_after_its_host_is_named_once():
    async def scenario():
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            host = f"127.0.0.1:{held.getsockname()[1]}"
            async with a_client() as client:
                with pytest.raises(ConnectFailed) as caught:
                    await fetch(client, Source(Mirror(f"http://{host}", host), f"http://{host}/f"))
                assert caught.value.message.startswith(f"no answer from {host}")

    run(scenario())


def test_connecting_has_a_limit_of_its_own():
    async def scenario():
        async with a_client(connect_s=0.1) as client:
            with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
                address = full.getsockname()
                fillers = [socket.socket() for _ in range(4)]
                for filler in fillers:
                    filler.setblocking(False)
                    filler.connect_ex(address)
                url = f"http://127.0.0.1:{address[1]}"
                with pytest.raises(ConnectFailed, match=r"no connection to .* within the limit"):
                    await fetch(client, Source(Mirror(url, "m1"), url))
                for filler in fillers:
                    filler.close()

    run(scenario())


def test_a_peer_that_hangs_up_without_an_answer():
    async def answer(_, __):
        return False

    failing(answer, ConnectFailed, "closed the connection without an answer")


def test_a_peer_that_does_not_speak_http():
    failing(fixed(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), MirrorMisbehaved, "does not speak HTTP")


def test_an_unknown_certificate_is_refused():
    async def scenario():
        async with RawServer(ranged(CONTENT), encrypted=True) as server, a_client(tls=None) as client:
            with pytest.raises(
                ConnectFailed, match=r"m1: 127.0.0.1:\d+ shows a certificate that it signed itself"
            ) as caught:
                await fetch(client, source_of(server))
            assert "SSL_CERT_FILE" in caught.value.hint

    run(scenario())


def names(**known):
    def lookup(host, port, family):
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, known[host])]

    return Addresses(lookup)


def test_an_unknown_name():
    async def scenario():
        async with a_client(addresses=names()) as client:
            with pytest.raises(ConnectFailed, match=r"m1: the name of nowhere.test:80 cannot be resolved"):
                await fetch(client, Source(Mirror("http://nowhere.test", "m1"), "http://nowhere.test/f"))

    run(scenario())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_signed_urls_are_asked_byte_for_byte_and_reused(status):
    async def scenario():
        async with RawServer(ranged(CONTENT)) as cdn:
            routes = {"/f": cdn.url + SIGNED}
            async with RawServer(redirecting(routes, status=status)) as hub, a_client() as client:
                for start in range(0, SIZE, 20_000):
                    asked = ByteRange(start, start + 20_000)
                    assert await taken(client, source_of(hub), asked) == CONTENT[start : start + 20_000]
                body = await fetch(client, source_of(hub))
                assert body.host == f"127.0.0.1:{cdn.port}"
                body.abort()
                assert hub.targets == ["/f"]
                assert cdn.targets == [SIGNED] * 6
                assert (hub.connections, cdn.connections) == (1, 1)

    run(scenario())


def test_relative_redirects_keep_their_query():
    target = "/api/resolve-cache/models/m/abc/f%2Bg?etag=%22x%22&z=%7E"

    async def scenario():
        async with RawServer(redirecting({"/f": target}, status=307)) as hub, a_client() as client:
            assert await taken(client, source_of(hub)) == CONTENT
            return hub.targets, hub.connections

    assert run(scenario()) == (["/f", target], 1)


def expiring(refusal=b""):
    """A hub that signs anew each time, and a CDN that refuses every signature but the last."""
    serve, signatures = ranged(CONTENT), []

    async def answer(request, writer):
        if request.target == "/f":
            signatures.append(f"/cdn?sig={len(signatures)}")
            writer.write(head(302, f"Location: {signatures[-1]}", "Content-Length: 0"))
        elif request.target == signatures[-1]:
            await serve(request, writer)
        else:
            writer.write(refusal)
        await writer.drain()

    return answer, signatures


def test_an_expired_signature_is_resolved_again_once():
    async def scenario():
        answer, signatures = expiring(head(403, "Content-Length: 0"))
        async with RawServer(answer) as hub, a_client() as client:
            assert await taken(client, source_of(hub)) == CONTENT
            signatures.append("revoked")
            assert await taken(client, source_of(hub)) == CONTENT
            return hub.targets

    assert run(scenario()) == ["/f", "/cdn?sig=0", "/cdn?sig=0", "/f", "/cdn?sig=2"]


def test_a_403_that_is_no_expiry_is_an_answer():
    async def answer(request, writer):
        status = 302 if request.target == "/f" else 403
        writer.write(head(status, "Location: /cdn", "Content-Length: 0"))
        await writer.drain()

    error = failing(answer, HTTPStatus, "HTTP 403")
    assert not error.retryable


@pytest.mark.parametrize(("status", "then"), [(503, ["/f", "/cdn"]), (429, ["/cdn"])])
def test_a_remembered_url_that_fails_is_forgotten_unless_it_is_asked_too_often(status, then):
    """A 429 says nothing against the URL, and hubs count what is resolved."""

    async def answer(request, writer):
        if request.target == "/f":
            writer.write(head(302, "Location: /cdn", "Content-Length: 0"))
        elif healthy:
            await serve(request, writer)
        else:
            writer.write(head(status, "Content-Length: 0"))
        await writer.drain()

    serve, healthy = ranged(CONTENT), [True]

    async def scenario():
        async with RawServer(answer) as hub, a_client() as client:
            assert await taken(client, source_of(hub)) == CONTENT
            healthy.clear()
            with pytest.raises(HTTPStatus):
                await fetch(client, source_of(hub))
            healthy.append(True)
            assert await taken(client, source_of(hub)) == CONTENT
            return hub.targets

    assert run(scenario()) == ["/f", "/cdn", "/cdn", *then]


def test_a_cancelled_request_leaves_the_signed_url_known():
    arrived, proceed = asyncio.Event(), asyncio.Event()

    async def answer(request, writer):
        if request.target == "/f":
            writer.write(head(302, "Location: /cdn", "Content-Length: 0"))
        elif len(asked) > 1 and not proceed.is_set():
            arrived.set()
            await proceed.wait()
            return
        else:
            await serve(request, writer)
        asked.append(request.target)
        await writer.drain()

    serve, asked = ranged(CONTENT), []

    async def scenario():
        async with RawServer(answer) as hub, a_client() as client:
            assert await taken(client, source_of(hub)) == CONTENT
            lost = asyncio.ensure_future(fetch(client, source_of(hub)))
            await arrived.wait()
            lost.cancel()
            await asyncio.gather(lost, return_exceptions=True)
            proceed.set()
            assert await taken(client, source_of(hub)) == CONTENT
            return hub.targets

    assert run(scenario()) == ["/f", "/cdn", "/cdn", "/cdn"]


def test_a_path_at_home_that_a_stranger_chose_never_gets_the_token():
    async def scenario():
        routes = {}
        async with RawServer(redirecting(routes)) as hub:
            async with RawServer(redirecting({"/x": f"{hub.url}/chosen"})) as stranger, a_client() as client:
                routes["/f"] = f"{stranger.url}/x"
                for _ in range(2):
                    assert await taken(client, source_of(hub, token="hf_secret")) == CONTENT
            return [(each.target, each.headers.get("authorization")) for each in hub.requests]

    told = run(scenario())
    assert ("/f", "Bearer hf_secret") in told
    assert {said for target, said in told if target == "/chosen"} == {None}


def test_redirect_loops_end():
    async def answer(request, writer):
        seen.append(request.target)
        writer.write(head(302, "Location: /f", "Content-Length: 0"))
        await writer.drain()

    seen = []
    failing(answer, RedirectRefused, "more than 5 times")
    assert len(seen) == 6


def refuses_redirect_to(location, match, **mirror):
    failing(redirecting({"/f": location}), RedirectRefused, match, **mirror)


def test_redirects_to_other_schemes():
    refuses_redirect_to("file:///etc/passwd", "not http")
    refuses_redirect_to("https://u:p@cdn.test/", "credentials")


def test_redirects_from_https_to_http():
    async def scenario():
        answer = redirecting({"/f": "http://127.0.0.1:1/f"})
        async with RawServer(answer, encrypted=True) as hub, a_client() as client:
            with pytest.raises(RedirectRefused, match="from https to http"):
                await fetch(client, source_of(hub))

    run(scenario())


class PublicStandIn:
    """A mirror under a name that counts as public (198.18/15) while its connections go to loopback."""

    def __init__(self, monkeypatch, **more):
        self.addresses = names(**{"mirror.test": "198.18.0.1"} | more)
        real = socket.socket.connect

        async def sock_connect(_, sock, address):
            sock.setblocking(True)
            try:
                real(sock, ("127.0.0.1", address[1]) if address[0] == "198.18.0.1" else address)
            finally:
                sock.setblocking(False)

        monkeypatch.setattr("asyncio.SelectorEventLoop.sock_connect", sock_connect)


@pytest.mark.parametrize(
    ("location", "match"),
    [
        ("http://127.0.0.1:1/f", "private address 127.0.0.1:1"),
        ("http://169.254.169.254/latest", "private address"),
        ("http://[::ffff:10.0.0.1]/f", "private address"),
        ("http://inside.test/f", "into a private network"),
    ],
)
def test_a_public_mirror_may_not_lead_inside(monkeypatch, location, match):
    use_wire(WIRES[0])

    async def scenario():
        stand_in = PublicStandIn(monkeypatch, **{"inside.test": "10.0.0.7"})
        async with RawServer(redirecting({"/f": location})) as hub, a_client(addresses=stand_in.addresses) as client:
            url = f"http://mirror.test:{hub.port}"
            source = Source(Mirror(url, "m1"), url + "/f")
            with pytest.raises(RedirectRefused, match=match):
                await fetch(client, source)
            assert hub.targets == ["/f"]

    run(scenario())


def test_a_public_mirror_may_lead_to_itself_and_other_public_names(monkeypatch):
    use_wire(WIRES[0])

    async def scenario():
        stand_in = PublicStandIn(monkeypatch, **{"cdn.test": "198.18.0.1"})
        async with RawServer(ranged(CONTENT)) as cdn:
            routes = {"/f": f"http://cdn.test:{cdn.port}/x"}
            async with RawServer(redirecting(routes)) as hub, a_client(addresses=stand_in.addresses) as client:
                url = f"http://mirror.test:{hub.port}"
                body = await fetch(client, Source(Mirror(url, "m1"), url + "/f"))
                assert body.host == f"cdn.test:{cdn.port}"
                assert await read_all(body) == CONTENT

    run(scenario())


def test_tokens_stay_on_their_origin():
    async def scenario():
        async with RawServer(ranged(CONTENT)) as cdn:
            routes = {"/f": "/g", "/g": cdn.url + "/x"}
            async with RawServer(redirecting(routes)) as hub, a_client() as client:
                assert await taken(client, source_of(hub, token="hf_secret")) == CONTENT
                assert [request.headers.get("authorization") for request in hub.requests] == ["Bearer hf_secret"] * 2
                assert "authorization" not in cdn.requests[0].headers

    run(scenario())


def test_cookies_are_not_kept():
    async def scenario():
        answer = fixed(head(200, "Set-Cookie: a=b; Path=/", "Content-Length: 0"))
        async with RawServer(answer) as hub, a_client() as client:
            for _ in range(2):
                await client.get_metadata(hub.url, mirror=Mirror(hub.url, "m1"), timeout_s=5)
            assert "cookie" not in hub.requests[1].headers

    run(scenario())


def asked(answer, path="/api", **more):
    async def scenario():
        async with RawServer(answer) as hub, a_client() as client:
            settings = {"timeout_s": 5} | more
            got = await client.get_metadata(hub.url + path, mirror=Mirror(hub.url, "m1", token="t"), **settings)
            return got, hub

    return run(scenario())


def test_metadata_of_any_status():
    got, hub = asked(fixed(head(404, "X-Error-Code: RepoNotFound", "Content-Length: 2"), b"{}"), "/api/%E4?a=%2F")
    assert (got.status, got.body, got.headers["x-error-code"]) == (404, b"{}", "RepoNotFound")
    assert got.url == hub.url + "/api/%E4?a=%2F"
    assert hub.requests[0].headers["accept-encoding"] == "gzip"
    assert hub.requests[0].headers["authorization"] == "Bearer t"


def test_metadata_joins_repeated_headers():
    got, _ = asked(fixed(head(200, "Link: <a>; rel=next", "link: <b>; rel=prev", "Content-Length: 0")))
    assert got.headers["LINK"] == "<a>; rel=next, <b>; rel=prev"


def test_metadata_may_be_compressed_and_chunked():
    packed = gzip.compress(b"[1]" * 1000)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
    got, _ = asked(fixed(head(200, "Content-Encoding: gzip", "Transfer-Encoding: chunked"), body))
    assert got.body == b"[1]" * 1000


def test_metadata_follows_a_legacy_name():
    async def answer(request, writer):
        if request.target == "/api/models/bert":
            writer.write(head(307, "Location: /api/models/google/bert", "Content-Length: 5") + b"moved")
        else:
            writer.write(head(200, "Content-Length: 2") + b"{}")
        await writer.drain()

    got, hub = asked(answer, "/api/models/bert")
    assert (got.status, got.url, hub.connections) == (200, hub.url + "/api/models/google/bert", 1)
    got, hub = asked(answer, "/api/models/bert", follow=False)
    assert (got.status, got.headers["location"]) == (307, "/api/models/google/bert")


def test_metadata_by_head_has_no_body():
    got, hub = asked(fixed(head(200, "Content-Length: 99999999999", "ETag: x")), method="HEAD")
    assert (got.body, got.headers["etag"], hub.requests[0].method) == (b"", "x", "HEAD")


@pytest.mark.parametrize(
    ("parts", "error", "match"),
    [
        ([head(200, "Content-Length: 2000"), b"x" * 2000], MirrorMisbehaved, "more than 1000 bytes"),
        ([head(200, "Transfer-Encoding: chunked"), b"fff\r\n" + b"x" * 0xFFF], MirrorMisbehaved, "more than 1000"),
        (
            [head(200, "Content-Encoding: gzip", "Content-Length: 38"), gzip.compress(b"\0" * 9999, mtime=0)[:38]],
            MirrorMisbehaved,
            "more than 1000 bytes",
        ),
        ([head(200, "Content-Encoding: gzip", "Content-Length: 3"), b"abc"], MirrorMisbehaved, "does not decompress"),
        (
            [head(200, "Content-Encoding: gzip", "Content-Length: 15"), gzip.compress(b"abcdefgh")[:15]],
            BodyCutShort,
            "compressed answer early",
        ),
        ([head(200, "Content-Encoding: br", "Content-Length: 3"), b"abc"], ContentEncoded, "'br'"),
    ],
)
def test_metadata_is_bounded_and_sound(parts, error, match):
    with pytest.raises(error, match=match):
        asked(fixed(*parts), max_bytes=1000)


def test_metadata_that_ends_early():
    with pytest.raises(BodyCutShort, match="m1 ended an answer after 3 bytes"):
        asked(fixed(head(200, "Content-Length: 10"), b"abc", close=True))


class Proxy(RawServer):
    """An HTTP proxy that tunnels CONNECT to loopback and answers plain requests from CONTENT."""

    def __init__(self):
        super().__init__(self.forward, encrypted=False)
        self.pumps = []

    async def forward(self, request, writer):
        if request.method != "CONNECT":
            return await ranged(CONTENT)(request, writer)
        port = int(request.target.rpartition(":")[2])
        reader, onward = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        back = asyncio.ensure_future(self.pump(reader, writer))
        try:
            await self.pump(self.reader_of(writer), onward)
        finally:
            back.cancel()
            onward.close()
        return False

    def reader_of(self, writer):
        return writer.transport.get_protocol()._stream_reader

    async def pump(self, reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


def test_bodies_through_a_proxy_whose_target_is_never_resolved_here():
    async def scenario():
        async with Proxy() as proxy, RawServer(ranged(CONTENT)) as hub:
            scheme = hub.url.partition(":")[0]
            environ = {f"{scheme}_proxy": proxy.url.replace("//", "//me:secret@")}
            async with a_client(environ=environ, addresses=names()) as client:
                url = f"{scheme}://mirror.test:{hub.port}"
                for start in (0, 50_000):
                    wanted = ByteRange(start, start + 50_000)
                    got = await taken(client, Source(Mirror(url, "m1"), url + "/f"), wanted)
                    assert got == CONTENT[start : start + 50_000]
            return scheme, proxy

    scheme, proxy = run(scenario())
    assert proxy.connections == 1
    assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")
    assert (proxy.requests[0].method == "CONNECT") is (scheme == "https")


def test_a_proxy_that_refuses():
    async def scenario():
        refusing = RawServer(fixed(head(407, "Content-Length: 0")), encrypted=False)
        async with refusing as proxy, a_client(environ={"https_proxy": proxy.url}, addresses=names()) as client:
            with pytest.raises(ConnectFailed, match=r"m1: the proxy http://127.0.0.1:\d+ wants a user name"):
                await fetch(client, Source(Mirror("https://hub.test", "m1"), "https://hub.test/f"))

    run(scenario())


def test_socks_without_its_extra_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("chunkdl.http.sessions.importlib.import_module", missing)

    async def scenario():
        async with a_client(environ={"all_proxy": "socks5h://me:secret@127.0.0.1:1"}) as client:
            with pytest.raises(UsageError, match=r"socks5h://127.0.0.1:1 is a socks proxy") as caught:
                await fetch(client, Source(Mirror("https://hub.test", "m1"), "https://hub.test/f"))
            assert "-m pip install aiohttp-socks" in caught.value.hint

    run(scenario())


def test_socks_gets_names_unresolved_and_its_failures_are_ours(monkeypatch):
    class ProxyError(Exception):
        pass

    class ProxyConnector(aiohttp.TCPConnector):
        @classmethod
        def from_url(cls, url, **settings):
            asked_for.append((url, settings))
            return cls()

        async def _create_connection(self, *_):
            raise ProxyError("host unreachable")

    asked_for = []
    module = SimpleNamespace(
        ProxyConnector=ProxyConnector,
        ProxyError=ProxyError,
        ProxyConnectionError=ProxyError,
        ProxyTimeoutError=ProxyError,
    )
    monkeypatch.setattr("chunkdl.http.sessions.importlib.import_module", {"aiohttp_socks": module}.__getitem__)

    async def scenario():
        async with a_client(environ={"all_proxy": "socks5h://127.0.0.1:1"}, addresses=names()) as client:
            with pytest.raises(
                ConnectFailed, match=r"m1: the proxy socks5h://127.0.0.1:1 gave no way to hub.test:443 \(host unr"
            ):
                await fetch(client, Source(Mirror("https://hub.test", "m1"), "https://hub.test/f"))

    run(scenario())
    assert asked_for == [("socks5://127.0.0.1:1", {"rdns": True, "limit": 0})]


def test_ssl_cert_file_is_trusted(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS_FILES / "loopback-test-cert.pem"))

    async def scenario():
        async with RawServer(ranged(CONTENT), encrypted=True) as server, a_client(tls=None) as client:
            return await taken(client, source_of(server))

    assert run(scenario()) == CONTENT


def test_ssl_cert_file_is_trusted_alone(tmp_path):
    """OpenSSL by itself would trust the system's folder of certificates beside it."""
    context = trusted_context(named=str(TLS_FILES / "loopback-test-cert.pem"))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) <= 1
    assert not context.cert_store_stats()["crl"]
    assert context.cert_store_stats()["x509"] == 1
    for wrong in (tmp_path / "typo.pem", tmp_path):
        with pytest.raises(UsageError, match="holds no certificates to trust") as caught:
            trusted_context(named=str(wrong))
        assert "SSL_CERT_FILE" in caught.value.hint


def test_a_small_receive_buffer_is_asked_for():
    async def scenario():
        async with RawServer(ranged(CONTENT)) as server, a_client(receive_buffer_bytes=8192) as client:
            body = await fetch(client, source_of(server))
            handle = body._transport.get_extra_info("socket")
            size = handle.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            body.abort()
            return size

    assert run(scenario()) == 16384  # Linux doubles what is asked for


def headers_asked(answer, path="/f.bin", **more):
    async def scenario():
        async with RawServer(answer) as hub, a_client() as client:
            mirror = Mirror(hub.url, "m1", token="t")
            got = [await client.ask_headers(hub.url + path, mirror=mirror, timeout_s=5, **more) for _ in range(2)]
            return got[1], hub

    return run(scenario())


def test_headers_by_head_are_asked_uncompressed_and_keep_the_connection():
    got, hub = headers_asked(fixed(head(200, f"Content-Length: {SIZE}", 'ETag: "x"')))
    assert (got.status, got.headers["etag"], got.headers["content-length"], got.body) == (200, '"x"', str(SIZE), b"")
    assert got.url == hub.url + "/f.bin"
    assert [(each.method, each.headers["accept-encoding"]) for each in hub.requests] == [("HEAD", "identity")] * 2
    assert "range" not in hub.requests[0].headers
    assert hub.requests[0].headers["authorization"] == "Bearer t"
    assert hub.connections == 1


def test_headers_by_get_cost_one_byte():
    got, hub = headers_asked(ranged(CONTENT), method="GET")
    assert (got.status, got.headers["content-range"], got.body) == (206, f"bytes 0-0/{SIZE}", b"")
    assert [each.headers["range"] for each in hub.requests] == ["bytes=0-0"] * 2
    assert hub.connections == 1


def test_headers_of_a_whole_file_that_nobody_asked_for_leave_its_body_unread():
    async def endless(request, writer):
        writer.write(head(200, "Content-Length: 1000000000") + CONTENT)
        await writer.drain()
        await asyncio.Event().wait()

    got, hub = headers_asked(endless, method="GET")
    assert (got.status, got.headers["content-length"], got.body) == (200, "1000000000", b"")
    assert hub.connections == 2


def test_headers_of_a_redirect_are_shown_unless_it_is_followed():
    moved = redirecting({"/f.bin": "/other"})
    got, hub = headers_asked(moved, method="GET")
    assert (got.status, got.headers["location"], len(hub.requests)) == (302, "/other", 2)
    got, hub = headers_asked(moved, method="GET", follow=True)
    assert (got.status, got.url, len(hub.requests)) == (206, hub.url + "/other", 4)


def test_headers_that_do_not_come_are_not_waited_for():
    async def silent(request, writer):
        await asyncio.Event().wait()

    async def scenario():
        async with RawServer(silent) as hub, a_client() as client:
            with pytest.raises(Stalled, match="m1"):
                await client.ask_headers(hub.url, mirror=Mirror(hub.url, "m1"), timeout_s=0.05)

    run(scenario())
