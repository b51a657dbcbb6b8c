"""What a settings file may say: keys, lines in messages, and the limits of a file that a checkout brings along."""

from pathlib import Path

import pytest

from chunkdl.core.selection import FORMATS as SELECTABLE
from chunkdl.errors import UsageError
from chunkdl.model import MirrorKind
from chunkdl.settings import Flags, load_settings
from chunkdl.settings.load import load_declared
from chunkdl.settings.project import FORMATS
from chunkdl.settings.toml_lines import lines_by_key

BUILT_IN = "https://hf-mirror.com"
CONTENTS = "https://modelscope.cn"


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


class World:
    """A home with the user's settings file and a project that one stands in."""

    def __init__(self, root):
        self.user = root / "config" / "chunkdl" / "chunkdl.toml"
        self.project = root / "checkout"
        self.user.parent.mkdir(parents=True)
        self.project.mkdir()
        self.environ = {"HOME": str(root), "XDG_CONFIG_HOME": str(root / "config")}

    def load(self, project=None, user=None, environ=(), **flags):
        if project is not None:
            (self.project / "chunkdl.toml").write_text(project)
        if user is not None:
            self.user.write_text(user)
        return load_settings({**self.environ, **dict(environ)}, None, Flags(**flags), self.project)

    def refused(self, project):
        with pytest.raises(UsageError) as caught:
            self.load(project)
        return caught.value


def urls(settings):
    return [each.url for each in settings.mirrors]


class TestLines:
    def test_are_found_in_tables_arrays_and_at_the_top(self):
        text = 'a = 1\n"b c" = 2\n# x = 3\n[[mirror]]\nurl = "u"\n\n[[mirror]]\n  url = "v"\n'
        text += '[t]\nk = """\nurl = 3\n"""\nz=1\n'
        assert lines_by_key(text) == {
            ("a",): 1,
            ("b c",): 2,
            ("mirror", 0): 4,
            ("mirror", 0, "url"): 5,
            ("mirror", 1): 7,
            ("mirror", 1, "url"): 8,
            ("t",): 9,
            ("t", "k"): 10,
            ("t", "z"): 13,
        }

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("\n\ntrust = 'maybe'", ":3: trust is auto or strict"),
            ("\nconnect_s = 0", ":2: connect_s: 0 is not between"),
            (
                "[[mirror]]\nurl = 'a.example'\n[[mirror]]\nurl = 'b.example'\nmax_connections = 99",
                ":5: mirror 2: max_c",
            ),
            ("[[mirror]]\nurl = 'a.example'\nca_file = 'absent.pem'", ":3: mirror 1: ca_file: "),
            ("[[mirror]]\nurl = 'a.example'\nproxy = 'http://user:secret@'", ":3: mirror 1: proxy: no proxy"),
            ("[[mirror]]\nurl = 'a.example'\nkind = 'ftp'", ":3: mirror 1: kind: 'ftp' is no kind"),
            ("[[mirror]]\nurl = 'static+https://a.example'\nkind = 'hf'", ""),
            ("[[mirror]]\nurl = 'a.example'\nname = ''", ":3: mirror 1: name: "),
            ("[[mirror]]\nurl = 'a.example'\npriority = 2000", ":3: mirror 1: priority: "),
            ("[[mirror]]\n\nurl = 'https://u:secret@a.example'", ":3: mirror 1: url: "),
            ("[[mirror]]\nname = 'x'", ":1: mirror 1 has no url"),
            ("x = 1\norigin = 'http://10.0.0.1'", ":1: unknown key 'x'"),
            ("\norigin = 'http://10.0.0.1'", ":2: origin: the origin is plain HTTP"),
            ("a = 1\nb = = 2", "line 2"),
        ],
    )
    def test_of_a_mistake_stand_in_the_message_and_secrets_do_not(self, world, text, said):
        with pytest.raises(UsageError) as caught:
            world.load(user=text)
        assert said in caught.value.message
        assert str(world.user) in caught.value.message
        assert "secret" not in caught.value.message


class TestMirrorTable:
    def test_every_key_arrives(self, world, tmp_path):
        bundle = world.user.parent / "ca.pem"
        bundle.write_text("")
        text = """
        [[mirror]]
        url = "static+https://a.example/{path}"
        name = "lab"
        proxy = "socks5h://10.0.0.1:1080"
        token_env = "LAB"
        max_connections = 3
        rate_cap_bytes_per_s = 1000000
        first_byte_s = 3600
        priority = 7
        ca_file = "ca.pem"
        operator = "the lab"
        certification = "ISO 27001"
        """
        [declared] = load_declared(
            world.environ | {"LAB": "x", "CHUNKDL_CONFIG": str(_written(tmp_path, text, bundle))}
        )
        mirror = declared.mirror
        assert (mirror.name, mirror.kind, mirror.priority, mirror.max_connections) == ("lab", MirrorKind.STATIC, 7, 3)
        assert (mirror.rate_cap_bytes_per_s, mirror.first_byte_s, mirror.token) == (1e6, 3600.0, "x")
        assert mirror.ca_file.endswith("ca.pem")
        assert declared.facts == {"operator": "the lab", "certification": "ISO 27001"}
        assert mirror.vouches

    def test_one_that_is_off_is_not_asked_be_it_built_in_or_not(self, world):
        off = (
            f'[[mirror]]\nurl = "{BUILT_IN}"\nenabled = false\n[[mirror]]\nurl = "https://a.example"\nenabled = false\n'
        )
        assert urls(world.load(user=off)) == [CONTENTS]
        assert urls(world.load(user=off, add_mirrors=("https://a.example",))) == [CONTENTS, "https://a.example"]


def _written(folder: Path, text: str, bundle: Path) -> Path:
    path = folder / "named.toml"
    path.write_text(text)
    (folder / "ca.pem").write_bytes(bundle.read_bytes())
    return path


class TestProject:
    def test_says_what_to_take_and_where_to(self, world):
        settings = world.load(
            'revision = "v1"\ninclude = ["*.json"]\nformat = "gguf"\nquant = "Q8_0"\ncache_dir = "hub"'
        )
        wishes = settings.project
        assert (wishes.revision, wishes.include, wishes.format, wishes.quant) == ("v1", ("*.json",), "gguf", "Q8_0")
        assert settings.cache_dir == world.project / "hub"
        [notice] = settings.notices
        assert notice.code == "project-settings"
        assert "chunkdl.toml is obeyed: revision, include, format, quant, cache_dir" in notice.message

    def test_its_mirrors_come_last_and_do_not_vouch(self, world):
        settings = world.load('[[mirror]]\nurl = "https://p.example"', '[[mirror]]\nurl = "https://u.example"')
        assert urls(settings) == ["https://u.example", BUILT_IN, CONTENTS, "https://p.example"]
        assert [each.vouches for each in settings.mirrors] == [True, True, True, False]
        assert "mirrors p.example" in settings.notices[0].message
        assert world.load(no_mirrors=True).mirrors == ()

    def test_its_mirrors_serve_the_public_hub_alone(self, world):
        project = '[[mirror]]\nurl = "https://p.example"'
        assert world.load(project, origin="https://hub.corp.example").mirrors == ()

    @pytest.mark.parametrize(
        "line",
        [
            'origin = "https://evil.example"',
            'trust = "auto"',
            "insecure = true",
            'private = ["x"]',
            'state_dir = "/x"',
            "builtin_mirrors = false",
            "connect_s = 3",
        ],
    )
    def test_may_not_decide_whom_to_believe(self, world, line):
        error = world.refused(f"# mine\n{line}")
        assert f"chunkdl.toml:2: {line.split()[0]} may not stand in a project's settings" in error.message
        assert "your own settings file" in error.hint

    @pytest.mark.parametrize(
        "line",
        [
            'token_env = "HF_TOKEN"',
            'proxy = "http://evil.example:1"',
            'ca_file = "evil.pem"',
            'of = "https://huggingface.co"',
            "priority = 9",
            "enabled = false",
        ],
    )
    def test_its_mirrors_have_neither_tokens_nor_proxies_nor_rank(self, world, line):
        error = world.refused(f'[[mirror]]\nurl = "https://p.example"\n{line}')
        assert f"chunkdl.toml:3: {line.split()[0]} may not" in error.message

    def test_cannot_turn_the_users_hub_into_a_mirror(self, world):
        """Else HF_TOKEN, meant for that hub, would go to the public one."""
        world.refused('[[mirror]]\nurl = "https://hub.corp.example"\nof = "https://huggingface.co"')
        settings = world.load(
            '[[mirror]]\nurl = "https://hub.corp.example"', environ={"HF_ENDPOINT": "https://hub.corp.example"}
        )
        assert settings.origin.url == "https://hub.corp.example"
        assert settings.mirrors == ()

    @pytest.mark.parametrize("folder", ["~/x", "$HF_TOKEN", "${HOME}"])
    def test_names_folders_plainly(self, world, folder):
        assert "without ~ and $" in world.refused(f'cache_dir = "{folder}"').message

    @pytest.mark.parametrize("folder", ["../other", "/etc"])
    def test_real_files_stay_in_the_project(self, world, folder):
        assert "leads out of the project" in world.refused(f'local_dir = "{folder}"').message
        assert world.load('local_dir = "models"').local_dir == world.project / "models"

    def test_names_no_mirror_that_is_typed(self, world):
        """A stranger's file must not decide where a name or an address leads."""
        project = '[[mirror]]\nurl = "https://evil.example"\nname = "hf-mirror.com"\nfirst_byte_s = 7'
        assert urls(world.load(project, mirrors=("hf-mirror.com",))) == [BUILT_IN]
        [typed] = world.load(mirrors=("https://evil.example",)).mirrors
        assert (typed.name, typed.first_byte_s) == ("evil.example", 15.0)

    def test_flags_and_variables_go_before_it(self, world):
        project = 'cache_dir = "hub"'
        assert world.load(project, environ={"HF_HUB_CACHE": "/env"}).cache_dir == Path("/env")
        assert world.load(project, cache_dir=Path("/flag")).cache_dir == Path("/flag")
        assert world.load('local_dir = "models"', cache_dir=Path("/flag")).local_dir is None

    def test_the_users_own_file_is_no_project_where_it_lies(self, world):
        world.user.write_text('origin = "https://mine.example"')
        settings = load_settings(world.environ, folder=world.user.parent)
        assert settings.origin.url == "https://mine.example"

    def test_without_a_folder_none_is_looked_for(self, world, monkeypatch):
        (world.project / "chunkdl.toml").write_text("nonsense")
        monkeypatch.chdir(world.project)
        assert load_settings(world.environ).project.revision is None

    def test_formats_are_those_of_the_selection(self, world):
        assert FORMATS == SELECTABLE
        assert ":1: format is one of auto" in world.refused('format = "pickle"').message
