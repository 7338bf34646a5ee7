"""The ledger's cards."""

import pytest
from bs4 import BeautifulSoup

from gonlib.book import claims
from gonlib.book.notebooks import load_source
from gonlib.runs.provenance import repository_root
from gonlib.study import ledger


@pytest.fixture(scope="module")
def made():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "EXPERIMENTS", {})  # no small runs: recorded ones are judged all the same
        yield ledger.ledger("smoke")


def test_every_claim_has_a_card_with_the_ledgers_words(made):
    page = BeautifulSoup(claims.cards(made), "html.parser")
    assert [card["id"] for card in page.select(".claim")] == [f"c{number}" for number in range(1, 23)]
    for card, judgement in zip(page.select(".claim"), made.judgements, strict=True):
        verdict = claims.main(judgement)
        assert verdict.verdict.replace(" ", "-") in card["class"] and verdict.label in card.select_one(".badge").text
    shown = {radio["class"][0] for radio in page.select("input")[1:]}
    assert shown == {card["class"][1] for card in page.select(".claim")}


def test_the_box_names_each_claim_once(made):
    links = [link.text for line in claims.in_short(made) for link in BeautifulSoup(line, "html.parser")("a")]
    assert sorted(links) == sorted(judgement.full.claim for judgement in made.judgements)


@pytest.mark.parametrize("claim, page", claims.CHAPTERS.items())
def test_a_card_leads_to_a_chapter_that_judges_the_claim(claim, page):
    cells = load_source(repository_root() / "book" / f"{page}.ipynb")["cells"]
    assert any(claim in "".join(cell["source"]) for cell in cells), f"{page} says nothing of {claim}"
