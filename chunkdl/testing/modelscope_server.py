"""A ModelScope server on loopback, as good or as bad as a test wants it.

Everything about connections, rates, counters and faults is the mirror's; only what is said is ModelScope's.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from chunkdl.testing.mirror_server import MirrorServer
from chunkdl.testing.modelscope_answers import ModelScope


@dataclass(eq=False)
class ModelScopeServer(MirrorServer):
    """One server: ``async with ModelScopeServer([repo]) as server: server.url``.

    Takes what ``MirrorServer`` takes and counts what it counts; ids are ``owner/name``, the first branch is called
    ``master`` if it is called ``main``. Faults for it: ``envelope-error`` (a failure under HTTP 200), ``wrong-sha256``
    (a listing that lies), ``empty-body``, ``missing-file``, ``wrong-digest`` (other contents), and all those of
    bodies, headers and statuses.

    Args:
        repos: as for ``MirrorServer``; without ``page_entries`` and ``redirects_small``, which are the hub's.
        cap_entries: where listings of models end without a word.
        web_route: whether ``/models/…/resolve/…``, which honours ranges, works.
    """

    _: KW_ONLY
    cap_entries: int = 3000
    web_route: bool = True

    def __post_init__(self) -> None:
        """Sign as Aliyun OSS does: decoded values, so that clients which spell a URL anew get through."""
        super().__post_init__()
        self._signer.query = "response-content-disposition=attachment"

    def _hub(self) -> ModelScope:
        return ModelScope(
            repos=self._strikes.view,
            token=self.token,
            cap_entries=self.cap_entries,
            signed_url=self._signed_url if self.signed_urls else None,
            web_route=self.web_route,
        )
