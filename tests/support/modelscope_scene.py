"""One model on two kinds of hubs: the same weights under other names, other small files."""

from __future__ import annotations

import json
from dataclasses import replace

from chunkdl.model import MirrorKind
from chunkdl.settings import mirror_at
from chunkdl.settings.values import modelscope_at
from chunkdl.testing import HubRepo, SeededContent

WEIGHTS = SeededContent(21, 24 << 20)
SECOND = SeededContent(22, 9 << 20)
CONFIG = b'{"model_type": "bert"}'
INDEX = json.dumps({"metadata": {}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}).encode()
FILES = {
    "config.json": CONFIG,
    "model.safetensors.index.json": INDEX,
    "one.safetensors": WEIGHTS,
    "two.safetensors": SECOND,
}
ID = "google-bert/bert-base-uncased"
REPO = HubRepo("bert-base-uncased", FILES, canonical_id=ID)
# What ModelScope has of it: under another name, with files of its own and one that is not the same.
COPY_ID = "AI-ModelScope/bert-base-uncased"
COPY = HubRepo(COPY_ID, {**FILES, "two.safetensors": SeededContent(99, 9 << 20), "configuration.json": b"{}"})
EXACT = HubRepo(COPY_ID, {**FILES, "configuration.json": b"{}", "README.md": b"# other words"})
# An older state, whose first part is the same by now.
OLDER = HubRepo(
    "bert-base-uncased",
    {**FILES, "two.safetensors": SeededContent(98, 9 << 20)},
    canonical_id=ID,
    last_modified="2023-01-01T00:00:00.000Z",
)


def by_content(server, **changes):
    """``server`` as a mirror of kind ModelScope."""
    return replace(mirror_at(server.url), kind=MirrorKind.MODELSCOPE, **changes)


def named_hub(server, token=None):
    """The setting that makes ``server`` the hub of ``ms:`` names."""
    return {"modelscope": modelscope_at(server.url, token)}
