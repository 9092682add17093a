"""The kinds of channels, one file each. A new kind is one file: a settings class with `title`, `name` and `send`.

A kind is the class that `KIND` of a module here names, or of a module that an installed package registers under the
entry point group `gateline.channels`. The module's name is its key in the configuration: `notify: [{webhook: ...}]`.
"""

from typing import Any, ClassVar, Protocol

from schemas import plugins


class Undelivered(Exception):
    """The event was not delivered. `again`: another try may succeed."""

    def __init__(self, why: str, *, again: bool = False) -> None:
        super().__init__(why)
        self.again = again


class Channel(Protocol):
    """A channel: a frozen pydantic model of its settings, which can send events."""

    title: ClassVar[str]  # its description in the list of settings

    @property
    def name(self) -> str:
        """The receiver, in warnings and in `ROOT/notices`, without secrets."""

    def send(self, event: dict[str, Any]) -> None:
        """Sends an event: JSON values; `id` is the same whenever it is sent again, `text` is for people.

        Raises:
            Undelivered: it was not delivered. `again` is true only if the receiver cannot have accepted it.
        """


def kinds() -> dict[str, type[Channel]]:
    """Every kind by its key in the configuration."""
    found: dict[str, type[Channel]] = plugins.kinds(__name__, "gateline.channels")
    return found
