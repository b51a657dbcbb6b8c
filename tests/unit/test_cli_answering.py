import os
import signal

import pytest
from cli_stage import Stage

from chunkdl.cli.answering import Answer, answer, answer_stoppably
from chunkdl.cli.display import Unbreakable
from chunkdl.cli.surroundings import Surroundings
from chunkdl.progress_lines import Lines


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


def around_of(stage):
    return Surroundings(("cache", "rm", "x"), stage.environ, stage.stdout, stage.stderr, leave=stage.left.append)


def stops(signum):
    def make():
        os.kill(os.getpid(), signum)
        return Answer({})

    return make


class TestAnswer:
    @pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_is_one_more_failure(self, stage, signum, code):
        assert answer(around_of(stage), stops(signum), as_json=True, empty={"removals": []}) == code
        assert (stage.json["exit_code"], stage.json["error"]["code"]) == (code, "interrupted")
        assert stage.json["removals"] == []
        assert stage.err == "error: interrupted\nhint: run it again: chunkdl cache rm x\n"

    def test_a_keyboard_interrupt_that_no_signal_of_ours_brought_goes_on(self, stage):
        def make():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            answer(around_of(stage), make, as_json=False)

    def test_the_right_to_speak_is_claimed_before_the_answer_is_printed(self, stage):
        def make(stopping):
            assert stopping.may_speak()  # as the watchdog does, which is saying the last words then
            stopping.signum = signal.SIGTERM
            return Answer({}, ["too late"])

        assert answer_stoppably(around_of(stage), make, as_json=False) == 143
        assert (stage.out, stage.err) == ("", "")


@pytest.mark.parametrize(
    "where", ["chunkdl.cli.mirrors_export._Command._run", "chunkdl.cli.cache_removing.settings_of"]
)
def test_commands_that_write_end_in_their_own_shape(stage, monkeypatch, where):
    monkeypatch.setattr(where, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    argv = ("mirrors", "export", "org/a", "/nowhere") if "export" in where else ("cache", "rm", "org/a")
    assert stage.run(*argv, "--json") == 143
    told = stage.json
    errors = told["errors"] if "export" in where else [told["error"]]
    assert [each["code"] for each in errors] == ["interrupted"]
    assert told["exit_code"] == 143


class TestAside:
    def test_what_fails_by_itself_is_not_the_displays_fault(self, stage):
        display = Unbreakable(Lines(stage.stderr, stage.clock))

        def fails():
            raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match="No space"):
            display.aside(fails)
        display.say("done", "still heard")
        assert "still heard" in stage.err

    def test_it_is_called_once_even_if_the_display_breaks_before_it(self):
        class Gone:
            def aside(self, _act):
                raise BrokenPipeError

        called = []
        display = Unbreakable(Gone())
        display.aside(lambda: called.append("first"))
        display.aside(lambda: called.append("second"))
        assert called == ["first", "second"]
