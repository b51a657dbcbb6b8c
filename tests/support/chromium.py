"""A real browser, driven through its own debugging protocol; chromium must be installed (scripts/install)."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import tempfile

import aiohttp

# A browser on a loaded machine takes its time; whatever takes longer hangs.
LIMIT_S = 60.0
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--no-proxy-server", "--remote-debugging-port=0",
)  # fmt: skip


class Tab:
    """One page. ``complaints`` is all that its console said as warning or error, and every exception."""

    def __init__(self, socket):
        self.complaints = []
        self._socket = socket
        self._session = None
        self._numbers = itertools.count(1)
        self._answers = {}

    async def listen(self):
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(said["params"]["exceptionDetails"])
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] in {"warning", "error"}:
                self.complaints.append(said["params"]["entry"]["text"])
            elif said["method"] == "Runtime.consoleAPICalled" and said["params"]["type"] in {"warning", "error"}:
                self.complaints.append(said["params"]["args"])

    async def ask(self, method, **params):
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        question = {"id": number, "method": method, "params": params}
        await self._socket.send_json(question | ({"sessionId": self._session} if self._session else {}))
        async with asyncio.timeout(LIMIT_S):
            said = await answer
        assert "error" not in said, (method, said)
        return said["result"]

    async def open(self):
        target = await self.ask("Target.createTarget", url="about:blank")
        attached = await self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self.ask(f"{domain}.enable")

    async def go(self, url):
        await self.ask("Page.navigate", url=url)

    async def value(self, expression):
        """What ``expression``, which may be a promise, is in the page."""
        said = await self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def until(self, condition):
        """Wait until ``condition`` holds in the page."""
        check = f"const check = () => ({condition}) ? done(true) : setTimeout(check, 20); check();"
        assert await self.value(f"new Promise((done) => {{ {check} }})")

    async def resize(self, width, height, *, mobile=False):
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )

    async def prefer(self, scheme):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.ask("Emulation.setEmulatedMedia", features=features)

    async def screenshot(self):
        """PNG of the whole page."""
        said = await self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(said["data"])


@contextlib.asynccontextmanager
async def browser_tab():
    """A tab of a fresh browser with a fresh profile."""
    with tempfile.TemporaryDirectory(prefix="chunkdl-chromium-", ignore_cleanup_errors=True) as profile:
        async with (
            _process(profile) as url,
            aiohttp.ClientSession() as session,
            session.ws_connect(url, max_msg_size=0) as socket,
        ):
            tab = Tab(socket)
            listening = asyncio.create_task(tab.listen())
            try:
                await tab.open()
                yield tab
            finally:
                listening.cancel()


@contextlib.asynccontextmanager
async def _process(profile):
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program is not None, "chromium is not installed: scripts/install does it"
    environ = {**os.environ, "HOME": profile, "XDG_CONFIG_HOME": profile, "XDG_CACHE_HOME": profile}
    process = await asyncio.create_subprocess_exec(
        program,
        *FLAGS,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            address = await _address(process.stderr)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            await process.communicate()  # to the end of its stderr: until then the pipe is open


async def _address(stderr):
    said = []
    while line := await stderr.readline():
        said.append(line.decode(errors="replace"))
        if found := re.search(r"DevTools listening on (ws://\S+)", said[-1]):
            return found[1]
    raise AssertionError("".join(said))
