"""`spans.labels` against the labels of the contract."""

import pytest

from schemas.errors import ConfigurationError
from schemas.settings.spans import Spans


def test_span_labels_that_differ_from_the_contract_are_refused():
    Spans(directory="x", labels=[str(i) for i in range(10)]).check(10)
    Spans(directory="x").check(10)
    with pytest.raises(ConfigurationError, match=r"^configuration: spans\.labels names 2 labels; the contract has 10"):
        Spans(directory="x", labels=["a", "b"]).check(10)
    with pytest.raises(ConfigurationError, match=r"^configuration: spans\.labels names 3 labels, some twice\n"):
        Spans(directory="x", labels=["a", "b", "b"]).check(2)
    Spans(directory="x", labels=["a", "bee"]).check(2, ["a", "b"])
    with pytest.raises(
        ConfigurationError, match=r"^configuration: in spans\.labels, label 0 is b; in the contract it is a\n"
    ):
        Spans(directory="x", labels=["b", "a"]).check(2, ["a", "b"])
