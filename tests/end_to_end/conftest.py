"""A line with one pushed version, and the environment its commands run in."""

import os

import pytest

from tests.end_to_end.real_line import REACHABLE, Line, ended, until


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """A home and a temporary directory of its own, so that nothing is written to the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATELINE", "TF_", "TFDS"))}
    return kept | {"HOME": str(tmp_path_factory.mktemp("home")), "TMPDIR": str(tmp_path_factory.mktemp("temporary"))}


@pytest.fixture(scope="session")
def line(sample, data_dir, environment, tmp_path_factory):
    """A ROOT in which runs were killed in four stages, and then one completed and pushed version 1.

    `killed`: what each killed run said. While `first` completed, `meanwhile` and `waited` were started.
    """
    found = Line(tmp_path_factory.mktemp("line") / "root", data_dir, environment, REACHABLE)
    found.killed = {
        said: found.kill_when(said) for said in ("ingest  ", "transform  ", "train          epoch 1", "evaluate  ")
    }
    found.nothing_pushed = found.versions() == []
    first = found.start()
    before = until(first, "evaluate  ")
    found.meanwhile = found()
    waiting = found.start("run", "--wait")
    found.first = ended(first, before)
    found.waited = ended(waiting)
    return found
