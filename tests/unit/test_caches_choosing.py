import pytest

from chunkdl.caches.choosing import Row, choose, in_order, parse_age, parse_size
from chunkdl.errors import UsageError

NOW = 1_000_000_000.0
DAY = 86_400.0


def row(name, kind="model", size=10, read=1, written=1):
    return Row(name, kind, name, size, NOW - read * DAY, NOW - written * DAY, None)


ROWS = (
    row("org/small", size=10, read=40, written=50),
    row("org/large", size=3 << 30, read=2, written=3),
    row("datasets/org/corpus", "dataset", 2_000_000_000, 100, 5),
    row("torch:net-12345678.pth", "torch", 500, 1, 1),
)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["size>1GB"], ["org/large", "datasets/org/corpus"]),
        (["size>1GB", "accessed>30d"], ["datasets/org/corpus"]),
        (["accessed<3d"], ["org/large", "torch:net-12345678.pth"]),
        (["modified>=5d"], ["org/small", "datasets/org/corpus"]),
        (["type=model"], ["org/small", "org/large"]),
        (["type=datasets", "type=torch"], ["datasets/org/corpus", "torch:net-12345678.pth"]),
        (["org/*"], ["org/small", "org/large"]),
        (["org/s*", "torch:*"], ["org/small", "torch:net-12345678.pth"]),
        (["size <= 500"], ["org/small", "torch:net-12345678.pth"]),
        ([], [each.id for each in ROWS]),
    ],
)
def test_words_choose(words, names):
    assert [each.id for each in choose(ROWS, words, NOW)] == names


@pytest.mark.parametrize("word", ["size>big", "size>20Mbit", "age>3d", "type=robot", "accessed>soon", "size>"])
def test_what_means_nothing_is_refused(word):
    with pytest.raises(UsageError):
        choose(ROWS, [word], NOW)


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("size", "org/large"),
        ("size:asc", "org/small"),
        ("accessed", "torch:net-12345678.pth"),
        ("accessed:asc", "datasets/org/corpus"),
        ("modified:asc", "org/small"),
        ("name", "org/large"),
        ("name:desc", "torch:net-12345678.pth"),
    ],
)
def test_orders(order, first):
    assert in_order(ROWS, order)[0].id == first


@pytest.mark.parametrize("order", ["weight", "size:up", ""])
def test_an_unknown_order_is_refused(order):
    with pytest.raises(UsageError):
        in_order(ROWS, order)


def test_sizes_and_ages():
    assert (parse_size("1GB"), parse_size("1GiB"), parse_size("1G")) == (10**9, 1 << 30, 1 << 30)
    assert (parse_age("2w"), parse_age("3"), parse_age("90m")) == (14 * DAY, 3 * DAY, 5400)
