"""Images: what every format gives, in which order, and what becomes of those that cannot be read."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from affectline.errors import InputError, InputFileError, MissingExtraError
from affectline.images import natural_order, open_images, read_image
from affectline.inputs import expand_inputs
from affectline.records import UInt8Array
from affectline.video import Sampling

RED, GREEN = (200, 60, 30), (10, 200, 90)


def two_colours() -> UInt8Array:
    """Return a 30 x 20 picture, red on the left and green on the right."""
    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[:, :15], rgb[:, 15:] = RED, GREEN
    return rgb


def save(path: Path, rgb: UInt8Array | None = None) -> Path:
    """Write an image in the format of its suffix."""
    bgr = cv2.cvtColor(two_colours() if rgb is None else rgb, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(path.suffix, bgr)
    assert ok
    path.write_bytes(data.tobytes())
    return path


def with_exif_orientation(path: Path, orientation: int) -> Path:
    """Put an EXIF segment with nothing but the orientation behind the start of a JPEG."""
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
    body = b"Exif\0\0" + tiff
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:])
    return path


def assert_close(pixel: UInt8Array, rgb: tuple[int, int, int]) -> None:
    assert np.abs(pixel.astype(int) - rgb).max() <= 12


class TestReadImage:
    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm"])
    def test_colours(self, suffix: str, tmp_path: Path) -> None:
        rgb = read_image(save(tmp_path / f"Ünï 1{suffix}"))
        assert (rgb.shape, rgb.dtype) == ((20, 30, 3), np.uint8)
        assert rgb.flags.c_contiguous
        assert rgb.flags.owndata
        assert_close(rgb[10, 4], RED)
        assert_close(rgb[10, 26], GREEN)

    def test_exif_orientation_is_applied(self, tmp_path: Path) -> None:
        rgb = read_image(with_exif_orientation(save(tmp_path / "phone.jpg"), 6))  # 6: to be turned right
        assert rgb.shape == (30, 20, 3)
        assert_close(rgb[4, 10], RED)
        assert_close(rgb[26, 10], GREEN)

    def test_16_bit(self, tmp_path: Path) -> None:
        save(tmp_path / "deep.png", two_colours().astype(np.uint16) * 257)
        assert read_image(tmp_path / "deep.png")[10, 4].tolist() == list(RED)

    def test_grey(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 6), 77, np.uint8))
        assert (read_image(tmp_path / "grey.png") == 77).all()
        assert read_image(tmp_path / "grey.png").shape == (4, 6, 3)

    def test_transparency_is_left_out(self, tmp_path: Path) -> None:
        bgra = np.zeros((4, 6, 4), np.uint8)
        bgra[:] = (30, 60, 200, 128)
        cv2.imwrite(str(tmp_path / "clear.png"), bgra)
        assert read_image(tmp_path / "clear.png")[1, 1].tolist() == list(RED)

    def test_transparency_of_a_tiff_is_left_out(self, tmp_path: Path) -> None:
        layers = np.dstack([two_colours(), np.full((20, 30), 128, np.uint8)])
        Image.fromarray(layers).save(tmp_path / "t.tiff")
        assert read_image(tmp_path / "t.tiff").tolist() == two_colours().tolist()

    @pytest.mark.parametrize(("largest", "value"), [(1023, 859), (65535, 55040)])
    def test_a_grey_picture_of_more_than_8_bits(self, largest: int, value: int, tmp_path: Path) -> None:
        values = np.full((4, 5), value, ">u2")
        (tmp_path / "t.pgm").write_bytes(f"P5\n5 4\n{largest}\n".encode() + values.tobytes())
        assert read_image(tmp_path / "t.pgm") == pytest.approx(np.full((4, 5, 3), 214), abs=1)

    @pytest.mark.parametrize(("suffix", "orientation"), [(".heic", 1), (".avif", 1), (".avif", 6)])
    def test_photographs_of_phones_stand_upright(self, suffix: str, orientation: int, tmp_path: Path) -> None:
        pillow_heif.register_heif_opener()
        exif = Image.Exif()
        exif[0x0112] = orientation
        wide = cv2.resize(two_colours(), (900, 600), interpolation=cv2.INTER_NEAREST)  # more than one tile
        Image.fromarray(wide).save(tmp_path / f"t{suffix}", exif=exif)
        rgb = read_image(tmp_path / f"t{suffix}")
        assert rgb.shape == ((600, 900, 3) if orientation == 1 else (900, 600, 3))
        assert_close(rgb[200, 100], RED)
        assert_close(rgb[-100, -100], GREEN)

    @pytest.mark.parametrize("suffix", [".heic", ".avif"])
    def test_a_cut_photograph_of_a_phone_is_refused(self, suffix: str, tmp_path: Path) -> None:
        pillow_heif.register_heif_opener()
        noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / f"t{suffix}")
        whole = (tmp_path / f"t{suffix}").read_bytes()
        for n_bytes in (len(whole) // 2, len(whole) - 1):
            (tmp_path / f"t{suffix}").write_bytes(whole[:n_bytes])
            with pytest.raises(InputFileError, match="damaged or cut off"):
                read_image(tmp_path / f"t{suffix}")

    @pytest.mark.parametrize("suffix", [".heic", ".avif"])
    def test_a_photograph_of_a_phone_is_known_without_its_suffix(self, suffix: str, tmp_path: Path) -> None:
        pillow_heif.register_heif_opener()
        Image.fromarray(two_colours()).save(tmp_path / f"t{suffix}")
        (tmp_path / f"t{suffix}").rename(tmp_path / "upload")
        (found,) = expand_inputs([tmp_path / "upload"], None)
        assert found.kind == "image"

    def test_what_reads_phone_photographs_may_be_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pillow_heif.from_pillow(Image.fromarray(two_colours())).save(tmp_path / "t.heic")
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        with pytest.raises(
            MissingExtraError, match=r"t.heic is a HEIC photograph, .* pip install 'affectline\[heic\]'"
        ):
            read_image(tmp_path / "t.heic")

    def test_a_gif_with_a_line_end_behind_it(self, tmp_path: Path) -> None:
        Image.fromarray(two_colours()).save(tmp_path / "t.gif")
        with (tmp_path / "t.gif").open("ab") as file:
            file.write(b"\n")
        assert read_image(tmp_path / "t.gif").shape == (20, 30, 3)

    def test_first_picture_of_an_animation(self, tmp_path: Path) -> None:
        path = tmp_path / "wave.gif"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("gif", rate=10)
            stream.width, stream.height, stream.pix_fmt = 30, 20, "rgb8"
            for rgb in (two_colours(), 255 - two_colours()):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="rgb8")))
            output.mux(stream.encode(None))
        rgb = read_image(path)
        assert rgb.shape == (20, 30, 3)
        assert np.abs(rgb[10, 4].astype(int) - RED).max() <= 50  # 256 colours

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
    def test_a_cut_image_is_refused(self, suffix: str, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        path = save(tmp_path / f"a{suffix}", noise)
        path.write_bytes(path.read_bytes()[:-400])
        with pytest.raises(InputFileError, match=r"the image is cut off|no image that can be read"):
            read_image(path)

    def test_a_preview_in_the_header_does_not_hide_a_cut(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.jpg")
        data = path.read_bytes()
        segment = b"\xff\xe1" + (2 + len(data)).to_bytes(2, "big") + data
        path.write_bytes(data[:2] + segment + data[2:])
        assert read_image(path).shape == (20, 30, 3)
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(InputFileError, match="the image is cut off; copy it again"):
            read_image(path)

    def test_what_is_no_image(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").write_text("no image")
        (tmp_path / "b.jpg").touch()
        for name in ("a.jpg", "b.jpg"):
            with pytest.raises(InputFileError, match=f"{name}: the file is no image that can be read"):
                read_image(tmp_path / name)
        with pytest.raises(InputFileError, match=r"c\.jpg: no such file"):
            read_image(tmp_path / "c.jpg")


class TestFolder:
    def folder(self, tmp_path: Path, *, with_bad: bool = False) -> Path:
        for number, name in enumerate(("2.png", "10.png", "1.png")):
            save(tmp_path / name, np.full((4, 5, 3), number, np.uint8))
        (tmp_path / "notes.txt").write_text("left alone")
        (tmp_path / ".hidden.png").touch()
        (tmp_path / "deeper.png").mkdir()
        if with_bad:
            (tmp_path / "3.png").write_bytes(b"\x89PNG broken")
        return tmp_path

    def test_independent_images_in_natural_order(self, tmp_path: Path) -> None:
        source = open_images(self.folder(tmp_path))
        frames = list(source.frames())
        assert source.names == ("1.png", "2.png", "10.png")
        assert [(f.index, f.time_s, int(f.rgb[0, 0, 0])) for f in frames] == [(0, None, 2), (1, None, 0), (2, None, 1)]
        assert (source.info.kind, source.info.frame_count, source.info.duration_s) == ("images", 3, None)
        assert source.report.is_complete

    def test_a_sequence_has_times(self, tmp_path: Path) -> None:
        source = open_images(self.folder(tmp_path), sequence_fps=29.97)
        assert [f.time_s for f in source.frames()] == pytest.approx([0, 1 / 29.97, 2 / 29.97], abs=1e-6)
        info = source.info
        assert (info.kind, info.width, info.height, info.frame_rate) == ("sequence", 5, 4, Fraction(2997, 100))
        assert info.duration_s == pytest.approx(3 / 29.97)

    def test_sampling_a_sequence(self, tmp_path: Path) -> None:
        source = open_images(self.folder(tmp_path), sequence_fps=2.0)
        assert [f.index for f in source.frames(Sampling(every=2))] == [0, 2]
        assert [f.index for f in source.frames(Sampling(fps=1))] == [0, 2]
        assert [f.index for f in source.frames(Sampling(start_s=0.5, end_s=1.0))] == [1]
        assert [f.index for f in source.frames(resume_after=(0, 0.0))] == [1, 2]
        assert source.report.decoded_frames == 3

    def test_independent_images_cannot_be_sampled_by_time(self, tmp_path: Path) -> None:
        source = open_images(self.folder(tmp_path))
        assert [f.index for f in source.frames(Sampling(every=2))] == [0, 2]
        with pytest.raises(InputError, match="independent images have no times"):
            source.frames(Sampling(fps=1))

    def test_a_bad_image_is_marked_and_named(self, tmp_path: Path) -> None:
        source = open_images(self.folder(tmp_path, with_bad=True))
        frames = list(source.frames())
        assert [f.is_corrupt for f in frames] == [False, False, True, False]
        assert frames[2].rgb.tolist() == [[[0, 0, 0]]]
        report = source.report
        assert (report.decoded_frames, report.corrupt_frames, report.is_complete) == (4, 1, False)
        assert report.problem == f"{tmp_path}: 1 of 4 images cannot be read: 3.png"

    def test_no_image(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match="no image in this folder; the known suffixes are"):
            open_images(tmp_path)

    @pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
    def test_impossible_rate(self, rate: float, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="frame rate of an image sequence must be a number above 0"):
            open_images(tmp_path, rate)


class TestOneImage:
    def test_is_one_frame(self, tmp_path: Path) -> None:
        source = open_images(save(tmp_path / "a.png"))
        (frame,) = source.frames()
        assert (frame.index, frame.time_s, frame.rgb.shape) == (0, None, (20, 30, 3))
        assert (source.info.kind, source.info.width, source.info.height) == ("image", 30, 20)
        assert source.names is None

    def test_a_bad_one_is_refused_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"\x89PNG broken")
        with pytest.raises(InputFileError, match=r"a\.png: the image is cut off"):
            open_images(tmp_path / "a.png")


def test_natural_order() -> None:
    names = ["b2.png", "a10.png", "A9.png", "7.png", "a.png", "10x1.png"]
    ordered = [path.name for path in sorted(map(Path, names), key=natural_order)]
    assert ordered == ["7.png", "10x1.png", "A9.png", "a10.png", "a.png", "b2.png"]
