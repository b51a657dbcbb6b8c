"""``snapshot_download`` and ``hf_hub_download`` against huggingface_hub's own: signatures, paths, exceptions."""

import inspect
import io
from pathlib import Path

import huggingface_hub
import pytest
from conftest import CANONICAL, NAME, contents
from huggingface_hub import errors
from tqdm.auto import tqdm

import chunkdl
from chunkdl.testing import HubRepo, MirrorServer


@pytest.fixture
def here(hub, monkeypatch):
    """This process asks the hub of the test, as its users' processes ask theirs."""
    for name, value in hub.environment().items():
        if name.startswith(("HF_", "CHUNKDL_")):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("CHUNKDL_ORIGIN", hub.server.url)
    monkeypatch.setenv("CHUNKDL_MIRRORS", "none")
    return hub


def shape(function):
    """Names, kinds and defaults of the parameters: what a caller can tell."""
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", ["snapshot_download", "hf_hub_download"])
def test_signatures_are_the_hubs(name):
    assert shape(getattr(chunkdl, name)) == shape(getattr(huggingface_hub, name))


def test_a_snapshot_is_where_the_hub_puts_it_and_whole(here):
    path = chunkdl.snapshot_download(NAME)
    assert contents(Path(path)) == dict(here.repo.files)
    assert path == huggingface_hub.snapshot_download(NAME, cache_dir=here.cache, local_files_only=True)
    assert type(path) is str


def test_a_file_is_where_the_hub_puts_it(here):
    path = chunkdl.hf_hub_download(NAME, "config.json")
    assert path == huggingface_hub.hf_hub_download(NAME, "config.json", cache_dir=here.cache, local_files_only=True)
    nested = chunkdl.hf_hub_download(NAME, "tool_use.jinja", subfolder="additional_chat_templates")
    assert Path(nested).read_bytes() == here.repo.files["additional_chat_templates/tool_use.jinja"]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ({"allow_patterns": "*.json"}, {"config.json", "tokenizer.json", "tokenizer_config.json"}),
        ({"allow_patterns": ["config.*", "*.nowhere"]}, {"config.json"}),
        ({"allow_patterns": "additional_chat_templates/"}, {"additional_chat_templates/tool_use.jinja"}),
        ({"allow_patterns": ["*.json", "*.md"], "ignore_patterns": ["tok*"]}, {"config.json", "README.md"}),
    ],
)
def test_patterns_choose_what_they_choose_at_the_hub(here, patterns, names):
    assert set(contents(Path(chunkdl.snapshot_download(NAME, **patterns)))) == names


@pytest.mark.parametrize(
    "patterns", [{"allow_patterns": "*.nowhere"}, {"allow_patterns": []}, {"ignore_patterns": "*"}]
)
def test_patterns_that_match_nothing_warn_and_name_the_folder(here, patterns, caplog):
    path = chunkdl.snapshot_download(NAME, **patterns)
    assert path == str(here.cache / f"models--{NAME}/snapshots/{here.repo.commit}")
    assert "no files matched" in caplog.text


def test_a_local_dir_gets_real_files(here, tmp_path):
    path = chunkdl.snapshot_download(NAME, local_dir=tmp_path / "out", cache_dir=tmp_path / "ignored")
    assert path == str(tmp_path / "out")
    assert (tmp_path / "out/config.json").is_file()
    file = chunkdl.hf_hub_download(NAME, "config.json", local_dir=str(tmp_path / "out"))
    assert file == str(tmp_path / "out/config.json")


def test_a_commit_that_is_here_is_not_asked_about(here):
    revision = here.repo.commit
    first = chunkdl.hf_hub_download(NAME, "config.json", revision=revision)
    asked = here.server.requests
    assert chunkdl.hf_hub_download(NAME, "config.json", revision=revision) == first
    assert here.server.requests == asked


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: chunkdl.snapshot_download("org/nothing"), errors.RepositoryNotFoundError),
        (lambda: chunkdl.snapshot_download(NAME, revision="v9"), errors.RevisionNotFoundError),
        (lambda: chunkdl.hf_hub_download(NAME, "nothing.txt"), errors.RemoteEntryNotFoundError),
        (lambda: chunkdl.hf_hub_download(NAME, "nothing.txt"), errors.EntryNotFoundError),
        (lambda: chunkdl.hf_hub_download("a//b", "config.json"), errors.HFValidationError),
        (lambda: chunkdl.hf_hub_download(NAME, "config.json", repo_type="kernel"), ValueError),
        (lambda: chunkdl.hf_hub_download(NAME, "config.json", local_files_only=True), errors.LocalEntryNotFoundError),
        (lambda: chunkdl.snapshot_download(NAME, local_files_only=True), errors.LocalEntryNotFoundError),
        (lambda: chunkdl.snapshot_download(NAME, force_download=True, local_files_only=True), ValueError),
    ],
)
def test_failures_are_the_hubs_exceptions(here, call, kind):
    with pytest.raises(kind) as raised:
        call()
    if isinstance(raised.value, errors.HfHubHTTPError):
        assert raised.value.response.status_code == 404
        assert isinstance(raised.value.__cause__, chunkdl.FetchFailed)


def test_a_gate_is_a_gate(here):
    with MirrorServer([HubRepo("org/gated", {"a": b"a"}, gated="manual")]).in_thread() as server:
        with pytest.raises(errors.GatedRepoError):
            chunkdl.snapshot_download("org/gated", endpoint=server.url)
        assert Path(chunkdl.snapshot_download("org/gated", endpoint=server.url, token="hf_mine")).is_dir()


def test_offline_is_what_the_cache_holds(here, monkeypatch):
    path = chunkdl.snapshot_download(NAME, allow_patterns="*.json")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert chunkdl.snapshot_download(NAME) == path
    assert chunkdl.hf_hub_download(NAME, "config.json") == f"{path}/config.json"
    with pytest.raises(errors.LocalEntryNotFoundError) as raised:
        chunkdl.hf_hub_download(NAME, "README.md")
    causes = [raised.value.__cause__, raised.value.__cause__.__cause__]
    assert any(isinstance(each, errors.OfflineModeIsEnabled) for each in causes)


def test_a_snapshot_known_to_lack_files_is_incomplete_offline(here):
    path = Path(chunkdl.snapshot_download(NAME))
    (path / "README.md").unlink()
    with pytest.raises(errors.IncompleteSnapshotError) as raised:
        chunkdl.snapshot_download(NAME, local_files_only=True)
    assert raised.value.snapshot_path == str(path)
    assert chunkdl.snapshot_download(NAME, local_files_only=True, ignore_patterns="*.md") == str(path)


def test_a_silent_hub_leaves_what_is_here(here, monkeypatch):
    path = chunkdl.snapshot_download(NAME)
    monkeypatch.setenv("CHUNKDL_ORIGIN", "http://127.0.0.1:9")  # nobody listens on discard
    assert chunkdl.snapshot_download(NAME) == path
    with pytest.raises(errors.LocalEntryNotFoundError):
        chunkdl.snapshot_download("org/other")


def test_a_dry_run_says_what_would_come(here):
    infos = chunkdl.snapshot_download(NAME, dry_run=True)
    assert {type(each) for each in infos} == {huggingface_hub.DryRunFileInfo}
    assert {each.filename: each.file_size for each in infos} == {
        path: len(data) for path, data in here.repo.files.items()
    }
    assert all(each.will_download and not each.is_cached for each in infos)
    assert here.server.bytes_served == 0
    chunkdl.hf_hub_download(NAME, "config.json")
    (info,) = [each for each in chunkdl.snapshot_download(NAME, dry_run=True) if each.is_cached]
    one = chunkdl.hf_hub_download(NAME, "config.json", dry_run=True)
    assert (one.filename, one.is_cached, one.will_download) == ("config.json", True, False)
    assert one == info
    assert Path(one.local_path).is_file()


def test_a_bar_of_the_callers_class_sees_every_byte(here):
    bars = []

    class Told(tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, file=io.StringIO(), **kwargs)
            bars.append(self)

    chunkdl.snapshot_download(NAME, tqdm_class=Told, max_workers=2)
    (bar,) = bars
    assert bar.n == bar.total == sum(len(each) for each in here.repo.files.values())


def test_force_fetches_again(here):
    chunkdl.hf_hub_download(NAME, "config.json")
    served = here.server.bytes_served
    chunkdl.hf_hub_download(NAME, "config.json", force_download=True)
    assert here.server.bytes_served == 2 * served


def test_a_legacy_name_keeps_its_own_folder(here):
    assert f"models--{NAME}/" in chunkdl.hf_hub_download(NAME, "config.json")
    assert f"models--{CANONICAL.replace('/', '--')}/" in chunkdl.hf_hub_download(CANONICAL, "config.json")
