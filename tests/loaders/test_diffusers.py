"""A pipeline of two components: its default set, and a variant that one of them lacks."""

import pytest
import torch
from conftest import NAME, contents
from diffusers import DDIMScheduler, DiffusionPipeline, LDMPipeline, UNet2DModel, VQModel


def tiny_pipeline():
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    vqvae = VQModel(
        latent_channels=4,
        block_out_channels=(8,),
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        norm_num_groups=4,
        num_vq_embeddings=16,
    )
    return LDMPipeline(vqvae=vqvae, unet=unet, scheduler=DDIMScheduler(num_train_timesteps=4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """As publishers lay it out: a variant of one component, pickles of both, a single-file twin at the root."""
    folder = tmp_path_factory.mktemp("pipeline")
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(folder)
    pipeline.unet.half().save_pretrained(folder / "unet", variant="fp16")
    for part in ("unet", "vqvae"):
        torch.save(getattr(pipeline, part).state_dict(), folder / part / "diffusion_pytorch_model.bin")
    (folder / "ldm.ckpt").write_bytes(bytes(9000))
    (folder / "README.md").write_text("# tiny\n")
    return folder


def image(pipeline):
    seed = torch.manual_seed(0)
    return torch.from_numpy(pipeline(num_inference_steps=2, generator=seed, output_type="np").images)


def weights(report):
    names = [each["path"] for each in report["results"][0]["files"]]
    return sorted(each for each in names if each.endswith((".safetensors", ".bin", ".ckpt")))


def load(hub, **how):
    return DiffusionPipeline.from_pretrained(NAME, cache_dir=hub.cache, **how)


def test_the_default_fetch_draws_the_same(serve, folder):
    hub = serve(contents(folder))
    report = hub.fetch()
    plain = "diffusion_pytorch_model.safetensors"
    assert weights(report) == [f"unet/{plain}", f"vqvae/{plain}"]
    assert torch.equal(image(load(hub)), image(DiffusionPipeline.from_pretrained(folder)))


def test_a_variant_is_taken_where_it_is_and_the_plain_weights_elsewhere(serve, folder):
    hub = serve(contents(folder))
    report = hub.fetch(NAME, "--variant", "fp16")
    assert weights(report) == [
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vqvae/diffusion_pytorch_model.safetensors",
    ]
    said = [each["message"] for each in report["notices"] if each["code"] == "selection"]
    assert said == ["vqvae has no variant fp16: the plain weights are taken"]
    placed, original = load(hub, variant="fp16"), DiffusionPipeline.from_pretrained(folder, variant="fp16")
    for part in ("unet", "vqvae"):
        ours, theirs = getattr(placed, part).state_dict(), getattr(original, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(image(placed), image(original))


def test_shards_of_a_component_load(serve, folder, tmp_path):
    tiny_pipeline().save_pretrained(tmp_path, max_shard_size="30KB")
    hub = serve(contents(tmp_path))
    report = hub.fetch()
    assert len([each for each in weights(report) if "-of-" in each]) > 2
    assert torch.equal(image(load(hub)), image(DiffusionPipeline.from_pretrained(folder)))


def test_a_component_that_has_only_a_pickle_does_not_cost_the_others_theirs(serve, folder):
    files = {
        name: data for name, data in contents(folder).items() if not name.startswith("vqvae/") or "safe" not in name
    }
    hub = serve(files)
    report = hub.fetch()
    assert weights(report) == ["unet/diffusion_pytorch_model.safetensors", "vqvae/diffusion_pytorch_model.bin"]
    assert torch.equal(image(load(hub)), image(DiffusionPipeline.from_pretrained(folder)))
