"""The command `run` sends notifications after it has recorded the run."""

import json
import sys
from pathlib import Path

from pipeline.lineage import Lineage
from pipeline.store import Store
from tests.pipeline.command_line import gateline
from tests.pipeline.notify.conftest import Slack


def test_notifications_follow_the_record_and_a_failed_target_does_not_change_the_exit_code(
    tmp_path: Path, slack: Slack
) -> None:
    """The command, without data: refused, exit code 4. The run before was killed and not notified."""
    root = Store(tmp_path / "root").root
    lineage = Lineage.at(root, None)
    lineage.start(profile="sample", command="", config={})
    lineage.engine.dispose()
    states = "sqlite3.connect(sys.argv[1]).execute('SELECT state FROM runs').fetchall()"
    program = f"import sqlite3, sys; print({states}, file=open(sys.argv[2], 'w'))"
    targets = [
        {"command": [sys.executable, "-c", program, str(root / "lineage.db"), str(tmp_path / "seen")]},
        {"on": ["refused", "failed"], "webhook": {"url": slack.url}},
        {"command": ["no-such-program-here"]},
    ]
    settings = (
        f"notify={json.dumps(targets)}",
        "source.module=null",
        "source.tfds=no_such_data",
        f"source.data_dir={tmp_path}",
    )
    options = [word for setting in settings for word in ("--set", setting)]
    done = gateline("run", "--root", root, *options, TFDS_DATA_DIR=str(tmp_path))
    assert done.returncode == 4, done.stderr
    assert (tmp_path / "seen").read_text(encoding="utf-8") == "[('killed',), ('refused',)]\n"
    assert len(slack.requests) == 2
    assert slack.texts[1].startswith("sample, run 2: data: ")
    assert slack.texts[0] == "sample, run 1: killed: it ended without an error message"
    assert "warning: command no-such-program-here was not notified" in done.stderr


def test_an_unwritable_serving_directory_is_notified(tmp_path: Path, slack: Slack) -> None:
    (tmp_path / "file").touch()
    target = {"on": ["failed"], "webhook": {"url": slack.url}}
    options = ("--set", f"notify={json.dumps([target])}", "--serving-dir", tmp_path / "file" / "serving")
    done = gateline("run", "--root", tmp_path / "root", *options)
    assert done.returncode == 2
    assert slack.texts == [f"sample, run 1: failed: {done.stderr.strip()}"]
