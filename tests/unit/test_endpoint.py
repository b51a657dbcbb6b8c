"""What the loopback hub makes of requests, of failures, and of a program's environment."""

from types import SimpleNamespace

import pytest
from support.cache_world import COMMIT, FILES, OTHER_COMMIT, artifact

from chunkdl.endpoint import environment
from chunkdl.endpoint.hub import EngineHub, spell
from chunkdl.endpoint.questions import Question, question_of
from chunkdl.endpoint.refusing import refusal
from chunkdl.errors import AccessDenied, ArtifactNotFound, DiskFull, TransferFailed
from chunkdl.identify.references import parse_reference
from chunkdl.model import RepoType
from chunkdl.settings import Settings, mirror_at
from chunkdl.share import hub_json
from chunkdl.share.answers import Asked

MODEL, DATASET = RepoType.MODEL, RepoType.DATASET


def ask(path, method="GET", **headers):
    return question_of(Asked(method, tuple(path.strip("/").split("/")), headers=headers))


@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("api/models/org/name", Question(MODEL, "org/name")),
        ("api/models/bert", Question(MODEL, "bert")),
        ("api/models/bert/refs", Question(MODEL, "bert")),
        ("api/models/bert/revision/main", Question(MODEL, "bert", "main")),
        ("api/models/org/name/revision/refs/pr/1", Question(MODEL, "org/name", "refs/pr/1")),
        ("api/datasets/org/name/tree/v1", Question(DATASET, "org/name", "v1")),
        ("api/models/bert/tree/v1/nested/folder", Question(MODEL, "bert", "v1")),
        ("org/name/resolve/main/a/b.txt", Question(MODEL, "org/name", "main", "a/b.txt", reads=True)),
        ("bert/resolve/refs/pr/1/a.txt", Question(MODEL, "bert", "refs/pr/1", "a.txt", reads=True)),
        ("datasets/org/name/resolve/v1/a", Question(DATASET, "org/name", "v1", "a", reads=True)),
        ("api/agent-harnesses", None),
        ("api/whoami-v2", None),
        ("api/models", None),
        ("org/name/resolve/main", None),
        ("org/name", None),
        ("", None),
    ],
)
def test_addresses_mean_what_they_mean_at_the_hub(path, question):
    assert ask(path) == question


def test_only_who_is_about_to_read_makes_us_fetch():
    path = "org/name/resolve/main/a"
    assert not ask(path, "HEAD").reads
    assert ask(path, "HEAD", **{"x-hf-download-counter": "1"}).reads
    assert ask(path, "POST") is None


def test_a_question_about_several_files_comes_as_a_post_and_fetches_nothing():
    assert ask("api/datasets/org/name/paths-info/v1", "POST") == Question(DATASET, "org/name", "v1")
    assert ask("api/models/bert/paths-info/refs/pr/1", "POST") == Question(MODEL, "bert", "refs/pr/1")
    assert ask("api/models/org/name/commit/main", "POST") is None


def test_a_token_is_the_askers_and_is_not_shown():
    asked = ask("org/name/resolve/main/a", authorization="Bearer hf_secret")
    assert asked.token == "hf_secret"
    assert "hf_secret" not in repr(asked)
    assert ask("org/name/resolve/main/a", authorization="Basic x").token is None


@pytest.mark.parametrize(
    "question",
    [
        Question(MODEL, "bert", "main", "a b/#1.txt"),
        Question(DATASET, "org/name", "feature/x", "a"),
        Question(MODEL, "org/name", "refs/pr/7", "nested/a"),
        Question(MODEL, "org/name", "0" * 40),
    ],
)
def test_a_question_is_spelt_as_a_reference(question):
    reference = parse_reference(spell(question))
    assert (reference.repo_type, reference.repo_id) == (question.repo_type, question.repo_id)
    assert (reference.revision, reference.path) == (question.revision, question.path)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ArtifactNotFound("no", missing="repository"), 404, "RepoNotFound"),
        (ArtifactNotFound("no", missing="revision"), 404, "RevisionNotFound"),
        (ArtifactNotFound("no", missing="file"), 404, "EntryNotFound"),
        (AccessDenied("no", gated=True), 403, "GatedRepo"),
        (AccessDenied("no"), 403, None),
        (TransferFailed("no"), 424, None),
        (DiskFull("no"), 507, None),
    ],
)
def test_failures_are_told_in_the_hubs_words(error, status, code):
    answer = refusal(error)
    assert (answer.status, answer.headers.get("X-Error-Code")) == (status, code)


def test_a_failure_cannot_break_a_header():
    answer = refusal(TransferFailed("evil\r\nSet-Cookie: 模型", hint="x" * 900))
    said = answer.headers["X-Error-Message"]
    assert said.isascii()
    assert said.isprintable()
    assert len(said) <= 500


def test_the_program_asks_us_patiently_and_past_every_proxy(tmp_path):
    settings = Settings(origin=mirror_at("https://hub.example", is_origin=True), cache_dir=tmp_path)
    before = {"PATH": "/bin", "NO_PROXY": "intra", "HUGGINGFACE_CO_STAGING": "1", "HF_ENDPOINT": "https://hub.example"}
    told = environment.online(before, "http://127.0.0.1:1/secret", settings)
    assert told["HF_ENDPOINT"] == "http://127.0.0.1:1/secret"
    assert told["HF_HUB_CACHE"] == str(tmp_path)
    assert told["NO_PROXY"] == told["no_proxy"] == "intra,127.0.0.1,localhost"
    assert int(told["HF_HUB_ETAG_TIMEOUT"]) == int(told["HF_HUB_DOWNLOAD_TIMEOUT"]) > 3600
    assert told["CHUNKDL_ORIGIN"] == "https://hub.example"
    assert told["PATH"] == "/bin"
    assert "HUGGINGFACE_CO_STAGING" not in told
    assert environment.online({"no_proxy": "*"}, "x", settings)["no_proxy"] == "*"


def test_online_nothing_keeps_the_program_from_asking(tmp_path):
    settings = Settings(origin=mirror_at("https://hub.example", is_origin=True), cache_dir=tmp_path)
    told = environment.online({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}, "http://127.0.0.1:1", settings)
    assert told.keys().isdisjoint({"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"})


def test_offline_the_program_asks_nobody(tmp_path):
    told = environment.offline({"PATH": "/bin"}, Settings(cache_dir=tmp_path))
    assert told["HF_HUB_OFFLINE"] == told["TRANSFORMERS_OFFLINE"] == "1"
    assert "HF_ENDPOINT" not in told


class Repeating:
    """Identities that say the same whenever asked, counting how often one had to be begun."""

    def __init__(self, commits):
        self.commits, self.begun = iter(commits), 0

    def __call__(self, reference, _session):
        self.begun += 1
        found = artifact(FILES, commit=next(self.commits))
        return SimpleNamespace(learn=lambda: _said(SimpleNamespace(artifact=found)))


async def _said(value):
    return value


@pytest.fixture
def engine_hub(monkeypatch):
    def made(*commits):
        identities, now = Repeating(commits), [0.0]
        monkeypatch.setattr("chunkdl.endpoint.hub.Identity", identities)
        pool = SimpleNamespace(session=SimpleNamespace(view=lambda *_: None), observer=None)
        hub = EngineHub(pool, Settings(), clock=lambda: now[0])
        return hub, identities, now

    return made


async def asked_of(hub, path):
    return (await hub.reply(Asked("GET", tuple(path.split("/")), query={"recursive": "true"}))).answer


async def test_a_listing_is_built_once_however_often_it_is_asked_for(engine_hub, monkeypatch):
    built = []
    listing = hub_json.Listing
    monkeypatch.setattr(hub_json, "Listing", lambda commit: built.append(commit) or listing(commit))
    hub, identities, _ = engine_hub(COMMIT)
    for path in ("tree/main", f"tree/{COMMIT}", f"tree/{COMMIT}/onnx", "tree/main"):
        assert (await asked_of(hub, f"api/models/org/name/{path}")).status == 200
    assert (len(built), identities.begun) == (1, 1)


async def test_what_a_branch_was_is_forgotten_and_what_a_commit_is_stays(engine_hub):
    hub, identities, now = engine_hub(COMMIT, OTHER_COMMIT)
    await asked_of(hub, "api/models/org/name/tree/main")
    now[0] = 301.0
    await asked_of(hub, "api/models/org/other/tree/main")
    kept = {(each[1], each[2]) for each in hub._learnt}
    assert kept == {("org/name", COMMIT), ("org/other", "main"), ("org/other", OTHER_COMMIT)}
    assert (await asked_of(hub, f"api/models/org/name/tree/{COMMIT}")).status == 200
    assert identities.begun == 2


async def test_only_the_latest_listings_are_kept(engine_hub):
    commits = [f"{number:040x}" for number in range(300)]
    hub, _, _ = engine_hub(*commits)
    for number in range(300):
        await asked_of(hub, f"api/models/org/name{number}/tree/main")
    assert len(hub._learnt) < 100
    assert {each[1] for each in hub._learnt} >= {"org/name299", "org/name290"}
