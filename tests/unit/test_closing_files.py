import shlex

import pytest

from chunkdl.cli.closing_files import checkpoint_line
from chunkdl.identify.references import parse_reference

URL = "https://download.pytorch.org/models/resnet50-0676ba61.pth"


def code(reference, path="/t/hub/checkpoints/resnet50-0676ba61.pth", *, is_folder=False):
    line = checkpoint_line(parse_reference(reference), path, is_folder=is_folder)
    python, flag, text = shlex.split(line)
    assert (python, flag) == ("python", "-c")
    compile(text, "line", "exec")
    return text


def test_a_name_of_torchvisions_is_loaded_by_torchvision():
    path = "/t/resnet50-11ad3fa6.pth"
    assert code("torch:resnet50", path).endswith('get_model("resnet50", weights="IMAGENET1K_V2")')
    path = "/t/resnet50_fbgemm-23753f79.pth"
    called = 'get_model("quantized_resnet50", weights="IMAGENET1K_FBGEMM_V2", quantize=True)'
    assert called in code("torch:quantized_resnet50", path)


@pytest.mark.parametrize("name", ["torch:resnet50", "torch:withdrawn"])
def test_a_name_that_means_another_file_by_now_is_read_directly(name):
    assert code(name, "/t/old-0676ba61.pth") == 'import torch; torch.load("/t/old-0676ba61.pth", weights_only=True)'


@pytest.mark.parametrize(
    ("fragment", "said"),
    [("", f'"{URL}", weights'), ("#sha256=0676ba61", f'"{URL}", weights'), ("#name=x.pth", 'file_name="x.pth"')],
)
def test_an_address_is_loaded_by_torch_hub(fragment, said):
    assert said in code(URL + fragment)


def test_a_signature_is_not_printed():
    assert "secret" not in code(f"{URL}?signature=secret")


def test_a_folder_of_the_users_is_read_directly():
    assert code(URL, "/mine/a b.pth", is_folder=True) == 'import torch; torch.load("/mine/a b.pth", weights_only=True)'
    assert "load_file" in code("https://host.example/x.safetensors", "/mine/x.safetensors")


def test_what_torch_does_not_read_has_no_line():
    reference = parse_reference("https://host.example/x.tar.gz")
    assert checkpoint_line(reference, "/mine/x.tar.gz", is_folder=True) == ""
