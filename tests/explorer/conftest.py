"""Browsers for the explorer's tests: each runs the page's own code on a job and posts the answers to a local server."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from metabolism.explorer.build import ENGINE, joined, page
from metabolism.explorer.contents import contents

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def inside():
    """What the page holds: contents and compiled model."""
    return contents()


@pytest.fixture(scope="session")
def page_file(tmp_path_factory):
    """The page as a file on disk."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page(), encoding="utf-8")
    return path


class Probe:
    """Runs jobs in a browser.

    Parameters
    ----------
    start : callable
        Takes an address and returns what ends the visit.
    """

    def __init__(self, inside, start):
        self.start = start
        shown, code = inside
        html = (
            f"<!doctype html><meta charset=utf-8><script>{joined(ENGINE)}\n{(HERE / 'probe.js').read_text()}</script>"
        )
        self.files = {
            "/probe.html": ("text/html", html.encode()),
            "/contents.json": ("application/json", json.dumps(shown).encode()),
            "/module.wasm": ("application/wasm", code),
        }

    def __call__(self, *job, timeout=240):
        files = self.files | {"/job.json": ("application/json", json.dumps(job).encode())}
        arrived, answers = threading.Event(), []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                kind, data = files.get(self.path, ("text/plain", b""))
                self.send_response(200 if data else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self):
                answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()
                arrived.set()

            def log_message(self, *args):
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            end = self.start(f"http://127.0.0.1:{server.server_address[1]}/probe.html")
            try:
                assert arrived.wait(timeout), "the browser did not answer"
            finally:
                end()
                server.shutdown()
        answer = answers[0]["answer"]
        assert isinstance(answer, list), answer["error"]
        return answer


class Firefox:
    """Firefox by its own remote protocol (Marionette): commands as JSON over a socket.

    Parameters
    ----------
    folder : path
        An empty profile.
    """

    def __init__(self, folder):
        path = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
        if path is None:
            message = "no Firefox on this machine (apt-get install firefox-esr)"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (folder / "user.js").write_text(f'user_pref("marionette.port", {port});\n', encoding="utf-8")
        self.process = subprocess.Popen(
            [path, "--headless", "--no-remote", "--marionette", "--profile", str(folder)],
            env=os.environ | {"HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(600):
            try:
                self.line = socket.create_connection(("127.0.0.1", port), timeout=240)
                break
            except OSError:
                time.sleep(0.1)
        self.number = 0
        self._read()
        self("WebDriver:NewSession")

    def _read(self):
        size = b""
        while not size.endswith(b":"):
            size += self.line.recv(1)
        data = b""
        while len(data) < int(size[:-1]):
            data += self.line.recv(int(size[:-1]) - len(data))
        return json.loads(data)

    def __call__(self, command, **parameters):
        self.number += 1
        message = json.dumps([0, self.number, command, parameters]).encode()
        self.line.sendall(str(len(message)).encode() + b":" + message)
        _, _, error, result = self._read()
        assert error is None, error
        return result

    def run(self, script):
        """What a script returns in the page that is open."""
        return self("WebDriver:ExecuteScript", script=script, args=[])["value"]

    def open(self, address, until, patience=240):
        """Open an address and wait until an expression is true there."""
        self("WebDriver:Navigate", url=address)
        self.wait(until, patience)

    def wait(self, until, patience=240):
        """Wait until an expression is true in the page."""
        end = time.monotonic() + patience
        while not self.run(f"return Boolean({until})"):
            assert time.monotonic() < end, f"Firefox waited in vain for {until}"
            time.sleep(0.1)

    def close(self):
        """End the browser."""
        self.line.close()
        self.process.terminate()
        self.process.wait(timeout=60)


@pytest.fixture(scope="session")
def firefox(tmp_path_factory):
    browser = Firefox(tmp_path_factory.mktemp("firefox"))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def in_firefox(inside, firefox):
    def start(address):
        firefox.open(address, "document.title === 'done'")
        return lambda: None

    return Probe(inside, start)


@pytest.fixture(scope="module")
def in_chromium(inside, chromium):
    def start(address):
        context = chromium.new_context()
        tab = context.new_page()
        tab.goto(address)
        # the driver answers only while it is waited for
        tab.wait_for_function("document.title === 'done'", timeout=240_000)
        return context.close

    return Probe(inside, start)
