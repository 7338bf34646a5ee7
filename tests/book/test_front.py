"""The landing page: its findings and tiles, with the recorded runs and without any."""

import re

import pytest

from gonlib.book import front, live
from gonlib.runs import store
from gonlib.study.ledger import VERDICTS, WORDS
from gonlib.study.paper import CLAIMS


@pytest.fixture
def nothing_recorded(tmp_path, monkeypatch):
    for module in (store, live):
        monkeypatch.setattr(module, "recorded_store", lambda: store.Store(tmp_path))
    monkeypatch.setattr(store, "local_store", lambda: store.Store(tmp_path))


@pytest.mark.slow
def test_each_claim_has_a_tile_that_says_its_verdict_and_opens_its_row():
    found = r'<a class="tile ([\w-]+)" href="22-ledger.html#claim-(C\d+)" title="[^"]+">.*?<span>(\w+)'
    tiles = re.findall(found, front.tiles())
    assert [claim for _, claim, _ in tiles] == list(CLAIMS)
    words = {kind.replace(" ", "-"): {WORDS.get(kind, kind).split()[0]} for kind in VERDICTS} | {"fails": {"fails", "not"}}
    assert all(word in words[kind] for kind, _, word in tiles)  # what fails so far is not seen so far


@pytest.mark.slow
def test_six_findings_with_numbers_of_runs():
    items = str(front.findings()).split("<li>")[1:]
    assert len(items) == 6
    assert sum('class="number"' in item for item in items) >= 5


def test_without_runs_the_findings_are_sentences_without_numbers(nothing_recorded):
    said = front.findings()
    assert said.count("<li>") == 6 and 'class="number"' not in said
    assert "{}" not in said and not front.pictures()


def test_pictures_stand_in_pairs_of_images_and_reconstructions():
    rows = front.pictures()
    assert rows and len(rows) % 2 == 0 and rows[0][1].shape == rows[1][1].shape
