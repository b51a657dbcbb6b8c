from pathlib import Path

import pytest

from chunkdl.errors import UsageError
from chunkdl.model import Mirror, MirrorKind
from chunkdl.settings import Flags, Settings, load_settings
from chunkdl.settings.endpoints import is_confidential, is_loopback, origin_of, parse_endpoint
from chunkdl.settings.registry import is_public_hub, known_mirror, operator_of

HUB = "https://huggingface.co"
MIRROR = "https://hf-mirror.com"
MODELSCOPE = "https://modelscope.cn"
# The same machine for tokens as for proxies and redirects, however it is spelt.
LOOPBACK = [
    *("http://127.0.0.1:1", "http://127.9.9.9", "http://localhost", "http://localhost.:80", "http://[::1]:1"),
    "http://[::ffff:127.0.0.1]:1",
]


@pytest.fixture
def load(tmp_path):
    """Settings of an environment of which nothing but the arguments is set."""

    def _load(environ=None, file=None, **flags):
        path = None
        if file is not None:
            path = tmp_path / "chunkdl.toml"
            path.write_text(file)
        bare = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
        return load_settings({**bare, **(environ or {})}, path, Flags(**flags))

    return _load


def urls(settings):
    return [each.url for each in settings.mirrors]


class TestDefaults:
    def test_are_the_public_hub_and_two_mirrors_used_politely(self, load):
        settings = load()
        assert (settings.origin.url, settings.origin.is_origin, settings.origin.token) == (HUB, True, None)
        assert [(each.name, each.url, each.kind, each.max_connections) for each in settings.mirrors] == [
            ("hf-mirror.com", MIRROR, MirrorKind.HUGGING_FACE, 4),
            ("modelscope.cn", MODELSCOPE, MirrorKind.MODELSCOPE, 8),
        ]
        assert settings.trust == "auto"
        assert not settings.offline
        assert settings.use_symlinks
        assert settings.notices == ()
        assert settings.provenance["origin"] == "default"

    def test_need_no_environment_at_all(self):
        settings = Settings()
        assert settings.origin.url == HUB
        assert settings.mirrors == ()
        assert settings.sources == (settings.origin,)
        assert settings.origin_authenticated


class TestOrigin:
    def test_flag_beats_variable_beats_file_beats_hf_endpoint(self, load):
        environ = {"HF_ENDPOINT": "https://four.example"}
        assert load(environ).origin.url == "https://four.example"
        file = 'origin = "https://three.example"'
        assert load(environ, file).origin.url == "https://three.example"
        environ["CHUNKDL_ORIGIN"] = "https://two.example"
        assert load(environ, file).origin.url == "https://two.example"
        settings = load(environ, file, origin="one.example/hub/")
        assert settings.origin.url == "https://one.example/hub"
        assert settings.provenance["origin"] == "flag --origin"

    def test_empty_hf_endpoint_is_unset(self, load):
        assert load({"HF_ENDPOINT": "  "}).origin.url == HUB

    def test_another_hub_has_no_builtin_mirrors(self, load):
        assert load({"HF_ENDPOINT": "https://hub.corp.example"}).mirrors == ()

    def test_the_hub_under_another_of_its_names_keeps_its_mirrors(self, load):
        assert urls(load({"HF_ENDPOINT": "https://hf.co"})) == [MIRROR, MODELSCOPE]

    @pytest.mark.parametrize(
        "endpoint", [MIRROR, "hf-mirror.com/", "http://hf-mirror.com", "https://www.hf-mirror.net", "aifasthub.com"]
    )
    def test_a_public_mirror_in_hf_endpoint_becomes_the_first_mirror_without_the_token(self, load, endpoint):
        settings = load({"HF_ENDPOINT": endpoint, "HF_TOKEN": "hf_secret"})
        assert settings.origin.url == HUB
        assert settings.origin.token == "hf_secret"
        assert endpoint.removesuffix("/").endswith(settings.mirrors[0].name)
        assert settings.mirrors[0].priority > 0
        assert all(each.token is None for each in settings.mirrors)
        assert len({each.name for each in settings.mirrors}) == len(settings.mirrors)
        [notice] = settings.notices
        assert notice.code == "endpoint-is-mirror"
        assert "first mirror" in notice.message
        assert "hf_secret" not in repr(settings)

    def test_the_politeness_cap_holds_for_the_mirror_of_hf_endpoint(self, load):
        assert load({"HF_ENDPOINT": MIRROR}).mirrors[0].max_connections == 4

    def test_a_mirror_declared_in_the_file_is_no_origin_either(self, load):
        file = f'[[mirror]]\nurl = "https://m.example"\nof = "{HUB}"\nmax_connections = 2\n'
        settings = load({"HF_ENDPOINT": "https://m.example"}, file)
        assert settings.origin.url == HUB
        assert (settings.mirrors[0].url, settings.mirrors[0].max_connections) == ("https://m.example", 2)

    @pytest.mark.parametrize("url", [MODELSCOPE, "www.modelscope.cn", "https://modelscope.ai"])
    def test_a_hub_that_speaks_another_protocol_is_no_origin_and_gets_no_token(self, load, url):
        for named in ({"HF_ENDPOINT": url}, {"CHUNKDL_ORIGIN": url}):
            with pytest.raises(UsageError, match="does not speak the hub's protocol") as caught:
                load({**named, "HF_TOKEN": "hf_secret"})
            assert "ms:org/name" in caught.value.hint
        with pytest.raises(UsageError, match="flag --origin"):
            load(origin=url)
        with pytest.raises(UsageError, match=r"chunkdl\.toml:1: origin"):
            load(file=f'origin = "{url}"')

    def test_the_flag_makes_even_a_public_mirror_the_origin(self, load):
        assert load(origin=MIRROR).origin.url == MIRROR

    def test_the_mirror_of_hf_endpoint_stays_off_if_the_users_file_says_so(self, load):
        file = f'[[mirror]]\nurl = "{MIRROR}"\nenabled = false\n'
        settings = load({"HF_ENDPOINT": MIRROR}, file)
        assert (settings.origin.url, urls(settings)) == (HUB, [MODELSCOPE])
        assert "it is not asked" in settings.notices[0].message

    def test_a_notice_says_if_the_mirror_of_hf_endpoint_is_not_asked(self, load):
        settings = load({"HF_ENDPOINT": MIRROR}, no_mirrors=True)
        assert settings.mirrors == ()
        assert "not asked" in settings.notices[0].message

    def test_plain_http_is_obeyed_with_a_notice_and_without_a_token(self, load):
        settings = load({"HF_TOKEN": "hf_secret"}, origin="http://10.0.0.5:8090")
        assert settings.origin.token is None
        assert not settings.origin_authenticated
        assert [each.code for each in settings.notices] == ["origin-plain-http", "token-withheld"]
        assert "hf_secret" not in str(settings.notices)

    def test_plain_http_from_the_file_must_say_insecure(self, load):
        with pytest.raises(UsageError, match="plain HTTP"):
            load(file='origin = "http://10.0.0.5:8090"')
        settings = load(file='origin = "http://10.0.0.5:8090"\ninsecure = true')
        assert settings.origin.url == "http://10.0.0.5:8090"

    def test_loopback_counts_as_authenticated_and_may_have_the_token(self, load):
        settings = load({"HF_TOKEN": "hf_secret"}, origin="http://127.0.0.1:8080")
        assert settings.origin_authenticated
        assert settings.origin.token == "hf_secret"


class TestMirrors:
    def test_mirror_replaces_builtin_configured_and_named_ones(self, load):
        environ = {"CHUNKDL_MIRRORS": "https://b.example", "HF_ENDPOINT": MIRROR}
        settings = load(environ, '[[mirror]]\nurl = "https://c.example"', mirrors=("https://a.example",))
        assert urls(settings) == ["https://a.example"]

    def test_add_mirror_adds(self, load):
        assert urls(load(add_mirrors=("https://a.example",))) == [MIRROR, MODELSCOPE, "https://a.example"]

    def test_no_mirrors_leaves_the_origin_and_what_is_added(self, load):
        assert load(no_mirrors=True).mirrors == ()
        assert urls(load(no_mirrors=True, add_mirrors=("a.example",))) == ["https://a.example"]

    def test_the_variable_is_a_comma_list_or_none(self, load):
        assert urls(load({"CHUNKDL_MIRRORS": "a.example, b.example,"})) == ["https://a.example", "https://b.example"]
        assert load({"CHUNKDL_MIRRORS": "None"}).mirrors == ()

    def test_configured_ones_come_before_builtin_ones(self, load):
        file = '[[mirror]]\nurl = "https://a.example"\nname = "lab"\nfirst_byte_s = 3600\nproxy = "none"\n'
        [lab, builtin, _] = load(file=file).mirrors
        assert (lab.name, lab.first_byte_s, lab.proxy) == ("lab", 3600.0, "none")
        assert builtin.url == MIRROR

    def test_builtin_ones_can_be_switched_off_in_the_file(self, load):
        assert load(file="builtin_mirrors = false").mirrors == ()

    def test_of_another_hub_are_not_asked(self, load):
        file = '[[mirror]]\nurl = "https://a.example"\nof = "https://other.example"\n'
        assert urls(load(file=file)) == [MIRROR, MODELSCOPE]

    def test_the_origin_is_no_mirror_of_itself(self, load):
        settings = load(mirrors=("https://huggingface.co", "https://hf.co", "https://a.example", "http://a.example"))
        assert urls(settings) == ["https://a.example"]

    def test_two_on_one_host_have_two_names(self, load):
        settings = load(mirrors=("https://a.example/one", "https://a.example/two"))
        assert [each.name for each in settings.mirrors] == ["a.example", "a.example/two"]

    def test_two_of_one_name_are_refused(self, load):
        file = "".join(f'[[mirror]]\nurl = "https://{each}.example"\nname = "x"\n' for each in "ab")
        assert [each.name for each in load(file=file).mirrors[:2]] == ["x", "b.example"]
        clash = file.replace('url = "https://a', 'url = "https://b.example/z').replace(
            'name = "x"', 'name = "b.example"'
        )
        with pytest.raises(UsageError, match="two mirrors"):
            load(file=clash + '[[mirror]]\nurl = "https://b.example/b.example"\nname = "b.example"\n')

    def test_static_prefix_makes_a_static_mirror(self, load):
        [mirror] = load(mirrors=("static+https://a.example/{repo}/{path}",)).mirrors
        assert (mirror.kind, mirror.url) == (MirrorKind.STATIC, "https://a.example/{repo}/{path}")

    @pytest.mark.parametrize(
        "typed", ["modelscope+https://modelscope.cn", "modelscope.cn", "https://www.modelscope.cn"]
    )
    def test_modelscope_is_one_by_prefix_and_by_name(self, load, typed):
        [mirror] = load(mirrors=(typed,)).mirrors
        assert (mirror.kind, mirror.max_connections, mirror.token) == (MirrorKind.MODELSCOPE, 8, None)

    def test_another_server_of_its_kind_is_one_by_prefix(self, load):
        [mirror] = load(mirrors=("modelscope+https://ms.corp.example",)).mirrors
        assert (mirror.kind, mirror.url) == (MirrorKind.MODELSCOPE, "https://ms.corp.example")
        with pytest.raises(UsageError, match="has no path"):
            load(mirrors=("modelscope+https://ms.corp.example/x",))

    def test_none_of_the_built_in_ones_serves_an_origin_of_your_own(self, load):
        assert load(origin="https://hub.corp.example").mirrors == ()

    def test_values_of_the_library_pass_through(self, load):
        mirror = Mirror("http://10.0.0.1", "lab", is_origin=True, proxy="http://p:1")
        [taken] = load(mirrors=(mirror,)).mirrors
        assert (taken.name, taken.proxy, taken.is_origin) == ("lab", "http://p:1", False)

    def test_a_token_of_its_own_goes_over_tls_only(self, load):
        environ = {"LAB_TOKEN": "lab_secret"}
        file = '[[mirror]]\nurl = "{}"\ntoken_env = "LAB_TOKEN"\n'
        assert load(environ, file.format("https://a.example")).mirrors[0].token == "lab_secret"
        assert load(environ, file.format("http://a.example")).mirrors[0].token is None
        assert load({}, file.format("https://a.example")).mirrors[0].token is None

    @pytest.mark.parametrize("cap", [0, 17, -1])
    def test_connections_are_bounded(self, load, cap):
        with pytest.raises(UsageError, match="not between"):
            load(file=f'[[mirror]]\nurl = "https://a.example"\nmax_connections = {cap}\n')


class TestTypedByNameOrUrl:
    FILE = """
        [[mirror]]
        url = "https://lab.example/hub"
        name = "lab"
        proxy = "none"
        first_byte_s = 3600
        token_env = "LAB_TOKEN"
        enabled = false
        """

    @pytest.mark.parametrize("typed", ["lab", " lab ", "https://lab.example/hub/", "lab.example/hub"])
    def test_a_mirror_that_the_users_file_declares_keeps_what_it_says(self, load, typed):
        environ = {"LAB_TOKEN": "lab_secret"}
        by_variable = load({**environ, "CHUNKDL_MIRRORS": typed}, self.FILE)
        for settings in (load(environ, self.FILE, mirrors=(typed,)), by_variable):
            [lab] = settings.mirrors
            assert (lab.name, lab.url, lab.proxy, lab.first_byte_s) == ("lab", "https://lab.example/hub", "none", 3600)
            assert lab.token == "lab_secret"
        assert load(environ, self.FILE, add_mirrors=(typed,)).mirrors[-1] == lab

    def test_its_token_does_not_cross_a_change_of_scheme(self, load):
        [lab] = load({"LAB_TOKEN": "lab_secret"}, self.FILE, mirrors=("http://lab.example/hub",)).mirrors
        assert (lab.url, lab.proxy, lab.token) == ("http://lab.example/hub", "none", None)

    def test_another_place_or_kind_is_another_mirror(self, load):
        for typed in ("https://lab.example", "https://lab.example/hub2", "static+https://lab.example/hub"):
            [other] = load({"LAB_TOKEN": "lab_secret"}, self.FILE, mirrors=(typed,)).mirrors
            assert (other.name, other.proxy, other.token) == ("lab.example", "env", None)

    def test_a_configured_static_mirror_serves_the_names_typed_beside_it(self, load):
        file = """
            [[mirror]]
            url = "static+https://lab.example/torch"
            name = "lab"
            proxy = "none"
            replaces = "https://download.pytorch.org/models/"
            """
        for typed in ("lab", "static+https://lab.example/torch", "https://lab.example/torch"):
            [lab] = load(file=file, mirrors=(typed,)).mirrors
            assert (lab.kind, lab.proxy) == (MirrorKind.STATIC, "none")


class TestToken:
    def test_variable_beats_legacy_variable_beats_file(self, load, tmp_path):
        path = tmp_path / ".cache/huggingface/token"
        path.parent.mkdir(parents=True)
        path.write_text("hf_file\n")
        assert load().origin.token == "hf_file"
        environ = {"HUGGING_FACE_HUB_TOKEN": "hf_legacy"}
        assert load(environ).origin.token == "hf_legacy"
        settings = load({**environ, "HF_TOKEN": " hf_new\r\n"})
        assert settings.origin.token == "hf_new"
        assert settings.provenance["token"] == "environment HF_TOKEN"

    def test_hf_home_and_hf_token_path_move_the_file(self, load, tmp_path):
        (tmp_path / "token").write_text("hf_home")
        (tmp_path / "other").write_text("hf_path")
        assert load({"HF_HOME": str(tmp_path)}).origin.token == "hf_home"
        assert load({"HF_HOME": str(tmp_path), "HF_TOKEN_PATH": "$HOME/other"}).origin.token == "hf_path"

    def test_implicit_tokens_can_be_disabled(self, load):
        assert load({"HF_TOKEN": "hf_x", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "yes"}).origin.token is None

    @pytest.mark.parametrize("token", ["hf_a\r\nX-Evil: 1", "hf_ä", "hf a"])
    def test_one_that_breaks_a_header_is_refused_without_showing_it(self, load, token):
        with pytest.raises(UsageError) as caught:
            load({"HF_TOKEN": token})
        assert token not in str(caught.value)


class TestFolders:
    def test_default_under_home(self, load, tmp_path):
        assert load().cache_dir == tmp_path / ".cache/huggingface/hub"

    @pytest.mark.parametrize(
        ("environ", "expected"),
        [
            ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
            ({"XDG_CACHE_HOME": "/x", "HF_HOME": "/h"}, "/h/hub"),
            ({"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
            ({"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "/new"}, "/new"),
            ({"HF_HUB_CACHE": "$SCRATCH/hub", "SCRATCH": "/s"}, "/s/hub"),
            ({"HF_HUB_CACHE": "${SCRATCH}/hub", "SCRATCH": "/s"}, "/s/hub"),
            ({"HF_HUB_CACHE": "~/c", "HOME": "/home/me"}, "/home/me/c"),
        ],
    )
    def test_cache_follows_the_hubs_variables(self, load, environ, expected):
        assert load(environ).cache_dir == Path(expected)

    def test_cache_flag_beats_variable_beats_file(self, load):
        file = 'cache_dir = "/file"'
        assert load(file=file).cache_dir == Path("/file")
        assert load({"HF_HUB_CACHE": "/env"}, file).cache_dir == Path("/env")
        assert load({"HF_HUB_CACHE": "/env"}, file, cache_dir=Path("/flag")).cache_dir == Path("/flag")

    def test_what_a_file_names_goes_before_where_xdg_moves_the_defaults(self, load):
        environ = {"XDG_CACHE_HOME": "/x", "XDG_STATE_HOME": "/s"}
        settings = load(environ, 'cache_dir = "/file/c"\nstate_dir = "/file/s"')
        assert (settings.cache_dir, settings.state_dir) == (Path("/file/c"), Path("/file/s"))
        named = {**environ, "HF_HOME": "/h", "CHUNKDL_STATE_DIR": "/mine"}
        settings = load(named, 'cache_dir = "/file/c"\nstate_dir = "/file/s"')
        assert (settings.cache_dir, settings.state_dir) == (Path("/h/hub"), Path("/mine"))

    def test_an_empty_variable_names_no_folder(self, load):
        assert load({"CHUNKDL_STATE_DIR": " "}, 'state_dir = "/file"').state_dir == Path("/file")

    def test_state_folder(self, load):
        assert load({"XDG_STATE_HOME": "/s"}).state_dir == Path("/s/chunkdl")
        assert load({"XDG_STATE_HOME": "/s", "CHUNKDL_STATE_DIR": "/mine"}).state_dir == Path("/mine")
        assert load(file='state_dir = "/file"').state_dir == Path("/file")


class TestSwitches:
    @pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
    @pytest.mark.parametrize(
        ("value", "offline"), [("1", True), ("on", True), ("True", True), ("0", False), ("2", False)]
    )
    def test_offline_variables(self, load, name, value, offline):
        settings = load({name: value})
        assert settings.offline is offline
        assert settings.offline_because == (name if offline else "")

    def test_offline_flags_override_them(self, load):
        assert not load({"HF_HUB_OFFLINE": "1"}, offline=False).offline
        settings = load(offline=True)
        assert (settings.offline, settings.offline_because) == (True, "--offline")

    def test_others(self, load):
        settings = load(
            {
                "HF_HUB_DISABLE_SYMLINKS": "1",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                "NO_COLOR": "x",
                "CHUNKDL_NO_LOWAT": "1",
            }
        )
        assert (settings.use_symlinks, settings.progress, settings.color, settings.lowat) == (
            False,
            "none",
            False,
            False,
        )

    def test_the_hubs_timeouts_raise_the_first_byte_limit_and_never_lower_it(self, load):
        assert load({"HF_HUB_DOWNLOAD_TIMEOUT": "10"}).first_byte_s == 15.0
        settings = load({"HF_HUB_DOWNLOAD_TIMEOUT": "60", "HF_HUB_ETAG_TIMEOUT": "86400000"})
        assert settings.first_byte_s == 86_400.0
        assert {each.first_byte_s for each in settings.sources} == {86_400.0}
        assert settings.provenance["first_byte_s"] == "environment HF_HUB_ETAG_TIMEOUT"

    def test_a_timeout_that_is_no_number_names_its_variable(self, load):
        with pytest.raises(UsageError, match="HF_HUB_ETAG_TIMEOUT"):
            load({"HF_HUB_ETAG_TIMEOUT": "soon"})

    def test_private_patterns(self, load):
        settings = load(file='private = ["corp/*"]')
        assert settings.is_private("corp/secret")
        assert not settings.is_private("google/bert")

    @pytest.mark.parametrize("pattern", ["corp/*", "Corp/*", "CORP/S[DE]*"])
    def test_private_names_are_private_in_any_case(self, load, pattern):
        settings = load(file=f'private = ["{pattern}"]')
        assert all(settings.is_private(each) for each in ("corp/secret", "Corp/Secret", "CORP/SECRET"))


class TestFile:
    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("orgin = 'x'", "unknown key 'orgin'"),
            ("trust = 'maybe'", "auto or strict"),
            ("trust = 1", "wrong type"),
            ("connect_s = 0", "not between"),
            ("first_byte_s = true", "wrong type"),
            ("first_byte_s = 90000", "not between"),
            ("private = [1]", "patterns"),
            ("mirror = ['https://a.example']", "tables"),
            ("[[mirror]]\nname = 'x'", "no url"),
            ("[[mirror]]\nurl = 'https://a'\ntoken = 'x'", "unknown key 'token'"),
            ("x = ", "TOML"),
        ],
    )
    def test_mistakes_are_named(self, load, text, complaint):
        with pytest.raises(UsageError, match=complaint) as caught:
            load(file=text)
        assert "chunkdl.toml" in caught.value.message
        assert "\n" not in caught.value.message

    def test_a_named_file_must_exist(self, tmp_path):
        with pytest.raises(UsageError, match="no such settings file"):
            load_settings({"CHUNKDL_CONFIG": str(tmp_path / "absent.toml")})

    def test_the_usual_place_is_read_if_it_is_there(self, load, tmp_path):
        path = tmp_path / "config/chunkdl/chunkdl.toml"
        path.parent.mkdir(parents=True)
        path.write_text("trust = 'strict'")
        assert load().trust == "strict"

    def test_one_in_the_current_folder_is_not_read(self, load, tmp_path, monkeypatch):
        (tmp_path / "chunkdl.toml").write_text('origin = "https://evil.example"')
        monkeypatch.chdir(tmp_path)
        assert load().origin.url == HUB


class TestEndpoints:
    @pytest.mark.parametrize(
        ("text", "url"),
        [
            ("a.example", "https://a.example"),
            ("HTTPS://A.Example:443/", "https://a.example"),
            ("http://a.example:80/p//", "http://a.example/p"),
            ("localhost:8080", "https://localhost:8080"),
            ("http://[::1]:81", "http://[::1]:81"),
            ("hf+https://a.example", "https://a.example"),
        ],
    )
    def test_are_spelt_one_way(self, text, url):
        assert parse_endpoint(text, where="here").url == url

    @pytest.mark.parametrize(
        "text",
        [
            "https://user:pass@a.example",
            "ftp://a.example",
            "https://a.example?x=1",
            "https://a.example#x",
            "https://",
            "https://a.example:99999",
            "https://a b.example",
            "https://a.example/\nX: 1",
            "gopher+https://a.example",
            "https://[::1",
            "https://[fe80::1",
            "https://user:pass@[bad",
            "https://user:pass@a.example\u2100",
            "static+https://[bad]/x",
        ],
    )
    def test_that_cannot_be_are_refused_without_showing_a_password(self, text):
        with pytest.raises(UsageError, match=r"^here: ") as caught:
            parse_endpoint(text, where="here")
        assert "pass@" not in str(caught.value)

    @pytest.mark.parametrize("url", LOOPBACK)
    def test_loopback(self, url):
        assert is_loopback(url)
        assert is_confidential(url)

    @pytest.mark.parametrize("url", ["http://10.0.0.1", "http://localhost.example", "http://127.0.0.1.example"])
    def test_not_loopback(self, url):
        assert not is_confidential(url)

    def test_a_token_belongs_to_scheme_host_and_port(self):
        assert origin_of("https://A.example:8443/x") == "https://a.example:8443"
        assert origin_of("http://a.example") != origin_of("https://a.example")


class TestRegistry:
    def test_knows_sub_domains_but_not_lookalikes(self):
        assert known_mirror("https://www.hf-mirror.com")
        assert not known_mirror("https://nothf-mirror.com")
        assert not known_mirror("https://hf-mirror.com.evil.example")

    def test_a_path_distinguishes_hubs_of_one_host(self):
        assert known_mirror("https://hub.opencsg.com/hf")
        assert not known_mirror("https://hub.opencsg.com/csg")
        assert not known_mirror("https://hub.opencsg.com/hfx")

    def test_names_of_the_hub(self):
        assert is_public_hub("https://huggingface.co")
        assert not is_public_hub("https://huggingface.co.evil.example")

    def test_two_addresses_of_one_operator_are_one_voice(self):
        assert operator_of("https://www.hf-mirror.com") == operator_of("https://hf-mirror.com")
        assert operator_of("https://a.example:1") == operator_of("https://a.example:2")
        assert operator_of("http://127.0.0.1:1") != operator_of("http://127.0.0.1:2")
