import json

import pytest

from chunkdl.errors import MirrorMisbehaved, NotTheFile
from chunkdl.identify.answers import git_blob_sha1, next_query, parse_info, parse_tree_page, pointer_text
from chunkdl.model import Digest, Mirror

ORIGIN = Mirror("https://o.example", "origin", is_origin=True)
MIRROR = Mirror("https://m.example", "m")
SHA256 = "a" * 64
COMMIT = "b" * 40
DIGEST = Digest.parse(f"sha256:{SHA256}")


def lfs(**changes):
    pointer = pointer_text(DIGEST, 7)
    return {
        "type": "file",
        "path": "model.bin",
        "size": 7,
        "oid": git_blob_sha1(pointer),
        "lfs": {"oid": SHA256, "size": 7, "pointerSize": len(pointer)},
        **changes,
    }


def page(*entries, of=MIRROR):
    return parse_tree_page(json.dumps(entries).encode(), of)


class TestPointer:
    def test_is_the_text_that_git_stores(self):
        # the example of the git-lfs specification, docs/spec.md
        oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
        assert pointer_text(Digest.parse(f"sha256:{oid}"), 12345) == (
            b"version https://git-lfs.github.com/spec/v1\n"
            b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
            b"size 12345\n"
        )

    def test_git_names_content_with_its_size(self):
        assert git_blob_sha1(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
        assert git_blob_sha1(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


class TestTreePage:
    def test_an_lfs_entry_is_its_sha256_and_keeps_its_pointer_apart(self):
        [file] = page(lfs(xetHash="c" * 64))
        assert (file.path, file.size, file.digest, file.xet_hash) == ("model.bin", 7, DIGEST, "c" * 64)
        assert file.pointer_oid == lfs()["oid"]

    def test_a_plain_entry_is_its_git_sha1(self):
        [file] = page({"type": "file", "path": "a.json", "size": 0, "oid": COMMIT})
        assert str(file.digest) == f"git-sha1:{COMMIT}"
        assert file.pointer_oid is None

    def test_folders_are_no_files(self):
        assert page({"type": "directory", "path": "sub", "oid": COMMIT, "size": 0}) == []

    def test_a_redacted_xet_hash_is_ignored(self):
        assert page(lfs(xetHash="redacted"))[0].xet_hash is None

    def test_a_digest_that_does_not_fit_its_pointer_is_refused_from_everybody(self):
        for hub in (MIRROR, ORIGIN):
            with pytest.raises(MirrorMisbehaved, match="does not fit its pointer"):
                page(lfs(oid=COMMIT), of=hub)

    def test_a_pointer_of_unusual_length_is_believed_from_the_origin_only(self):
        odd = lfs(oid=COMMIT, lfs={"oid": SHA256, "size": 7, "pointerSize": 140})
        assert page(odd, of=ORIGIN)[0].digest == DIGEST
        with pytest.raises(MirrorMisbehaved):
            page(odd, of=MIRROR)

    @pytest.mark.parametrize(
        "entry",
        [
            {"type": "file", "size": 1, "oid": COMMIT},
            {"type": "file", "path": 7, "size": 1, "oid": COMMIT},
            {"type": "file", "path": "a", "size": -1, "oid": COMMIT},
            {"type": "file", "path": "a", "size": True, "oid": COMMIT},
            {"type": "file", "path": "a", "size": "1", "oid": COMMIT},
            {"type": "file", "path": "a", "size": 1 << 63, "oid": COMMIT},
            {"type": "file", "path": "a", "size": 1},
            {"type": "file", "path": "a", "size": 1, "oid": "B" * 40},
            {"type": "file", "path": "a", "size": 1, "oid": SHA256},
            lfs(lfs={"oid": "A" * 64, "size": 7}),
            lfs(lfs={"oid": SHA256}),
            "a.json",
            None,
        ],
    )
    def test_entries_that_cannot_be_are_refused(self, entry):
        with pytest.raises(MirrorMisbehaved, match="listing is refused"):
            page(entry)

    @pytest.mark.parametrize("body", [b"", b"<html>", b'[{"type":', b"\xff\xfe", b"[" * 100_000])
    def test_what_is_no_json_is_no_listing(self, body):
        with pytest.raises(NotTheFile):
            parse_tree_page(body, MIRROR)

    def test_an_object_is_no_listing(self):
        with pytest.raises(MirrorMisbehaved):
            parse_tree_page(b"{}", MIRROR)


class TestInfo:
    def test_canonical_id_commit_and_flags(self):
        body = json.dumps(
            {"id": "google-bert/bert", "sha": COMMIT, "lastModified": "2024-02-19T11:06:12.000Z", "gated": "auto"}
        ).encode()
        info = parse_info(body, "bert", MIRROR)
        assert (info.canonical_id, info.commit, info.last_modified) == (
            "google-bert/bert",
            COMMIT,
            "2024-02-19T11:06:12.000Z",
        )
        assert (info.gated, info.private, info.disabled) == (True, False, False)

    @pytest.mark.parametrize("hostile", ["../../etc", "a/b/c", "a b", "", None, 7])
    def test_an_id_that_no_hub_has_is_ignored(self, hostile):
        assert (
            parse_info(json.dumps({"id": hostile, "sha": COMMIT}).encode(), "org/name", MIRROR).canonical_id
            == "org/name"
        )

    @pytest.mark.parametrize("sha", [None, "main", "B" * 40, "b" * 39, 7])
    def test_without_a_commit_it_is_refused(self, sha):
        with pytest.raises(MirrorMisbehaved, match="names no commit"):
            parse_info(json.dumps({"sha": sha}).encode(), "org/name", MIRROR)


class TestNextPage:
    @pytest.mark.parametrize(
        ("link", "query"),
        [
            (
                '<https://m.example/api/models/a/tree/c?recursive=true&cursor=x%3D%3D>; rel="next"',
                "recursive=true&cursor=x%3D%3D",
            ),
            ('<http://other.example/whatever?cursor=x>; rel="next"', "cursor=x"),
            ('<https://m.examplehttps://huggingface.co/api?cursor=x>; rel="next"', "cursor=x"),
            ('<https://m.example/?cursor=1>; rel="prev", <https://m.example/?cursor=3>; rel=next', "cursor=3"),
            ('<https://m.example/?cursor=1>; rel="xet-auth"', None),
            ("", None),
        ],
    )
    def test_only_the_query_of_the_link_counts(self, link, query):
        assert next_query({"link": link}, MIRROR) == query

    @pytest.mark.parametrize(
        "link", ['<https://m.example/>; rel="next"', '<https://m/?a b>; rel="next"', f'<?{"x" * 5000}>; rel="next"']
    )
    def test_a_link_that_cannot_be_asked_is_refused(self, link):
        with pytest.raises(MirrorMisbehaved):
            next_query({"link": link}, MIRROR)
