"""Notifications of runs: events, channels, and their delivery.

send(config.notify, root, lineage, number)
"""

from pipeline.notify.delivery import send
from pipeline.notify.settings import EVENTS, Event, Notify

__all__ = ["EVENTS", "Event", "Notify", "send"]
