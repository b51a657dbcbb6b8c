"""``chunkdl serve``: offer an exported folder as a mirror, until stopped."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chunkdl.cli.display import open_display
from chunkdl.cli.errors import say_error, tell
from chunkdl.cli.output import Output
from chunkdl.cli.running import run_until_stopped
from chunkdl.cli.sections import TeachingCommand
from chunkdl.cli.stopping import Stopping
from chunkdl.errors import ChunkdlError
from chunkdl.share.listen_address import DEFAULT_LISTEN, parse_listen, spell_url
from chunkdl.spelling import spell_bytes, spell_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.progress_lines import Display
    from chunkdl.share.server import MirrorService, Served

_EXAMPLES = (
    ("chunkdl mirrors export bert-base-uncased /srv/hub", "first lay out what you have"),
    ("chunkdl serve /srv/hub", "offer it on this machine; stdout is the address"),
    ("chunkdl serve /srv/hub --listen 0.0.0.0:8650", "offer it to the lab"),
)


@click.command("serve", cls=TeachingCommand, examples=_EXAMPLES, short_help="Serve an exported folder as a mirror.")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--listen", default=DEFAULT_LISTEN, metavar="ADDRESS:PORT", show_default=True, help="Port 0: any free.")
@click.option("--host", "names", metavar="NAME", multiple=True, help="Another name by which it may be asked.")
@click.option("--log", is_flag=True, help="A line on stderr for each request.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
@click.pass_obj
def serve(around: Surroundings, /, folder: Path, *, listen: str, names: tuple[str, ...], log: bool, quiet: bool) -> int:
    """Serve DIR, made by chunkdl mirrors export, as a Hugging Face mirror: read-only, until stopped."""
    from chunkdl.share.folder import MirrorFolder  # noqa: PLC0415 - --help must not pay for a server
    from chunkdl.share.server import MirrorService, own_names  # noqa: PLC0415

    display = open_display("none", around, quiet=quiet)
    known = own_names() | {each.lower() for each in names}
    service = MirrorService(MirrorFolder(folder.absolute()), known, _logging(display) if log else lambda _: None)
    try:
        host, port = parse_listen(listen)
        with Stopping(lambda _code: None, around.leave) as stopping:
            run_until_stopped(lambda: _serve(service, host, port, around, display), stopping, lambda: None)
    except ChunkdlError as error:
        say_error(display, tell(error))
        return error.exit_code
    return 0  # a server that was told to stop has done what it was for


async def _serve(service: MirrorService, host: str, port: int, around: Surroundings, display: Display) -> None:
    from chunkdl.share.server import serving  # noqa: PLC0415

    async with serving(service, host, port) as (address, bound):
        url = spell_url(address, bound, socket.gethostname())
        commits = [commit for repo in service.catalogue.repos for commit in repo.commits.values()]
        size = spell_bytes(sum(each.size for each in commits))
        display.say("text", f"serving {spell_count(len(commits), 'commit')}, {size}, at {url}; stop with Ctrl-C")
        display.say("text", f"use it: HF_ENDPOINT={url} hf download REF, or chunkdl fetch REF --add-mirror {url}")
        Output(around.stdout).text(url)
        await asyncio.Event().wait()


def _logging(display: Display) -> Callable[[Served], object]:
    def log(served: Served) -> None:
        display.say("text", f"{served.status} {served.method} {served.path} {served.body_bytes}")

    return log
