"""A project's ``chunkdl.toml``: what a checkout that one stands in may say, and no more.

Decides the limits: selection, revision, destination, and mirrors without tokens. Everything else in it is
refused by name (``user_file``), because ``cd checkout && chunkdl fetch x`` must neither send a token nor
believe whom a stranger names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkdl.errors import UsageError
from chunkdl.observe import Notice
from chunkdl.settings.declared import declared_in
from chunkdl.settings.user_file import read_project_file
from chunkdl.settings.values import ProjectWishes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from chunkdl.model import Mirror
    from chunkdl.settings.declared import Declared
    from chunkdl.settings.user_file import UserFile

PROJECT_FILE = "chunkdl.toml"
# The values of --format; the selection itself is further up, so a test holds the two together.
FORMATS = ("auto", "safetensors", "bin", "tf", "flax", "gguf", "onnx", "all")


@dataclass(frozen=True, slots=True)
class Project:
    """What the project's file says; ``where`` is empty if there is none."""

    where: str = ""
    wishes: ProjectWishes = field(default_factory=ProjectWishes)
    cache_dir: Path | None = None
    local_dir: Path | None = None
    mirrors: tuple[Declared, ...] = ()

    def notices(self, chosen: Iterable[Mirror]) -> tuple[Notice, ...]:
        """That the file is obeyed, and which of its mirrors hear names: a person may not know that it is there."""
        if not self.where:
            return ()
        own = {each.mirror.url for each in self.mirrors}
        heard = [each.name for each in chosen if each.url in own and not each.vouches]
        said = [name for name in ProjectWishes.__dataclass_fields__ if getattr(self.wishes, name)]
        said += [key for key in ("cache_dir", "local_dir") if getattr(self, key)]
        said += [f"mirrors {', '.join(heard)}"] if heard else []
        return (Notice("project-settings", f"{self.where} is obeyed: {', '.join(said)}"),) if said else ()


NO_PROJECT = Project()


def find_project(folder: Path, user_file: Path) -> Project:
    """The project of ``folder``, if it has a settings file that is not the user's own.

    Raises:
        UsageError: the file says what it must not, or what cannot be.
    """
    path = folder.absolute() / PROJECT_FILE
    if not path.is_file() or (user_file.exists() and path.samefile(user_file)):
        return NO_PROJECT
    file = read_project_file(path)
    if file.get("format", str) not in (None, *FORMATS):
        raise UsageError(f"{file.place('format')} is one of {', '.join(FORMATS)}")
    wishes = ProjectWishes(
        revision=file.get("revision", str),
        include=tuple(file.get("include", list) or ()),
        exclude=tuple(file.get("exclude", list) or ()),
        format=file.get("format", str),
        variant=file.get("variant", str),
        quant=file.get("quant", str),
    )
    if file.get("cache_dir", str) and file.get("local_dir", str):
        raise UsageError(f"{file.place('local_dir')} and cache_dir exclude each other")
    cache_dir = _folder(file, "cache_dir", folder)
    local_dir = _folder(file, "local_dir", folder)
    # Real files under names that the repository chooses: a stranger's file must not aim them at somebody's home.
    if local_dir is not None and not local_dir.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{file.place('local_dir')} leads out of the project", hint="use --local-dir for that")
    # No environment: a stranger's file must not choose which variable's value goes anywhere.
    mirrors = declared_in(file, {})
    return Project(str(path), wishes, cache_dir, local_dir and local_dir.resolve(), mirrors)


def _folder(file: UserFile, key: str, project: Path) -> Path | None:
    said = file.get(key, str)
    if not said:
        return None
    if said.startswith("~") or "$" in said or "\0" in said:
        raise UsageError(f"{file.place(key)}: a project names folders without ~ and $")
    return project.absolute() / said
