"""Which hosts are known to hold the public hub's files, who runs them, and which are asked unless told otherwise.

Decides that naming a public mirror in ``HF_ENDPOINT`` does not make it the origin. Deliberately holds no
measured speeds: those differ by three orders of magnitude by place and day.
"""

from __future__ import annotations

from dataclasses import dataclass

from chunkdl.model import MirrorKind
from chunkdl.settings.endpoints import host_of, is_loopback, netloc_of

PUBLIC_HUB = "https://huggingface.co"  # what huggingface_hub calls the default endpoint
MODELSCOPE_HUB = "https://modelscope.cn"  # what modelscope-hub 0.5 calls the default endpoint

# The hub's own names: "hubDomains" of https://huggingface.co/.well-known/meta.json.
_HUB_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co", "huggingface.com", "huggingface.cn"})


@dataclass(frozen=True, slots=True)
class KnownMirror:
    """A public mirror of the hub. ``on`` means asked by default; ``max_connections`` is a courtesy cap.

    ``path`` distinguishes one of several hubs on a host; empty means every path. ``covers`` and ``caveat`` are for
    people: what was seen or is documented, and nothing else.
    """

    host: str
    operator: str
    on: bool = False
    max_connections: int = 16
    path: str = ""
    kind: MirrorKind = MirrorKind.HUGGING_FACE
    covers: str = ""
    caveat: str = ""

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"https://{self.host}{self.path}"

    def holds(self, url: str) -> bool:
        """True if ``url`` is on this mirror, sub-domains included."""
        host = host_of(url)
        on_host = host == self.host or host.endswith(f".{self.host}")
        return on_host and f"{url}/".partition(netloc_of(url))[2].startswith(f"{self.path}/")


KNOWN_MIRRORS = (
    # It runs on donations and caps requests by 5 minutes: 4 connections are polite and enough.
    KnownMirror(
        "hf-mirror.com",
        "hf-mirror.com",
        on=True,
        max_connections=4,
        covers="the public hub, as a reverse proxy",
        caveat="runs on donations, caps requests by 5 minutes, sends addresses outside China back to huggingface.co, "
        "fails on files above 50 GB",
    ),
    # Clones of unknown operators that come and go: known so that HF_ENDPOINT cannot make one the origin.
    KnownMirror("hf-mirror.net", "hf-mirror.net", caveat="operator unknown, often does not answer"),
    KnownMirror("aifasthub.com", "aifasthub.com", caveat="operator unknown, TLS was seen reset"),
    # Copies with a partial catalogue, run by companies.
    KnownMirror(
        "hf-api.gitee.com",
        "gitee.com",
        covers="a part of the public hub, as copies",
        caveat="many repositories are absent, copies can lag",
    ),
    KnownMirror(
        "hub.opencsg.com",
        "opencsg.com",
        path="/hf",
        covers="copies of hub repositories",
        caveat="the path chooses where a copy comes from: /hf for the hub",
    ),
)

# Hubs of their own that hold the same files under other names; not of the hub's protocol, so never an HF_ENDPOINT.
OTHER_HUBS = (
    # Its limits are published nowhere; its own client opens 16 connections at most and 1 by default.
    KnownMirror(
        "modelscope.cn",
        "modelscope.cn",
        on=True,
        max_connections=8,
        kind=MirrorKind.MODELSCOPE,
        covers="its own catalogue, often the same files under other names",
        caveat="by content: a file comes from there only if its sha256 and size are the artifact's",
    ),
    KnownMirror(
        "modelscope.ai",
        "modelscope.cn",
        max_connections=8,
        kind=MirrorKind.MODELSCOPE,
        covers="the same for addresses outside China",
        caveat="by content: a file comes from there only if its sha256 and size are the artifact's",
    ),
)


def is_public_hub(url: str) -> bool:
    """True for huggingface.co under any of its own names."""
    return host_of(url) in _HUB_HOSTS


def known_mirror(url: str) -> KnownMirror | None:
    """The entry of a public mirror that ``url`` is on, or None."""
    return next((each for each in KNOWN_MIRRORS if each.holds(url)), None)


def other_hub(url: str) -> KnownMirror | None:
    """The entry of a hub of its own that ``url`` is on, or None."""
    return next((each for each in OTHER_HUBS if each.holds(url)), None)


def operator_of(url: str) -> str:
    """Who runs this URL, as far as we can tell: two voices of one operator count once.

    A port of its own counts only on loopback, where tunnels to different hosts end.
    """
    known = known_mirror(url) or other_hub(url)
    if known:
        return known.operator
    if is_public_hub(url):
        return "huggingface.co"
    return netloc_of(url) if is_loopback(url) else host_of(url)
