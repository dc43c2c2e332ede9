"""Image files, judged by Pillow, OpenCV and tifffile: what they write we read, what we write they read."""

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from odd_images import oriented, png16
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from lorair.errors import ImageError
from lorair.images import Picture, encode_image, picture_from_samples, read_image, samples_from_picture, write_image

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION = ExifTags.Base.Orientation
EXPOSURE_TIME, MAKER_NOTE = 0x829A, 0x927C


def noise(channels: int, dtype=np.uint8, height: int = 70, width: int = 31) -> np.ndarray:
    generator = np.random.default_rng(channels)
    return generator.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


def exif(orientation: int = 1) -> bytes:
    block = Image.Exif()
    block[ExifTags.Base.Make] = "Maker"
    block[ORIENTATION] = orientation
    camera = block.get_ifd(ExifTags.IFD.Exif)
    camera[EXPOSURE_TIME] = TiffImagePlugin.IFDRational(1, 60)
    camera[MAKER_NOTE] = b"\0\1x"
    block.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return block.tobytes()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_eight_bit_files_are_read_by_pillow(tmp_path: Path, suffix: str, channels: int):
    samples = noise(channels)
    write_image(tmp_path / f"a{suffix}", picture_from_samples(samples, exif(), ICC))
    # WebP has no gray: it comes back as equal channels.
    expected = samples[..., [0, 0, 0, 1][: channels + 2]] if suffix == ".webp" and channels < 3 else samples
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert np.array_equal(np.asarray(image).reshape(expected.shape), expected)
        assert image.info["icc_profile"] == ICC
        assert image.getexif()[ExifTags.Base.Make] == "Maker"
        assert float(image.getexif().get_ifd(ExifTags.IFD.Exif)[EXPOSURE_TIME]) == pytest.approx(1 / 60)
    again = read_image(tmp_path / f"a{suffix}")
    assert np.array_equal(samples_from_picture(again), expected)
    assert again.icc == ICC


@pytest.mark.parametrize("height", [5, 64, 150])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_tiff_is_read_by_tifffile(tmp_path: Path, channels: int, height: int):
    samples = noise(channels, np.uint16, height)
    write_image(tmp_path / "a.tif", picture_from_samples(samples, exif(), ICC))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages.first
        assert np.array_equal(page.asarray().reshape(samples.shape), samples)
        assert page.tags["InterColorProfile"].value == ICC
        assert page.tags["ExifTag"].value["ExposureTime"] == (1, 60)
        assert page.tags["ExifTag"].value["MakerNote"] == b"\0\1x"
        assert page.tags["GPSTag"].value["GPSLatitudeRef"] == "N"


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_png_is_read_by_opencv_and_pillow(tmp_path: Path, channels: int):
    samples = noise(channels, np.uint16)
    write_image(tmp_path / "a.png", picture_from_samples(samples, exif(), ICC))
    decoded = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    planes = np.ascontiguousarray(samples.transpose(2, 0, 1)).transpose(1, 2, 0)  # as tensors have them
    assert encode_image(picture_from_samples(planes, exif(), ICC), "PNG") == (tmp_path / "a.png").read_bytes()
    order = {1: [], 2: [0, 3], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    assert np.array_equal(decoded[..., order] if order else decoded[..., None], samples)
    with Image.open(tmp_path / "a.png") as image:
        image.verify()
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["icc_profile"] == ICC
        assert image.info["exif"] == exif()
    again = read_image(tmp_path / "a.png")
    assert (again.gray, again.exif, again.icc, again.format) == (channels < 3, exif(), ICC, "PNG")
    assert np.array_equal(samples_from_picture(again), samples)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_files_of_opencv_are_read(tmp_path: Path, suffix: str, channels: int):
    samples = noise(channels, np.uint16)
    order = [2, 1, 0, 3][:channels] if channels > 1 else [0]
    cv2.imwrite(str(tmp_path / f"a{suffix}"), samples[..., order])
    picture = read_image(tmp_path / f"a{suffix}")
    assert picture.pixels.dtype == np.uint16
    assert picture.gray == (channels == 1)
    assert np.array_equal(samples_from_picture(picture), samples)


def test_jpeg_is_close_keeps_full_colour_resolution_and_metadata(tmp_path: Path):
    smooth = cv2.GaussianBlur(noise(3, height=96, width=96), (0, 0), 4)
    write_image(tmp_path / "a.jpg", picture_from_samples(smooth, exif(), ICC))
    with Image.open(tmp_path / "a.jpg") as image:
        assert {component[1:3] for component in image.layer} == {(1, 1)}
        assert np.abs(np.asarray(image).astype(int) - smooth).max() <= 6
        assert image.info["exif"] == exif()
    assert read_image(tmp_path / "a.jpg").icc == ICC


def test_gray_jpeg_stays_gray(tmp_path: Path):
    Image.fromarray(noise(1)[..., 0]).save(tmp_path / "a.jpg")
    picture = read_image(tmp_path / "a.jpg")
    assert picture.gray and picture.pixels.shape[2] == 3
    write_image(tmp_path / "b.jpg", picture)
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.mode == "L"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png8", "png16", "tif8", "tif16", "webp"])
def test_orientation_is_applied_and_reset(tmp_path: Path, kind: str, orientation: int):
    samples = noise(3, np.uint16 if kind.endswith("16") else np.uint8)
    path = tmp_path / f"a.{kind.rstrip('0123456789')}"
    if kind == "png16":
        path.write_bytes(png16(2, samples, (b"eXIf", exif(orientation)[6:])))
    elif kind.startswith("tif"):
        make = (271, "s", 0, "Maker", True)
        tifffile.imwrite(path, samples, photometric="rgb", extratags=[make, (274, "H", 1, orientation, True)])
    else:
        Image.fromarray(samples).save(path, exif=exif(orientation), lossless=True)
    picture = read_image(path)
    assert np.array_equal(picture.pixels, oriented(samples, orientation))
    block = Image.Exif()
    block.load(picture.exif)
    assert block.get(ORIENTATION, 1) == 1
    assert block[ExifTags.Base.Make] == "Maker"
    assert ExifTags.Base.ImageWidth not in block


def test_turning_a_photograph_changes_only_orientation_and_sides_in_its_exif(tmp_path: Path):
    """The text is UTF-8, which Pillow would write as ASCII, and the maker's note is nobody's business."""
    entries = [
        (0x010F, 2, b"Maker\0"),
        (0x8298, 2, "\u00a9 J\u00fcrgen\0".encode()),
        (0x0112, 3, b"\6\0"),
        (0x8769, 4, b""),
    ]
    camera = [(0x927C, 7, b"\0note\xff"), (0xA002, 4, b"\x28\0\0\0"), (0xA003, 4, b"\x14\0\0\0")]
    block, expected = exif_block(entries, camera), bytearray(exif_block(entries, camera))
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=block)
    expected[expected.index(b"\x12\x01\3\0") + 8] = 1
    for tag, value in ((b"\x02\xa0", b"\x14"), (b"\x03\xa0", b"\x28")):
        expected[expected.index(tag) + 8] = value[0]
    assert read_image(tmp_path / "a.jpg").exif == bytes(expected)


def exif_block(*directories: list[tuple[int, int, bytes]]) -> bytes:
    """An EXIF block by the book, little-endian: the last entry of a directory points to the next one."""
    block = b"II*\0\x08\0\0\0"
    for index, entries in enumerate(directories):
        size, long, packed = 2 + 12 * len(entries) + 4, b"", b""
        behind = len(block) + size + sum(len(value) for _, _, value in entries if len(value) > 4)
        for tag, kind, value in entries:
            if not value and index + 1 < len(directories):
                value = struct.pack("<I", behind)
            count = len(value) // {2: 1, 3: 2, 4: 4, 7: 1}[kind]
            offset = struct.pack("<I", len(block) + size + len(long))
            packed += struct.pack("<HHI", tag, kind, count) + (value.ljust(4, b"\0") if len(value) <= 4 else offset)
            long += value if len(value) > 4 else b""
        block += struct.pack("<H", len(entries)) + packed + bytes(4) + long
    return b"Exif\0\0" + block


def test_jpeg_orientation_keeps_the_rest_of_the_exif(tmp_path: Path):
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif(6))
    picture = read_image(tmp_path / "a.jpg")
    assert picture.pixels.shape == (40, 20, 3)
    assert picture.exif == exif(1)


@pytest.mark.parametrize("mode", ["1", "P", "PA", "CMYK", "YCbCr", "LAB"])
def test_other_pixel_kinds_become_gray_or_rgb(tmp_path: Path, mode: str):
    smooth = Image.fromarray(cv2.GaussianBlur(noise(3, height=64, width=64), (0, 0), 8))
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(smooth, ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    else:
        image = smooth.convert("P").convert("PA") if mode == "PA" else smooth.convert(mode)
    path = tmp_path / ("a.png" if mode == "P" else "a.tif")
    image.save(path, **({"compression": "jpeg", "quality": 98} if mode == "YCbCr" else {}))
    picture = read_image(path)
    expected = np.asarray(smooth if mode == "LAB" else image.convert("RGB"))
    levels = {"LAB": 4, "YCbCr": 6}.get(mode, 0)
    assert np.abs(picture.pixels.astype(int) - expected).max() <= levels
    assert picture.gray == (mode == "1")
    assert (picture.alpha is not None) == (mode == "PA")


def test_transparency_of_palettes_and_single_colours_becomes_alpha(tmp_path: Path):
    palette = Image.fromarray(noise(3)).quantize(8)
    palette.save(tmp_path / "a.png", transparency=3)
    assert np.array_equal(read_image(tmp_path / "a.png").alpha, np.where(np.asarray(palette) == 3, 0, 255))
    for colour_type, channels in ((0, 1), (2, 3)):
        samples = noise(channels, np.uint16)
        colour = samples[4, 5].astype(">u2").tobytes()
        (tmp_path / "b.png").write_bytes(png16(colour_type, samples, (b"tRNS", colour)))
        hidden = (samples == samples[4, 5]).all(axis=2)
        assert np.array_equal(read_image(tmp_path / "b.png").alpha, np.where(hidden, 0, 65535))


def test_sixteen_bits_become_the_nearest_eight_where_the_format_holds_no_more(tmp_path: Path):
    samples = np.arange(65536, dtype=np.uint16).reshape(256, 256)[..., None][..., [0, 0, 0]]
    write_image(tmp_path / "a.webp", Picture(samples))
    with Image.open(tmp_path / "a.webp") as image:
        assert np.array_equal(np.asarray(image), np.round(samples / 257).astype(np.uint8))


def test_jpeg_rejects_transparency(tmp_path: Path):
    with pytest.raises(ImageError, match=r"a\.jpg.*transparency"):
        write_image(tmp_path / "a.jpg", picture_from_samples(noise(4)))
    assert list(tmp_path.iterdir()) == []


def bad_files() -> dict[str, tuple[bytes, str]]:
    whole = io.BytesIO()
    Image.fromarray(noise(3)).save(whole, "JPEG")
    frames = io.BytesIO()
    Image.new("L", (4, 4)).save(frames, "TIFF", save_all=True, append_images=[Image.new("L", (4, 4))])
    floats = io.BytesIO()
    Image.new("F", (4, 4)).save(floats, "TIFF")
    cmyk16 = io.BytesIO()
    tifffile.imwrite(cmyk16, noise(4, np.uint16), photometric="separated")
    white_is_zero = io.BytesIO()
    tifffile.imwrite(white_is_zero, noise(1, np.uint16)[..., 0], photometric="miniswhite")
    premultiplied = io.BytesIO()
    tifffile.imwrite(premultiplied, noise(4, np.uint16), photometric="rgb", extrasamples=["assocalpha"])
    bomb = png16(2, noise(3, np.uint16))
    bomb = bomb[:16] + struct.pack(">II", 60000, 60000) + bomb[24:]
    crc = zlib.crc32(bomb[12:29])
    return {
        "empty": (b"", "empty"),
        "foreign": (b"%PDF-1.7" * 100, "not a readable"),
        "truncated_jpeg": (whole.getvalue()[:-200], "truncated"),
        "truncated_png16": (png16(2, noise(3, np.uint16))[:-4000], "truncated"),
        "bomb": (bomb[:29] + struct.pack(">I", crc) + bomb[33:], "too many pixels"),
        "frames": (frames.getvalue(), "2 frames"),
        "floats": (floats.getvalue(), "floating-point samples of 32 bits"),
        "cmyk16": (cmyk16.getvalue(), "16-bit"),
        "white_is_zero16": (white_is_zero.getvalue(), "16-bit"),
        "premultiplied16": (premultiplied.getvalue(), "straight alpha"),
    }


@pytest.mark.parametrize("kind", bad_files())
def test_bad_files_are_named_with_the_reason(tmp_path: Path, kind: str):
    data, reason = bad_files()[kind]
    (tmp_path / f"{kind}.png").write_bytes(data)
    with pytest.raises(ImageError, match=rf"{kind}\.png: .*{reason}"):
        read_image(tmp_path / f"{kind}.png")


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_image(target, picture_from_samples(noise(3)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert target.read_bytes() == b"old"


def test_unknown_suffix_and_odd_arrays_are_rejected(tmp_path: Path):
    with pytest.raises(ValueError, match="is not an output format"):
        write_image(tmp_path / "a.bmp", picture_from_samples(noise(3)))
    with pytest.raises(ValueError, match="float32"):
        picture_from_samples(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ValueError, match="channels"):
        picture_from_samples(noise(5))
