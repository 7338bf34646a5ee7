"""A headless Chromium driven over its debugging protocol, to see the book's pages as a reader's browser shows them."""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from tornado.websocket import websocket_connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars
--remote-debugging-port=0""".split()
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
DESKTOP = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}


class Browser:
    """One tab: `open` loads a page; then `requests` are the addresses it asked for, `errors` what it complained of."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="chromium-")
        self.process = subprocess.Popen([CHROMIUM, *FLAGS, f"--user-data-dir={self.folder}", "about:blank"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.loop, self.number, self.events = asyncio.new_event_loop(), 0, []
        try:
            self.socket = self._wait(self._connect())
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Runtime"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    session = None

    async def _connect(self):
        return await websocket_connect(self._address(), max_message_size=1 << 28)

    async def _send(self, message):
        await self.socket.write_message(json.dumps(message))

    async def _receive(self):
        return json.loads(await self.socket.read_message())

    def _wait(self, work, seconds=60):
        return self.loop.run_until_complete(asyncio.wait_for(work, seconds))

    def _address(self):
        port = Path(self.folder, "DevToolsActivePort")
        for _ in range(600):
            lines = port.read_text().split() if port.exists() else []
            if len(lines) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            time.sleep(0.1)
        raise RuntimeError("Chromium did not start")

    def call(self, method, **parameters):
        """The result of one protocol command; events that arrive meanwhile are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self._wait(self._send(message))
        while True:
            answer = self._wait(self._receive())
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def open(self, address, screen=DESKTOP, dark=False):
        """Load a page on a screen, in a light or dark system, and wait until its mathematics is typeset."""
        self.call("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events = []
        self.call("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._wait(self._receive()))
        self.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => 1) : 1")
        self.evaluate("document.fonts.ready.then(() => 1)")

    def evaluate(self, script):
        """The value of a JavaScript expression (awaited, if it is a promise) in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description"))
        return answer["result"].get("value")

    @property
    def requests(self):
        """Addresses the page asked for since it was opened, whether it got them or not."""
        return [event["params"]["request"]["url"] for event in self.events
                if event.get("method") == "Network.requestWillBeSent"]

    @property
    def errors(self):
        """Exceptions thrown by the page's scripts, and requests that failed."""
        named = {event["params"]["requestId"]: event["params"]["request"]["url"] for event in self.events
                 if event.get("method") == "Network.requestWillBeSent"}
        return [f"{event['method']}: {named.get(event['params'].get('requestId'), event['params'])}"
                for event in self.events
                if event.get("method") in ("Runtime.exceptionThrown", "Network.loadingFailed")]

    def screenshot(self, whole=True):
        """PNG bytes of the page, or of what the screen shows of it."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def close(self):
        """End the browser and delete its profile."""
        self.process.terminate()
        self.process.wait(20)
        self.loop.close()
        shutil.rmtree(self.folder, ignore_errors=True)
