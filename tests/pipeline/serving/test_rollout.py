"""The check that TensorFlow Serving serves a version, against a fake of its REST API on loopback."""

import contextlib
import http.server
import json
import socket
import threading

import pytest

from pipeline.serving.rollout import watch
from schemas.settings.push import Watch


def status(state, message="", version="7"):
    """A response of TensorFlow Serving."""
    error = {"error_code": "UNKNOWN" if message else "OK", "error_message": message}
    return 200, json.dumps({"model_version_status": [{"version": version, "state": state, "status": error}]})


ABSENT = 404, json.dumps({"error": "Could not find any versions of model digits"})


@contextlib.contextmanager
def serving(*answers):
    """The address of a fake server that gives these answers in turn and then repeats the last; and its requests."""
    responses, requests = list(answers), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            code, body = responses.pop(0) if len(responses) > 1 else responses[0]
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body.encode() if isinstance(body, str) else body)

        def log_message(self, *_): ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()


class FakeClock:
    """A clock that only `sleep` advances."""

    def __init__(self):
        self.now = 1000.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def watch_version(url, seconds=3.0):
    clock = FakeClock()
    problem = watch(Watch(url=url, timeout_seconds=seconds), "digits", 7, clock=clock.clock, sleep=clock.sleep)
    return problem, clock.now - 1000


def test_watch_waits_until_the_version_is_served():
    with serving(ABSENT, status("START"), status("LOADING"), status("LOADING"), status("AVAILABLE")) as (url, requests):
        assert watch_version(url) == (None, 2.0)
    assert requests == ["/v1/models/digits/versions/7"] * 5


def test_watch_fails_at_once_when_the_version_cannot_be_loaded():
    with serving(status("LOADING"), status("END", "NOT_FOUND: Op type not registered\n 'MyOp'")) as (url, requests):
        assert watch_version(url) == ("it could not load the version: NOT_FOUND: Op type not registered 'MyOp'", 0.5)
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("answer", "message"),
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
def test_watch_times_out_when_the_version_never_becomes_available(answer, message):
    with serving(answer) as (url, requests):
        assert watch_version(url) == (message, 3.0)
    assert len(requests) == 7


def test_watch_times_out_without_a_server():
    with socket.socket() as unused:  # bound, but not listening
        unused.bind(("127.0.0.1", 0))
        problem, waited = watch_version(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert problem == "it cannot be reached: [Errno 111] Connection refused after 3 s"
    assert waited == 3.0


def test_watch_retries_after_a_broken_connection():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close_connections():
            for _ in range(3):
                server.accept()[0].close()

        thread = threading.Thread(target=close_connections)
        thread.start()
        problem, _ = watch_version(f"http://127.0.0.1:{server.getsockname()[1]}", 1.0)
        thread.join()
    assert problem.startswith("it cannot be reached: ")
    assert problem.endswith(" after 1 s")
