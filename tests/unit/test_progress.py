import io
import json
from dataclasses import replace

import pytest
from cli_stage import Clock, Terminal, plan, progress

from chunkdl.model import ByteRange
from chunkdl.observe import CorruptionFound, FilePlaced, HostStatus, Notice, ReferencePlaced, ReferencePlanned
from chunkdl.progress import Bars
from chunkdl.progress_lines import BIG_FILE_BYTES, Lines, Ndjson, spell_mirrors, spell_progress


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stream():
    return io.StringIO()


def spoken(stream):
    return stream.getvalue().splitlines()


class TestLines:
    def test_progress_is_told_each_30_seconds_and_not_before(self, stream, clock):
        lines = Lines(stream, clock)
        for _ in range(61):
            lines.watch(progress())
            clock.now += 1.0
        assert len(spoken(stream)) == 2

    def test_silence_of_the_run_does_not_silence_the_log(self, stream, clock):
        lines = Lines(stream, clock)
        clock.now += 30.0
        lines.tick()
        assert spoken(stream) == ["progress: 30 s in: asking which files there are"]

    def test_a_tick_repeats_the_last_known_state(self, stream, clock):
        lines = Lines(stream, clock)
        lines.watch(progress())
        clock.now += 90.0
        lines.tick()
        assert spoken(stream)[0].startswith("progress: 1 min 30 s in: 10%, 42.0 MiB of 420 MiB, 10.0 MiB/s, 38 s left")

    def test_only_big_files_get_a_line(self, stream, clock):
        lines = Lines(stream, clock)
        lines.watch(FilePlaced("r", "config.json", BIG_FILE_BYTES - 1, "network"))
        lines.watch(FilePlaced("r", "model.safetensors", BIG_FILE_BYTES, "network"))
        assert spoken(stream) == ["file: model.safetensors proven and placed, 9.54 MiB"]

    def test_the_plan_says_what_is_here_and_what_is_left_out(self, stream, clock):
        Lines(stream, clock).watch(ReferencePlanned("bert-base-uncased", plan(resumed=True)))
        (line,) = spoken(stream)
        assert line == (
            "plan: bert-base-uncased: 2 files, 420 MiB, 210 MiB here already, 1 file (507 MiB) left out "
            "(commit 86b5e0934494)"
        )

    def test_corruption_names_the_liar(self, stream, clock):
        lines = Lines(stream, clock)
        lines.watch(CorruptionFound("model.safetensors", "evil.example:443", 3, repaired=True))
        where = tuple(ByteRange(at, at + 1) for at in (0, 5, 9, 12))
        lines.watch(CorruptionFound("f", "evil", 4, repaired=True, where=where))
        lines.watch(CorruptionFound("model.safetensors", None, 0, repaired=False))
        assert spoken(stream) == [
            "note: 3 wrong ranges of model.safetensors came from evil.example:443, replaced from elsewhere",
            "note: 4 wrong ranges of f came from evil ([0, 1), [5, 6), [9, 10), ...), replaced from elsewhere",
            "note: the digest of model.safetensors is wrong: fetching suspect ranges again from other hosts",
        ]

    def test_none_keeps_notes_and_drops_progress(self, stream, clock):
        lines = Lines(stream, clock, progress=False)
        lines.watch(ReferencePlanned("r", plan()))
        lines.watch(FilePlaced("r", "model.safetensors", BIG_FILE_BYTES, "network"))
        clock.now += 60.0
        lines.watch(progress())
        lines.watch(Notice("lagging", "a mirror lags"))
        assert spoken(stream) == ["note: a mirror lags"]

    def test_quiet_keeps_errors_and_hints(self, stream, clock):
        lines = Lines(stream, clock, progress=False, quiet=True)
        for kind in ("start", "note", "done", "load", "error", "hint"):
            lines.say(kind, "x")
        assert spoken(stream) == ["error: x", "hint: x"]

    def test_a_strangers_name_cannot_move_the_cursor_or_forge_a_line(self, stream, clock):
        Lines(stream, clock).watch(Notice("n", "model\x1b[2J\nerror: forged"))
        assert spoken(stream) == ["note: model\\x1b[2J\\x0aerror: forged"]

    def test_placed_references_belong_to_stdout(self, stream, clock):
        Lines(stream, clock).watch(ReferencePlaced("r", "/cache/snap"))
        assert spoken(stream) == []


class TestOneLine:
    def test_waiting_for_another_process_is_said_instead_of_a_rate_of_zero(self):
        assert spell_progress(progress(waiting_for="pid 71 on nodeA")).startswith("waiting for pid 71 on nodeA")

    def test_no_time_left_is_invented_while_no_rate_is_known(self):
        assert "left" not in spell_progress(progress(eta_s=None))

    def test_stored_is_not_called_done_before_it_is_proven(self):
        assert "all bytes here, proving them" in spell_progress(progress(done=440_401_920, eta_s=0.0))

    def test_almost_all_is_not_all(self):
        assert spell_progress(progress(done=440_401_919)).startswith("99%")

    def test_nothing_known_is_not_called_complete(self):
        unknown = replace(progress(done=0, total=0, eta_s=None), files_done=0, files_total=0, hosts=())
        assert spell_progress(unknown) == "asking which files there are"

    def test_a_host_is_named_once_unless_it_is_elsewhere(self):
        assert spell_mirrors("hub.example:443", ("hub.example",)) == "hub.example"
        assert spell_mirrors("127.0.0.1:81", ("127.0.0.1:81",)) == "127.0.0.1:81"
        assert spell_mirrors("127.0.0.1:82", ("127.0.0.1:81",)) == "127.0.0.1:81 via 127.0.0.1:82"
        assert spell_mirrors("cdn.example:443", ("a.example", "b.example")) == "a.example+b.example via cdn.example:443"
        assert spell_mirrors("cdn.example:443", ()) == "cdn.example:443"

    def test_hosts_with_connections_are_listed_and_troubles_named(self):
        text = spell_progress(progress())
        assert text.endswith("hf-mirror.com via cdn.example:443 8.00 MiB/s x4, huggingface.co 0 B/s x1 stalled")


class TestNdjson:
    def objects(self, stream):
        return [json.loads(line) for line in spoken(stream)]

    def test_each_event_is_one_object(self, stream, clock):
        display = Ndjson(stream, clock)
        display.watch(Notice("lagging", "a mirror\nlags"))
        display.watch(ReferencePlanned("bert-base-uncased", plan(resumed=True)))
        display.watch(FilePlaced("r", "config.json", 5, "network"))
        display.watch(CorruptionFound("f", None, 1, repaired=False))
        display.watch(ReferencePlaced("r", "/cache/snap"))
        display.say("error", "no", code="not-found", mirror=None, file=None)
        events = self.objects(stream)
        names = [each["event"] for each in events]
        assert names == ["notice", "planned", "file-placed", "corruption", "placed", "error"]
        assert events[1]["bytes_total"] == 440_450_338
        assert events[1]["bytes_reused"] + events[1]["bytes_to_fetch"] == events[1]["bytes_total"]
        assert events[5] == {"event": "error", "message": "no", "code": "not-found", "mirror": None, "file": None}

    def test_progress_is_thinned_to_one_a_second_and_the_newest_wins(self, stream, clock):
        display = Ndjson(stream, clock)
        for tenth in range(21):
            clock.now = 100.0 + tenth / 10
            display.watch(progress(done=tenth))
        display.close()
        assert [each["done_bytes"] for each in self.objects(stream)] == [0, 10, 20]

    def test_the_last_state_is_written_before_the_end(self, stream, clock):
        display = Ndjson(stream, clock)
        display.watch(progress(done=1))
        display.watch(progress(done=2))
        display.watch(ReferencePlaced("r", "/cache/snap"))
        assert [each.get("done_bytes") for each in self.objects(stream)] == [1, 2, None]

    def test_fields_are_numbers_and_hosts_are_objects(self, stream, clock):
        Ndjson(stream, clock).watch(progress())
        (event,) = self.objects(stream)
        assert event["eta_s"] == 37.8
        assert event["hosts"][1] == {
            "host": "huggingface.co:443",
            "mirrors": ["huggingface.co"],
            "bytes": 14_040_192,
            "rate_bytes_per_s": 0.0,
            "connections": 1,
            "state": "stalled",
            "errors": 2,
        }


class TestBars:
    @pytest.fixture
    def screen(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "140")
        monkeypatch.setenv("LINES", "40")
        return Terminal()

    def test_share_goodput_time_left_and_hosts_are_drawn(self, screen):
        bars = Bars(screen)
        bars.watch(progress())
        drawn = screen.getvalue()
        bars.close()
        assert " 10%|" in drawn
        assert "42.0 MiB of 420 MiB, 10.0 MiB/s, 38 s left, 1 of 9 files" in drawn
        assert "hf-mirror.com via cdn.example:443   8.00 MiB/s x4   28.6 MiB active" in drawn
        assert "stalled, 2 errors" in drawn

    def test_ascii_where_the_stream_carries_no_more(self, screen):
        class Latin(Terminal):
            encoding = "iso-8859-1"

        narrow = Latin()
        for stream in (narrow, screen):
            bars = Bars(stream)
            bars.watch(progress(done=220_200_960))
            bars.close()
        assert narrow.getvalue().isascii()
        assert not screen.getvalue().isascii()

    def test_lines_scroll_above_and_bars_vanish_at_the_end(self, screen):
        bars = Bars(screen)
        bars.watch(progress())
        bars.watch(CorruptionFound("model.safetensors", "evil", 3, repaired=True))
        bars.close()
        bars.say("done", "all")
        assert "note: 3 wrong ranges of model.safetensors came from evil" in screen.getvalue()
        assert screen.getvalue().endswith("done: all\n")

    def test_braces_in_names_are_text(self, screen):
        host = HostStatus("x", ("{0}{bar}",), 1, 1.0, 1, "active")
        bars = Bars(screen)
        bars.watch(replace(progress(), hosts=(host,), waiting_for="{x}"))
        bars.close()
        assert "{0}{bar}" in screen.getvalue()
        assert "waiting for {x}" in screen.getvalue()

    def test_nothing_to_fetch_is_no_division_by_zero(self, screen):
        bars = Bars(screen)
        bars.watch(progress(done=0, total=0, eta_s=None))
        bars.close()
        assert "100%|" in screen.getvalue()

    def test_nothing_known_is_not_drawn_as_complete(self, screen):
        bars = Bars(screen)
        bars.watch(replace(progress(done=0, total=0, eta_s=None), files_done=0, files_total=0, hosts=()))
        bars.close()
        assert "asking which files there are" in screen.getvalue()
        assert "100%" not in screen.getvalue()

    def test_writing_elsewhere_happens_on_a_clean_screen(self, screen):
        bars = Bars(screen)
        bars.watch(progress())
        bars.aside(lambda: screen.write("<path>"))
        bars.close()
        before, after = screen.getvalue().split("<path>")
        assert before.endswith("\r")
        assert "10%|" in after

    def test_quiet_bars_speak_errors_only(self, screen):
        bars = Bars(screen, quiet=True)
        bars.say("note", "not this")
        bars.say("error", "but this")
        assert screen.getvalue() == "error: but this\n"
