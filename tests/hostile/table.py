"""The hostile table, as data: what a mirror may do to us, and how a fetch must end all the same.

Each row is one way to be hostile or broken, tried three times (``Place``): beside an honest mirror; beside
one, but first in line (the hostile one *is* the origin, for metadata and for bytes); and alone. ``stage``
plays a row, ``verdict`` judges it; ``tests/integration/test_hostile_table.py`` and ``scripts/torture --table``
run them all. Rows may be added, expectations are never loosened. Attacks that are not a mirror's doing, or
that need more than a mirror, are tested where ``ELSEWHERE`` says.
"""

from __future__ import annotations

import json
from dataclasses import KW_ONLY, dataclass, field, replace
from enum import StrEnum

from chunkdl.testing import Fault, fault

KIB, MIB = 1 << 10, 1 << 20
# Two segments and some; at the honest mirror's rate two seconds, so that an excess shows.
SIZE_BYTES = 12 * MIB
RATE_BYTES_PER_S = 6 * MIB
BIG = "*.safetensors"


class Place(StrEnum):
    """Where the hostile mirror stands."""

    BESIDE = "beside"
    FIRST = "first"
    ALONE = "alone"


@dataclass(frozen=True)
class Ends:
    """How a fetch must end.

    Args:
        code: the exit code.
        says: what the error's message holds, besides the mirror's or the file's name.
        as_told: what is placed is what the hostile origin lists itself: an origin's word is the truth.
        vouched: the origin was of no use, mirrors vouched, and the report says that nothing is authenticated.
        stalls: stall limits (8 s each) that it may cost, on top of twice the time of the honest mirror alone.
    """

    code: int = 0
    says: str = ""
    _: KW_ONLY
    as_told: bool = False
    vouched: bool = False
    stalls: int = 0

    def after(self, stalls: int) -> Ends:
        """The same, so many stall limits later."""
        return replace(self, stalls=stalls)


RIGHT = Ends()
VOUCHED = Ends(vouched=True)
AS_TOLD = Ends(as_told=True)
MISSING = Ends(3)
USELESS = Ends(4)
WRONG = Ends(5)
REFUSED = Ends(7)


@dataclass(frozen=True)
class Row:
    """One way to be hostile, and how it must end in each place.

    ``{honest}`` and ``{trap}`` in a fault's texts stand for the URLs of the honest mirror (in ALONE: of nobody)
    and of a server that must never be asked anything.

    Args:
        name: unique.
        faults: what the hostile mirror does.
        server: more arguments of its ``MirrorServer``; ``cdn=True`` puts its content on somebody else's CDN.
        files: more files of the repository, everywhere.
        named: it sends wrong bytes, and if any of them arrived, the report must name it as the liar.
        public: it is asked through a proxy under a public name, so that redirects to private addresses are attacks.
        encrypted: it speaks https.
        size_bytes: of the big file, where the row would otherwise take long.
    """

    name: str
    faults: tuple[Fault, ...]
    _: KW_ONLY
    beside: Ends = RIGHT
    first: Ends = RIGHT
    alone: Ends = RIGHT
    server: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    named: bool = False
    public: bool = False
    encrypted: bool = False
    size_bytes: dict = field(default_factory=dict)

    def ends(self, place: Place) -> Ends:
        """How it must end there."""
        return {Place.BESIDE: self.beside, Place.FIRST: self.first, Place.ALONE: self.alone}[place]


def _row(name: str, *faults: Fault, **more) -> Row:
    return Row(name, faults, **more)


def _slow(name: str, *faults: Fault, **more) -> Row:
    """Time is what it costs: one stall limit, unless it says more."""
    late = RIGHT.after(1)
    return Row(name, faults, **{"beside": late, "first": late, "alone": late, **more})


def _metadata(name: str, *faults: Fault, **more) -> Row:
    """What its API says is of no use: as origin it is replaced by mirrors that vouch, alone nobody is left."""
    return Row(name, faults, **{"first": VOUCHED, "alone": USELESS, **more})


def _everywhere(ends: Ends) -> dict[str, Ends]:
    return {place.value: ends for place in Place}


def _index(shard: str) -> bytes:
    return json.dumps({"weight_map": {"a": "model.safetensors", "b": shard}}).encode()


def _hostile_path(name: str, listed: str) -> Row:
    """A listing with such a path is refused whole; the origin's word is the last."""
    return Row(name, (fault("hostile-path", listed=listed),), first=REFUSED, alone=REFUSED)


WRONG_BYTES = (
    _row("shifted by 4 bytes", fault("shift-bytes", by=4), alone=WRONG, named=True),
    _row("another content of that size", fault("shift-bytes", by=MIB + 1), alone=WRONG, named=True),
    _row("one bit flipped in every range", fault("flip-bits", spacing_bytes=1 << 40), alone=WRONG, named=True),
    _row("one bit flipped a MiB", fault("flip-bits"), alone=WRONG, named=True),
    _row("a bit flipped in every second range", fault("flip-bits", every=2), alone=WRONG, named=True),
    _row("a bit flipped once", fault("flip-bits", path=BIG, times=1), named=True),
    _row("a bit flipped in a small file", fault("flip-bits", path="config.json"), alone=WRONG, named=True),
    _row("shifted and without length", fault("shift-bytes"), fault("no-content-length"), alone=WRONG, named=True),
    _row("the wrong bytes without ranges", fault("ignore-range"), fault("flip-bits"), alone=WRONG, named=True),
)

WRONG_ANSWERS = (
    _row("Range ignored", fault("ignore-range")),
    _row("Range ignored, no length", fault("ignore-range"), fault("no-content-length", chunked=False)),
    _row("wrong Content-Range", fault("wrong-content-range"), alone=USELESS),
    _row("Content-Range a GiB away", fault("wrong-content-range", by=1 << 30), alone=USELESS),
    _row("wrong total", fault("wrong-total"), alone=USELESS),
    _row("206 without Content-Range", fault("status", status=206), alone=USELESS),
    _row("200 with another page", fault("status", status=200), alone=USELESS),
    _row("204", fault("status", status=204), alone=USELESS),
    _row("416", fault("status", status=416), alone=USELESS),
    _row("too many bytes, announced", fault("too-many-bytes", extra=100 * KIB)),
    _row("too many bytes, not announced", fault("too-many-bytes", path=BIG, extra=100 * KIB, announced=False)),
    _row("endless body", fault("too-many-bytes", path=BIG, extra=1 << 40, announced=False)),
    _row("endless small bodies", fault("too-many-bytes", extra=1 << 40, announced=False)),
    _row("endless body in chunks", fault("too-many-bytes", extra=1 << 40), fault("no-content-length")),
    _row("too few bytes, announced", fault("short-length"), alone=USELESS),
    # Alone: a host that cuts young answers rests each time, up to a second, and of these there are a dozen.
    _row("closed in the middle", fault("close-early", every=2), alone=RIGHT.after(1)),
    # Alone: half of the rest each time, down to a byte of each of three files; patience begins anew with each.
    _row("closed in the middle, always", fault("close-early"), alone=USELESS.after(2)),
    _row("reset in the middle", fault("close-early", every=2, reset=True), alone=RIGHT.after(1)),
    _row("empty body", fault("close-early", n=0), alone=USELESS),
    _row("a good status and nothing", fault("empty-body"), alone=USELESS),
    _row("a captive portal before the files", fault("html-200"), alone=USELESS),
    _metadata("a captive portal before everything", fault("html-200", where="any")),
    _row("gzip, whole", fault("gzip"), alone=USELESS),
    _row("gzip, ranged", fault("gzip", ranged=True), alone=USELESS),
    _row("no Content-Length", fault("no-content-length")),
    _row("no Content-Length, closed at the end", fault("no-content-length", chunked=False)),
    _row("a new connection each time", fault("connection-close", where="any")),
    _row("HEAD refused", fault("refuse-head")),
    _row("no sizes, no tree", fault("no-linked-size"), fault("no-tree"), fault("no-blobs")),
    _row("HEAD refused, no tree", fault("refuse-head"), fault("no-tree"), fault("no-blobs")),
    _row("huge headers", fault("huge-headers", where="content"), alone=USELESS),
    _metadata("huge headers everywhere", fault("huge-headers", where="any")),
    _row("weak etags", fault("foreign-etag", etag='W/"0123456789abcdef"')),
    _row("fake etags", fault("wrong-etag")),
    _row(
        "fake etags, no tree",
        *(fault("wrong-etag", path=BIG), fault("no-tree"), fault("no-blobs")),
        first=WRONG,
        alone=WRONG,
    ),
    _row(
        "weak etags, no tree",
        *(fault("foreign-etag", etag='W/"0123456789abcdef"'), fault("no-tree"), fault("no-blobs")),
        first=REFUSED,
        alone=REFUSED,
    ),
)

STATUSES = (
    _row("500", fault("status-500"), alone=USELESS),
    _row("502", fault("status-502"), alone=USELESS),
    _metadata("500 everywhere", fault("status-500", where="any")),
    # Alone it gets half a minute after the time it named, to prove that it meant it.
    _row("503 with a long Retry-After", fault("status-503", retry_after_s=3600), alone=USELESS.after(4)),
    _row("503 for a moment", fault("status-503", retry_after_s=2, times=4), alone=RIGHT.after(1)),
    _row("429 after a few requests", fault("status-429", skip=3, retry_after_s=60), alone=USELESS.after(4)),
    # Alone: it names a second, which does not help, so that the next rest is longer.
    _row("429 for a moment", fault("status-429", skip=2, times=4, retry_after_s=1), alone=RIGHT.after(1)),
    _row("403 for good", fault("status-403"), alone=USELESS),
    _row("403 from the CDN for good", fault("status-403"), server={"signed_urls": True}, alone=USELESS),
    _row("403 by expiry", server={"signed_urls": True, "signed_url_ttl_s": 0.7}),
    _row("404 for what it lists", fault("status-404"), alone=USELESS),
    _row("401 without the hub's words", fault("status", status=401), alone=USELESS),
    _row(
        "401 everywhere, without the hub's words",
        fault("status", status=401, where="any"),
        first=MISSING,
        alone=MISSING,
    ),
)

SLOWNESS = (
    _slow("accepted and silent", fault("accept-and-silent"), alone=USELESS),
    # The origin's 8 s for an answer, before the transfer and again before placement.
    _metadata("accepted and silent everywhere", fault("accept-and-silent", where="any"), first=VOUCHED.after(2)),
    _slow("64 bytes every 60 ms", fault("dribble", piece_bytes=64, interval_s=0.06), size_bytes={Place.ALONE: 8 * KIB}),
    _slow("stalled after 1 MiB", fault("stall-after-n-bytes", n=MIB), alone=RIGHT.after(3)),
    # Alone: two rungs of the ladder that a sole source climbs, 8 and 16 s.
    _slow("stalled at the first byte", fault("stall-after-n-bytes", n=0), alone=USELESS.after(1)),
    _slow("stalled once in the middle", fault("stall-after-n-bytes", n=MIB, times=1)),
    _slow("the first byte after 4 s", fault("slow-first-byte", seconds=4)),
    # Alone: two answers of metadata, then a redirect and a file, then a file in two turns.
    _slow(
        "the first byte of everything after 4 s", fault("slow-first-byte", seconds=4, where="any"), alone=RIGHT.after(3)
    ),
)

REDIRECTS = (
    _row("redirect to itself", fault("redirect-loop"), alone=USELESS),
    _metadata("redirect to itself, everywhere", fault("redirect-loop", where="any")),
    _row("redirect to a private address", fault("redirect", to="{trap}{target}"), public=True, alone=USELESS),
    _row("redirect to 10.0.0.1", fault("redirect-private"), public=True, alone=USELESS),
    _row(
        "redirect to ::ffff:10.0.0.1",
        fault("redirect", to="http://[::ffff:10.0.0.1]{target}"),
        public=True,
        alone=USELESS,
    ),
    _row(
        "redirect to 64:ff9b::7f00:1",
        fault("redirect", to="http://[64:ff9b::7f00:1]{target}"),
        public=True,
        alone=USELESS,
    ),
    _row(
        "redirect to 169.254.169.254",
        fault("redirect", to="http://169.254.169.254/latest/meta-data"),
        public=True,
        alone=USELESS,
    ),
    _metadata(
        "metadata redirected to a private address", fault("redirect", to="{trap}{target}", where="api"), public=True
    ),
    _row("redirect from https to http", fault("redirect", to="{trap}{target}"), encrypted=True, alone=USELESS),
    _row("redirect from https to http, by name", fault("redirect-http"), encrypted=True, alone=USELESS),
    _row("redirect to a file", fault("redirect", to="file:///etc/passwd"), alone=USELESS),
    _row("redirect with a password", fault("redirect", to="http://user:secret@127.0.0.1:9{target}"), alone=USELESS),
    _row("redirect to nobody", fault("redirect", to="http://127.0.0.1:9{target}"), alone=USELESS),
    _row("redirect back to the other", fault("redirect", to="{honest}{target}"), alone=USELESS),
    _row("redirect to another signed CDN", server={"signed_urls": True, "cdn": True}),
)

LISTINGS = (
    _row("Link: next on another host", fault("link-next-foreign-host", host="{trap}"), first=VOUCHED, alone=USELESS),
    _row("pages that follow one another", server={"page_entries": 2}),
    _metadata("a huge listing", fault("huge-listing")),
    _metadata("a huge listing of unknown length", fault("huge-listing"), fault("no-content-length", where="tree")),
    _metadata("huge model info", fault("huge-listing", where="info")),
    _metadata("a listing that explodes", fault("gzip-bomb")),
    _metadata("a truncated listing", fault("truncated-listing")),
    _metadata("a failure under a good status", fault("envelope-error")),
    _metadata("a cyclic listing", fault("cyclic-listing")),
    _metadata("a pointer that does not fit", fault("wrong-pointer")),
    _metadata("a commit that is a path", fault("lagging", commit="../../../../evil")),
    _row("another commit", fault("lagging"), first=AS_TOLD, alone=AS_TOLD),
    _row("other digests", fault("wrong-digest"), first=AS_TOLD, alone=AS_TOLD),
    _row("a file missing", fault("missing-file"), first=AS_TOLD, alone=AS_TOLD),
    _hostile_path("a path that climbs", "../../evil.txt"),
    _hostile_path("a path that climbs later", "nested/../../../evil.txt"),
    _hostile_path("a path that climbs in Windows", "nested\\..\\..\\evil.txt"),
    _hostile_path("an absolute path", "/tmp/evil.txt"),
    _hostile_path("a drive", "C:\\evil.txt"),
    _hostile_path("a network path", "\\\\evil.example\\share\\x"),
    _hostile_path("a path with NUL", "evil\0.txt"),
    _hostile_path("a path with a control character", "evil\x1b[2J.txt"),
    _hostile_path("a part too long", "e" * 256),
    _hostile_path("a path that is also a folder", "config.json/evil.txt"),
    _hostile_path("a path that stands twice", "config.json"),
    _row("names that only Windows cannot hold", files={"aux.txt": b"aux", "trailing. ": b"dot"}),
    _row("twins by case", files={"code.py": b"1", "code.PY": b"2"}),
)

# Everybody has it, the honest mirror too: the author of the repository is the hostile one here.
AUTHORS = tuple(
    _row(f"an index that names {shard}", files={"model.safetensors.index.json": _index(shard)}, **_everywhere(REFUSED))
    for shard in ("../../evil.safetensors", "/etc/passwd", "C:\\evil")
)

ROWS = (*WRONG_BYTES, *WRONG_ANSWERS, *STATUSES, *SLOWNESS, *REDIRECTS, *LISTINGS, *AUTHORS)

# Hostile too, but not a mirror's doing or not to be played in one fetch: what, and the test that holds it.
ELSEWHERE = {
    "a name that resolves into a private network": (
        "tests/unit/test_http_resolver.py",
        "test_a_name_that_leads_only_inside_is_refused",
    ),
    "a name that resolves into 198.18.0.0/15 is allowed": ("tests/unit/test_addresses.py", "test_public"),
    "a Location's escapes survive byte for byte": (
        "tests/unit/test_http_redirects.py",
        "test_absolute_urls_survive_byte_for_byte",
    ),
    "a token across origins, in redirects": (
        "tests/integration/test_http_client.py",
        "test_tokens_stay_on_their_origin",
    ),
    "a token across origins, in all of a run": (
        "tests/integration/test_identify.py",
        "test_the_token_goes_to_the_origin_and_nowhere_else",
    ),
    "cookies": ("tests/integration/test_http_client.py", "test_cookies_are_not_kept"),
    "HF_ENDPOINT is a registered mirror": (
        "tests/unit/test_settings.py",
        "test_a_public_mirror_in_hf_endpoint_becomes_the_first_mirror_without_the_token",
    ),
    "a chunkdl.toml in the current folder": (
        "tests/unit/test_project_file.py",
        "test_may_not_decide_whom_to_believe",
    ),
    "a gated repository with an open copy elsewhere": (
        "tests/unit/test_authority.py",
        "test_one_mirror_that_names_it_closes_the_detour",
    ),
    "mirrors that differ while the origin is silent": (
        "tests/unit/test_vouching.py",
        "test_most_independent_voices_win",
    ),
    "a blob that is a link to a read-only file": (
        "tests/unit/test_place.py",
        "test_a_link_into_the_shared_store_is_replaced_and_never_written_through",
    ),
    "hf cache prune in mid-transfer": ("tests/loaders/test_prune.py", "test_pruning_in_mid_transfer_costs_nothing"),
    "a part file deleted under the writer": (
        "tests/torture/test_deleted_part.py",
        "test_a_part_deleted_again_and_again_under_four_writers_is_whole_in_the_end",
    ),
    "a legacy name's 307 keeps query and method": (
        "tests/integration/test_identify.py",
        "test_a_legacy_name_over_many_pages",
    ),
    "empty files": ("tests/integration/test_fetch.py", "test_the_cache_has_the_hubs_layout_and_no_leftovers"),
    "named templates load from a partial snapshot": (
        "tests/loaders/test_placed.py",
        "test_the_tokenizer_finds_its_named_templates",
    ),
    "a pin writes no ref": ("tests/integration/test_fetch.py", "test_a_pinned_commit_writes_no_ref"),
}
