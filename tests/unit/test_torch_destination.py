import hashlib

import pytest

from chunkdl.assemble.digests import hash_bytes
from chunkdl.assemble.place import place_small
from chunkdl.assemble.torch_destination import TorchDestination
from chunkdl.core.planner import Action, make_plan
from chunkdl.core.selection import Selection
from chunkdl.disk import write_atomically
from chunkdl.errors import PlacementRefused, StoreBroken
from chunkdl.identify.learnt import Learnt
from chunkdl.model import Artifact, Authority, AuthorityKind, Digest, DigestAlgorithm, Reference, RemoteFile, Strength
from chunkdl.transfer.ownership import Owned, Ownership

NAME, RIGHT, WRONG = "model-x.pth", b"right bytes", b"wrong bytes"
SHA = hashlib.sha256(RIGHT).hexdigest()
WHOLE = Digest(DigestAlgorithm.SHA256, SHA)
PREFIX = Digest(DigestAlgorithm.SHA256_PREFIX, SHA[:8])
UNPROVEN = Digest(DigestAlgorithm.UNPROVEN, "b" * 64)


class Stage:
    def __init__(self, tmp_path, digest=WHOLE, address="here", *, force=False, name=NAME):
        self.folder, self.file = tmp_path / "checkpoints", RemoteFile(name, len(RIGHT), digest)
        self.final = self.folder / name
        self.destination = TorchDestination(self.folder, address, Learnt(tmp_path / "state"), force=force)
        self.artifact = Artifact(
            Reference("r", "r"), "r", "", (self.file,), Authority(AuthorityKind.ORIGIN, "o", authenticated=True)
        )

    def put(self, data):
        self.folder.mkdir(exist_ok=True)
        self.final.write_bytes(data)

    @property
    def content(self):
        selection = Selection((self.file,))
        return make_plan(self.artifact, selection, self.destination.inventory("", [self.file])).contents[0]

    def bring(self, data=RIGHT):
        self.destination.prepare()
        place_small(data, hash_bytes(data, self.file.digest), self.destination.paths_of(self.content).blob)

    def place(self):
        return self.destination.place(self.artifact, [self.file])


@pytest.fixture(params=[WHOLE, PREFIX, UNPROVEN], ids=["whole", "prefix", "unproven"])
def digest(request):
    return request.param


def test_a_proven_content_appears_under_its_name_alone(tmp_path, digest):
    stage = Stage(tmp_path, digest)
    assert stage.content.action is Action.FETCH
    stage.bring()
    assert not stage.final.exists()
    assert stage.place() == stage.folder
    assert stage.final.read_bytes() == RIGHT
    assert [each.name for each in stage.folder.iterdir()] == [NAME]
    assert stage.destination.holds(stage.content) or not digest.names_content


def test_our_files_are_hidden_beside_it_and_carry_the_digest(tmp_path, digest):
    stage = Stage(tmp_path, digest)
    paths = stage.destination.paths_of(stage.content)
    assert {each.parent for each in (paths.part, paths.journal, paths.owner, paths.blob)} == {stage.folder}
    assert paths.part.name == f".{NAME}.{digest.hex}.chunkdl-part"
    assert paths.locks == ()


def test_a_name_as_long_as_a_name_may_be_leaves_room_for_ours(tmp_path):
    paths = Stage(tmp_path, name="é" * 120 + ".pth").destination.paths_of
    stage = Stage(tmp_path, name="é" * 120 + ".pth")
    assert max(len(each.name.encode()) for each in (paths(stage.content).journal, paths(stage.content).blob)) <= 255
    stage.bring()
    stage.place()
    assert stage.final.read_bytes() == RIGHT


def test_a_file_of_the_longest_name_can_be_owned_and_taken_over(tmp_path):
    stage = Stage(tmp_path, name="n" * 251 + ".pth")
    stage.destination.prepare()
    owner = stage.destination.paths_of(stage.content).owner
    owned = Ownership.acquire(owner, lambda: 0.0)
    assert isinstance(owned, Owned)
    owned.leave()
    heir = Ownership.acquire(owner, lambda: 0.0)
    assert isinstance(heir, Owned)
    assert heir.generation == 2
    write_atomically(stage.destination.paths_of(stage.content).journal, b"")


def test_a_placed_file_is_known_the_next_time_without_hashing(tmp_path):
    stage = Stage(tmp_path)
    stage.bring()
    stage.place()
    assert Stage(tmp_path).content.action is Action.PRESENT


def test_a_file_of_the_right_size_is_hashed_where_it_stands_and_then_known(tmp_path):
    stage = Stage(tmp_path, PREFIX)
    stage.put(RIGHT)
    content = stage.content
    assert (content.action, content.reuse_from) == (Action.REUSE, (str(stage.final),))
    proof = stage.destination.reuse(stage.final, content)
    assert (proof.digest, proof.strength) == (WHOLE, Strength.PREFIX)
    stage.place()
    assert Stage(tmp_path, WHOLE).content.action is Action.PRESENT


def test_wrong_bytes_of_the_right_size_are_not_adopted_and_give_way_to_proven_ones(tmp_path):
    stage = Stage(tmp_path, PREFIX)
    stage.put(WRONG)
    assert stage.destination.reuse(stage.final, stage.content) is None
    stage.bring()
    assert stage.final.read_bytes() == WRONG
    stage.place()
    assert stage.final.read_bytes() == RIGHT


def test_nothing_foreign_is_adopted_or_replaced_where_nothing_proves_the_new_file(tmp_path):
    stage = Stage(tmp_path, UNPROVEN)
    stage.put(RIGHT)
    with pytest.raises(PlacementRefused, match="is not ours"):
        _ = stage.content
    forced = Stage(tmp_path, UNPROVEN, force=True)
    assert forced.content.action is Action.FETCH
    forced.bring()
    forced.place()


def test_a_file_of_another_address_is_not_replaced(tmp_path):
    other = Stage(tmp_path, Digest(DigestAlgorithm.SHA256, hashlib.sha256(WRONG).hexdigest()), "there")
    other.bring(WRONG)
    other.place()
    with pytest.raises(PlacementRefused, match="another address"):
        _ = Stage(tmp_path).content
    assert Stage(tmp_path, force=True).content.action is Action.REUSE


def test_the_same_file_of_another_address_is_the_same_file(tmp_path):
    other = Stage(tmp_path, address="there")
    other.bring()
    other.place()
    assert Stage(tmp_path).content.action is Action.PRESENT


def test_a_new_state_of_the_same_address_takes_the_place_of_the_old(tmp_path):
    old = Stage(tmp_path, UNPROVEN)
    old.bring(WRONG)
    old.place()
    new = Stage(tmp_path, Digest(DigestAlgorithm.UNPROVEN, "c" * 64))
    new.bring()
    new.place()
    assert new.final.read_bytes() == RIGHT


def test_who_came_in_between_is_noticed_at_placement(tmp_path):
    late = Stage(tmp_path)
    late.bring()
    other = Stage(tmp_path, Digest(DigestAlgorithm.SHA256, hashlib.sha256(WRONG).hexdigest()), "there")
    other.bring(WRONG)
    other.place()
    with pytest.raises(PlacementRefused):
        late.place()
    assert late.final.read_bytes() == WRONG


def test_placed_by_somebody_else_is_placed(tmp_path):
    stage, other = Stage(tmp_path), Stage(tmp_path)
    stage.bring()
    other.place()
    assert stage.place() == stage.folder


def test_what_went_away_is_told(tmp_path):
    stage = Stage(tmp_path)
    stage.destination.prepare()
    with pytest.raises(StoreBroken, match="went away"):
        stage.place()


def test_what_changed_while_it_was_hashed_is_told(tmp_path):
    stage = Stage(tmp_path, PREFIX)
    stage.put(RIGHT)
    assert stage.destination.reuse(stage.final, stage.content)
    stage.final.unlink()
    stage.put(WRONG)
    with pytest.raises(StoreBroken, match="written to"):
        stage.place()


def test_a_folder_in_the_way_is_refused(tmp_path):
    stage = Stage(tmp_path)
    stage.final.mkdir(parents=True)
    with pytest.raises(PlacementRefused, match="in the way"):
        _ = stage.content


def test_a_proven_content_that_waits_needs_no_fetch(tmp_path, digest):
    stage = Stage(tmp_path, digest)
    stage.bring()
    again = Stage(tmp_path, digest)
    content = again.content
    if digest.names_content:
        assert content.action is Action.PRESENT
    else:
        assert again.destination.reuse(again.destination.paths_of(content).blob, content).digest == WHOLE
    again.place()
    assert again.final.read_bytes() == RIGHT


def test_after_another_process_has_shown_it_the_proof_is_found_at_its_final_place(tmp_path):
    mine, theirs = Stage(tmp_path, PREFIX), Stage(tmp_path, PREFIX)
    content = mine.content
    theirs.bring()
    theirs.place()
    proof = mine.destination.reuse(mine.destination.paths_of(content).blob, content)
    assert (proof.digest, proof.strength) == (WHOLE, Strength.PREFIX)
