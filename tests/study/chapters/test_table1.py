"""What Table 1 keeps of its runs."""

from gonlib.runs import kept
from gonlib.study import registry


def test_reconstructions_are_kept_with_the_first_seed(tmp_path, monkeypatch):
    monkeypatch.setenv("GONLIB_STORE", str(tmp_path))
    runs = registry.run("table1", "smoke", models=["GON", "GLO"], seeds=2, latents=4, fit_steps=2)
    pictures = {(one.row, one.seed): kept.pictures(one.run, "reconstructions") for one in runs.itertuples()}
    images = kept.pictures(runs.run[0], "images")
    assert images.shape == pictures["GON", 0].shape == pictures["GLO", 0].shape and len(images) == 8
    assert pictures["GON", 1] is None and len(images.unique(dim=0)) == 8
