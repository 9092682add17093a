"""Private parts of TensorFlow Datasets. Canary tests: `tests/components/test_tfds_compat.py`."""

from etils import epy

with epy.lazy_imports():
    from tensorflow_datasets.core.download import download_manager, downloader


def limit_download_retries() -> None:
    """Without it, TFDS retries silently for minutes when there is no network."""
    downloader.MAX_RETRIES = 3


def is_download_error(error: BaseException) -> bool:
    """True for TFDS's error of a download that failed; False for a wrong checksum, which is the data's."""
    if isinstance(error, download_manager.NonMatchingChecksumError):
        return False
    return isinstance(error, downloader.download_utils_lib.DownloadError)
