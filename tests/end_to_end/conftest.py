"""A line with one pushed version, and the environment its commands run in."""

import os

import pytest

from tests.end_to_end.real_line import REACHABLE, Line, ended, until


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Its own home and temporary directory, so that nothing is written to the user's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GATELINE", "TF_", "TFDS"))}
    return inherited | {
        "HOME": str(tmp_path_factory.mktemp("home")),
        "TMPDIR": str(tmp_path_factory.mktemp("temporary")),
    }


@pytest.fixture(scope="session")
def line(sample, data_dir, environment, tmp_path_factory):
    """A ROOT in which runs were killed in four stages, and then one completed and pushed version 1.

    `killed`: the output of each killed run. While `first` completed, `meanwhile` and `waited` were started.
    """
    line_ = Line(tmp_path_factory.mktemp("line") / "root", data_dir, environment, REACHABLE)
    line_.killed = {
        text: line_.kill_when(text) for text in ("ingest  ", "transform  ", "train          epoch 1", "evaluate  ")
    }
    line_.nothing_pushed = line_.versions() == []
    first = line_.start()
    output = until(first, "evaluate  ")
    line_.meanwhile = line_()
    waiting = line_.start("run", "--wait")
    line_.first = ended(first, output)
    line_.waited = ended(waiting)
    return line_
