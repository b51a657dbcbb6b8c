import pytest
from support.cache_world import COMMIT, CONTENT, FILES, OTHER_COMMIT, World, artifact, files_named, git

from chunkdl.assemble.inventory import take_inventory
from chunkdl.core.journal_codec import Header, Record, encode_header, encode_record
from chunkdl.model import MIB, ByteRange, Digest, DigestAlgorithm, RemoteFile

BIG = RemoteFile("big.bin", 9 * MIB, Digest(DigestAlgorithm.SHA256, "ab" * 32), xet_hash="cd" * 32)
HEADER = Header(BIG.digest, BIG.size, 4 * MIB)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def look(world, files=FILES):
    return take_inventory(world.cache, world.repo, files, COMMIT)


def begin(world, *ranges, header=HEADER, part_size=BIG.size):
    """A part file and a journal, as a killed process leaves them."""
    with world.repo.part(BIG.digest).open("wb") as part:
        part.truncate(part_size)
    records = [Record(ByteRange(*each), bytes(16), "host") for each in ranges]
    world.repo.journal(BIG.digest).write_bytes(encode_header(header) + b"".join(map(encode_record, records)))


def test_an_empty_cache_holds_nothing_but_free_space(world):
    found = look(world)
    assert (found.blobs, found.elsewhere, found.partials, found.placed) == (frozenset(), {}, {}, frozenset())
    assert found.free_bytes > 0


def test_a_cache_that_does_not_exist_yet_is_empty(tmp_path):
    world = World(tmp_path)
    missing = type(world.cache)(tmp_path / "not" / "there")
    found = take_inventory(missing, missing.repo(artifact().reference.repo_type, "a/b"), FILES, COMMIT)
    assert (found.blobs, found.elsewhere) == (frozenset(), {})
    assert found.free_bytes > 0


def test_blobs_count_with_the_right_size_only(world):
    world.store()
    world.repo.blob(FILES[0].digest).write_bytes(b"short")
    assert look(world).blobs == {each.digest for each in FILES[1:]}
    assert look(world).placed == frozenset()


def test_a_blob_that_is_a_link_into_the_shared_store_counts(world):
    shared = world.cache.root / "blobs" / "ab" / "payload"
    shared.parent.mkdir(parents=True)
    shared.write_bytes(CONTENT["config.json"])
    [config] = files_named("config.json")
    world.repo.blob(config.digest).symlink_to("../../blobs/ab/payload")
    assert look(world).blobs == {config.digest}


def test_placed_paths_are_found_with_links_and_without(tmp_path):
    for use_symlinks in (True, False):
        world = World(tmp_path / str(use_symlinks))
        world.store()
        world.place(use_symlinks=use_symlinks)
        assert look(world).placed == {each.path for each in FILES}
        assert bool(look(world).blobs) is use_symlinks


def test_a_damaged_snapshot_entry_is_not_placed(world):
    world.store()
    world.place(use_symlinks=False)
    world.repo.pointer(COMMIT, "config.json").write_bytes(b"")
    assert look(world).placed == {each.path for each in FILES} - {"config.json"}


def test_claims_of_a_journal_are_found(world):
    begin(world, (0, 100), (4 * MIB, 5 * MIB), (0, 200))
    assert look(world, [BIG]).partials == {BIG.digest: (ByteRange(0, 200), ByteRange(4 * MIB, 5 * MIB))}


def test_claims_beyond_the_part_file_do_not_count(world):
    begin(world, (0, 100), (8 * MIB, 9 * MIB), part_size=8 * MIB)
    assert look(world, [BIG]).partials == {BIG.digest: (ByteRange(0, 100),)}


@pytest.mark.parametrize(
    "header", [Header(BIG.digest, BIG.size + 1, MIB), Header(FILES[0].digest, BIG.size, MIB)], ids=["size", "digest"]
)
def test_a_journal_about_something_else_claims_nothing(world, header):
    begin(world, (0, 100), header=header)
    assert look(world, [BIG]).partials == {}


def test_a_journal_without_part_file_or_beside_a_link_claims_nothing(world, tmp_path):
    begin(world, (0, 100))
    part = world.repo.part(BIG.digest)
    part.rename(tmp_path / "part")
    assert look(world, [BIG]).partials == {}
    part.symlink_to(tmp_path / "part")
    assert look(world, [BIG]).partials == {}


@pytest.mark.parametrize("damage", [b"", b"\0" * 500, b"garbage"])
def test_a_damaged_journal_claims_nothing(world, damage):
    begin(world, (0, 100))
    world.repo.journal(BIG.digest).write_bytes(damage)
    assert look(world, [BIG]).partials == {}


def test_the_same_digest_in_another_repository_is_found(world, tmp_path):
    other = World(tmp_path, "aaa/name")
    other.store()
    last = World(tmp_path, "zzz/name")
    last.store()
    expected = {each.digest: str(other.repo.blob(each.digest)) for each in FILES if each.size}
    found = look(world).elsewhere
    assert {digest: paths[0] for digest, paths in found.items()} == expected
    assert {paths[1] for paths in found.values()} == {str(last.repo.blob(digest)) for digest in expected}


def test_nothing_is_sought_elsewhere_that_is_here(world, tmp_path):
    World(tmp_path, "aaa/name").store()
    world.store()
    assert look(world).elsewhere == {}


def test_another_size_or_a_foreign_folder_is_not_offered(world, tmp_path):
    other = World(tmp_path, "aaa/name")
    for each in FILES:
        other.repo.blob(each.digest).write_bytes(b"0123456789" * 500)
    foreign = world.cache.root / "foreign" / "blobs"
    foreign.mkdir(parents=True)
    (foreign / FILES[0].digest.hex).write_bytes(CONTENT[FILES[0].path])
    assert look(world).elsewhere == {}


def test_a_real_file_of_an_older_commit_is_offered(world):
    world.store()
    world.place(what=artifact(commit=OTHER_COMMIT), use_symlinks=False)
    [config] = files_named("config.json")
    assert look(world).elsewhere[config.digest] == (str(world.repo.pointer(OTHER_COMMIT, "config.json")),)


def test_an_older_commits_link_of_the_same_size_is_not_worth_hashing(world):
    [config] = files_named("config.json")
    older = git("config.json", b"#" * config.size)
    world.store([older], {"config.json": b"#" * config.size})
    world.place([older], artifact([older], commit=OTHER_COMMIT))
    assert look(world).elsewhere == {}


@pytest.mark.parametrize(("marker", "offered"), [(b"1\n", True), (b"2\n", False), (None, False)])
def test_the_hubs_shared_store_is_believed_only_with_its_mark(world, marker, offered):
    store = world.cache.root / "blobs"
    payload = store / "cd" / ("cd" * 32)
    payload.parent.mkdir(parents=True)
    with payload.open("wb") as file:
        file.truncate(BIG.size)
    if marker is not None:
        (store / ".huggingface-shared-blobs").write_bytes(marker)
    assert look(world, [BIG]).elsewhere == ({BIG.digest: (str(payload),)} if offered else {})
