"""Writes chunkdl/identify/torchvision_weights.toml from the enums of a torchvision wheel, without importing it.

    python scripts/torchvision_table.py NEW_WHEEL OLD_WHEEL

NEW_WHEEL says what the names mean. OLD_WHEEL (0.15.2) has the names that torchvision gave files before pytorch/vision
pull request 8036 corrected some of their hashes; the old files are still served.
"""

import ast
import re
import sys
import zipfile
from pathlib import Path

TABLE = Path(__file__).parents[1] / "chunkdl" / "identify" / "torchvision_weights.toml"
# Those whose old names were found wrong by downloading them (pytorch/vision issue 7744): b0 and b2 to b7. The other
# names that changed between the two wheels are other files.
MISLABELLED = re.compile(r"efficientnet_b[02-7]_(rwightman|lukemelas)-")
HASH = re.compile(r"-([0-9a-f]{8})\.")


def main() -> None:
    """Write the table, and say what is in it."""
    new, old = (Weights(Path(each)) for each in sys.argv[1:3])
    lines = [
        "# What torch:NAME means: torchvision's own weight enums. Written by scripts/torchvision-table, not by hand.",
        f'source = "torchvision {new.version}"',
        "",
        "# Names that lie: file → the first digits of the sha256 that it really has.",
        "[mislabelled]",
        *(f'"{name}" = "{true}"' for name, true in sorted(mislabelled(new, old))),
    ]
    for model, enum in sorted(new.models.items()):
        urls, default = new.enums[enum]
        lines += ["", f"[models.{model}]", f'DEFAULT = "{default}"']
        lines += [f'{weights} = "{url}"' for weights, url in urls.items()]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{TABLE}: {len(new.models)} models, {sum(len(urls) for urls, _ in new.enums.values())} sets of weights")


class Weights:
    """The enums of one wheel: ``enums`` maps an enum to its URLs and its default, ``models`` a builder to its enum."""

    def __init__(self, wheel: Path) -> None:
        self.version = wheel.name.split("-")[1]
        self.enums: dict[str, tuple[dict[str, str], str]] = {}
        self.models: dict[str, str] = {}
        with zipfile.ZipFile(wheel) as archive:
            sources = [each for each in archive.namelist() if re.match(r"torchvision/models/.*\.py$", each)]
            trees = [ast.parse(archive.read(each)) for each in sources]
        for node in (each for tree in trees for each in tree.body if isinstance(each, ast.ClassDef)):
            if any(ast.unparse(base) == "WeightsEnum" for base in node.bases):
                self.enums[node.name] = _enum(node)
        for node in (each for tree in trees for each in tree.body if isinstance(each, ast.FunctionDef)):
            self._register(node)

    def _register(self, node: ast.FunctionDef) -> None:
        for decorator in node.decorator_list:
            if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) != "register_model":
                continue
            said = [ast.literal_eval(each.value) for each in decorator.keywords if each.arg == "name"]
            name = (said or [node.name])[0]
            annotation = next(ast.unparse(each.annotation) for each in node.args.kwonlyargs if each.arg == "weights")
            found = [each for each in re.findall(r"\w+", annotation) if each in self.enums]
            # a quantized builder takes either; its own come first in the annotation
            self.models[name] = found[0]


def _enum(node: ast.ClassDef) -> tuple[dict[str, str], str]:
    urls, default = {}, ""
    for each in node.body:
        if not isinstance(each, ast.Assign):
            continue
        name = ast.unparse(each.targets[0])
        if isinstance(each.value, ast.Call):
            urls[name] = next(ast.literal_eval(word.value) for word in each.value.keywords if word.arg == "url")
        elif name == "DEFAULT":
            default = ast.unparse(each.value)
    return urls, default


def mislabelled(new: Weights, old: Weights) -> list[tuple[str, str]]:
    """Old file names whose hash the newer enum corrected."""
    found = []
    for enum, (urls, _) in old.enums.items():
        for weights, url in urls.items():
            name, now = url.rpartition("/")[2], new.enums[enum][0][weights]
            true = HASH.search(now)
            if now != url and MISLABELLED.match(name) and true:
                found.append((name, true[1]))
    return found


if __name__ == "__main__":
    main()
