"""The real libraries as oracles: what chunkdl placed is what they find, offline and online."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# huggingface_hub reads its environment once, at import: these stand before every import of it.
_HOME = tempfile.mkdtemp(prefix="chunkdl-loaders-")
os.environ.update(HF_HOME=_HOME, HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")

import pytest  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from chunkdl.model import RepoType  # noqa: E402
from chunkdl.testing import HubRepo, MirrorServer  # noqa: E402

NAME = "bert-base-uncased"
CANONICAL = "google-bert/bert-base-uncased"
LIMIT_S = 120
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", *"abcdefghijklmnopqrstuvwxyz"]


def tiny_bert(folder, **save):
    """A BERT small enough to run in milliseconds, saved by transformers itself."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    model = transformers.BertModel(config).eval()
    model.save_pretrained(folder, **save)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = transformers.BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), vocab=str(folder / "vocab.txt"))
    tokenizer.chat_template = {
        "default": "{% for m in messages %}{{ m.content }}{% endfor %}",
        "tool_use": "tools {% for m in messages %}{{ m.content }}{% endfor %}",
    }
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text("# tiny\n")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    return model


def contents(folder):
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def hidden_state(model):
    with torch.no_grad():
        return model(torch.tensor([[2, 5, 6, 3]])).last_hidden_state


def agents(server):
    """Who asked, by the first word of the user agent."""
    return {each.request.headers.get("user-agent", "").partition("/")[0] for each in server.log}


@dataclass
class Hub:
    """A hub with one repository, a cache, and programs that use both."""

    server: MirrorServer
    repo: HubRepo
    root: Path

    @property
    def cache(self):
        return self.root / "hub"

    def environment(self, **more):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "CHUNKDL_"))}
        return kept | {
            "HF_HOME": str(self.root),
            "CHUNKDL_STATE_DIR": str(self.root / "state"),
            "NO_COLOR": "1",
            "HF_HUB_DISABLE_XET": "1",
            **more,
        }

    def chunkdl(self, ref, *flags):
        return [sys.executable, "-m", "chunkdl", "fetch", ref, "--origin", self.server.url, "--no-mirrors", *flags]

    def fetch(self, ref=NAME, *flags, **environment):
        done = subprocess.run(
            self.chunkdl(ref, "--json", *flags),
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def online(self, *command):
        """Run a program of the loaders' venv against this hub, as its users would."""
        return subprocess.run(
            [Path(sys.executable).parent / command[0], *command[1:]],
            env=self.environment(HF_ENDPOINT=self.server.url),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    model = tiny_bert(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "tf_model.h5").write_bytes(b"\x89HDF" + bytes(5000))
    return folder


@pytest.fixture(scope="session")
def expected(model_folder):
    return hidden_state(transformers.BertModel.from_pretrained(model_folder).eval())


@pytest.fixture
def serve(tmp_path):
    """Start a hub with the given files; the server ends with the test."""
    running = []

    def start(files, *, repo_type=RepoType.MODEL, **options):
        repo = HubRepo(NAME, files, canonical_id=CANONICAL, repo_type=repo_type)
        server = MirrorServer([repo], **options)
        context = server.in_thread()
        context.__enter__()
        running.append(context)
        return Hub(server, repo, tmp_path / "home")

    yield start
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture
def hub(serve, model_folder):
    return serve(contents(model_folder))
