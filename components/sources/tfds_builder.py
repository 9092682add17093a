"""TFDS builders: loading, preparing, and the errors that they raise."""

import functools
import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from etils import epy

from components.sources import compat
from schemas.errors import ConfigurationError, DataError, EnvironmentFailure, GatelineError, is_transient, last_line
from schemas.process import prints_to_stderr
from schemas.settings.source import Files, Tfds

with epy.lazy_imports():
    import numpy as np
    import tensorflow_datasets as tfds

Log = Callable[[str], None]
OFFLINE = (
    "Run again when the network works. Without a network, put the original files into a folder and name it:\n"
    "  --set source.manual_dir=FOLDER (TFDS reads them there and verifies its checksums)."
)

_PREPARING = threading.Lock()  # of the runs in this process, one at a time prepares


@functools.lru_cache(1)
def load(source: Tfds, data_dir: str | None) -> Any:
    """The TFDS builder; TFDS's own errors if there is none."""
    if source.module:
        importlib.import_module(source.module)
    return tfds.builder(source.tfds, data_dir=str(Path(data_dir).expanduser()) if data_dir else None)


def known(source: Tfds, data_dir: str | None) -> Any:
    """The TFDS builder.

    Raises:
        DataError: there is no such dataset, variant or version, or its builder fails.
        EnvironmentFailure: the network or the disk failed.
    """
    try:
        return load(source, data_dir)
    except tfds.core.DatasetNotFoundError:
        raise DataError(
            f"TFDS has no dataset {source.tfds}",
            "Check source.tfds, or name the module that registers it in source.module.",
        ) from None
    except ModuleNotFoundError as error:
        raise DataError(
            f"source.module {source.module} cannot be imported: {error}", "Install it, or check its name."
        ) from None
    except Exception as error:  # TFDS and the user's module raise anything
        if is_transient(error):
            cause = f"the dataset {source.tfds} cannot be looked up: {last_line(error)}"
            raise EnvironmentFailure(cause, "Run again later.") from error
        raise DataError(
            f"{source.tfds} has no such variant or version, or its builder fails: {last_line(error)}",
            "Check source.tfds.",
        ) from error


def prepared(source: Tfds, data_dir: str | None, manual_dir: str | None, log: Log) -> Any:
    """The TFDS builder with its data on disk.

    Raises:
        DataError: as `known`, or the builder fails on its data.
        EnvironmentFailure: the network or the disk failed, or another process prepares the dataset.
        ConfigurationError: the data folder cannot be written to.
    """
    builder = known(source, data_dir)
    if builder.is_prepared() and builder.info.splits:
        return builder
    with _PREPARING:
        if (builder := _read_again(source, data_dir)).is_prepared():  # by another run in the meantime
            return builder
        log(f"preparing {source.tfds}")
        try:
            _prepare(source, data_dir, manual_dir)
        except Exception as error:  # TFDS raises whatever its downloader, its checksums or the builder raise
            if not _read_again(source, data_dir).is_prepared():
                raise _explained(error, source, builder.data_dir) from error
        return _read_again(source, data_dir)


def _prepare(source: Tfds, data_dir: str | None, manual_dir: str | None) -> None:
    builder = load.__wrapped__(source, data_dir)  # its own: TFDS changes the builder's folder while it prepares
    compat.limit_download_retries()
    settings = tfds.download.DownloadConfig(manual_dir=Path(manual_dir).expanduser() if manual_dir else None)
    with prints_to_stderr:  # TFDS prints; stdout is for results
        builder.download_and_prepare(download_config=settings)


def _read_again(source: Tfds, data_dir: str | None) -> Any:
    """The builder as it is on disk now: TFDS reads a builder's splits only when it makes the builder."""
    load.cache_clear()
    return known(source, data_dir)


def as_delivered(source: Tfds) -> Tfds:
    """The source with the splits that the prepared dataset has: without a split `test`, a share is drawn from train.

    Raises:
        As `prepared`.
    """
    splits = prepared(source, source.data_dir, source.manual_dir, lambda _: None).info.splits  # TFDS shows its progress
    update: dict[str, Any] = {} if source.test in splits else {"test": Files.model_fields["test"].default}
    if "validation" in splits:
        update["validation"] = "validation"
    return source.model_copy(update=update)


def _explained(error: Exception, source: Tfds, folder: str) -> GatelineError:
    cause = f"the dataset {source.tfds} cannot be prepared: {last_line(error)}"
    if isinstance(error, PermissionError):
        return ConfigurationError(
            f"the dataset {source.tfds} cannot be written to {folder}: {error.strerror}",
            "Name a folder that you may write to: --set source.data_dir=FOLDER.",
        )
    if is_transient(error) or compat.is_download_error(error):
        return EnvironmentFailure(cause, OFFLINE)
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        return EnvironmentFailure(cause, f"Run again. If it fails again, check {folder}.")
    if isinstance(error, AssertionError | FileNotFoundError):  # raised for missing files of `manual_dir`
        return DataError(cause, "Check source.manual_dir: it must hold the original files.")
    return DataError(cause, "Check the builder and its original files. -v shows the traceback.")


def label_names(source: Tfds) -> tuple[str, ...]:
    """The names of a dataset's labels, in order: their numbers if they have no names; () for plain numbers.

    Raises:
        DataError: as `known`.
    """
    builder = known(source, source.data_dir)
    return names_of(builder.info.features[keys(builder, source)[1]])


def names_of(feature: Any) -> tuple[str, ...]:
    return tuple(getattr(feature, "names", ()))


def keys(builder: Any, source: Tfds) -> tuple[str, str]:
    """The features that hold the image and the label: those of `source`, else those of the builder.

    Raises:
        DataError: a feature is missing, or is not an image of uint8 or a single integer label.
    """
    features, stated = builder.info.features, builder.info.supervised_keys
    usual = (
        stated if stated and len(stated) == 2 and all(isinstance(key, str) for key in stated) else ("image", "label")
    )
    image, label = source.image or usual[0], source.label or usual[1]
    for key, setting, accepted, expected in (
        (image, "source.image", _is_image, "an image of uint8"),
        (label, "source.label", _is_label, "a single integer label"),
    ):
        if key not in features:
            cause = f"{builder.info.full_name} has no feature {key}"
            raise DataError(cause, f"It has {', '.join(features)}; name {expected} in {setting}.")
        if not accepted(features[key]):
            cause = f"feature {key} of {builder.info.full_name} is {_described(features[key])}, not {expected}"
            raise DataError(cause, f"Name another feature in {setting}, or use another dataset.")
    return image, label


def _is_image(feature: Any) -> bool:
    return isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8


def _is_label(feature: Any) -> bool:
    scalar = isinstance(feature, tfds.features.Tensor) and feature.shape == ()
    return scalar and np.issubdtype(feature.np_dtype, np.integer)


def _described(feature: Any) -> str:
    """The class of a feature with shape and dtype: "Image (28, 28, 1) float32"."""
    parts = [type(feature).__name__, getattr(feature, "shape", ""), getattr(feature, "np_dtype", "")]
    return " ".join(getattr(part, "__name__", str(part)) for part in parts if part != "")
