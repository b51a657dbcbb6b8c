"""Where ModelScope's bytes are asked for, and which of its servers is asked, without sockets."""

import asyncio
import json
from dataclasses import replace

import pytest
from hub_stage import NOW, Answer, settings
from multidict import CIMultiDict

from chunkdl.errors import ConnectFailed, ReferenceInvalid
from chunkdl.identify.known import Known
from chunkdl.identify.modelscope_hub import ModelScopeHub
from chunkdl.identify.references import parse_reference
from chunkdl.settings.values import modelscope_at

SHA = "ab" * 32
AI, OWN = "https://modelscope.ai", "https://modelscope.lab.example"


class Server:
    """Lists one file; ``size`` 0 leaves its length to its headers. ``asked`` are the addresses of bytes."""

    def __init__(self, size=5):
        self.listed = [{"Path": "a.bin", "Type": "blob", "Size": size, "Sha256": SHA}]
        self.asked, self.silent = [], False

    async def get_metadata(self, url, **_):
        if self.silent:
            raise ConnectFailed("refused")
        return Answer(body=json.dumps({"Code": 200, "Data": {"Files": self.listed}}).encode(), url=url)

    async def ask_headers(self, url, **_):
        self.asked.append(url)
        return Answer(206, CIMultiDict({"Content-Range": "bytes 0-0/5"}), url=url)


def identify(tmp_path, server, text, url=AI):
    of = replace(settings(tmp_path), modelscope=modelscope_at(url))
    hub = ModelScopeHub(of, server, Known(of.state_dir, url), NOW)
    return asyncio.run(hub.identify(parse_reference(text), ()))


def addresses(identified):
    return [url for each in identified.sources for url in each.urls.values()]


@pytest.mark.parametrize(("text", "route"), [("ms:datasets/org/rows", "/api/v1/"), ("ms:org/name", "/resolve/")])
def test_bytes_and_lengths_are_asked_for_over_one_route(tmp_path, text, route):
    server = Server(size=0)
    told = identify(tmp_path, server, text)
    assert [each.size for each in told.artifact.files] == [5]
    server.silent = True
    remembered = identify(tmp_path, server, text)
    assert all(route in each for each in [*server.asked, *addresses(told), *addresses(remembered)])
    assert addresses(told) == addresses(remembered)


def test_a_page_of_the_other_server_is_not_asked_of_this_one(tmp_path):
    with pytest.raises(ReferenceInvalid, match=r"page of modelscope\.cn") as caught:
        identify(tmp_path, Server(), "https://www.modelscope.cn/models/org/name")
    assert "MODELSCOPE_ENDPOINT=https://modelscope.cn" in caught.value.hint
    assert identify(tmp_path, Server(), "https://modelscope.ai/models/org/name").artifact.files


def test_an_endpoint_of_ones_own_stands_for_either(tmp_path):
    for text in ("https://modelscope.cn/models/org/name", "https://modelscope.ai/models/org/name", "ms:org/name"):
        assert identify(tmp_path, Server(), text, OWN).artifact.files
