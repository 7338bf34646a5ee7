"""GONs of your own images, and a small folder of pictures to show before you name yours."""

import os
from pathlib import Path

from PIL import Image

from ...data.builtin import patches
from ...files import disk_space
from ...runs.provenance import repository_root
from ..experiment import experiment


@experiment("your-images", "A convolutional and an implicit GON on any folder of images")
def your_images(dataset):
    return [{"model": "convolutional GON"}, {"model": "implicit GON"}]


def example_folder(images=480, side=48):
    """Write crops of scikit-learn's two photographs, side x side pixels, as PNG files, once; returns "folder:PATH".

    The folder is build/example-images, PATH is relative to the working folder. Every tenth file, which `data.load`
    takes for the test, is cut from parts of the photographs that the others do not touch.
    """
    folder = (repository_root() or Path.cwd()) / "build" / "example-images"
    with disk_space(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if len(list(folder.glob("*.png"))) != images:
            arrays = patches(side)
            train, test = iter(arrays["train_images"]), iter(arrays["test_images"])
            for number in range(images):
                Image.fromarray(next(test if number % 10 == 9 else train)).save(folder / f"{number:04d}.png")
    return f"folder:{os.path.relpath(folder)}"
