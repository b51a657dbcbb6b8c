import os
import time
from dataclasses import replace

import pytest

from chunkdl.caches.keepers import Keep
from chunkdl.caches.pruning import Policy, prune
from chunkdl.caches.removal import freed_bytes
from tests.support.caches import DAY_S, Caches, age, commit, dead, living, stranger

BIG = b"w" * 5000
OTHER = b"o" * 3000


@pytest.fixture
def caches(tmp_path):
    return Caches(tmp_path)


def decided(caches, policy=None, keeps=(), *, in_days=0.0):
    seen = caches.seen()
    return seen, prune(seen, policy or Policy(), keeps, time.time() + in_days * DAY_S)


def gone(verdict):
    return {(each.repo.id, one.commit) for each in verdict.removal.repos for one in each.revisions}


def test_what_a_ref_names_stays(caches):
    caches.place("org/name", {"a.bin": BIG})
    _, verdict = decided(caches, in_days=1000)
    assert verdict.removal.is_empty


def test_a_detached_revision_goes_with_what_only_it_shows(caches):
    caches.place("org/name", {"a.bin": BIG, "old.bin": OTHER}, 1)
    caches.place("org/name", {"a.bin": BIG}, 2)
    seen, verdict = decided(caches)
    (removal,) = verdict.removal.repos
    assert gone(verdict) == {("org/name", commit(1))}
    assert [each.size for each in removal.blobs] == [3000]
    assert not removal.whole
    assert freed_bytes(seen, verdict.removal) == 3000


def test_the_newest_revisions_stay_if_asked_to(caches):
    for number in (1, 2, 3):
        caches.place("org/name", {"a.bin": BIG + bytes([number])}, number, ref=None)
        for blob in caches.repo("org/name").blobs.iterdir():
            age(blob, 100)
    _, verdict = decided(caches, Policy(keep_last=2))
    assert gone(verdict) == {("org/name", commit(1))}


@pytest.mark.parametrize("revision", [commit(1), None])
def test_what_somebody_counts_on_stays_and_is_said(caches, revision):
    caches.place("org/name", {"a.bin": BIG}, ref=None)
    _, verdict = decided(caches, keeps=[Keep("org/name", revision, "lock file x")])
    assert verdict.removal.is_empty
    assert "kept for lock file x" in verdict.kept[0]


def test_a_wish_for_another_commit_keeps_nothing(caches):
    caches.place("org/name", {"a.bin": BIG}, ref=None)
    _, verdict = decided(caches, keeps=[Keep("org/name", commit(7), "x"), Keep("org/other", commit(1), "y")])
    assert gone(verdict) == {("org/name", commit(1))}


def test_files_of_somebodys_own_keep_their_revision(caches):
    repo = caches.place("org/name", {"a.bin": BIG}, ref=None)
    (repo.snapshot(commit(1)) / "notes.txt").write_text("mine")
    _, verdict = decided(caches)
    assert verdict.removal.is_empty
    assert "notes.txt" in verdict.kept[0]


@pytest.mark.parametrize(
    ("owner", "days", "goes"),
    [
        (None, 15, True),
        (None, 13, False),
        (dead(), 15, True),
        (living(), 99, False),
        (stranger(), 0.5, False),
        (stranger(), 15, True),
    ],
)
def test_a_transfer_goes_once_nobody_is_at_it_and_two_weeks_are_over(caches, owner, days, goes):
    caches.begin("org/name", BIG, 2000, owner=owner)
    _, verdict = decided(caches, in_days=days)
    assert [len(each.partials) for each in verdict.removal.repos] == ([1] if goes else [])


def test_nothing_goes_of_a_repository_that_somebody_is_fetching_into(caches):
    caches.place("org/name", {"a.bin": BIG}, ref=None)
    caches.begin("org/name", OTHER, 2000, owner=living())
    _, verdict = decided(caches, Policy(max_bytes=0), in_days=99)
    assert verdict.removal.is_empty
    assert "a fetch is under way" in verdict.kept[0]


def test_contents_that_nothing_shows_yet_wait_for_their_fetch(caches):
    repo = caches.place("org/name", {"a.bin": BIG})
    (repo.blobs / ("a" * 64)).write_bytes(OTHER)
    assert decided(caches, in_days=13)[1].removal.is_empty
    (removal,) = decided(caches, in_days=15)[1].removal.repos
    assert [each.path.name for each in removal.blobs] == ["a" * 64]


def test_leftovers_of_the_dead_go_at_once_and_those_of_strangers_after_a_day(caches):
    repo = caches.place("org/name", {"a.bin": BIG})
    (repo.blobs / "0123.chunkdl-new").write_bytes(OTHER)
    seen = caches.seen()
    assert prune(seen, Policy(), (), time.time()).removal.is_empty
    assert len(prune(seen, Policy(), (), time.time() + 1.1 * DAY_S).removal.repos[0].litter) == 1
    repos = [replace(each, dead_litter=frozenset({repo.blobs / "0123.chunkdl-new"})) for each in seen.repos]
    known_dead = replace(seen, repos=tuple(repos))
    assert len(prune(known_dead, Policy(), (), time.time()).removal.repos[0].litter) == 1


def test_a_repository_with_broken_links_is_left_alone(caches):
    repo = caches.place("org/name", {"a.bin": BIG, "b.bin": OTHER}, ref=None)
    next(each for each in repo.blobs.iterdir()).unlink()
    _, verdict = decided(caches)
    assert verdict.removal.is_empty
    assert "verify --repair mends it" in verdict.kept[0]


@pytest.mark.parametrize("says", [commit(2).encode(), commit(1).encode() + b"\n", b"", b"\xff\xfe"])
def test_while_a_ref_leads_nowhere_no_revision_goes(caches, says):
    """As after an `hf download` that failed: the ref was moved before the first file, the old commit still loads."""
    repo = caches.place("org/name", {"a.bin": BIG})
    repo.ref("main").write_bytes(says)
    seen, verdict = decided(caches, Policy(max_bytes=0), in_days=99)
    assert verdict.removal.is_empty
    assert verdict.kept[0].startswith("org/name: the ref main names ")
    assert verdict.kept[0].endswith("which is not here; a fetch mends it, rm removes it")
    assert [each.path for each in seen.repos[0].revisions[0].entries] == ["a.bin"]


def used(path, days):
    now = time.time()
    os.utime(path, (now - days * DAY_S, now - days * DAY_S))


def test_what_was_read_longest_ago_goes_until_the_rest_fits(caches):
    for name, days in (("org/old", 30), ("org/new", 1), ("org/middle", 10)):
        repo = caches.place(name, {"a.bin": name.encode() * 400})
        used(next(repo.blobs.iterdir()), days)
    used(caches.checkpoint("net", BIG), 20)
    seen, verdict = decided(caches, Policy(max_bytes=seen_bytes(caches) - 2801))
    assert gone(verdict) == {("org/old", commit(1))}
    assert [each.name.startswith("net") for each in verdict.removal.checkpoints] == [True]
    assert freed_bytes(seen, verdict.removal) == 2800 + 5000


def test_a_stale_transfer_of_torch_makes_room_before_any_model_goes(caches):
    caches.place("org/name", {"a.bin": BIG})
    caches.torch.mkdir(parents=True)
    (caches.torch / f".net.pth.{'c' * 64}.chunkdl-part").write_bytes(BIG * 4)
    _, verdict = decided(caches, Policy(max_bytes=6000), in_days=15)
    assert (len(verdict.removal.torch_partials), gone(verdict), verdict.kept) == (1, set(), ())


def seen_bytes(caches):
    return caches.seen().size


def test_removing_one_of_two_that_share_frees_nothing(caches):
    caches.place("org/name", {"a.bin": BIG}, 1, ref="v1")
    caches.place("org/name", {"a.bin": BIG}, 2, ref="v2")
    _, verdict = decided(caches, Policy(max_bytes=0))
    assert len(gone(verdict)) == 2
    assert sum(each.size for each in verdict.removal.repos[0].blobs) == 5000


def test_a_wish_beats_the_size(caches):
    caches.place("org/name", {"a.bin": BIG})
    path = caches.checkpoint("net", BIG)
    keeps = [Keep("org/name", commit(1), "x"), Keep(f"torch:{path.name}", None, "x")]
    _, verdict = decided(caches, Policy(max_bytes=0), keeps)
    assert verdict.removal.is_empty
    assert "more than asked for stay" in verdict.kept[-1]


def test_what_was_begun_for_somebody_waits_for_them_however_long(caches):
    repo = caches.repo("org/name")
    caches.begin("org/name", BIG, 2000)
    (repo.blobs / ("a" * 64)).write_bytes(OTHER)
    assert decided(caches, keeps=[Keep("org/name", "main", "job 7")], in_days=99)[1].removal.is_empty
    assert not decided(caches, in_days=99)[1].removal.is_empty
