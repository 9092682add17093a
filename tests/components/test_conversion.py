"""TIFF, AVIF and HEIF become PNG without loss: files of Pillow and imagecodecs, and some that they do not write."""

import importlib.util
import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import pytest

from components._data import conversion
from components._data.conversion import as_png
from components._data.images import decoder
from components.ingest import ingest
from components.sources.reading import place_of
from schemas.errors import DataError
from schemas.settings.source import Custom, Folder, Unreadable
from tests.components import pictures
from tests.components.image_files import encoded
from tests.conftest import UNPREPARED

RANDOM = np.random.default_rng(4)
BYTES = RANDOM.integers(0, 256, (5, 7, 4), np.uint8)
WORDS = RANDOM.integers(0, 65536, (5, 7, 4)).astype(np.uint16)
ORIENTATION = 0x0112
KIND = "is a TIFF with unsupported pixels; supported: grey, RGB, CMYK, palette, integers up to 16 bits"


def tiff(
    array: np.ndarray, photometric: int, extra: int = 0, sample_format: int = 1, planar: int = 1, orientation: int = 1
) -> bytes:
    """Uncompressed, of any kind of samples. `array`: [height, width, samples]; `extra`: 1 for premultiplied alpha."""
    (height, width, samples), bits = array.shape, 8 * array.itemsize
    data = (array if planar == 1 else np.moveaxis(array, -1, 0)).tobytes()
    parts = 1 if planar == 1 else samples
    tags = {256: [width], 257: [height], 258: [bits] * samples, 259: [1], 262: [photometric], 273: [0] * parts}
    tags |= {274: [orientation], 277: [samples], 278: [height], 279: [len(data) // parts] * parts, 284: [planar]}
    tags |= {338: [extra]} if samples in (2, 4) and photometric < 3 else {}
    tags |= {339: [sample_format] * samples}
    first = 14 + 12 * len(tags) + sum(4 * len(values) for values in tags.values() if len(values) > 1)
    tags[273] = [first + i * len(data) // parts for i in range(parts)]
    entries, beyond = b"", b""
    for tag, values in tags.items():
        raw = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            beyond += raw
            raw = struct.pack("<I", 10 + 12 * len(tags) + len(beyond) - len(raw) + 4)
        entries += struct.pack("<HHI", tag, 4, len(values)) + raw
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + beyond + data


def pillow(
    image: PIL.Image.Image | np.ndarray, file_format: str = "TIFF", orientation: int = 1, **options: object
) -> bytes:
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = orientation
    image = PIL.Image.fromarray(image) if isinstance(image, np.ndarray) else image
    return encoded(image, file_format, exif=exif, **options)


def converted(content: bytes) -> np.ndarray:
    """The pixels, with one dimension for each of height, width and, but for grey, channels."""
    png = as_png(content, "a")
    assert png.startswith(b"\x89PNG")
    return imagecodecs.png_decode(png)


def grey(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array[..., 0])


@pytest.mark.parametrize(
    ("content", "pixels"),
    [
        *((pillow(BYTES[..., :3], compression=each), BYTES[..., :3]) for each in ("raw", "tiff_lzw", "tiff_deflate")),
        (pillow(BYTES), BYTES),
        (pillow(grey(BYTES)), grey(BYTES)),
        (pillow(grey(WORDS)), grey(WORDS)),
        (tiff(WORDS[..., :1].astype(">u2").view(np.uint16).byteswap(), 1), grey(WORDS)),
        (tiff(255 - BYTES[..., :1], 0), grey(BYTES)),
        (tiff(65535 - WORDS[..., :1], 0), grey(WORDS)),
        (tiff(BYTES[..., :2], 1, extra=2), BYTES[..., :2]),
        (tiff(WORDS[..., :3], 2), WORDS[..., :3]),
        (tiff(WORDS[..., :3], 2, planar=2), WORDS[..., :3]),
        (tiff(BYTES[..., :3], 2, planar=2), BYTES[..., :3]),
        (tiff(WORDS, 2, extra=2), WORDS),
        (tiff(WORDS, 2, extra=0), WORDS[..., :3]),
        (pillow(BYTES[..., :3], save_all=True, append_images=[PIL.Image.new("L", (9, 9))]), BYTES[..., :3]),
        (pillow(BYTES[..., :3], big_tiff=True), BYTES[..., :3]),
        (imagecodecs.avif_encode(BYTES[..., :3], level=100), BYTES[..., :3]),
        (imagecodecs.avif_encode(BYTES, level=100), BYTES),
        (imagecodecs.avif_encode(grey(BYTES), level=100), grey(BYTES)),
    ],
)
def test_conversion_keeps_the_pixels(content, pixels):
    result = converted(content)
    assert result.dtype == pixels.dtype
    assert np.array_equal(result, pixels)


@pytest.mark.parametrize("mode", ["1", "P", "CMYK"])
def test_other_tiffs_are_converted_to_grey_or_rgb(mode):
    image = PIL.Image.fromarray(BYTES[..., :3]).convert(mode)
    assert np.array_equal(converted(pillow(image)), np.asarray(image.convert("L" if mode == "1" else "RGB")))


def test_premultiplied_alpha_is_converted_to_straight_alpha():
    """Half transparent: colours are stored at half their value."""
    stored = np.full((3, 3, 4), (50, 25, 0, 128), np.uint8)
    assert converted(tiff(stored, 2, extra=1))[0, 0].tolist() == [99, 49, 0, 128]


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif_values_are_scaled_to_16_bits(bits):
    pixels = RANDOM.integers(0, 2**bits, (6, 10, 3)).astype(np.uint16)
    pixels[0, :2] = [[0] * 3, [2**bits - 1] * 3]
    result = converted(imagecodecs.avif_encode(pixels, level=100, bitspersample=bits))
    assert np.array_equal(result >> 16 - bits, pixels)
    assert result[0, :2].tolist() == [[0] * 3, [65535] * 3]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["tiff", "tiff of 16 bits", "grey tiff of 16 bits", "cmyk tiff", "avif"])
def test_images_are_upright(file_format, orientation):
    """Pillow turns a PNG of the same orientation as a reference."""
    image = np.kron(BYTES[..., :3], np.ones((8, 8, 1), np.uint8))
    deep = image.astype(np.uint16) * 257
    content = {
        "tiff": lambda: pillow(image, orientation=orientation),
        "tiff of 16 bits": lambda: tiff(deep, 2, orientation=orientation),
        "grey tiff of 16 bits": lambda: pillow(grey(deep), orientation=orientation),
        "cmyk tiff": lambda: pillow(PIL.Image.fromarray(image).convert("CMYK"), orientation=orientation),
        "avif": lambda: pillow(image, "AVIF", orientation=orientation, quality=100, subsampling="4:4:4"),
    }[file_format]()
    expected = decoder(0)(pillow(image, "PNG", orientation=orientation))
    result = converted(content).astype(int)
    result = result if result.max() < 256 else result // 257
    expected = expected if result.ndim == 3 else expected[..., 0]
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= (3 if file_format == "avif" else 0)


@pytest.mark.parametrize(
    "content",
    [
        tiff(WORDS[..., :3].astype(np.float32), 2, sample_format=3),
        tiff(WORDS[..., :1].astype(np.float32), 1, sample_format=3),
        tiff(WORDS[..., :1].astype(np.float64), 1, sample_format=3),
        tiff(WORDS[..., :1].astype(np.uint32), 1),
        tiff(WORDS[..., :1].astype(np.int16), 1, sample_format=2),
    ],
    ids=["float RGB", "float", "double", "32 bits", "signed"],
)
def test_a_tiff_with_unsupported_samples_is_refused_with_the_reason(content):
    with pytest.raises(DataError) as refused:
        as_png(content, "scan.tif")
    assert refused.value.cause == f"scan.tif {KIND}"


def test_other_formats_are_not_converted():
    for content in (
        b"",
        b"?",
        *(pillow(BYTES[..., :3], file_format) for file_format in ("PNG", "JPEG", "WEBP")),
        b"\0\0\0\x14ftypisom",
    ):
        assert as_png(content, "a") is content


@pytest.mark.parametrize("file_format", ["TIFF", "AVIF"])
def test_truncated_files_are_named(file_format):
    whole = pillow(RANDOM.integers(0, 256, (90, 90, 3), np.uint8), file_format)
    for size in (5, 12, 60, len(whole) // 2, len(whole) - 300):
        cut = whole[:size]
        if (result := _refusal(cut)) is not None:
            assert result == "cut.tif cannot be decoded as an image"
        else:
            assert size < 16  # too short to be recognised: TensorFlow refuses it


def _refusal(content: bytes) -> str | None:
    try:
        assert as_png(content, "cut.tif") is content
    except DataError as error:
        return error.cause
    return None


@pytest.mark.parametrize("file_format", ["TIFF", "AVIF"])
def test_images_of_too_many_pixels_are_not_decoded(file_format, monkeypatch):
    monkeypatch.setattr(conversion, "MAX_PIXELS", 34)
    with pytest.raises(DataError) as refused:
        as_png(pillow(BYTES[..., :3], file_format), "large")
    assert refused.value.cause == "large has 35 pixels; the limit is 34"


def test_a_tiff_with_gigapixels_in_its_header_is_not_decoded():
    content = tiff(BYTES[..., :1], 1)
    side = struct.pack("<HHI", 256, 4, 1)
    at = content.index(side) + len(side)
    large = content[:at] + struct.pack("<I", 2**30) + content[at + 4 :]
    with pytest.raises(DataError, match=r"^data: a has 5,368,709,120 pixels; the limit is 67,108,864"):
        as_png(large, "a")


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
MISSING = "is a HEIF, whose codec is not installed: pip install pillow-heif, or convert it to JPEG or PNG"
has_codec = importlib.util.find_spec("pillow_heif") is not None


def test_a_heif_without_its_codec_is_refused_with_a_remedy():
    with pytest.raises(DataError) as refused:
        as_png(HEIC, "phone.heic")
    assert refused.value.cause == f"phone.heic {'cannot be decoded as an image' if has_codec else MISSING}"


@pytest.mark.skipif(not has_codec, reason="needs pillow-heif")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heif_is_read_if_its_codec_is_installed(orientation):
    import pillow_heif

    image, out = np.kron(BYTES[..., :3], np.ones((8, 8, 1), np.uint8)), io.BytesIO()
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = orientation
    heif = pillow_heif.from_pillow(PIL.Image.fromarray(image))
    heif.save(out, quality=-1, chroma=444, matrix_coefficients=0, exif=exif.tobytes())
    assert np.array_equal(converted(out.getvalue()), decoder(0)(pillow(image, "PNG", orientation=orientation)))


def odd_files(folder: Path) -> dict[str, str]:
    """One of each odd file among 500 photos; the reason for each that cannot be read, by its path below the folder."""
    for i in range(500):
        path = folder / ("dark", "light")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pillow(np.full((8, 8, 3), (100 * (i % 2), i % 256, i // 256), np.uint8), "PNG"))
    image = BYTES[..., :3]
    good = {
        "scan.TIF": tiff(WORDS[..., :3], 2),
        "photo.avif": pillow(image, "AVIF"),
        "a-tiff.jpg": pillow(image),
        "a-jpeg.heic": pillow(image, "JPEG"),
        "print.tiff": pillow(PIL.Image.fromarray(image).convert("CMYK")),
    }
    bad = {
        "cut.tif": pillow(image)[:150],
        "cut.avif": pillow(image, "AVIF")[:-20],
        "depth.tif": tiff(WORDS[..., :1].astype(np.float32), 1, sample_format=3),
        "phone.HEIC": HEIC,
        "text.tif": b"not an image",
    }
    for name, content in (good | bad).items():
        (folder / "dark" / name).write_bytes(content)
    reasons = dict.fromkeys(bad, "cannot be decoded as an image") | {"depth.tif": KIND}
    reasons |= {} if has_codec else {"phone.HEIC": MISSING}
    return {f"dark/{name}": f"{folder}/dark/{name} {reason}" for name, reason in reasons.items()}


@pytest.mark.parametrize("encoding", ["encoded", "raw"])
def test_a_folder_with_one_file_of_each_unusual_kind_accounts_for_each(encoding, tmp_path, new_run):
    reasons = odd_files(tmp_path / "own")
    source = Folder(folder=str(tmp_path / "own"))
    made = ingest.function(UNPREPARED, source=source, place=place_of(source), encoding=encoding, run=new_run())
    assert dict(made.set_aside()) == reasons
    assert sum(split.count for split in made.splits.values()) == 505
    if encoding == "encoded":
        columns = [pictures.columns(made, split) for split in made.splits]
        assert sorted({file_format for each in columns for file_format in each["image/format"]}) == [b"jpeg", b"png"]
        deep = [content for each in columns for content in each["image"] if content[24] == 16]  # bits of a PNG
        assert [imagecodecs.png_decode(content).tolist() for content in deep] == [WORDS[..., :3].tolist()]


def test_custom_sources_can_return_tiff(tmp_path, new_run, monkeypatch):
    (tmp_path / "scans_of_mine.py").write_text(
        "import io, PIL.Image\nfrom gateline import Row\n\n"
        "class Scans:\n"
        "    def rows(self):\n        return [Row(str(i), label=i % 2) for i in range(90)]\n"
        "    def content(self, name):\n        out = io.BytesIO()\n"
        "        PIL.Image.new('L', (3, 2), int(name)).save(out, 'TIFF')\n        return out.getvalue()\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    source = Custom(custom="scans_of_mine:Scans", unreadable=Unreadable(then="error"))
    made = ingest.function(UNPREPARED, source=source, place=place_of(source), encoding="encoded", run=new_run())
    contents = [content for split in made.splits for content in pictures.columns(made, split)["image"]]
    assert sorted(int(decoder(0)(content)[0, 0, 0]) for content in contents) == list(range(90))
