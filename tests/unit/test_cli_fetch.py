import asyncio
import json
import shlex
from dataclasses import replace

import pytest
from cli_stage import COMMIT, CONFIG, Stage, file_report, good_report, placed_result, places, plan, progress, raises

from chunkdl.errors import ArtifactNotFound, DiskFull
from chunkdl.identify.lockfile import Lock, LockedArtifact, LockedSelection
from chunkdl.identify.references import parse_reference
from chunkdl.model import RemoteFile
from chunkdl.observe import Notice, ReferencePlaced, ReferencePlanned
from chunkdl.pipeline.locking import write_lock
from chunkdl.report import ErrorReport, ReferenceReport, Report


def failed(ref, message="no such repository", exit_code=3):
    error = ErrorReport("not-found", message, None, None, "look for typing mistakes")
    return ReferenceReport(ref, ok=False, exit_code=exit_code, error=error)


@pytest.fixture
def one(tmp_path):
    return Stage(tmp_path, places(("bert-base-uncased", "/cache/snap")))


class TestStdout:
    def test_is_the_path_and_nothing_else(self, one):
        assert one.run("fetch", "bert-base-uncased") == 0
        assert one.out == "/cache/snap\n"

    def test_has_no_colours_even_if_stderr_is_a_terminal(self, tmp_path):
        stage = Stage(tmp_path, places(("a/b", "/x")), terminal=True)
        stage.run("fetch", "a/b")
        assert stage.out == "/x\n"

    def test_paths_come_in_the_order_of_the_references(self, tmp_path):
        report = good_report(placed_result("a/1", "/1"), placed_result("a/2", "/2"), placed_result("a/3", "/3"))
        stage = Stage(tmp_path, places(("a/3", "/3"), ("a/1", "/1"), ("a/2", "/2"), report=report))
        stage.run("fetch", "a/1", "a/2", "a/3")
        assert stage.out == "/1\n/2\n/3\n"

    def test_a_path_is_printed_as_soon_as_it_is_placed(self, tmp_path):
        seen = []

        async def pipeline(references, observer):
            observer(ReferencePlaced("a/1", "/1"))
            seen.append(stage.out)
            return good_report(placed_result("a/1", "/1"), placed_result("a/2", "/2"))

        stage = Stage(tmp_path, pipeline)
        stage.run("fetch", "a/1", "a/2")
        assert seen == ["/1\n"]
        assert stage.out == "/1\n/2\n"

    def test_a_failed_reference_leaves_no_line(self, tmp_path):
        report = good_report(failed("a/1"), placed_result("a/2", "/2"), failed("a/3"))
        stage = Stage(tmp_path, places(("a/2", "/2"), report=report))
        assert stage.run("fetch", "a/1", "a/2", "a/3") == 3
        assert stage.out == "/2\n"

    def test_the_same_reference_twice_is_printed_twice(self, tmp_path):
        stage = Stage(tmp_path, places(("a/1", "/1"), ("a/1", "/1")))
        stage.run("fetch", "a/1", "a/1")
        assert stage.out == "/1\n/1\n"

    def test_a_path_that_is_no_utf8_is_written_as_the_file_system_spells_it(self, tmp_path):
        stage = Stage(tmp_path, places(("a/1", "/caf\udce9")))
        stage.run("fetch", "a/1")
        assert stage.stdout.getvalue() == b"/caf\xe9\n"


class TestJson:
    def test_is_exactly_one_object_and_no_path_line(self, one):
        assert one.run("fetch", "bert-base-uncased", "--json") == 0
        assert one.json["results"][0]["path"] == "/cache/snap"

    def test_of_a_failure(self, tmp_path):
        error = ArtifactNotFound("org/nmae does not exist", hint="look for typing mistakes", mirror="huggingface.co")
        stage = Stage(tmp_path, raises(error))
        assert stage.run("fetch", "--json", "org/nmae", "org/other") == 3
        assert stage.json["exit_code"] == 3
        assert [each["ref"] for each in stage.json["results"]] == ["org/nmae", "org/other"]
        assert stage.json["results"][0]["error"] == {
            "code": "not-found",
            "message": "org/nmae does not exist",
            "mirror": "huggingface.co",
            "file": None,
            "hint": "look for typing mistakes",
        }

    def test_of_a_setting_that_means_nothing(self, one):
        assert one.run("fetch", "bert-base-uncased", "--json", "--limit-rate", "fast") == 2
        assert one.json["results"][0]["error"]["code"] == "usage"

    def test_of_a_mistyped_option(self, one):
        assert one.run("fetch", "bert-base-uncased", "--json", "--mirorr", "https://x") == 2
        assert one.json["exit_code"] == 2

    def test_of_a_bug_and_the_traceback_is_not_lost(self, tmp_path):
        stage = Stage(tmp_path, raises(ZeroDivisionError("oops")))
        assert stage.run("fetch", "a/b", "--json") == 1
        assert stage.json["results"][0]["error"]["code"] == "internal"
        assert "Traceback" in stage.err
        assert "error: chunkdl has a bug: ZeroDivisionError: oops" in stage.err


class TestErrors:
    def test_are_one_line_with_the_remedy_on_the_next(self, tmp_path):
        stage = Stage(tmp_path, raises(DiskFull("the cache needs 9 bytes\nand has 3", hint="free some space")))
        assert stage.run("fetch", "a/b", "-q") == 6
        assert stage.err == "error: the cache needs 9 bytes and has 3\nhint: free some space\n"
        assert stage.out == ""

    def test_of_several_references_are_told_apart(self, tmp_path):
        report = good_report(failed("a/1", "no such repository"), placed_result("a/2", "/2"), failed("a/3", "gated"))
        stage = Stage(tmp_path, places(("a/2", "/2"), report=report))
        stage.run("fetch", "a/1", "a/2", "a/3", "-q")
        errors = [line for line in stage.err.splitlines() if line.startswith("error")]
        assert errors == ["error: a/1: no such repository", "error: a/3: gated"]

    def test_the_first_failing_reference_decides_the_exit_code(self, tmp_path):
        report = Report((placed_result("a/1"), failed("a/2", exit_code=4), failed("a/3", exit_code=3)))
        assert Stage(tmp_path, places(report=report)).run("fetch", "a/1", "a/2", "a/3") == 4

    def test_a_vanished_reader_of_stdout_does_not_break_the_fetch(self, tmp_path):
        stage = Stage(tmp_path, places(("a/1", "/1"), ("a/2", "/2")))
        stage.stdout = Broken()
        assert stage.run("fetch", "a/1", "a/2") == 0

    def test_a_vanished_reader_of_stderr_does_not_break_the_fetch(self, tmp_path):
        stage = Stage(tmp_path, places(("a/1", "/1")))
        stage.stderr = BrokenText()
        assert stage.run("fetch", "a/1") == 0
        assert stage.out == "/1\n"


class Broken:
    def write(self, data):
        raise BrokenPipeError

    def fileno(self):
        raise OSError


class BrokenText:
    closed = False

    def isatty(self):
        return False

    def write(self, text):
        raise BrokenPipeError

    def flush(self):
        raise BrokenPipeError


class TestStderr:
    def test_a_log_begins_at_once_and_ends_with_how_to_load(self, one):
        one.run("fetch", "bert-base-uncased")
        lines = one.err.splitlines()
        assert lines[0] == "start: fetching bert-base-uncased"
        assert lines[-1] == (
            "load: HF_HUB_OFFLINE=1 python -c 'from transformers import AutoModel; "
            'AutoModel.from_pretrained("bert-base-uncased")\''
        )

    def test_the_summary_says_who_gave_what(self, one):
        one.run("fetch", "bert-base-uncased")
        (done,) = [line for line in one.err.splitlines() if line.startswith("done:")]
        assert done == (
            "done: 420 MiB fetched in 22 s, 19.5 MiB/s, 1.00 MiB came in vain, "
            "hf-mirror.com gave 286 MiB, huggingface.co gave 134 MiB"
        )

    def test_what_was_left_out_is_said_with_the_way_to_get_it(self, one):
        one.run("fetch", "bert-base-uncased")
        assert "3 files (1.40 GiB) not needed to load it were left out; --format all fetches everything" in one.err

    def test_quiet_is_empty(self, one):
        one.run("fetch", "-q", "bert-base-uncased")
        assert one.err == ""

    def test_notices_are_told_once(self, tmp_path):
        async def pipeline(references, observer):
            observer(Notice("lagging", "mirror x lags"))
            return good_report()

        stage = Stage(tmp_path, pipeline)
        stage.run("fetch", "bert-base-uncased", "--progress", "none")
        assert stage.err.count("mirror x lags") == 1

    def test_everything_on_stderr_is_ndjson_if_asked_for(self, tmp_path):
        async def pipeline(references, observer):
            observer(progress())
            observer(ReferencePlanned("a/b", plan()))
            return good_report(failed("a/b"))

        stage = Stage(tmp_path, pipeline)
        stage.run("fetch", "a/b", "--progress", "json")
        events = [json.loads(line)["event"] for line in stage.err.splitlines()]
        assert events == ["start", "progress", "planned", "error", "hint"]

    def test_nothing_to_do_is_said_as_such(self, tmp_path):
        result = placed_result(path="/snap")
        stage = Stage(tmp_path, places(("bert-base-uncased", "/snap"), report=Report((result,))))
        stage.run("fetch", "bert-base-uncased")
        assert "nothing to fetch" in stage.err

    def test_bars_on_a_terminal_lines_elsewhere(self, tmp_path):
        async def pipeline(references, observer):
            observer(progress())
            return good_report()

        screen, log = Stage(tmp_path, pipeline, terminal=True), Stage(tmp_path, pipeline)
        screen.run("fetch", "bert-base-uncased")
        log.run("fetch", "bert-base-uncased")
        assert "%|" in screen.err
        assert "%|" not in log.err

    def test_no_color_is_obeyed(self, tmp_path):
        for environ, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            stage = Stage(tmp_path, raises(ArtifactNotFound("gone")), terminal=True, environ=environ)
            stage.run("fetch", "a/b", "--progress", "none")
            assert ("\x1b[31;1merror:\x1b[0m gone" in stage.err) == coloured


class TestWhatIsPassedOn:
    def test_every_option_reaches_the_pipeline(self, one):
        code = one.run(
            *("fetch", "org/a", "--revision", "v1", "--include", "*.json", "--include", "*.txt", "--exclude", "x*"),
            *("--format", "bin", "--variant", "fp16", "--quant", "Q4_K_M", "--force", "--bwlimit", "20M"),
            *("--connections", "4", "--no-space-check"),
        )
        assert code == 0
        references, options, _ = one.asked
        assert tuple(references) == ("org/a",)
        assert (options.revision, tuple(options.include), tuple(options.exclude)) == (
            "v1",
            ("*.json", "*.txt"),
            ("x*",),
        )
        assert (options.format, options.variant, options.quant) == ("bin", "fp16", "Q4_K_M")
        assert (options.force, options.dry_run) == (True, False)
        assert options.limit_rate_bytes_per_s == 20 * 1024 * 1024
        assert options.connections == 4
        assert options.space_check is False

    def test_every_source_option_reaches_the_settings(self, one, tmp_path):
        one.run(
            *("fetch", "org/a", "--mirror", "https://one.example", "--add-mirror", "two.example"),
            *("--origin", "https://hub.example", "--trust", "strict", "--cache-dir", str(tmp_path / "c"), "--offline"),
        )
        settings = one.asked[2]
        assert settings.origin.url == "https://hub.example"
        assert [each.name for each in settings.mirrors] == ["one.example", "two.example"]
        assert settings.trust == "strict"
        assert settings.cache_dir == tmp_path / "c"
        assert settings.offline is True

    def test_online_overrides_the_environment(self, tmp_path):
        stage = Stage(tmp_path, places(("a/b", "/x")), environ={"HF_HUB_OFFLINE": "1"})
        stage.run("fetch", "a/b")
        assert stage.asked[2].offline is True
        stage.run("fetch", "a/b", "--online")
        assert stage.asked[2].offline is False

    def test_no_limit_is_zero(self, one):
        one.run("fetch", "org/a")
        assert one.asked[1].limit_rate_bytes_per_s == 0
        assert one.asked[1].connections == 0


class TestDryRun:
    @pytest.fixture
    def stage(self, tmp_path):
        async def pipeline(references, observer):
            observer(ReferencePlanned(references[0], plan(resumed=True)))
            return good_report(placed_result(path=None, files=()))

        return Stage(tmp_path, pipeline)

    def test_prints_the_plan_as_a_table(self, stage):
        assert stage.run("fetch", "bert-base-uncased", "--dry-run", "--no-mirrors") == 0
        assert stage.asked[1].dry_run is True
        assert stage.out.splitlines() == [
            "# bert-base-uncased  commit 86b5e0934494bd15c9632b12f734a8a67f723594  listed by huggingface.co",
            "FILE                  SIZE  ACTION          FROM",
            "config.json          570 B  present",
            "model.safetensors  420 MiB  resume 210 MiB  huggingface.co",
            (
                "# 2 files, 420 MiB, 210 MiB to fetch, 210 MiB here already, 1 file (507 MiB) left out, "
                "--format all fetches them"
            ),
        ]

    def test_as_json_is_one_object_and_no_table(self, stage):
        stage.run("fetch", "bert-base-uncased", "--dry-run", "--json")
        assert stage.json["ok"] is True

    def test_says_nothing_about_loading(self, stage):
        stage.run("fetch", "bert-base-uncased", "--dry-run")
        assert "load:" not in stage.err


class TestHeartbeat:
    def test_a_display_is_ticked_while_the_run_says_nothing(self, tmp_path):
        async def pipeline(references, observer):
            stage.clock.now += 31.0
            ticked = asyncio.Event()
            plain_write = stage.stderr.write

            def write(text):
                if "asking which" in text:
                    ticked.set()
                return plain_write(text)

            stage.stderr.write = write
            await asyncio.wait_for(ticked.wait(), 5)
            return good_report()

        stage = Stage(tmp_path, pipeline)
        assert stage.run("fetch", "bert-base-uncased") == 0


class TestLoadingLine:
    def line(self, tmp_path, *argv, files=("config.json", "model.safetensors"), ref="org/a", environ=()):
        reports = tuple(file_report(RemoteFile(each, 1, CONFIG.digest)) for each in files)
        result = ReferenceReport(ref, ok=True, exit_code=0, path="/x", files=reports)
        stage = Stage(tmp_path, places((ref, "/x"), report=good_report(result)), environ=environ)
        stage.run("fetch", ref, *argv)
        lines = [each for each in stage.err.splitlines() if each.startswith("load: ")]
        return lines[0].removeprefix("load: ") if lines else None

    def test_names_revision_variant_and_an_unusual_cache(self, tmp_path):
        line = self.line(tmp_path, "--variant", "fp16", "--cache-dir", str(tmp_path), ref="org/a@v1")
        assert line == (
            "HF_HUB_OFFLINE=1 python -c 'from transformers import AutoModel; AutoModel.from_pretrained("
            f'"org/a", revision="v1", variant="fp16", cache_dir="{tmp_path}")\''
        )

    def test_a_cache_from_the_environment_is_found_by_loaders_too(self, tmp_path):
        assert "cache_dir" not in self.line(tmp_path, environ={"HF_HUB_CACHE": str(tmp_path / "c")})

    @pytest.mark.parametrize(
        ("files", "expected"),
        [
            (("model_index.json", "unet/config.json"), 'DiffusionPipeline.from_pretrained("org/a")'),
            (("config.json", "modules.json"), 'SentenceTransformer("org/a")'),
            (("adapter_config.json", "adapter_model.safetensors"), 'snapshot_download("org/a", local_files_only=True)'),
            (("config.json", "tokenizer.json"), 'snapshot_download("org/a", local_files_only=True)'),
            (("config.json", "onnx/model.onnx"), 'snapshot_download("org/a", local_files_only=True)'),
            (("config.json", "vae/model.safetensors"), 'snapshot_download("org/a", local_files_only=True)'),
            (("config.json", "a.Q4_K_M.gguf"), 'AutoModel.from_pretrained("org/a", gguf_file="a.Q4_K_M.gguf")'),
            (("config.json", "a.gguf", "b.gguf"), 'snapshot_download("org/a", local_files_only=True)'),
            (("config.json", "a.gguf", "pytorch_model.bin"), 'AutoModel.from_pretrained("org/a")'),
            (("config.json", "model-00001-of-00002.safetensors"), 'AutoModel.from_pretrained("org/a")'),
            (("weights.gguf",), 'snapshot_download("org/a", local_files_only=True)'),
        ],
    )
    def test_the_library_follows_from_the_files(self, tmp_path, files, expected):
        assert expected in self.line(tmp_path, files=files)

    def test_each_library_has_its_own_word_for_the_cache(self, tmp_path):
        line = self.line(tmp_path, "--cache-dir", str(tmp_path), files=("config.json", "modules.json"))
        assert f'SentenceTransformer("org/a", cache_folder="{tmp_path}")' in line

    def test_what_a_lock_fixes_is_named(self, tmp_path):
        named = replace(parse_reference("org/a"), revision="v1")
        selection = LockedSelection(variant="fp16")
        locked = LockedArtifact("org/a", named, "org/a", COMMIT, "hub", True, 1.0, selection, (CONFIG,))
        write_lock(tmp_path / "lock", Lock((locked,)))
        result = placed_result("org/a", "/x", revision="v1")
        stage = Stage(tmp_path, places(("org/a", "/x"), report=good_report(result)))
        assert stage.run("fetch", "--locked", str(tmp_path / "lock")) == 0
        assert 'AutoModel.from_pretrained("org/a", revision="v1", variant="fp16")' in stage.err

    def test_a_dataset_is_found_as_a_dataset(self, tmp_path):
        line = self.line(tmp_path, ref="datasets/org/a", files=("data.parquet",))
        assert 'snapshot_download("org/a", repo_type="dataset", local_files_only=True)' in line

    def test_a_revision_cannot_break_out_of_the_quotes(self, tmp_path):
        line = self.line(tmp_path, "--revision", "x';\"rm")
        assert shlex.split(line)[3].endswith('AutoModel.from_pretrained("org/a", revision="x\';\\"rm")')

    def test_a_single_file_needs_no_line(self, tmp_path):
        assert self.line(tmp_path, ref="hf://org/a/config.json") is None
