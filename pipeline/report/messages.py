"""The recorded message of a run: its cause and its remedy.

cause("refused: accuracy is 0.95\\n  Train better.")      # "accuracy is 0.95"
remedy("refused: accuracy is 0.95\\n  Train better.")     # "Train better."
"""


def first_line(message: str | None) -> str:
    return (message or "").split("\n")[0]


def cause(message: str | None) -> str:
    """The first line, without the kind of error. Empty if there is no message."""
    return first_line(message).split(": ", 1)[-1]


def remedy(message: str | None) -> str:
    """The last line, if it is indented as a remedy is. Otherwise empty."""
    *causes, last = (message or "").rstrip().split("\n")
    return last.strip() if causes and last.startswith("  ") and not last.startswith("   ") else ""
