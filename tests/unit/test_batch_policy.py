from datetime import UTC

import pytest

from chunkdl.batch.policy import PolicyText, policy_of, unknown_mirrors, zone_of
from chunkdl.batch.spending import overspent
from chunkdl.errors import UsageError


def test_off_is_no_budget_and_no_cap():
    policy = policy_of(PolicyText(budgets={"m": "off", "n": "2K"}, caps={"m": "off", "n": "1K"}), UTC)
    assert (policy.budgets, policy.caps) == ({"n": 2048}, {"n": 1024.0})
    assert overspent(policy.budgets, {}) == frozenset()


def test_a_budget_of_a_mirror_that_nobody_knows_is_said():
    policy = policy_of(PolicyText(budgets={"hf-miror.com": "20G"}, caps={"lab": "1M", "xyz": "1M"}), UTC)
    misspelt, strange = unknown_mirrors(policy, {"hf-mirror.com", "lab"})
    assert "budgets: no mirror of any job is called 'hf-miror.com'" in misspelt.message
    assert misspelt.message.endswith("did you mean hf-mirror.com?")
    assert "caps: no mirror of any job is called 'xyz'" in strange.message


def test_where_there_is_no_time_zone_database_the_hint_says_what_to_install(monkeypatch):
    monkeypatch.setattr("chunkdl.batch.policy.available_timezones", set)
    with pytest.raises(UsageError) as caught:
        zone_of("Atlantis/Capital")
    assert "tzdata" in caught.value.hint
