"""Events of a run, sent to webhooks, mailboxes and commands."""

from pipeline.notify.events import send

__all__ = ["send"]
