"""Removes passwords from text before it is stored in the lineage, a message or a log.

without_passwords("run --database postgresql://me:secret@host/db")   # "run --database postgresql://me:***@host/db"
"""

import re

# In a URL: before the host (up to the last @ of the word), or as a parameter.
_BEFORE_HOST = re.compile(r"(\w[\w+.-]*://[^\s:/@?]*:)[^\s]*(?=@)")
_PARAMETER = re.compile(r"([?&](?:\w*passw(?:or)?d|\w*secret|\w*token)=)[^\s&'\"]*", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """The text, with *** for every password in a URL."""
    return _PARAMETER.sub(r"\1***", _BEFORE_HOST.sub(r"\1***", text))
