"""The kinds of channels, one module each: a settings class with `title`, `name` and `send`.

`KIND` of a module in this package is its class. An installed package registers such a module in the entry point group
`gateline.channels`. The module's name is the key in the configuration: `notify: [{webhook: ...}]`.
"""

from typing import Any, ClassVar, Protocol

from schemas import plugins


class Undelivered(Exception):
    """The event was not delivered. `retryable`: another attempt may succeed."""

    def __init__(self, why: str, *, retryable: bool = False) -> None:
        super().__init__(why)
        self.retryable = retryable


class Channel(Protocol):
    """A channel: a frozen pydantic model of settings, with a method that sends events."""

    title: ClassVar[str]  # description in the list of settings

    @property
    def name(self) -> str:
        """The receiver as named in warnings and in `ROOT/notices`. Contains no secrets."""

    def send(self, event: dict[str, Any]) -> None:
        """Sends an event, a dict of JSON values. `id` is the same for each attempt, `text` is human-readable.

        Raises:
            Undelivered: it was not delivered. `retryable` is true only if the receiver cannot have accepted it.
        """


def kinds() -> dict[str, type[Channel]]:
    """Every kind by its key in the configuration."""
    channels: dict[str, type[Channel]] = plugins.kinds(__name__, "gateline.channels")
    return channels
