import math

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from schemas import example

sides = st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4]))


@given(
    shape=sides,
    label=st.integers(-1, 2**40),
    index=st.integers(0, 2**63 - 1),
    names=st.tuples(st.text(), st.text(), st.text()),
    metadata=st.dictionaries(st.text(min_size=1), st.text(), max_size=3),
)
def test_a_record_equals_the_serialization_of_protocol_buffers(shape, label, index, names, metadata):
    columns = tuple(sorted(metadata, key=lambda name: name.encode()))
    image = (np.arange(math.prod(shape)) % 251).astype(np.uint8).reshape(shape)
    record = example.encoder(*names, columns)(image, label, index, metadata=tuple(metadata[name] for name in columns))
    expected = tf.train.Example()
    feature = expected.features.feature
    for column, text in metadata.items():
        feature[f"metadata/{column}"].bytes_list.value.append(text.encode())
    for part, text in zip(("dataset", "version", "split"), names, strict=True):
        feature[f"source/{part}"].bytes_list.value.append(text.encode())
    numbers = dict(zip(("image/height", "image/width", "image/channels"), shape, strict=True)) | {
        "label": label,
        "source/index": index,
    }
    for name, number in numbers.items():
        feature[name].int64_list.value.append(number)
    feature["image"].bytes_list.value.append(image.tobytes())
    assert record == expected.SerializeToString(deterministic=True)
