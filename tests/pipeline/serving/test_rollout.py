"""TensorFlow Serving asked whether it serves a version, in the shape of a small fake of its REST API on loopback."""

import contextlib
import http.server
import json
import socket
import threading

import pytest

from pipeline.serving.rollout import watch
from schemas.settings.push import Watch


def status(state, message="", version="7"):
    """As TensorFlow Serving answers."""
    error = {"error_code": "UNKNOWN" if message else "OK", "error_message": message}
    return 200, json.dumps({"model_version_status": [{"version": version, "state": state, "status": error}]})


ABSENT = 404, json.dumps({"error": "Could not find any versions of model digits"})


@contextlib.contextmanager
def serving(*answers):
    """The address of a fake that gives these answers in turn, and the last one for ever; and what it was asked."""
    waiting, asked = list(answers), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            code, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body.encode() if isinstance(body, str) else body)

        def log_message(self, *_): ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 1000.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def watched(url, seconds=3.0):
    time = Time()
    found = watch(Watch(url=url, timeout_seconds=seconds), "digits", 7, clock=time.clock, sleep=time.sleep)
    return found, time.now - 1000


def test_a_version_that_is_served_after_a_while_is_waited_for():
    with serving(ABSENT, status("START"), status("LOADING"), status("LOADING"), status("AVAILABLE")) as (url, asked):
        assert watched(url) == (None, 2.0)
    assert asked == ["/v1/models/digits/versions/7"] * 5


def test_a_version_that_cannot_be_loaded_is_given_up_at_once():
    with serving(status("LOADING"), status("END", "NOT_FOUND: Op type not registered\n 'MyOp'")) as (url, asked):
        assert watched(url) == ("it could not load the version: NOT_FOUND: Op type not registered 'MyOp'", 0.5)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (status("LOADING"), "it was LOADING after 3 s"),
        (ABSENT, "it answered 404 Not Found after 3 s"),
        ((500, "oh"), "it answered 500 Internal Server Error after 3 s"),
        ((200, "<html>"), "its answer is not a model status after 3 s"),
        ((200, b"\xff\xfe"), "its answer is not a model status after 3 s"),
        ((200, "[]"), "its answer is not a model status after 3 s"),
        ((200, '{"model_version_status": null}'), "its answer is not a model status after 3 s"),
        ((200, '{"model_version_status": []}'), "its answer is not a model status after 3 s"),
        (status("AVAILABLE", version="6"), "its answer is not a model status after 3 s"),
    ],
    ids=["loading", "404", "500", "a page", "bytes", "a list", "null", "empty", "another version"],
)
def test_what_never_becomes_available_is_given_up_in_time(answer, words):
    with serving(answer) as (url, asked):
        assert watched(url) == (words, 3.0)
    assert len(asked) == 7


def test_no_server_at_all_is_given_up_in_time():
    with socket.socket() as taken:  # bound, and never listening
        taken.bind(("127.0.0.1", 0))
        found, waited = watched(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert found == "it cannot be reached: [Errno 111] Connection refused after 3 s"
    assert waited == 3.0


def test_a_server_that_breaks_off_is_asked_again():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            for _ in range(3):
                server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        found, _ = watched(f"http://127.0.0.1:{server.getsockname()[1]}", 1.0)
        thread.join()
    assert found.startswith("it cannot be reached: ")
    assert found.endswith(" after 1 s")
