"""Makes the broken shards beside this file, one fault each, out of one sound shard of five records: run it as a script.

python -m tests.bad.shards.make
"""

import struct
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
COUNT = 5


def main() -> None:
    from components._data import shard_files
    from schemas import example

    encode = example.encoder("own", "1.0.0", "train")
    sound = HERE / "sound.tfrecord"
    with shard_files.writer(sound) as writer:
        for i in range(COUNT):
            writer.write(encode(np.full((4, 4, 1), i, np.uint8), i, i))
    content = sound.read_bytes()
    edges = boundaries(content)
    (HERE / "truncated.tfrecord").write_bytes(content[: edges[3] + 40])
    (HERE / "cut_between_records.tfrecord").write_bytes(content[: edges[3]])
    (HERE / "flipped_bit.tfrecord").write_bytes(flipped(content, edges[2] + 30))
    (HERE / "flipped_bit_in_a_length.tfrecord").write_bytes(flipped(content, edges[2]))
    (HERE / "one_too_many.tfrecord").write_bytes(content + content[: edges[1]])
    (HERE / "empty.tfrecord").write_bytes(b"")


def boundaries(content: bytes) -> list[int]:
    """Where each record of a TFRecord begins, and where the last one ends."""
    found = [0]
    while found[-1] < len(content):
        (length,) = struct.unpack_from("<Q", content, found[-1])
        found.append(found[-1] + 8 + 4 + length + 4)
    return found


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


if __name__ == "__main__":
    main()
