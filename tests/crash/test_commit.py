"""A commit that is killed at each of its writes."""

import subprocess
import sys
from pathlib import Path

from pipeline.store import Store

KILLED_AT_EACH_WRITE = """
import itertools, os, sys
from pathlib import Path
from pipeline.store import Store
from schemas.artifacts import Statistics
from tests.crash import forked_run

def commit(root, kill_at):
    store = Store(root)
    (store.scratch("stage", "key") / "checkpoint").touch()
    forked_run.Hooks(root, root.with_suffix(".events"), kill_at).install()
    with store.staging("stage", "key") as out:
        (out / "file").write_text("content")
        store.commit(Statistics(out, counts={}), "stage", "key", {"code": {}}, "now")

for kill_at in itertools.count():
    root = Path(sys.argv[1]) / str(kill_at)
    if (child := os.fork()) == 0:
        commit(root, kill_at)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def test_a_killed_commit_leaves_either_the_artifact_or_the_scratch(tmp_path: Path) -> None:
    repository = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", KILLED_AT_EACH_WRITE, tmp_path], cwd=repository, check=True)
    ends = set()
    for root in (path for path in tmp_path.iterdir() if path.is_dir()):
        store = Store(root)
        with store.lock(wait=False):
            exists = store.manifest("stage", "key") is not None
            assert list((root / "staging").iterdir()) == []
            leftovers = {str(path.relative_to(root / "scratch")) for path in root.glob("scratch/**/*")} - {
                "stage-key/done"
            }
            assert leftovers == (set() if exists else {"stage-key", "stage-key/checkpoint"}), root
        ends.add(exists)
    assert ends == {False, True}
