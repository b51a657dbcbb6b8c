"""huggingface_hub 1.33, the last that is made of httpx: one look at each way in. The contract is 2.x."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import LIMIT_S, NAME, contents

ELDER = Path(sys.prefix) / "hub-1"  # scripts/loaders puts it there

DROP_IN = f"""
import inspect, json, huggingface_hub, chunkdl
path = chunkdl.snapshot_download("{NAME}")
try:
    chunkdl.hf_hub_download("{NAME}", "nothing.txt")
except huggingface_hub.errors.EntryNotFoundError as error:
    name = type(error).__name__
names = [list(inspect.signature(getattr(each, "snapshot_download")).parameters) for each in (huggingface_hub, chunkdl)]
same = huggingface_hub.snapshot_download("{NAME}", local_files_only=True) == path
print(json.dumps([huggingface_hub.__version__, path, name, names[0] == names[1], same]))
"""
INSTALLED = f"""
import json, huggingface_hub
from chunkdl.integrations.huggingface_hub import installed
with installed():
    path = huggingface_hub.snapshot_download("{NAME}")
print(json.dumps([huggingface_hub.__version__, path, "RemoteEntryNotFoundError", True, True]))
"""
RUN = INSTALLED.replace("with installed():", "if True:").replace(
    "from chunkdl.integrations.huggingface_hub import installed\n", ""
)


@pytest.mark.parametrize(
    ("before", "code"), [([], DROP_IN), ([], INSTALLED), (["-m", "chunkdl", "run", "--", sys.executable], RUN)]
)
def test_the_elder_client_is_served_in_every_way(hub, before, code):
    done = subprocess.run(
        [sys.executable, *before, "-c", code],
        env=hub.environment(
            PYTHONPATH=str(ELDER), HF_HUB_OFFLINE="0", HF_ENDPOINT=hub.server.url, CHUNKDL_MIRRORS="none"
        ),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version, path, *said = json.loads(done.stdout)
    assert version.startswith("1.33.")
    assert said == ["RemoteEntryNotFoundError", True, True]
    assert contents(Path(path)) == dict(hub.repo.files)
    assert {each.request.headers["user-agent"].partition("/")[0] for each in hub.server.log} == {"chunkdl"}
    assert hub.server.bytes_served == sum(map(len, hub.repo.files.values()))
