"""Exporting from a cache on disk: what is proven, what is refused, what is left when it fails."""

import asyncio
import errno
import hashlib
import json
from dataclasses import replace

import pytest
from cli_stage import Stage
from support.cache_world import COMMIT, CONTENT, FILES, ORIGIN, OTHER_COMMIT, World, artifact, files_named, lfs

from chunkdl.cli import main as cli
from chunkdl.cli.mirrors_export import export as export_command
from chunkdl.errors import ArtifactNotFound, IntegrityError, PolicyRefused, UsageError
from chunkdl.identify.known import Earlier, Known
from chunkdl.model import Authority, AuthorityKind, RepoType
from chunkdl.second_name import link_or_copy
from chunkdl.settings import Settings, mirror_at
from chunkdl.share import hub_json
from chunkdl.share.export import export, prepare
from chunkdl.share.folder import MirrorFolder
from chunkdl.share.offer import OfferedCommit

UNKNOWING = Authority(AuthorityKind.ORIGIN, "http://origin", authenticated=False)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def settings(tmp_path, world):
    origin = mirror_at("https://origin.example", is_origin=True)
    return Settings(origin=origin, cache_dir=world.cache.root, state_dir=tmp_path / "state")


@pytest.fixture
def folder(tmp_path, settings):
    folder = MirrorFolder(tmp_path / "lab")
    prepare(folder, settings)
    return folder


def placed(world, files=FILES, **more):
    world.store(files)
    world.place(files, artifact(FILES, **more))


async def remember(settings, what, **flags):
    await Known.of(settings).remember(Earlier(what, **flags), 1e9)


def offered(folder, repo_id="org/name"):
    return folder.find(RepoType.MODEL, repo_id)


def test_a_whole_commit(world, settings, folder):
    placed(world)
    asyncio.run(remember(settings, artifact(FILES)))
    done = export("org/name", folder, settings)
    assert (done.repo_id, done.commit, done.files, done.complete, done.notices) == ("org/name", COMMIT, 6, True, ())
    assert done.bytes == sum(map(len, CONTENT.values()))
    assert done.bytes_copied == 0
    assert dict(offered(folder).refs) == {"main": COMMIT}
    assert not list(folder.root.rglob("*.chunkdl-new"))
    names = {each.relative_to(folder.root).as_posix() for each in folder.root.rglob("*") if each.is_file()}
    folders = [hashlib.sha256(each).hexdigest()[:16] for each in (b"", b"onnx", b"onnx/deep", b"onnx/deep/er")]
    trees = [f"{COMMIT}-tree-{folder}-{depth}.json" for folder in folders for depth in ("flat", "deep")]
    documents = {f"api/models--org--name/{each}" for each in ("refs.json", f"{COMMIT}-info.json", *trees)}
    blobs = {f"blobs/{each.digest.hex}" for each in FILES}
    assert names == {"chunkdl-mirror.json", "repos/models--org--name.json"} | documents | blobs


def test_the_smallest_set_is_offered_as_what_it_is(world, settings, folder):
    chosen = files_named("config.json", "model.safetensors")
    placed(world, chosen, authority=UNKNOWING)
    done = export("org/name", folder, settings)
    assert (done.files, done.complete) == (2, False)
    assert "--format all" in done.notices[0]
    assert not offered(folder).at("main").complete


def test_what_the_origin_said_names_the_repository_and_what_is_lacking(world, settings, folder):
    chosen = files_named("config.json", "model.safetensors")
    placed(world, chosen, authority=UNKNOWING)
    asyncio.run(remember(settings, replace(artifact(chosen), canonical_id="canonical/name")))
    done = export("org/name", folder, settings)
    assert (done.repo_id, done.complete) == ("canonical/name", True)
    assert offered(folder, "canonical/name").names == ("org/name",)


def test_learning_the_hubs_own_id_later_joins_both_offers(world, settings, folder):
    placed(world)
    export("org/name", folder, settings)
    asyncio.run(remember(settings, replace(artifact(FILES), canonical_id="canonical/name")))
    export("org/name", folder, settings)
    assert [each.name for each in folder.records.iterdir()] == ["models--canonical--name.json"]
    assert folder.read()[0].ids == ("canonical/name", "org/name")


@pytest.mark.parametrize("kind", ["gated", "private"])
def test_what_is_not_for_everybody_needs_a_word(world, settings, folder, kind):
    placed(world)
    asyncio.run(remember(settings, artifact(FILES), **{kind: True}))
    with pytest.raises(PolicyRefused, match=f"org/name is {kind}"):
        export("org/name", folder, settings)
    assert list(folder.records.iterdir()) == []
    export("org/name", folder, settings, restricted=True)
    assert getattr(offered(folder), kind)


def test_what_nobody_here_knows_to_be_public_is_said(world, settings, folder):
    placed(world)
    (notice,) = export("org/name", folder, settings).notices
    assert "whether it is gated or private is not known here" in notice
    assert export("org/name", folder, settings, restricted=True).notices == ()
    asyncio.run(remember(settings, artifact(FILES)))
    assert export("org/name", folder, settings).notices == ()


def test_a_flipped_bit_in_the_cache_is_found_and_nothing_offered(world, settings, folder):
    placed(world)
    (weights,) = files_named("model.safetensors")
    blob = world.repo.blob(weights.digest)
    blob.write_bytes(b"\x01" + CONTENT["model.safetensors"][1:])
    with pytest.raises(IntegrityError, match=r"model.safetensors in the cache is not sha256:") as caught:
        export("org/name", folder, settings)
    assert caught.value.hint == "repair it: chunkdl fetch org/name --force"
    assert list(folder.records.iterdir()) == []
    assert weights.digest.hex not in {each.name for each in folder.blobs.iterdir()}
    assert not list(folder.blobs.glob("*.chunkdl-new"))


def test_a_wrong_length_is_found_without_hashing(world, settings, folder):
    placed(world)
    world.repo.blob(files_named("config.json")[0].digest).write_bytes(b"longer than it was")
    with pytest.raises(IntegrityError, match=r"config\.json"):
        export("org/name", folder, settings)


def test_a_blob_that_rotted_in_the_mirror_is_made_anew(world, settings, folder):
    placed(world)
    (weights,) = files_named("model.safetensors")
    rotten = folder.blob(weights.digest)
    rotten.write_bytes(bytes(len(CONTENT["model.safetensors"]) - 1) + b"!")
    export("org/name", folder, settings)
    assert rotten.read_bytes() == CONTENT["model.safetensors"]


def test_another_file_system_gets_copies(world, settings, folder, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EXDEV, "another volume")

    monkeypatch.setattr("chunkdl.share.export.link_or_copy", lambda src, dst: link_or_copy(src, dst, link=no_links))
    placed(world)
    done = export("org/name", folder, settings)
    distinct = {each.digest: each.size for each in FILES}
    assert done.bytes_copied in {0, sum(distinct.values())}  # 0 where blocks can be shared
    blob = folder.blob(files_named("model.safetensors")[0].digest)
    assert not blob.samefile(world.repo.blob(files_named("model.safetensors")[0].digest))


def test_real_files_without_a_listing_cannot_be_proven(world, settings, folder):
    world.store()
    world.place(FILES, artifact(FILES, authority=UNKNOWING), use_symlinks=False)
    with pytest.raises(ArtifactNotFound, match="has no file in the cache that could be exported"):
        export("org/name", folder, settings)


def test_real_files_with_a_listing_can(world, settings, folder):
    world.store()
    world.place(FILES, artifact(FILES, authority=ORIGIN), use_symlinks=False)
    assert export("org/name", folder, settings).complete


def test_a_foreign_file_in_the_snapshot_is_left_out_and_named(world, settings, folder):
    placed(world)
    (world.repo.snapshot(COMMIT) / "mine.txt").write_text("notes")
    done = export("org/name", folder, settings)
    assert done.complete
    assert "1 file without a known digest left out (mine.txt)" in done.notices[0]


def test_a_pin_offers_no_name_for_it(world, settings, folder):
    placed(world)
    export(f"org/name@{COMMIT}", folder, settings)
    assert dict(offered(folder).refs) == {}


def test_one_file_adds_to_what_is_offered(world, settings, folder):
    placed(world)
    export(f"hf://org/name@{COMMIT}/config.json", folder, settings)
    assert [each.path for each in offered(folder).at(COMMIT).files] == ["config.json"]
    export(f"hf://org/name@{COMMIT}/onnx/", folder, settings)
    assert len(offered(folder).at(COMMIT).files) == 3


@pytest.mark.parametrize("text", ["org/other", f"org/name@{OTHER_COMMIT}", "org/name@v2", "datasets/org/name"])
def test_what_is_not_in_the_cache(world, settings, folder, text):
    placed(world)
    with pytest.raises(ArtifactNotFound, match="is not in the cache") as caught:
        export(text, folder, settings)
    assert caught.value.hint == f"fetch it first: chunkdl fetch {text} --format all"


def test_unconfirmed_files_say_so(world, settings, folder):
    placed(world)
    asyncio.run(Known.of(settings).note_unconfirmed(artifact(FILES, authority=UNKNOWING), 1e9))
    assert "has not confirmed" in export("org/name", folder, settings).notices[-1]


def test_folders_that_are_something_else(tmp_path, world, settings):
    with pytest.raises(UsageError, match="lies inside the cache"):
        prepare(MirrorFolder(world.cache.root / "lab"), settings)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        prepare(MirrorFolder(tmp_path / "full"), settings)
    assert [each.name for each in (tmp_path / "full").iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="was not made by chunkdl mirrors export"):
        MirrorFolder(tmp_path / "full").read()


class Command(Stage):
    """The export command by itself, wherever its group is."""

    def run(self, *argv):
        saved = dict(cli._COMMANDS)
        cli._COMMANDS["export"] = ("chunkdl.cli.mirrors_export", "")
        try:
            return super().run("export", *argv)
        finally:
            cli._COMMANDS.clear()
            cli._COMMANDS.update(saved)


@pytest.fixture
def command(tmp_path, world):
    assert export_command.name == "export"
    return Command(tmp_path, environ={"HF_HUB_CACHE": str(world.cache.root)})


def test_the_command_prints_the_folder(command, world, tmp_path):
    placed(world)
    assert command.run("org/name", str(tmp_path / "lab")) == 0
    assert command.out == f"{tmp_path / 'lab'}\n"
    assert "org/name: 6 files" in command.err
    assert "location" in (tmp_path / "lab/nginx.conf").read_text()


def test_the_command_prints_the_configuration(command, world, tmp_path):
    placed(world)
    assert command.run("org/name", str(tmp_path / "lab"), "--nginx", "--listen", "[::]:80", "-q") == 0
    assert command.out == (tmp_path / "lab/nginx.conf").read_text()
    assert "listen [::]:80;" in command.out
    assert command.err == ""


def test_the_command_tries_all_and_ends_with_the_first_failure(command, world, tmp_path):
    placed(world)
    assert command.run("org/nope", "org/name", "--json", str(tmp_path / "lab")) == 3
    said = command.json
    assert (said["ok"], said["exit_code"], said["errors"][0]["ref"]) == (False, 3, "org/nope")
    assert [each["reference"] for each in said["exported"]] == ["org/name"]


@pytest.mark.parametrize("listen", ["8650", "x:99999", "a b:1", "127.0.0.1:1; include /etc/passwd", "::1:80", ":80"])
def test_a_listen_that_is_no_address(command, tmp_path, listen):
    assert command.run("org/name", str(tmp_path / "lab"), "--listen", listen, "--json") == 2
    assert "is not ADDRESS:PORT" in command.json["errors"][0]["message"]
    assert json.loads(command.out)["exported"] == []


def test_lfs_pointers_are_named_as_git_does():
    file = lfs("model.bin", b"x" * 70_000)
    (entry,) = hub_json.Listing(OfferedCommit(COMMIT, (file,))).tree()
    assert entry["oid"] == file.pointer_oid
    assert entry["lfs"]["pointerSize"] == 130
