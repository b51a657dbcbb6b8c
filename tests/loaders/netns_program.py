"""Run by a test inside a network namespace that has nothing but loopback: hub, chunkdl and program all live here.

Arguments: the folder of a model, a folder for everything else. Prints who asked the hub, and what the program said.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from chunkdl.testing import HubRepo, MirrorServer

NAME = "bert-base-uncased"
LOAD = """
import json, os, socket
import torch, transformers
try:
    socket.create_connection(("192.0.2.1", 443), 5)
    way_out = "connected"
except OSError as error:
    way_out = error.strerror
model = transformers.AutoModel.from_pretrained("bert-base-uncased").eval()
total = float(model(torch.tensor([[2, 5, 6, 3]])).last_hidden_state.sum())
print(json.dumps({"way_out": way_out, "sum": total, "endpoint": os.environ["HF_ENDPOINT"]}))
"""


SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # netdevice(7)


def raise_loopback():
    """A new namespace has a loopback, but it is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))


def main(model, root):
    files = {each.relative_to(model).as_posix(): each for each in model.rglob("*") if each.is_file()}
    repo = HubRepo(NAME, files, canonical_id=f"google-bert/{NAME}")
    interfaces = [name for _, name in socket.if_nameindex()]
    with MirrorServer([repo]).in_thread() as one, MirrorServer([repo]).in_thread() as other:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "CHUNKDL_"))},
            "HF_HOME": str(root),
            "CHUNKDL_STATE_DIR": str(root / "state"),
            "CHUNKDL_ORIGIN": one.url,
            "CHUNKDL_MIRRORS": other.url,
        }
        command = [sys.executable, "-m", "chunkdl", "run", "--", sys.executable, "-c", LOAD]
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False
        )
        hubs = [one.url, other.url]
        agents = {each.request.headers.get("user-agent", "").partition("/")[0] for each in (*one.log, *other.log)}
    said = json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr}
    sys.stdout.write(json.dumps({"interfaces": interfaces, "agents": sorted(agents), "hubs": hubs, **said}))


raise_loopback()
main(Path(sys.argv[1]), Path(sys.argv[2]))
