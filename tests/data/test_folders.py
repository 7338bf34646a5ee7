"""folder:PATH: which files count, and how their levels become 0..255."""

import errno
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from datafiles import mixed
from PIL import Image

from gonlib.data import datasets, folders
from gonlib.errors import UserError


def make_folder(root, count=20, colour=(200, 100, 50)):
    for i in range(count):
        path = root / ("a" if i < count // 2 else "b") / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.zeros((40, 60, 3), np.uint8)
        picture[:, 10:50] = np.array(colour) // 2 + i  # the middle square
        Image.fromarray(picture).save(path)


def test_folder_of_images(tmp_path):
    make_folder(tmp_path)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.png").write_text("no image")
    (tmp_path / "notes.txt").write_text("no image")
    found = datasets.load(f"folder:{tmp_path}", 16)
    assert found.train.shape == (18, 3, 16, 16)
    assert found.test.shape == (2, 3, 16, 16)
    assert sorted(found.test[:, 0, 0, 0].tolist()) == [109, 119]
    colours = {tuple(colour) for colour in found.train[:, :, 0, 15].tolist()}
    assert len(colours) == 18 and {(100, 50, 25), (101, 51, 26), (102, 52, 27)} <= colours
    assert found.train_labels.tolist() == mixed(np.repeat([0, 1], 9)).tolist()
    assert found.source == f"images of the folder {tmp_path.name}"
    assert datasets.load(f"folder:{tmp_path}", 16) is found
    few = datasets.load(f"folder:{tmp_path}", 16, 5)
    assert len(few.train) == 5
    assert few.checksum != found.checksum
    Image.new("RGB", (9, 9)).save(tmp_path / "a" / "00.png")
    changed = datasets.load(f"folder:{tmp_path}", 16)
    assert changed.checksum != found.checksum
    assert (changed.train.flatten(1).amax(1) == 0).sum() == 1


def test_folder_of_grey_images_of_all_kinds(tmp_path):
    for i, mode in enumerate(["L", "1", "LA", "RGB", "RGBA", "P", "I;16", "L", "L", "L"]):
        picture = Image.new("L", (30, 20), 0 if mode == "1" else 128)
        if mode == "I;16":
            picture = Image.fromarray(np.full((20, 30), 128 * 257, np.uint16))
        picture.convert(mode).save(tmp_path / f"{i}.png")
    found = datasets.load(f"folder:{tmp_path}", 8)
    assert found.channels == 1
    assert sorted({*found.train.flatten().tolist(), *found.test.flatten().tolist()}) == [0, 128]


def test_wrong_folders(tmp_path):
    with pytest.raises(UserError, match="the folder of images .*nowhere is not there"):
        datasets.load(f"folder:{tmp_path / 'nowhere'}")
    make_folder(tmp_path, 9)
    with pytest.raises(UserError, match="holds 9 images .* at least 10"):
        datasets.load(f"folder:{tmp_path}")
    (tmp_path / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match="the image .*broken.jpg cannot be read"):
        datasets.load(f"folder:{tmp_path}")


def fill(folder, pictures, name="{:02d}.png"):
    """Save pictures in a folder; arrays and Pillow's images alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
        picture.save(folder / name.format(i))
    return f"folder:{folder}"


def levels(found):
    """All levels that occur in a data set."""
    return sorted({*found.train.flatten().tolist(), *found.test.flatten().tolist()})


@pytest.mark.parametrize("suffix", [".tif", ".png", ".pgm"])
@pytest.mark.parametrize(("white", "remark"), [
    (255, "; levels of more than 8 bits are shares of 255"), (1023, "; levels of more than 8 bits are shares of 1,023"),
    (4095, "; levels of more than 8 bits are shares of 4,095"), (65535, "")])
def test_sixteen_bits_are_scaled_by_their_true_range(tmp_path, suffix, white, remark):
    shades = [np.full((20, 20), white * i // 11, np.uint16) for i in range(12)]
    found = datasets.load(fill(tmp_path, shades, "{:02d}" + suffix), 8)
    assert max(abs(a - b) for a, b in zip(levels(found), [255 * i // 11 for i in range(12)], strict=True)) <= 1
    assert found.source == f"images of the folder {tmp_path.name}{remark}"


def test_the_range_is_that_of_the_folder_whatever_is_taken_of_it(tmp_path):
    shades = [np.full((20, 20), 100 + 3000 * (i == 9), np.uint16) for i in range(12)]
    few = datasets.load(fill(tmp_path, shades), 8, 3, 0)
    assert levels(few) == [100 * 255 // 4095, 3100 * 255 // 4095]


def test_floats_are_shares_of_white_or_refused(tmp_path):
    shades = [np.full((20, 20), i / 11, np.float32) for i in range(12)]
    name = fill(tmp_path, shades, "{:02d}.tif")
    assert levels(datasets.load(name, 8)) == [round(255 * i / 11) for i in range(12)]
    for wrong in (255.0, -0.5, np.nan):
        fill(tmp_path, [np.full((20, 20), wrong, np.float32)], "wrong.tif")
        with pytest.raises(UserError, match="wrong.tif cannot be read .its levels are .* must be 0 to 1"):
            datasets.load(name, 8)
    fill(tmp_path, [np.full((20, 20), 10**6, np.int32)], "wrong.tif")
    with pytest.raises(UserError, match="wrong.tif cannot be read .its levels are 1,000,000 to 1,000,000"):
        datasets.load(name, 8)


def write_png(path, side, bits, colour, content):
    """A PNG file with what Pillow would not write: any size, and 16 bits per colour."""
    head = struct.pack(">IIBBBBB", side, side, bits, colour, 0, 0, 0)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(content)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks))


def deep_colour(path, level):
    write_png(path, 8, 16, 2, b"".join(b"\0" + np.full(24, level, ">u2").tobytes() for _ in range(8)))


def test_colours_of_twelve_in_sixteen_bits_are_refused(tmp_path):
    for i in range(12):
        deep_colour(tmp_path / f"{i:02d}.png", 4095)
    with pytest.raises(UserError, match="00.png use at most 12 of their 16 bits"):
        datasets.load(f"folder:{tmp_path}", 8)
    deep_colour(tmp_path / "05.png", 65535)
    assert levels(datasets.load(f"folder:{tmp_path}", 8)) == [15, 255]


def test_links_are_followed_once(tmp_path):
    make_folder(tmp_path / "elsewhere")
    fill(tmp_path / "pictures" / "own", [Image.new("RGB", (9, 9), (i, 0, 0)) for i in range(10)])
    pictures = tmp_path / "pictures"
    (pictures / "linked").symlink_to(tmp_path / "elsewhere")
    (pictures / "again").symlink_to(pictures / "own")
    (pictures / "loop").symlink_to(pictures)
    (pictures / "one.png").symlink_to(tmp_path / "elsewhere" / "a" / "00.png")
    (pictures / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    found = datasets.load(f"folder:{pictures}", 8)
    assert len(found.train) + len(found.test) == 10 + 20 + 1
    assert len(found.train_labels.unique()) == 4  # own, linked/a, linked/b, and the folder itself


def test_other_endings_are_read_or_said(tmp_path, monkeypatch):
    picture = Image.new("RGB", (20, 20), (200, 100, 50))
    kinds = {"jfif": "jpeg", "jpe": "jpeg", "JPG": "jpeg", "jp2": "jpeg2000"}
    for i, ending in enumerate([*kinds, "webp", "bmp", "gif", "tiff", "ppm", "png"]):
        picture.save(tmp_path / f"{i}.{ending}", kinds.get(ending, ending))
    (tmp_path / "phone.heic").write_bytes(b"x")
    (tmp_path / "camera.NEF").write_bytes(b"x")
    (tmp_path / "notes.txt").write_bytes(b"x")
    found = datasets.load(f"folder:{tmp_path}", 8)
    assert len(found.train) + len(found.test) == 10
    assert found.source.endswith("; 2 files left out: .heic, .nef cannot be read here")
    picture.save(tmp_path / "11.png")
    monkeypatch.setattr(folders, "_readable", lambda: folders.PICTURES - {".jp2"})
    assert "; 3 files left out: .heic, .jp2, .nef" in datasets.load(f"folder:{tmp_path}", 8).source


@pytest.mark.parametrize("ending", ["tga", "dib", "pcx", "sgi", "apng", "mpo", "j2c", "qoi"])
def test_endings_that_are_less_common_are_read_or_said(tmp_path, ending):
    make_folder(tmp_path)
    kind = {"apng": "png", "j2c": "jpeg2000", "mpo": "jpeg", "qoi": "png"}.get(ending, ending)  # by its content, as ever
    Image.new("RGB", (9, 9)).save(tmp_path / f"x.{ending}", kind)
    found = datasets.load(f"folder:{tmp_path}", 8)
    assert len(found.train) + len(found.test) == 21 or f"1 file left out: .{ending}" in found.source


@pytest.mark.parametrize("ending", sorted(folders.UNREAD))
def test_no_picture_is_left_out_in_silence(tmp_path, ending):
    make_folder(tmp_path, 10)
    (tmp_path / f"x{ending}").touch()
    assert f"; 1 file left out: {ending} cannot be read here" in datasets.load(f"folder:{tmp_path}", 8).source


def test_of_files_with_several_pictures_the_first_is_taken_and_that_is_said(tmp_path):
    make_folder(tmp_path)
    frames = [Image.new("RGB", (9, 9), (level, 0, 0)) for level in (250, 0)]
    for name in ("x.tif", "x.gif", "x.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "x.mpo", "MPO", save_all=True, append_images=frames[1:])
    found = datasets.load(f"folder:{tmp_path}", 8)
    assert found.source.endswith("; of 3 files with several pictures the first is taken")
    assert (torch.cat([found.train, found.test])[:, 0].flatten(1).float().mean(1) > 200).sum() == 4


def test_transparent_pixels_are_set_on_white(tmp_path):
    garbage = np.random.default_rng(0).integers(0, 256, (20, 20, 4), np.uint8)
    garbage[..., 3] = 0
    name = fill(tmp_path, [garbage] * 11)
    Image.new("P", (20, 20)).save(tmp_path / "palette.png", transparency=0)
    found = datasets.load(name, 8)
    assert levels(found) == [255]
    assert found.source.endswith("; transparent pixels are set on white")


@pytest.mark.parametrize("place", ["@eaDir/00.png", ".@__thumb", "__MACOSX", ".cache", "#recycle", "#snapshot/@GMT-1",
                                   "lost+found"])
def test_thumbnails_and_hidden_folders_are_left_out(tmp_path, place):
    make_folder(tmp_path)
    fill(tmp_path / place, [Image.new("L", (8, 8))] * 3, "SYNOPHOTO_THUMB_{}.jpg")
    found = datasets.load(f"folder:{tmp_path}", 8)
    assert len(found.train) + len(found.test) == 20


@pytest.mark.parametrize(("harm", "why"), [
    (lambda path: path.write_bytes(b""), "it is no picture"),
    (lambda path: path.write_text("<html>403 Forbidden</html>"), "it is no picture"),
    (lambda path: path.write_bytes(path.read_bytes()[:100]), "truncated"),
    (lambda path: write_png(path, 100_000, 8, 0, b"x"), "it claims to have more than 178,956,970 pixels")])
def test_broken_pictures_are_named(tmp_path, harm, why):
    make_folder(tmp_path)
    harm(tmp_path / "a" / "03.png")
    with pytest.raises(UserError, match=f"the image .*03.png cannot be read .*{why}.*; mend or remove it") as fault:
        datasets.load(f"folder:{tmp_path}", 8)
    assert "0x" not in str(fault.value)


def test_unreadable_pictures_are_not_to_be_deleted(tmp_path, monkeypatch):
    make_folder(tmp_path)

    def denied(self):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(UserError, match="Permission denied.*; see that you may read it, or take it out") as fault:
        datasets.load(f"folder:{tmp_path}", 8)
    assert "remove" not in str(fault.value)
    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(UserError, match="cannot be read .Permission denied"):
        datasets.load(f"folder:{tmp_path}", 8)


@pytest.mark.parametrize("name", ["pay$1$ to $you", "it's `x` <b>&amp; \\n", "Größe – 猫", "a: b #2", "caf\udce9", "x\ny"])
def test_any_name_of_a_folder_will_do(tmp_path, name):
    make_folder(tmp_path / name)
    found = datasets.load(f"folder:{tmp_path / name}", 8)
    assert len(found.train) == 18
    found.title.encode(), found.source.encode()  # can be written down
    assert "\n" not in found.source
    assert datasets.fingerprint(f"folder:{tmp_path / name}")


@pytest.mark.parametrize("name", ["folder:a\0b", "folder:" + "x" * 5000])
def test_impossible_paths(name):
    with pytest.raises(UserError, match="the folder of images"):
        datasets.load(name)


def test_changed_pictures_are_other_data(tmp_path):
    make_folder(tmp_path)
    name = f"folder:{tmp_path}"
    before, stamped = datasets.load(name, 8), datasets.fingerprint(name)
    assert datasets.fingerprint(name) == stamped
    Image.new("RGB", (60, 40), "red").save(tmp_path / "b" / "15.png")
    assert datasets.fingerprint(name) != stamped
    changed = datasets.load(name, 8)
    assert changed.checksum != before.checksum
    (tmp_path / "b").rename(tmp_path / "0")  # the same pictures under other labels
    assert datasets.load(name, 8).checksum not in (before.checksum, changed.checksum)
