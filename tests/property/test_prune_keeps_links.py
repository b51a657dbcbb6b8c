import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chunkdl.caches.keepers import Keep
from chunkdl.caches.pruning import Policy, prune
from chunkdl.caches.removal import freed_bytes
from chunkdl.caches.removing import Remover
from tests.support.cache_rules import broken_rules
from tests.support.caches import Caches, commit

CONTENTS = tuple(bytes([65 + at]) * (200 + at) for at in range(5))
revisions = st.lists(
    st.tuples(
        st.sampled_from(["org/a", "org/b"]),
        st.dictionaries(st.sampled_from(["x.bin", "sub/y.bin", "z.bin"]), st.sampled_from(CONTENTS), min_size=1),
        st.sampled_from(["main", "v1", None]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)
policies = st.builds(
    Policy,
    older_than_s=st.sampled_from([0.0, 1e9]),
    keep_last=st.integers(0, 2),
    max_bytes=st.none() | st.integers(0, 2500),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(made=revisions, policy=policies, kept=st.sets(st.integers(1, 6)))
def test_what_stays_is_whole_and_what_was_promised_is_freed(made, policy, kept):
    with tempfile.TemporaryDirectory() as folder:
        caches = Caches(Path(folder))
        for number, (repo, files, ref, use_symlinks) in enumerate(made, 1):
            caches.place(repo, files, number, ref=ref, use_symlinks=use_symlinks)
        before = caches.seen()
        keeps = [Keep(made[number - 1][0], commit(number), "lock") for number in kept if number <= len(made)]
        removal = prune(before, policy, keeps, time.time() + 1).removal
        freed = freed_bytes(before, removal)
        Remover(before).remove(removal)
        after = caches.seen()
        gone = {(each.repo.id, one.commit) for each in removal.repos for one in each.revisions}
        assert gone.isdisjoint((keep.repo, keep.revision) for keep in keeps)
        assert [each.broken for each in after.repos if each.broken] == []
        for repo in before.repos:
            for revision in repo.revisions:
                if (repo.id, revision.commit) not in gone:
                    shown = {
                        entry.path: made[int(revision.commit, 16) - 1][1][entry.path] for entry in revision.entries
                    }
                    assert {entry.path: entry.where.read_bytes() for entry in revision.entries} == shown
        assert before.size - after.size == freed
        assert broken_rules(caches.hub) == []
