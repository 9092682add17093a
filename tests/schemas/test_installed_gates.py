"""Gates of installed packages: found by their entry points, and their code is part of the cache key."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

INSTALLED_GATE = """
from schemas.gates import Floor, Share
from typing import ClassVar


class Recall(Floor):
    key: ClassVar[str] = "recall"
    title: ClassVar[str] = "smallest mean recall"
    text: ClassVar[str] = "mean recall"

    root: Share

    def measure(self, measured):
        return sum(row["accuracy"] for row in measured.candidate["slices"].values()) / len(measured.candidate["slices"])


KIND = Recall
"""
PROGRAM = """
import json
from pipeline.config import load
from pipeline.dag import line
from pipeline.engine.cache_key import CacheKey
from pathlib import Path
import sys
config = load(profile="mnist", sets=sys.argv[1:])
node = next(node for node in line(config, Path("serving")).walk() if node.name == "evaluate")
code = CacheKey.of(node, {}).parts["code"]
print(json.dumps([config.model_dump(mode="json")["gates"].get("recall"), code.get("their_gate")]))
"""


def installed(folder: Path, code: str, names: tuple[str, ...], *sets: str) -> subprocess.CompletedProcess[str]:
    """Runs PROGRAM with an installed package that registers `code` as gates with these names."""
    (folder / "their_gate-1.0.dist-info").mkdir(exist_ok=True)
    files = {"METADATA": "Metadata-Version: 2.1\nName: their-gate\nVersion: 1.0\n"}
    files["entry_points.txt"] = "\n".join(["[gateline.gates]", *(f"{name} = their_gate" for name in names)])
    for file, text in files.items():
        (folder / "their_gate-1.0.dist-info" / file).write_text(text, encoding="utf-8")
    (folder / "their_gate.py").write_text(code, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", PROGRAM, *sets]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


def setting_and_digest(folder: Path, code: str, *sets: str) -> Any:
    """The setting of an installed package's gate, and the digest of its code in the cache key of evaluate."""
    done = installed(folder, code, ("recall", "accuracy"), *sets)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_installed_gate_and_its_code_are_in_the_cache_key(tmp_path: Path) -> None:
    assert setting_and_digest(tmp_path, INSTALLED_GATE) == [None, None]
    setting, baseline = setting_and_digest(tmp_path, INSTALLED_GATE, "gates.recall=0.9")
    _, after = setting_and_digest(tmp_path, INSTALLED_GATE.replace("sum(row", "min(row"), "gates.recall=0.9")
    assert setting == 0.9
    assert None is not baseline != after is not None


@pytest.mark.parametrize(
    ("key", "name", "problem"),
    [("recall", "sensitivity", "differs from its key recall"), ("confidence", "confidence", "is a setting of gates")],
)
def test_an_installed_gate_with_a_different_or_reserved_name_is_refused(
    key: str, name: str, problem: str, tmp_path: Path
) -> None:
    assert '"recall"' in INSTALLED_GATE
    done = installed(tmp_path, INSTALLED_GATE.replace('"recall"', f'"{key}"'), (name,))
    assert done.returncode == 1
    assert f"gate {name} of their_gate cannot be loaded: its name {problem}" in done.stderr
