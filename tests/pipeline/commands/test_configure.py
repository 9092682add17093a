"""The command `settings`."""

import json

from tests.pipeline.command_line import gateline


def test_settings_are_listed_as_text_and_json() -> None:
    done = gateline("settings", "--json")
    rows = {row["key"]: row for row in json.loads(done.stdout)}
    assert rows["train.epochs"] == {
        "key": "train.epochs",
        "type": "int",
        "default": "10",
        "meaning": "passes over train",
        "range": "1 to 100,000",
        "kinds": [],
    }
    text = gateline("settings").stdout
    assert all(key in text for key in rows)
