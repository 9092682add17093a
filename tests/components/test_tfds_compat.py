"""Canaries for the private parts of TensorFlow Datasets."""

import inspect

from tensorflow_datasets.core.download import downloader

from components.sources import compat

ADVICE = "tensorflow-datasets changed {}: adapt components/sources/compat.py"


def test_the_downloader_reads_its_limit_of_retries_from_its_module():
    compat.limit_download_retries()
    assert downloader.MAX_RETRIES == 3
    assert "MAX_RETRIES" in inspect.getsource(downloader).replace("MAX_RETRIES =", ""), ADVICE.format("its retries")


def test_a_failed_download_is_distinguished_from_other_errors():
    assert compat.is_download_error(downloader.download_utils_lib.DownloadError("no network")), ADVICE.format("errors")
    assert not compat.is_download_error(ValueError("wrong"))
