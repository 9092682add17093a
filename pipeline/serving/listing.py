"""The models in a serving directory: found by name, listed with their states, and verified.

rows(model_directory(serving_dir, "mnist"))                  # [{"version": 3, "state": ["served"], ...}, ...]
verify(model_directories(serving_dir, None), None, None)     # {"mnist/3": [], "mnist/2": ["model.keras differs"]}
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.serving import signing
from pipeline.serving.directory import models
from pipeline.serving.model_directory import ModelDirectory
from pipeline.serving.version import Version
from schemas.errors import ConfigurationError
from schemas.settings.push import Signing


def model_directories(serving_dir: Path, model: str | None) -> list[ModelDirectory]:
    """The directory of the named model, or those of all models.

    Raises:
        ConfigurationError: there is no such model.
    """
    known = models(serving_dir)
    if model is not None and model not in known:
        served = f"It serves {', '.join(known)}." if known else "Nothing was pushed there yet."
        raise ConfigurationError(f"{serving_dir} serves no model {model}", served)
    return [ModelDirectory(serving_dir, name) for name in ([model] if model else known)]


def model_directory(serving_dir: Path, model: str | None) -> ModelDirectory:
    """The directory of the named model, or of the only one.

    Raises:
        ConfigurationError: there is no such model, none at all, or several and none is named.
    """
    directories = model_directories(serving_dir, model)
    if len(directories) == 1:
        return directories[0]
    if not directories:
        raise ConfigurationError(
            f"nothing was pushed to {serving_dir} yet", "Run the line first, or name another with --serving-dir."
        )
    names = ", ".join(directory.model for directory in directories)
    raise ConfigurationError(f"{serving_dir} serves {names}", "Name one with --model.")


def rows(directory: ModelDirectory) -> list[dict[str, Any]]:
    """A row of JSON values for each version, the newest first. `state`: served, pinned, rolled back.

    Raises:
        StoreError: a version is damaged, or the directory contains foreign files.
    """
    versions, pinned, rolled_back = directory.versions(), directory.pinned(), directory.rolled_back()
    return [
        _row(version, version is versions[-1], version.number in pinned, version.identity in rolled_back)
        for version in reversed(versions)
    ]


def _row(version: Version, served: bool, pinned: bool, rolled_back: bool) -> dict[str, Any]:
    states = {"served": served, "pinned": pinned, "rolled back": rolled_back}
    state = [name for name, applies in states.items() if applies]
    if version.rollback:
        why = f": {version.rollback['reason']}" if version.rollback["reason"] else ""
        state.append(f"rollback to version {version.rollback['to']} from {version.rollback['of']}{why}")
    return {
        "model": version.path.parent.name,
        "version": version.number,
        "accuracy": version.record().accuracy,
        "run": version.provenance.get("run"),
        "published": version.provenance.get("published"),
        "approved_by": (version.provenance.get("approved") or {}).get("by", ""),
        "state": state,
        "path": str(version.path),
    }


def verify(directories: Iterable[ModelDirectory], number: int | None, keys: Signing | None) -> dict[str, list[str]]:
    """By version, "mnist/3": the differences from what was pushed, a sentence each. Empty for an intact version.

    `number`: only this version. `keys`: signatures are checked, too.

    Raises:
        ConfigurationError: there is no such version, or the key cannot be read.
    """
    damage: dict[str, list[str]] = {}
    for directory in directories:
        for path in [directory.version_path(number)] if number else directory.entries():
            problems = directory.findings(path) + (signing.check(path, keys) if keys and path.is_dir() else [])
            if os.path.lexists(path):  # unless the version was removed in the meantime
                damage[f"{directory.model}/{path.name}"] = problems
    return damage
