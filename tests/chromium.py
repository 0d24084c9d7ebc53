# SPDX-License-Identifier: Apache-2.0
"""Chromium without a window, driven by its DevTools protocol over two pipes; requires the standard library only."""

import functools
import http.server
import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")
FOUND = next(filter(None, map(shutil.which, NAMES)), None)
TIMEOUT = 120.0  # seconds
# The browser reads commands from descriptor 3 and writes answers to descriptor 4. `dup` returns greater ones.
_START = """
import os, sys
read, write = map(os.dup, map(int, sys.argv[1:3]))
while min(read, write) < 5: read, write = map(os.dup, (read, write))
os.dup2(read, 3); os.dup2(write, 4); os.execv(sys.argv[3], sys.argv[3:])
"""


class Chromium:
    """A browser with one page.

    Args:
      profile: an empty directory for the files of the browser.
      width: width of the page in pixels.
      height: height of the page in pixels.
      arguments: additional arguments of the command line. Default: `--disable-gpu`.

    Attributes:
      problems: warnings and errors of the console, exceptions, and requests that failed, a list of strings.
    """

    def __init__(self, profile, width=1280, height=900, arguments=("--disable-gpu",)):
        self.problems, self._number, self._waiting = [], 0, b""
        read_commands, self._write = os.pipe()
        self._read, write_answers = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(read_commands), str(write_answers), FOUND, "--headless=new",
             "--no-sandbox", *arguments, "--no-first-run", "--disable-dev-shm-usage", "--remote-debugging-pipe",
             f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(read_commands, write_answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(read_commands)
        os.close(write_answers)
        self._session = None
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        self._process.wait(timeout=TIMEOUT)

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)

    def open(self, url):
        self.call("Page.navigate", url=url)

    def run(self, expression):
        """Evaluates an expression of JavaScript, awaits it if it is a promise, and returns its value."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression):
        """Waits until an expression is true, and returns its value."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            value = self.run(expression)
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"{expression} is still false; problems: {self.problems}")

    def press(self, key, code=None, text=None):
        """Presses a key and releases it."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key, **(
                {"text": text} if text and kind == "keyDown" else {}))

    def drag(self, points):
        """Presses the left mouse button at the first point, moves through the others, and releases it."""
        for index, (x, y) in enumerate([*points, points[-1]]):
            kind = "mousePressed" if index == 0 else "mouseReleased" if index == len(points) else "mouseMoved"
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def call(self, method, **parameters):
        """Calls a method of the DevTools protocol and returns its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + TIMEOUT
        while True:
            for answer in self._received(end, method):
                if answer.get("id") == self._number:
                    assert "error" not in answer, (method, answer["error"])
                    return answer["result"]
                self._note(answer)

    def _received(self, end, method):
        """Waits for messages and returns them."""
        ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"no answer to {method} within {TIMEOUT:.0f} seconds"
        part = os.read(self._read, 2**20)
        assert part, "the browser has ended"
        *messages, self._waiting = (self._waiting + part).split(b"\0")
        return map(json.loads, messages)

    def _note(self, event):
        parameters = event.get("params", {})
        if event["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("warning", "error", "assert"):
            self.problems.append(" ".join(str(each.get("value", each)) for each in parameters["args"]))
        elif event["method"] == "Runtime.exceptionThrown":
            self.problems.append(str(parameters["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("warning", "error"):
            self.problems.append(str(parameters["entry"]))
        elif event["method"] == "Network.loadingFailed" and not parameters.get("canceled"):
            self.problems.append(str(parameters))


class Server:
    """A server of the files of a directory, as `python -m http.server` is one. `url` is its address."""

    def __init__(self, directory):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=str(directory)))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
