"""A headless Chromium that is driven through two pipes, by the DevTools protocol. Standard library alone.

    with Chromium() as browser:
        page = browser.open("file:///tmp/report.html", width=390, dark=True)
        page.run("document.title"); page.screenshot("report.png")

`page.requests` has every address that the page asked for beside its own, `page.complaints` all that was written to the
console, every exception, and all that the page's policy refused.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ["chromium", "chromium-browser", "google-chrome"]
PATIENCE_S = 120


def find():
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Chromium:
    def __init__(self):
        self.home = tempfile.TemporaryDirectory()
        to_read, self.to = os.pipe()
        self.of, from_write = os.pipe()
        # The protocol is spoken on descriptors 3 and 4.
        flags = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run"
        command = f'exec 3<&{to_read} 4>&{from_write}; exec "$@"'
        quiet = "--disable-background-networking --disable-component-update --disable-sync --disable-extensions --lang=en-US"
        self.process = subprocess.Popen(
            ["bash", "-c", command, "bash", find(), *flags.split(), *quiet.split(), "--remote-debugging-pipe",
             f"--user-data-dir={self.home.name}", "about:blank"],
            pass_fds=(to_read, from_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(from_write)
        self.received = b""
        self.number = 0
        self.pages = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        os.close(self.of)
        try:
            self.home.cleanup()
        except OSError:
            pass  # A child of the browser was still writing there.

    def message(self):
        end = time.monotonic() + PATIENCE_S
        while b"\0" not in self.received:
            if not select.select([self.of], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"Chromium said nothing for {PATIENCE_S} s")
            part = os.read(self.of, 1 << 20)
            if not part:
                raise ConnectionError("Chromium ended")
            self.received += part
        line, self.received = self.received.split(b"\0", 1)
        return json.loads(line)

    def call(self, method, session=None, **parameters):
        self.number += 1
        number = self.number
        request = {"id": number, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        data = json.dumps(request).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        while True:
            message = self.message()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.event(message)

    def event(self, message):
        page = self.pages.get(message.get("sessionId"))
        if page:
            page.event(message["method"], message["params"])

    def open(self, url, width=1280, height=900, dark=False, script=True):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session, url, width, height, dark, script)


class Page:
    def __init__(self, browser, session, url, width, height, dark, script):
        self.browser, self.session, self.url = browser, session, url
        self.requests, self.complaints, self.is_loaded = [], [], False
        browser.pages[session] = self
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")
        self.size(width, height)
        self.dark(dark)
        if not script:
            self.call("Emulation.setScriptExecutionDisabled", value=True)
        self.call("Page.navigate", url=url)
        while not self.is_loaded:
            browser.event(browser.message())

    def call(self, method, **parameters):
        return self.browser.call(method, session=self.session, **parameters)

    def event(self, method, told):
        if method == "Page.loadEventFired":
            self.is_loaded = True
        elif method == "Network.requestWillBeSent":
            asked = told["request"]["url"]
            if asked != self.url and not asked.startswith("data:"):
                self.requests.append(asked)
        elif method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str([argument.get("value") for argument in told["args"]]))
        elif method == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])

    def size(self, width, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def dark(self, is_dark):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, expression):
        """The value of an expression, after the page had time to draw."""
        return self.evaluate(f"new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))).then(() => ({expression}))")

    def evaluate(self, expression):
        """The value of an expression, also where the page's own scripts are switched off."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']['exception']['description']}")
        return result["result"].get("value")

    def key(self, name, code):
        for kind in ["keyDown", "keyUp"]:
            text = {"text": "\r"} if name == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, **text)

    def screenshot(self, path, whole=False):
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def pdf(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"]))
