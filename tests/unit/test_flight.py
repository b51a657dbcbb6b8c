"""What those who waited need not ask again, also if they missed a look at who came between."""

from chunkdl.identify.authority import relayed
from chunkdl.identify.known import Earlier, Known
from chunkdl.model import Artifact, Authority, AuthorityKind, Digest, DigestAlgorithm, Reference, RemoteFile
from chunkdl.pipeline.flight import _named
from chunkdl.process_identity import this_process
from chunkdl.settings import Settings, mirror_at
from chunkdl.transfer.owner_record import OwnerRecord
from chunkdl.transfer.ownership import Owned

URL = "http://127.0.0.1:1"
REFERENCE = Reference("org/name", "org/name")
FILE = RemoteFile("config.json", 2, Digest(DigestAlgorithm.GIT_SHA1, "0" * 40))


def owned(path, nonce, replaced=None):
    return Owned(path, OwnerRecord(this_process(), nonce, 2), replaced=replaced)


def test_a_word_bears_the_names_of_all_before_who_gave_it_on(tmp_path):
    assert _named(set(), owned(tmp_path, "me")) == "me"
    assert _named({"first", "second"}, owned(tmp_path, "me", "second")) == "first second me"
    assert _named(set(), owned(tmp_path, "me", "dead")) == "dead me", "a newcomer that found a dead owner"
    assert _named(set(), owned(tmp_path, "me", "")) == "me", "its file was torn"
    assert len(_named({str(number) for number in range(1000)}, owned(tmp_path, "me")).split()) < 50


async def test_who_waited_for_the_first_believes_the_heir_that_it_never_saw(tmp_path):
    """The heir of a killed process may end within half a second: between two looks of those who wait."""
    settings = Settings(origin=mirror_at(URL, is_origin=True), state_dir=tmp_path, cache_dir=tmp_path / "hub")
    known = Known.of(settings)
    known.name = _named({"killed"}, owned(tmp_path, "heir", "killed"))
    artifact = Artifact(REFERENCE, "org/name", "1" * 40, (FILE,), Authority(AuthorityKind.ORIGIN, URL, True))
    await known.remember(Earlier(artifact), 1000.0)
    for told, believed in (({"killed"}, True), ({"heir", "other"}, True), ({"other"}, False), (set(), False)):
        found = await relayed(REFERENCE, settings=settings, known=Known.of(settings), told=told)
        assert (found is not None) is believed, told
