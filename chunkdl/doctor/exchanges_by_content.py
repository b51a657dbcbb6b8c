"""Over HTTP, with servers that are asked by content: whether they answer, what they have by that name, one byte.

A repository that is not there is no fault of theirs: they have a catalogue of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.doctor.exchanges import FIRST_BYTE_S, first_byte
from chunkdl.errors import AccessDenied, ArtifactNotFound
from chunkdl.identify.content_search import api_of
from chunkdl.identify.modelscope import DEFAULT_REVISION, file_url
from chunkdl.identify.modelscope_names import names_there
from chunkdl.model import Source

if TYPE_CHECKING:
    from chunkdl.doctor.exchanges import Listener
    from chunkdl.doctor.steps import Steps
    from chunkdl.http.client import HttpClient
    from chunkdl.identify.catalogue import Catalogue
    from chunkdl.identify.modelscope import ModelScopeApi
    from chunkdl.identify.modelscope_answers import Listed
    from chunkdl.model import Mirror, Reference
    from chunkdl.settings import Settings


async def ask_catalogue(
    mirror: Mirror, reference: Reference, listener: Listener, settings: Settings, steps: Steps
) -> Catalogue | None:
    """Step ``listing``: what it has under the names that the repository may have there; None if failed or nothing.

    Not ``metadata``, which is what lets a source stand in for a silent origin: this one knows no commits.
    """
    api = api_of(mirror, listener, settings)
    return await steps.attempt("listing", settings.metadata_s, _listed(api, reference))


async def _listed(api: ModelScopeApi, reference: Reference) -> tuple[Catalogue | None, str]:
    for name in names_there(reference.repo_id):
        try:
            found = await api.catalogue(reference.repo_type, name, DEFAULT_REVISION)
        except (ArtifactNotFound, AccessDenied):
            continue
        return found, f"{name}, {len(found.files)} files"
    return None, f"answers, and has no {reference.repo_id} under a name that we know"


async def ask_range_by_content(
    catalogue: Catalogue, client: HttpClient, settings: Settings, steps: Steps
) -> tuple[str, bool] | None:
    """Step ``range``: the final data host, and whether it honours ranges; None if that failed or nothing is there."""
    file = max((each for each in catalogue.files if each.size), key=lambda each: each.size, default=None)
    if file is None:
        return None
    limit_s = min(catalogue.mirror.first_byte_s, FIRST_BYTE_S)
    return await steps.attempt("range", limit_s * 2 + 1.0, _byte(catalogue, file, client, settings))


async def _byte(
    catalogue: Catalogue, file: Listed, client: HttpClient, settings: Settings
) -> tuple[tuple[str, bool], str]:
    """Over the route that a fetch would take."""
    route = await api_of(catalogue.mirror, client, settings).route(catalogue, file)
    source = Source(catalogue.mirror, file_url(catalogue, file.path, route))
    answered, words = await first_byte(client, source, file, min(catalogue.mirror.first_byte_s, FIRST_BYTE_S))
    return answered, f"{words}, {route.value} route"
