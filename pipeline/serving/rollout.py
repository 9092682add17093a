"""Checks whether TensorFlow Serving serves a version, through the model status of its REST API.

watch(Watch(url="http://127.0.0.1:8501"), "mnist", 7)   # None if it is served, else the reason

`GET /v1/models/NAME/versions/N` (https://www.tensorflow.org/tfx/serving/api_rest) returns START, LOADING, AVAILABLE,
UNLOADING or END. END before AVAILABLE means that loading failed; the response has the reason.
"""

import time
from collections.abc import Callable
from typing import Any

from etils import epy

from schemas.settings.push import Watch

with epy.lazy_imports():
    import http.client
    import json
    import urllib.error
    import urllib.parse
    import urllib.request

PAUSE = 0.5  # seconds between two requests
TIMEOUT = 5.0  # seconds per request
MAX_RESPONSE = 1 << 20  # bytes


class Failed(Exception):
    """TensorFlow Serving failed to load the version."""


def watch(
    settings: Watch,
    model: str,
    version: int,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Waits until the version is served. Returns None, or the reason after `timeout_seconds` or a failed load."""
    address = f"{settings.url}/v1/models/{urllib.parse.quote(model)}/versions/{version}"
    until = clock() + settings.timeout_seconds
    while True:
        try:
            state = _state(address, version)
        except Failed as error:
            return str(error)
        if state == "AVAILABLE":
            return None
        if clock() + PAUSE > until:
            return f"{state} after {settings.timeout_seconds:g} s"
        sleep(PAUSE)


def _state(address: str, version: int) -> str:
    """The state, or the reason why it is unknown."""
    try:
        # Without a proxy: TensorFlow Serving is usually local, and a proxy would add failures.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=TIMEOUT) as response:
            content = json.loads(response.read(MAX_RESPONSE))
        return _state_in(content, version)
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answered {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return f"it cannot be reached: {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return f"it cannot be reached: {type(error).__name__}"
    except (ValueError, LookupError, TypeError, AttributeError):
        return "its answer is not a model status"


def _state_in(content: Any, version: int) -> str:
    (status,) = [each for each in content["model_version_status"] if each["version"] == str(version)]
    state = str(status["state"])
    if state == "END":
        why = " ".join(str(status.get("status", {}).get("error_message") or "no reason was given").split())
        raise Failed(f"it could not load the version: {why[:500]}")
    return state if state == "AVAILABLE" else f"it was {state}"
