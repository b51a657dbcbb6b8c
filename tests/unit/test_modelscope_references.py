import pytest

from chunkdl.errors import UsageError
from chunkdl.identify.references import parse_reference, parse_repository
from chunkdl.model import Hub, MirrorKind, RepoType
from chunkdl.settings import Flags, load_settings

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SITE = "https://www.modelscope.cn"


@pytest.mark.parametrize(
    ("text", "repo_type", "repo_id", "revision", "path"),
    [
        ("ms:org/name", "model", "org/name", None, None),
        ("ms://org/name@v1.0.0", "model", "org/name", "v1.0.0", None),
        ("modelscope://org/name", "model", "org/name", None, None),
        (f"ms:Shanghai_AI_Laboratory/internlm2-chat-7b@{COMMIT}", "model", None, COMMIT, None),
        ("ms:datasets/org/rows@dev", "dataset", "org/rows", "dev", None),
        (f"{SITE}/models/Qwen/Qwen3-8B", "model", "Qwen/Qwen3-8B", None, None),
        ("https://modelscope.cn/models/Qwen/Qwen3-8B/summary", "model", "Qwen/Qwen3-8B", None, None),
        (f"{SITE}/models/Qwen/Qwen3-8B/files?tab=x#top", "model", "Qwen/Qwen3-8B", None, None),
        (f"{SITE}/models/a/b/resolve/master/sub/m%20x.bin", "model", "a/b", "master", "sub/m x.bin"),
        (f"{SITE}/models/a/b/file/view/v1/config.json?status=1", "model", "a/b", "v1", "config.json"),
        ("https://modelscope.ai/datasets/org/rows", "dataset", "org/rows", None, None),
    ],
)
def test_names_of_modelscope(text, repo_type, repo_id, revision, path):
    reference = parse_reference(text)
    assert reference.hub is Hub.MODELSCOPE
    assert reference.text == text
    assert reference.repo_type is RepoType(repo_type)
    assert reference.repo_id == (repo_id or "Shanghai_AI_Laboratory/internlm2-chat-7b")
    assert (reference.revision, reference.path) == (revision, path)


@pytest.mark.parametrize(
    "text",
    [
        "ms:",
        "ms:name",
        "ms:a/b/c",
        "ms:org/name@",
        "ms:org/name@../x",
        "ms:../name",
        "ms:studios/org/name",
        "ms:spaces/org/name",
        f"{SITE}/models",
        f"{SITE}/organization/Qwen",
        f"{SITE}/models/a/b/resolve/master/..%2F..%2Fetc",
    ],
)
def test_what_names_nothing_there_is_refused_with_exit_2(text):
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("text", ["ms:org/name", f"{SITE}/models/org/name"])
def test_commands_about_the_other_hub_do_not_tell_it_these_names(text):
    with pytest.raises(UsageError, match="a repository of ModelScope"):
        parse_repository(text)


class TestSettings:
    @pytest.fixture
    def load(self, tmp_path):
        bare = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
        return lambda **environ: load_settings({**bare, **environ}, flags=Flags())

    def test_the_public_server_is_asked_without_a_token(self, load):
        hub = load().modelscope
        assert (hub.url, hub.kind, hub.is_origin, hub.token) == (
            "https://modelscope.cn",
            MirrorKind.MODELSCOPE,
            True,
            None,
        )

    def test_the_newer_variable_wins(self, load):
        settings = load(MODELSCOPE_ENDPOINT="www.modelscope.ai/", MODELSCOPE_DOMAIN="x.example")
        assert settings.modelscope.url == "https://www.modelscope.ai"
        assert settings.provenance["modelscope"] == "environment MODELSCOPE_ENDPOINT"
        assert load(MODELSCOPE_ENDPOINT=" ", MODELSCOPE_DOMAIN="x.example").modelscope.url == "https://x.example"

    def test_the_token_is_the_hubs_alone(self, load):
        settings = load(MODELSCOPE_API_TOKEN=" ms_t ", HF_TOKEN="hf_t")
        assert settings.modelscope.token == "ms_t"
        assert settings.origin.token == "hf_t"
        assert [each.token for each in settings.mirrors] == [None, None]
        assert "ms_t" not in repr(settings)

    def test_the_token_never_goes_over_plain_http(self, load):
        assert load(MODELSCOPE_API_TOKEN="t", MODELSCOPE_ENDPOINT="http://ms.example").modelscope.token is None
        assert load(MODELSCOPE_API_TOKEN="t", MODELSCOPE_ENDPOINT="http://127.0.0.1:9").modelscope.token == "t"

    @pytest.mark.parametrize("environ", [{"MODELSCOPE_ENDPOINT": "ftp://x"}, {"MODELSCOPE_API_TOKEN": "a\nb"}])
    def test_nonsense_is_named_by_its_variable(self, load, environ):
        [name] = environ
        with pytest.raises(UsageError, match=name):
            load(**environ)

    def test_first_byte_patience_holds_for_it_too(self, load):
        assert load(HF_HUB_DOWNLOAD_TIMEOUT="60").modelscope.first_byte_s == 60.0
