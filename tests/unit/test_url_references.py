import pytest

from chunkdl.errors import PolicyRefused, ReferenceInvalid, UsageError
from chunkdl.identify.references import parse_reference, parse_repository
from chunkdl.identify.url_references import is_checkpoint, read_address, shown
from chunkdl.model import Digest, DigestAlgorithm, Hub

SHA = "11ad3fa6" + "0" * 56


@pytest.mark.parametrize("name", ["resnet50", "resnet50.IMAGENET1K_V1", "fasterrcnn_resnet50_fpn.coco_v1"])
def test_torchs_names_are_kept_as_typed(name):
    reference = parse_reference(f"torch:{name}")
    assert (reference.hub, reference.repo_id, reference.path) == (Hub.TORCH, name, None)


@pytest.mark.parametrize("name", ["", " ", "a/b", "resnet50.", "resnet50@v1", "../x", "a.b.c", "é"])
def test_what_is_no_name_of_torchs_is_refused(name):
    with pytest.raises(ReferenceInvalid):
        parse_reference(f"torch:{name}")


def test_an_address_is_kept_whole_and_its_file_is_called_by_the_last_part():
    url = "https://download.pytorch.org/models/resnet50-0676ba61.pth?sig=a%2Fb"
    reference = parse_reference(url)
    assert (reference.hub, reference.url) == (Hub.URL, url)
    assert reference.path == reference.repo_id == "resnet50-0676ba61.pth"


@pytest.mark.parametrize(
    "url", ["https://huggingface.co/org/name/resolve/main/model.pth", "https://hf-mirror.com/org/name"]
)
def test_addresses_of_the_hub_stay_repositories(url):
    assert parse_reference(url).hub is Hub.HUGGING_FACE


@pytest.mark.parametrize(
    ("fragment", "name", "digest"),
    [
        ("", "x.pth", None),
        (f"#sha256={SHA}", "x.pth", Digest(DigestAlgorithm.SHA256, SHA)),
        (f"#sha256={SHA.upper()}", "x.pth", Digest(DigestAlgorithm.SHA256, SHA)),
        ("#sha256=11ad3fa6", "x.pth", Digest(DigestAlgorithm.SHA256_PREFIX, "11ad3fa6")),
        (f"#sha256={SHA}&name=y.pth", "y.pth", Digest(DigestAlgorithm.SHA256, SHA)),
        ("#name=a%20b.pth", "a b.pth", None),
    ],
)
def test_a_fragment_says_what_the_file_is_and_what_to_call_it(fragment, name, digest):
    address = read_address(f"https://host.example/a/x.pth{fragment}")
    assert (address.url, address.name, address.digest) == ("https://host.example/a/x.pth", name, digest)


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https://host.example",
        "https://host.example/a/",
        "https://host.example/..",
        "https://user:secret@host.example/x.pth",
        "https://host.example:0/x.pth",
        "https://host.example:99999999/x.pth",
        "https://host.example/x.pth#readme",
        "https://host.example/x.pth#md5=1",
        "https://host.example/x.pth#sha256=xyz",
        "https://host.example/x.pth#sha256=1234567",
        f"https://host.example/x.pth#sha256={SHA}0",
        "https://host.example/x.pth#name=../y",
        "https://host.example/x.pth#name=a%2Fb",
        "https://host.example/x.pth#name=a%5Cb",
        "https://host.example/x.pth#name=a%00",
    ],
)
def test_what_names_no_file_or_cannot_be_obeyed_is_refused(url):
    with pytest.raises(ReferenceInvalid) as refused:
        parse_reference(url)
    assert "secret" not in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("text", ["torch:resnet50", "https://host.example/x.pth"])
def test_a_file_is_no_repository(text):
    with pytest.raises(UsageError, match="a repository is wanted"):
        parse_repository(text)
    assert parse_repository("org/name").repo_id == "org/name"


def test_plain_http_is_refused_but_for_this_machine():
    with pytest.raises(PolicyRefused) as refused:
        parse_reference("http://host.example/x.pth?token=secret")
    assert "secret" not in refused.value.message
    assert read_address("http://127.0.0.1:8000/x.pth").url == "http://127.0.0.1:8000/x.pth"


def test_what_no_address_may_hold_is_encoded_and_the_rest_is_left_alone():
    address = read_address("https://host.example/a%20b/ü x.pth?q=%2F")
    assert address.url == "https://host.example/a%20b/%C3%BC%20x.pth?q=%2F"
    assert address.name == "ü x.pth"  # as torch.hub calls it


def test_what_is_shown_of_an_address_holds_no_secret():
    assert shown("https://host.example/x?signature=secret#name=y") == "https://host.example/x?…"


@pytest.mark.parametrize("name", ["a.pth", "a.PT", "a.pth.tar", "model.safetensors", "pytorch_model.bin", "x.ckpt"])
def test_checkpoints_are_known_by_their_endings(name):
    assert is_checkpoint(name)


@pytest.mark.parametrize("name", ["a.tar", "pth", ".pth", "a.pth.zip", "corpus.tar.gz", "readme.md"])
def test_other_files_are_none(name):
    assert not is_checkpoint(name)
