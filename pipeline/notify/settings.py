"""Settings of notifications: each entry of `notify` has events and one channel.

Notify(on=["refused"], webhook=Webhook(url_env="SLACK_URL")).channel.name  # "webhook $SLACK_URL"
"""

import json
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from pydantic import Field, create_model, model_validator

from pipeline.notify.channels import Channel, kinds
from schemas.settings.base import Settings

Event = Literal["pushed", "refused", "failed", "waiting", "drift", "quarantined"]
EVENTS: tuple[Event, ...] = get_args(Event)
_CHANNELS_0_1 = ("webhook", "email", "command")  # the channels of version 0.1: see `Target.identity`


class Target(Settings):
    """Events, and the channel that receives them. Each event is sent at most once, after it is recorded."""

    on: list[Event] = Field(list(EVENTS), min_length=1, description="the events that are sent")

    @model_validator(mode="after")
    def _one_channel(self) -> "Target":
        if len(self._configured()) != 1:
            *others, last = kinds()
            raise ValueError(f"set exactly one of {', '.join(others)} and {last}")
        return self

    @property
    def channel(self) -> Channel:
        return next(iter(self._configured().values()))

    @property
    def identity(self) -> str:
        """Identifies the receiver, independent of its events. For channels of 0.1, the same text as in 0.1."""
        ((key, channel),) = self._configured().items()
        keys = _CHANNELS_0_1 if key in _CHANNELS_0_1 else (key,)
        return json.dumps(
            {k: _values(channel) if k == key else None for k in keys}, separators=(",", ":"), ensure_ascii=False
        )

    def _configured(self) -> dict[str, Channel]:
        return {key: channel for key in kinds() if (channel := getattr(self, key)) is not None}


def _values(channel: Channel) -> Any:
    return cast(Any, channel).model_dump(mode="json")


if TYPE_CHECKING:
    Notify = Target
else:
    Notify = create_model(
        "Notify",
        __base__=Target,
        __doc__=Target.__doc__,
        **{key: (kind | None, Field(None, description=kind.title)) for key, kind in kinds().items()},
    )
