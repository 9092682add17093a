"""Channel `command`: the program gets the event as JSON on its standard input."""

import json
import sys
from pathlib import Path

import pytest

from pipeline.notify import Notify
from tests.pipeline.notify.conftest import Line


def test_a_program_gets_the_event_on_its_stdin(line: Line, tmp_path: Path) -> None:
    out = tmp_path / "event.json"
    program = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read())"
    line.notify(line.run("failed", "OSError: boom", 1), Notify(command=[sys.executable, "-c", program]))
    (text,) = out.read_text(encoding="utf-8").splitlines(keepends=True)
    assert text.endswith("\n"), "events can be appended to a file, one per line"
    event = json.loads(text)
    assert (event["event"], event["text"], event["exit_code"]) == ("failed", "mnist, run 1: failed: OSError: boom", 1)


@pytest.mark.parametrize(
    ("command", "message", "pauses"),
    [
        (
            [sys.executable, "-c", "import sys; print('no line', file=sys.stderr); sys.exit(7)"],
            "it exited with 7: no line",
            [2.0, 8.0],
        ),
        (["no-such-program-here"], "FileNotFoundError", []),
    ],
)
def test_a_program_that_fails_is_a_warning(
    line: Line, capsys: pytest.CaptureFixture, command: list[str], message: str, pauses: list[float]
) -> None:
    line.notify(line.run("pushed"), Notify(command=command))
    assert message in capsys.readouterr().err
    assert line.pauses == pauses
