"""Channel `webhook`: posts the event as JSON to an HTTP address. Slack shows its `text`."""

import hashlib
import html
import json
from typing import Annotated, Any, ClassVar

from etils import epy
from pydantic import Field, model_validator

from pipeline.notify.channels import Undelivered
from schemas.settings.base import Settings, Variable, secret

with epy.lazy_imports():
    import http.client
    import urllib.error
    import urllib.request

TIMEOUT = 10.0  # seconds
TEMPORARY = (429, 500, 502, 503, 504)  # status codes after which a retry may succeed


class Webhook(Settings):
    """An HTTP address. The address of a Slack webhook is a secret: name an environment variable."""

    title: ClassVar[str] = "send to an address by HTTP"

    url_env: Variable | None = Field(None, description="environment variable that holds the address")
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+")] | None = Field(
        None, description="the address, if it is not a secret"
    )

    @model_validator(mode="after")
    def _one_address(self) -> "Webhook":
        if (self.url is None) == (self.url_env is None):
            raise ValueError("state one of url_env and url")
        if self.url and "@" in self.url.split("/")[2]:
            raise ValueError(
                "the url contains a password; put the address into an environment variable and name it in url_env"
            )
        return self

    @property
    def name(self) -> str:
        return f"webhook {'$' + self.url_env if self.url_env else (self.url or '').split('/')[2]}"

    def send(self, event: dict[str, Any]) -> None:
        class NoRedirect(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: Any) -> None: ...  # a redirect would be a GET to an unconfigured address

        address = self.url or secret(self.url_env or "")
        body = json.dumps({**event, "text": html.escape(event["text"], quote=False)}).encode()  # as Slack requires
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "gateline",
            "Idempotency-Key": hashlib.sha256(event["id"].encode()).hexdigest(),
        }
        try:
            request = urllib.request.Request(address, body, headers)
            if request.type not in ("http", "https"):
                raise ValueError
            urllib.request.build_opener(NoRedirect).open(request, timeout=TIMEOUT).close()
        except urllib.error.HTTPError as error:
            error.close()
            raise Undelivered(f"it answered {error.code} {error.reason}", retryable=error.code in TEMPORARY) from None
        except urllib.error.URLError as error:  # no response, so it was not accepted
            raise Undelivered(f"it cannot be reached: {error.reason}", retryable=True) from None
        except (ValueError, http.client.InvalidURL):  # whose message contains the address
            raise Undelivered("its address is not one of http or https") from None


KIND = Webhook
