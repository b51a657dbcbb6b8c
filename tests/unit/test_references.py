from dataclasses import replace

import pytest

from chunkdl.errors import ReferenceInvalid
from chunkdl.identify.references import is_repo_id, parse_reference
from chunkdl.model import RepoType

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "repo_type", "repo_id", "revision", "path"),
    [
        ("bert-base-uncased", "model", "bert-base-uncased", None, None),
        (" org/name ", "model", "org/name", None, None),
        ("org/name@v1.0", "model", "org/name", "v1.0", None),
        ("org/name@refs/pr/7", "model", "org/name", "refs/pr/7", None),
        (f"org/name@{COMMIT}", "model", "org/name", COMMIT, None),
        ("datasets/squad", "dataset", "squad", None, None),
        ("datasets/org/name@dev", "dataset", "org/name", "dev", None),
        ("spaces/org/name", "space", "org/name", None, None),
        ("models/org/name", "model", "org/name", None, None),
        ("datasets", "model", "datasets", None, None),
        ("hf://org/name", "model", "org/name", None, None),
        ("hf://org/name@v1/sub/model.bin", "model", "org/name", "v1", "sub/model.bin"),
        ("hf://org/name@feature%2Fx/a.bin", "model", "org/name", "feature/x", "a.bin"),
        ("hf://org/name@refs/pr/3/a.bin", "model", "org/name", "refs/pr/3", "a.bin"),
        ("hf://org/name/sub/model.bin", "model", "org/name", None, "sub/model.bin"),
        ("hf://org/name/sub/", "model", "org/name", None, "sub/"),
        ("hf://datasets/org/name@main", "dataset", "org/name", "main", None),
        ("hf://bert-base-uncased", "model", "bert-base-uncased", None, None),
        ("https://huggingface.co/bert-base-uncased", "model", "bert-base-uncased", None, None),
        ("https://huggingface.co/org/name/", "model", "org/name", None, None),
        ("https://huggingface.co/org/name?library=x#top", "model", "org/name", None, None),
        ("https://huggingface.co/org/name/tree/v2", "model", "org/name", "v2", None),
        ("https://huggingface.co/org/name/tree/main/onnx", "model", "org/name", "main", "onnx/"),
        ("https://huggingface.co/org/name/blob/main/a%20b.json", "model", "org/name", "main", "a b.json"),
        ("https://hf.co/org/name/resolve/main/a.bin?download=true", "model", "org/name", "main", "a.bin"),
        ("https://huggingface.co/gpt2/resolve/main/a.bin", "model", "gpt2", "main", "a.bin"),
        ("https://huggingface.co/org/name/tree/refs%2Fpr%2F1", "model", "org/name", "refs/pr/1", None),
        (f"https://huggingface.co/org/name/commit/{COMMIT}", "model", "org/name", COMMIT, None),
        ("https://huggingface.co/datasets/org/name/blob/main/x.parquet", "dataset", "org/name", "main", "x.parquet"),
        ("https://hf-mirror.com/org/name/tree/main", "model", "org/name", "main", None),
        ("https://hub.opencsg.com/hf/org/name", "model", "org/name", None, None),
    ],
)
def test_what_people_type_names_one_repository(text, repo_type, repo_id, revision, path):
    reference = parse_reference(text)
    assert (reference.repo_type, reference.repo_id, reference.revision, reference.path) == (
        RepoType(repo_type),
        repo_id,
        revision,
        path,
    )
    assert reference.text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@main",
        "a/b/c",
        "org//name",
        "./models/x",
        "/etc/passwd",
        "org/na me",
        "org/-name",
        "org/name.git",
        "org/a--b",
        "org/a..b",
        "org/" + "n" * 97,
        "örg/name",
        "org/name@",
        "org/name@../../x",
        "org/name@a b",
        "org/name@-x",
        "org/name@a:b",
        "org/name@refs/heads/",
        "org/name@x.lock",
        "org/name@.hidden",
        "org/name@" + "r" * 251,
        "hf://org/name@main/../../x",
        "hf://org/name@main//x",
        "hf://org/name@main/a\\b",
        "hf://org/name@main/a\x00b",
        "https://huggingface.co/",
        "https://huggingface.co/org/name/tree/",
        "https://huggingface.co/org/name/discussions/3",
        "https://huggingface.co/org/name/resolve/main/%2e%2e/x",
        "ftp://huggingface.co/org/name",
    ],
)
def test_text_that_names_nothing_is_refused_with_exit_2(text):
    with pytest.raises(ReferenceInvalid) as caught:
        parse_reference(text)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message


def test_a_repository_id_has_one_or_two_parts():
    assert is_repo_id("a")
    assert is_repo_id("a/b.c-d_e")
    assert not is_repo_id("a/b/c")
    assert not is_repo_id("a/")
    assert not is_repo_id("a/b\n")


@pytest.mark.parametrize(
    "text",
    [
        "https://[zz]/m.pth",
        "https://[zz]/org/name",
        "org/name@\udcff",
        "hf://org/name@main/\udcff.bin",
        "hf://org/name/\udcff.bin",
        "ms:org/name@\udcff",
        "https://host.example/\udcff/m.pth",
    ],
)
def test_what_is_no_address_and_no_text_is_refused(text):
    with pytest.raises(ReferenceInvalid):
        parse_reference(text)


@pytest.mark.parametrize(
    "text",
    ["HTTPS://huggingface.co/org/name/tree/v2", "Https://host.example/m.pth", "HTTPS://modelscope.cn/models/a/b"],
)
def test_a_scheme_may_be_in_capitals(text):
    scheme, _, rest = text.partition(":")
    plain = parse_reference(f"{scheme.lower()}:{rest}")
    assert parse_reference(text) == replace(plain, text=text)
