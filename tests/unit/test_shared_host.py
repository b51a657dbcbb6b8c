"""Mirrors of which only the answers tell that they lead to one data host."""

from scheduler_stage import Stage

from chunkdl.model import MIB

CDN = "cdn.example:443"


def crowd(*caps):
    """As many mirrors as caps, all with leases under way, none answered yet."""
    stage = Stage()
    for number, cap in enumerate(caps):
        stage.mirror(f"m{number}", max_connections=cap)
    stage.file(512 * MIB)
    return stage


def live(stage):
    gone = set(stage.cancelled())
    return [number for number in stage.live if number not in gone]


def test_together_they_keep_what_the_widest_of_them_may():
    stage = crowd(3, 3)
    begun = live(stage)
    assert len(begun) == 6
    for number in begun:
        stage.accept(number, host=CDN)
    assert len(live(stage)) == 3
    assert stage.host(CDN).mirrors == ("m0", "m1")


def test_hosts_of_their_own_are_left_alone():
    stage = crowd(3, 3)
    stage.accept(*live(stage))
    assert stage.cancelled() == []


def test_a_narrow_mirror_does_not_narrow_its_neighbour():
    stage = crowd(2, 4)
    for number in live(stage):
        stage.accept(number, host=CDN)
    assert len(live(stage)) == 4
