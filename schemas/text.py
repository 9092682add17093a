"""Makes text from other sources safe to print.

printable("\\x1b[31mred\\a")      # "[31mred"
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

# C0 except tab and newline, DEL and C1 control terminals, and most are invalid in XML. So are lone surrogates.
_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(value: Any) -> Any:
    """A string without control characters, of the same type; other values unchanged."""
    return type(value)(_HIDDEN.sub("", value)) if isinstance(value, str) else value


def nfc(text: str) -> str:
    """Text in Unicode's composed form, in which names are compared: macOS writes "é" as two characters."""
    return unicodedata.normalize("NFC", text)


def listed(texts: Sequence[str], most: int) -> str:
    """The first texts: "a, b, c and 20 more"."""
    return ", ".join(texts[:most]) + (f" and {len(texts) - most:,} more" if len(texts) > most else "")


def yaml_text(value: object, *, compact: bool = False) -> str:
    """YAML with the keys in their order. `compact`: innermost mappings and lists on one line."""
    import io

    from ruamel.yaml import YAML

    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style = None if compact else False
    writer.sort_base_mapping_type_on_output = False
    writer.dump(value, text := io.StringIO())
    return text.getvalue()
