"""The files that fail a verification of model-signing 1.1, which are only in its error messages.

`tests/pipeline/serving/test_signing_compat.py` fails if a new version has other messages.
"""

import ast
import re


def mismatches(message: str) -> list[str]:
    """The reasons of a failed verification, a sentence for each file: "saved_model.pb is altered since ...".

    Empty if the message is unknown. `message`: the text of the `ValueError` that `verify` raises.
    """
    if "Key mismatch" in message:
        return ["it was signed with another key"]
    try:
        lines = [str(line) for line in ast.literal_eval(message.removeprefix("Signature mismatch: "))]
    except (ValueError, SyntaxError, TypeError):
        return []
    altered = [name for line in lines for name in re.findall(r"Hash mismatch for '(.+?)': Expected", line)]
    files = {
        "altered since it was signed": altered,
        "there, but was not signed": _listed("Extra files found", lines),
        "missing, but was signed": _listed("Missing files", lines),
    }
    return [f"{name} is {state}" for state, names in files.items() for name in names]


def _listed(heading: str, lines: list[str]) -> list[str]:
    listed = (names for line in lines for names in re.findall(rf"{heading} in model '.*?': (.+)", line))
    return [name for names in listed for name in names.split(", ")]
