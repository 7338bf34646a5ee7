"""Linear yardsticks: on data that are linear, they find what is there."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from gonlib.data import datasets
from gonlib.method.tasks import image, left
from gonlib.study import paper
from gonlib.study.linear import (
    components_for,
    pca_error,
    pca_errors,
    pca_row,
    recorded_pca,
    recorded_pca_error,
    ridge_error,
    softmax_accuracy,
)
from gonlib.training.config import Config


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits", 8)


def test_pca_loses_nothing_with_as_many_components_as_pixels(digits):
    assert pca_error(digits, 64) == pytest.approx(0, abs=1e-9)
    assert pca_error(digits, 10) > pca_error(digits, 20) > 0
    assert pca_error(digits, 1000) == pca_error(digits, 64)


def test_softmax_regression_needs_rank_to_tell_ten_classes_apart(digits):
    two, nine = softmax_accuracy(digits, 2, 1, 60), softmax_accuracy(digits, 9, 1, 60)
    assert 0.6 < two < 0.85 and nine > 0.93


def test_two_separable_classes_need_one_number(digits):
    def only(part, labels):
        keep = labels < 2
        return part[keep], labels[keep]

    train, test = only(digits.train, digits.train_labels), only(digits.test, digits.test_labels)
    two = replace(digits, train=train[0], train_labels=train[1], test=test[0], test_labels=test[1])
    assert softmax_accuracy(two, 1, starts=1) > 0.97


def test_ridge_regression_reproduces_what_it_is_shown(digits):
    assert ridge_error(digits, image, 1e-6) == pytest.approx(0, abs=1e-6)
    mean = float((digits.test / 255 - digits.mean_image).square().flatten(1).sum(1).mean())
    assert 0 < ridge_error(digits, left) < mean


def test_ridge_regression_of_noise_is_the_mean_image(digits):
    nothing = ridge_error(digits, torch.zeros_like)
    assert nothing == pytest.approx(float((digits.test / 255 - digits.mean_image).square().flatten(1).sum(1).mean()), 1e-4)


def test_all_numbers_of_components_at_once(digits):
    errors = pca_errors(digits)
    assert len(errors) == 65 and (errors.diff() <= 1e-9).all()
    mean = digits.train.double().mean(0) / 255
    assert errors[0].item() == pytest.approx((digits.test.double() / 255 - mean).square().flatten(1).sum(1).mean().item())
    assert pca_error(digits, 10) == errors[10].item()


def test_the_recorded_pca_of_the_papers_data_sets():
    assert {name.partition("@")[0] for name in recorded_pca().dataset} <= set(paper.DATASETS)
    error = recorded_pca_error("mnist", 64)
    assert components_for("mnist", error) <= 64 < components_for("mnist", 0.9 * error)
    assert recorded_pca_error("small_norb", 64) is None and components_for("mnist", -1.0) is None


def test_a_table_gets_the_pca_of_its_data_sets_as_a_row(digits):
    config = Config(dataset="digits", size=8, latents=10)
    runs = pd.DataFrame([{"column": "digits", "config": config}] * 2)
    full = pd.DataFrame([{"column": name, "config": Config(dataset=name, latents=64)} for name in ("mnist", "small_norb")])
    row = pca_row(runs, full)
    assert row["digits", "this build"] == pytest.approx(pca_error(digits, 10))
    assert row["mnist", "recorded"] == recorded_pca_error("mnist", 64) and row["small_norb", "recorded"] is None
