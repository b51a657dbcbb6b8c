"""A stage for the command line: streams, environment and a pipeline that tests hold in their hands."""

import io
import json
from pathlib import Path

from chunkdl.cli.main import main
from chunkdl.cli.surroundings import Surroundings
from chunkdl.core.planner import Action, Plan, PlannedContent
from chunkdl.model import Artifact, Authority, AuthorityKind, ByteRange, Digest, DigestAlgorithm, Reference, RemoteFile
from chunkdl.observe import HostStatus, Notice, Progress, ReferencePlaced
from chunkdl.report import FileReport, HostReport, LeftOut, ReferenceReport, Report, Totals

COMMIT = "86b5e0934494bd15c9632b12f734a8a67f723594"
SHA256 = Digest(DigestAlgorithm.SHA256, "a" * 64)
GIT_SHA1 = Digest(DigestAlgorithm.GIT_SHA1, "b" * 40)
CONFIG = RemoteFile("config.json", 570, GIT_SHA1)
WEIGHTS = RemoteFile("model.safetensors", 440_449_768, SHA256, pointer_oid="c" * 40)
ONNX = RemoteFile("onnx/model.onnx", 532_000_000, Digest(DigestAlgorithm.SHA256, "d" * 64))


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Stage:
    def __init__(self, tmp_path, pipeline=None, *, terminal=False, environ=()):
        self.stdout = io.BytesIO()
        self.stderr = Terminal() if terminal else io.StringIO()
        self.clock = Clock()
        self.left = []
        self.asked = None
        self._pipeline = pipeline
        self.environ = {
            "HOME": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "CHUNKDL_STATE_DIR": str(tmp_path / "state"),
            "HF_HOME": str(tmp_path / "hf"),
            **dict(environ),
        }

    def run(self, *argv):
        around = Surroundings(
            argv,
            self.environ,
            self.stdout,
            self.stderr,
            clock=self.clock,
            run_fetch=self._run_fetch,
            leave=self.left.append,
        )
        return main(argv, around)

    async def _run_fetch(self, references, options, settings, observer):
        self.asked = (references, options, settings)
        return await self._pipeline(references, observer)

    @property
    def out(self):
        return self.stdout.getvalue().decode()

    @property
    def err(self):
        return self.stderr.getvalue()

    @property
    def json(self):
        (line,) = self.out.splitlines()
        return json.loads(line)


def file_report(file=WEIGHTS, source="network"):
    return FileReport(file.path, file.size, str(file.digest), "digest", source)


def placed_result(ref="bert-base-uncased", path="/cache/snap", files=(CONFIG, WEIGHTS), **changes):
    values = {
        "repo": ref,
        "revision": "main",
        "commit": COMMIT,
        "authority": "huggingface.co",
        "authenticated": True,
        "files": tuple(file_report(each) for each in files),
        "left_out": LeftOut(3, 1_500_000_000),
        **changes,
    }
    return ReferenceReport(ref, ok=True, exit_code=0, path=path, **values)


def good_report(*results):
    return Report(
        results or (placed_result(),),
        Totals(440_450_338, 440_450_338, 0, 1_048_576, 21.5, 20_486_000.0),
        (
            HostReport("cdn.example:443", ("hf-mirror.com",), 300_000_000, 40, 2, "active"),
            HostReport(
                "huggingface.co:443", ("huggingface.co",), 140_450_338, 20, 0, "idle", lag="listed another commit"
            ),
            HostReport("dead.example:443", ("dead.example",), 0, 3, 3, "excluded"),
        ),
        (Notice("mirror-lagging", "dead.example does not have this commit"),),
    )


def places(*paths, report=None):
    """A pipeline that places references in the order given, then reports."""

    async def pipeline(references, observer):
        for reference, path in paths:
            observer(ReferencePlaced(reference, path))
        return report or good_report(*(placed_result(ref, path) for ref, path in paths))

    return pipeline


def raises(error):
    async def pipeline(references, observer):
        raise error

    return pipeline


def progress(done=44_040_192, total=440_401_920, **changes):
    hosts = (
        HostStatus("cdn.example:443", ("hf-mirror.com",), 30_000_000, 8 * 1024 * 1024, 4, "active"),
        HostStatus("huggingface.co:443", ("huggingface.co",), 14_040_192, 0.0, 1, "stalled", errors=2),
        HostStatus("idle.example:443", ("idle.example",), 0, 0.0, 0, "idle"),
    )
    values = {"fetched_bytes": done, "goodput_bytes_per_s": 10 * 1024 * 1024, "eta_s": 37.8, "hosts": hosts, **changes}
    return Progress(done, total, files_done=1, files_total=9, **values)


def plan(*, resumed=False):
    reference = Reference("bert-base-uncased", "bert-base-uncased")
    authority = Authority(AuthorityKind.ORIGIN, "huggingface.co", authenticated=True)
    artifact = Artifact(reference, "google-bert/bert-base-uncased", COMMIT, (CONFIG, WEIGHTS, ONNX), authority)
    half = WEIGHTS.size // 2
    claimed = (ByteRange(0, half),) if resumed else ()
    weights = PlannedContent(
        SHA256,
        WEIGHTS.size,
        (WEIGHTS.path,),
        Action.RESUME if resumed else Action.FETCH,
        pending=(ByteRange(half if resumed else 0, WEIGHTS.size),),
        claimed=claimed,
    )
    config = PlannedContent(GIT_SHA1, CONFIG.size, (CONFIG.path,), Action.PRESENT)
    return Plan(artifact, (config, weights), (CONFIG, WEIGHTS), (ONNX,))


REPO_ROOT = Path(__file__).resolve().parents[2]
