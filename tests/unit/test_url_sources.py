import pytest

from chunkdl.errors import UsageError
from chunkdl.identify.url_sources import copies_of, own_host
from chunkdl.model import Mirror, MirrorKind
from chunkdl.settings import Flags, Settings, load_settings
from chunkdl.settings.environment import torch_hub

URL = "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
OF = "https://download.pytorch.org/models/"


def static(url, replaces):
    return Mirror(url, kind=MirrorKind.STATIC, replaces=replaces)


def addresses(url, *mirrors):
    return [address for _, address in copies_of(url, mirrors)]


def load(tmp_path, text="", **flags):
    path = tmp_path / "chunkdl.toml"
    path.write_text(text)
    return load_settings({"HOME": str(tmp_path)}, path, Flags(**flags))


def test_a_mirror_stands_in_for_the_beginning_of_an_address():
    assert addresses(URL, static("https://lan.example/torch", OF)) == [
        "https://lan.example/torch/resnet50-11ad3fa6.pth"
    ]
    quantized = f"{OF}quantized/a_1.pth"
    assert addresses(quantized, static("https://lan.example", OF)) == ["https://lan.example/quantized/a_1.pth"]


@pytest.mark.parametrize(
    "url",
    [
        "https://download.pytorch.org/models2/x.pth",
        "https://download.pytorch.org.evil.example/models/x.pth",
        "https://host.example/models/x.pth",
        f"{URL}?signature=secret",
    ],
)
def test_other_addresses_and_those_with_a_query_are_told_to_nobody(url):
    assert addresses(url, static("https://lan.example", OF)) == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("https://lan.example/torch", ["https://lan.example/torch/resnet50-11ad3fa6.pth"]),
        ("https://lan.example/{path}", ["https://lan.example/resnet50-11ad3fa6.pth"]),
        ("https://lan.example/{repo}/{path}", []),
    ],
)
def test_a_mirror_that_was_typed_is_asked_by_name(typed, expected):
    assert addresses(URL, static(typed, "*")) == expected


def test_a_hub_mirror_hears_nothing_of_single_files():
    assert addresses(URL, Mirror("https://hf-mirror.example")) == []


def test_the_addresses_own_host_is_a_source_without_a_token():
    own = own_host("https://host.example:8443/x.pth", Settings())
    assert (own.url, own.name, own.token) == ("https://host.example:8443", "host.example:8443", None)
    twin = Mirror("https://host.example/copy", name="host.example", kind=MirrorKind.STATIC, replaces=OF)
    assert own_host("https://host.example/x.pth", Settings(url_mirrors=(twin,))).name != "host.example"


def test_a_settings_file_says_what_a_static_mirror_replaces(tmp_path):
    settings = load(
        tmp_path,
        '[[mirror]]\nurl = "https://lan.example/torch"\nkind = "static"\n'
        'replaces = "https://download.pytorch.org/models"\n',
    )
    (mirror,) = settings.url_mirrors
    assert mirror.replaces == OF
    assert mirror.name not in {each.name for each in settings.mirrors}  # it holds no repositories


def test_only_a_static_mirror_replaces_addresses(tmp_path):
    with pytest.raises(UsageError, match=r"chunkdl.toml:3: mirror 1: replaces"):
        load(tmp_path, f'[[mirror]]\nurl = "https://lan.example"\nreplaces = "{OF}"\n')
    with pytest.raises(UsageError, match="replaces"):
        load(tmp_path, '[[mirror]]\nurl = "static+https://lan.example"\nreplaces = "ftp://x/"\n')


def test_a_checkout_may_not_redirect_anybodys_addresses(tmp_path):
    (tmp_path / "chunkdl.toml").write_text(f'[[mirror]]\nurl = "static+https://evil.example"\nreplaces = "{OF}"\n')
    with pytest.raises(UsageError, match="may not stand in a project"):
        load_settings({"XDG_CONFIG_HOME": str(tmp_path / "none")}, None, Flags(), tmp_path)


def test_a_static_mirror_that_is_typed_serves_both_kinds_of_names(tmp_path):
    settings = load(tmp_path, add_mirrors=("static+https://lan.example/torch",))
    (mirror,) = settings.url_mirrors
    assert mirror in settings.mirrors
    assert load(tmp_path, add_mirrors=("https://hub.example",)).url_mirrors == ()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "/home/me/.cache/torch/hub"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/torch/hub"),
        ({"XDG_CACHE_HOME": "/xdg", "TORCH_HOME": "/torch"}, "/torch/hub"),
        ({"TORCH_HOME": "~/t"}, "/home/me/t/hub"),
        ({"TORCH_HOME": "/a/$HOME"}, "/a/$HOME/hub"),
        ({"TORCH_HOME": "", "XDG_CACHE_HOME": " "}, "/home/me/.cache/torch/hub"),
    ],
)
def test_torchs_folder(environ, expected):
    assert str(torch_hub({"HOME": "/home/me"} | environ)[0]) == expected
