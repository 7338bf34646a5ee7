"""The folder of example pictures."""

import numpy as np
from PIL import Image

from gonlib.data import datasets
from gonlib.study.chapters import your_images


def test_the_example_folder_is_a_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(your_images, "repository_root", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    name = your_images.example_folder(images=30, side=32)
    assert name == "folder:build/example-eggs"
    images = datasets.load(name, 16)
    assert (len(images.train), len(images.test), images.channels) == (27, 3, 3)
    file = tmp_path / "build" / "example-eggs" / "0009.png"
    assert np.array_equal(np.asarray(Image.open(file)), your_images.eggs(30, 32)[9].permute(1, 2, 0).numpy())
    before = file.stat().st_mtime_ns
    assert your_images.example_folder(images=30, side=32) == name and file.stat().st_mtime_ns == before
