"""The data contract of a recorded run, and the names of its labels.

labels_of(artifacts).names     # ("cat", "dog")
"""

from dataclasses import dataclass

from pipeline.runs.artifacts import StoredArtifacts
from schemas.artifacts import Verdict
from schemas.contract import Contract
from schemas.errors import ConfigurationError


@dataclass(frozen=True)
class Labels:
    """What the contract states of the labels. Empty if it states nothing, or the run did not reach it."""

    names: tuple[str, ...] = ()  # in the order of the labels
    unused: tuple[int, ...] = ()  # classes that never occur


def labels_of(artifacts: StoredArtifacts) -> Labels:
    """The labels of a run."""
    verdict = artifacts.last(Verdict)
    if verdict and verdict.labels is not None:
        return Labels(verdict.labels, verdict.unused)
    try:  # version 0.1 recorded only the contract
        return Labels(contract.names, contract.unused) if (contract := contract_of(artifacts)) else Labels()
    except ConfigurationError:  # a contract that only another version of gateline accepts
        return Labels()


def contract_of(artifacts: StoredArtifacts) -> Contract | None:
    """The contract that the run used. None if no artifact in the store records it."""
    settings = (manifest.get("recipe", {}).get("settings", {}) for manifest in artifacts.manifests)
    recorded = next((each["contract"] for each in settings if "contract" in each), None)
    return Contract(recorded["name"], recorded["text"]) if recorded else None
