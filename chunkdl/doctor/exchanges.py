"""Over HTTP, with the client that a fetch uses: listing, first byte of a big file, token.

Decides what is asked: a listing and one byte, so that a check costs what a page of text does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkdl.core.response import epoch_s
from chunkdl.doctor.seen import Step
from chunkdl.errors import AccessDenied
from chunkdl.identify.huggingface import HubApi
from chunkdl.identify.sources import source_url
from chunkdl.model import Artifact, Authority, AuthorityKind, ByteRange, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.doctor.steps import Steps
    from chunkdl.http.client import HttpClient
    from chunkdl.http.metadata import MetadataAnswer
    from chunkdl.identify.modelscope_answers import Listed
    from chunkdl.model import Mirror, Reference, RemoteFile
    from chunkdl.settings import Settings

# A mirror that fills its cache first may take hours for a byte: a check does not wait for that.
FIRST_BYTE_S = 20.0
_UNAUTHORIZED, _OK = 401, 200
_FIRST_BYTE = ByteRange(0, 1)


class Listener:
    """A client that notes what the server's clock says; otherwise the one it is given.

    ``wall_clock`` gives seconds since the epoch.
    """

    def __init__(self, client: HttpClient, wall_clock: Callable[[], float]) -> None:
        self._client = client
        self._wall_clock = wall_clock
        self.skew_s: float | None = None

    async def get_metadata(self, url: str, **how: Any) -> MetadataAnswer:
        """Ask, and compare clocks. A date is when the answer was begun, within a second."""
        return self._noted(await self._client.get_metadata(url, **how))

    async def ask_headers(self, url: str, **how: Any) -> MetadataAnswer:
        """Ask, and compare clocks."""
        return self._noted(await self._client.ask_headers(url, **how))

    def _noted(self, answer: MetadataAnswer) -> MetadataAnswer:
        said = epoch_s(answer.headers.get("date", ""))
        if said is not None and "age" not in answer.headers:  # a cache repeats an old date
            self.skew_s = self._wall_clock() - said
        return answer


async def ask_listing(
    mirror: Mirror, reference: Reference, listener: Listener, settings: Settings, steps: Steps
) -> Artifact | None:
    """Step ``metadata``: which commit, and its files."""
    connect_s = settings.origin_connect_s if mirror.is_origin else min(settings.connect_s, settings.answer_s)
    hub = HubApi(listener, mirror, settings.answer_s, connect_s)
    return await steps.attempt("metadata", settings.metadata_s, _listed(hub, reference))


async def _listed(hub: HubApi, reference: Reference) -> tuple[Artifact, str]:
    info = await hub.resolve(reference)
    files = await hub.listing(reference, info.canonical_id, info.commit)
    authority = Authority(AuthorityKind.MIRRORS, hub.mirror.name, authenticated=False)
    artifact = Artifact(reference, info.canonical_id, info.commit, files, authority)
    return artifact, f"commit {info.commit[:12]}, {len(files)} files"


async def ask_range(mirror: Mirror, artifact: Artifact, client: HttpClient, steps: Steps) -> tuple[str, bool] | None:
    """Step ``range``: the final data host, and whether it honours ranges. None if that failed or nothing is there."""
    file = biggest(artifact.files)
    if file is None:
        return None
    limit_s = min(mirror.first_byte_s, FIRST_BYTE_S)
    source = Source(mirror, source_url(mirror, artifact, file))
    return await steps.attempt("range", limit_s + 1.0, first_byte(client, source, file, limit_s))


async def first_byte(
    client: HttpClient, source: Source, file: RemoteFile | Listed, limit_s: float
) -> tuple[tuple[str, bool], str]:
    """One byte of a file: the final host and whether it honours ranges, and the same in words."""
    body = await client.open_body(source, _FIRST_BYTE, size=file.size, first_byte_s=limit_s)
    try:
        await body.read_into(memoryview(bytearray(1)))
    finally:
        await body.close(reusable=False)
    how = "" if body.ranged else ", ranges ignored"
    return (body.host, body.ranged), f"{file.path} from {body.host}{how}"


def biggest(files: tuple[RemoteFile, ...]) -> RemoteFile | None:
    """The file whose way bytes really take: large ones come from a data host, small ones from the hub itself."""
    return max((each for each in files if each.size), key=lambda each: each.size, default=None)


async def ask_token(mirror: Mirror, listener: Listener, settings: Settings, steps: Steps) -> None:
    """Step ``token``: whether the hub takes it. A hub without accounts cannot say."""
    if mirror.token:
        await steps.attempt("token", settings.answer_s, _accepted(mirror, listener, settings))


async def _accepted(mirror: Mirror, listener: Listener, settings: Settings) -> tuple[bool, str]:
    answer = await listener.get_metadata(f"{mirror.url}/api/whoami-v2", mirror=mirror, timeout_s=settings.answer_s)
    if answer.status == _UNAUTHORIZED:
        raise AccessDenied(
            f"{mirror.name} does not accept the token", hint="renew HF_TOKEN or the token file", mirror=mirror.name
        )
    return True, "accepted" if answer.status == _OK else f"cannot be judged (status {answer.status})"


def gave_up(limit_s: float) -> Step:
    """The step of a source that used up all the time that a check has."""
    return Step("limit", False, limit_s, f"the check was ended after {limit_s:g} s", "timeout", "", 4)
