"""folder:PATH: which files count, and how their levels become 0..255."""

import numpy as np
import pytest
from datafiles import mixed
from PIL import Image

from gonlib.data import datasets
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
