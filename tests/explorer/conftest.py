"""Browsers for the explorer's tests: each runs the page's own code on a job and posts the answers to a local server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
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


def _firefox(folder):
    path = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        message = "no Firefox on this machine (apt-get install firefox-esr)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)

    def start(address):
        process = subprocess.Popen(
            [path, "--headless", "--no-remote", "--profile", str(folder), address],
            env=os.environ | {"HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def end():
            process.terminate()
            process.wait(timeout=30)

        return end

    return start


@pytest.fixture(scope="session")
def in_firefox(inside, tmp_path_factory):
    return Probe(inside, _firefox(tmp_path_factory.mktemp("firefox")))


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
