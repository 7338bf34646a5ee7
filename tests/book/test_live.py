"""The live elements: what they compute equals the library, they move, ask no host for anything, and have a fallback."""

import json

import numpy as np
import pytest
import torch
from browser import PHONE, Browser, needs_chromium

from gonlib.book import live
from gonlib.method import models
from gonlib.method.decoders import count_parameters
from gonlib.runs.store import Store
from gonlib.training.config import Config

PAGE = ('<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<style>img {{ max-width: 100% }}</style>{}")
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
TINY = dict(dataset="digits", train_images=256, test_images=32, epochs=1, learning_rate=1e-3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Short runs: a GON of the paper's size, one detached, implicit ones for digits and shapes."""
    store = Store(tmp_path_factory.mktemp("live") / "store")
    siren = TINY | dict(decoder="siren", size=8, hidden=16, layers=2, latents=6)
    configs = {"gon": Config(**TINY), "detached": Config(detach=True, **TINY), "digits": Config(**siren),
               "shapes": Config(**siren | {"dataset": "shapes"})}
    return {name: store.run(config, progress=lambda *_: None) for name, config in configs.items()}


@pytest.fixture(scope="module")
def browser():
    tab = Browser()
    yield tab
    tab.close()


@pytest.fixture
def show(browser, tmp_path):
    """Open a page that holds one piece of HTML, without a network; gives the browser."""

    def open_(piece, **options):
        path = tmp_path / "page.html"
        path.write_text(PAGE.format(piece))
        browser.open(path.as_uri(), **options)
        browser.evaluate(DRAWN)
        assert [url for url in browser.requests if not url.startswith("data:")] == [path.as_uri()]
        assert not browser.errors
        return browser

    return open_


def drag(browser, selector, *stops):
    """Press the mouse on the first of `stops`, pairs in parts of the size of a thing in the element, and drag along."""
    left, top, width, height = browser.evaluate(f"""(() => {{
        const found = document.querySelector('.live > *').find({json.dumps(selector)});
        found.scrollIntoView({{block: 'center'}});
        const box = found.getBoundingClientRect();
        return [box.left, box.top, box.width, box.height] }})()""")
    points = [{"x": left + x * width, "y": top + y * height, "button": "left", "clickCount": 1} for x, y in stops]
    browser.call("Input.dispatchMouseEvent", type="mousePressed", **points[0])
    for point in points[1:]:
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", buttons=1, **point)
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", **points[-1])
    browser.evaluate(DRAWN)


def numbers(browser, expression):
    """An array in the page, `it` being its element."""
    return np.array(browser.evaluate(f"(it => Array.from({expression}))(document.querySelector('.live > *'))"), float)


# --- what is exported ---


@pytest.mark.parametrize("batchnorm", [True, False])
def test_a_folded_decoder_is_the_decoder(runs, batchnorm):
    model = runs["gon"].load_model() if batchnorm else models.build(Config(batchnorm=False), 1)
    z = x = torch.randn(5, 32)
    x = x[:, :, None, None]
    for step in live.folded(model.decoder):
        x = torch.nn.functional.conv_transpose2d(x, step["weight"], step["bias"], step["stride"], step["padding"])
        x = {"elu": torch.nn.functional.elu, "sigmoid": torch.sigmoid}[step["activation"]](x)
    with torch.no_grad(), model.evaluating("population"):
        torch.testing.assert_close(x, model.decode(z), atol=1e-5, rtol=1e-4)


def test_a_function_that_the_page_does_not_know_is_refused():
    with pytest.raises(ValueError, match="gelu"):
        live.exported(models.build(Config(activation="gelu"), 1))


def test_what_stands_in_a_page_is_small(runs):
    assert count_parameters(runs["gon"].load_model()) == 74321
    assert len(live.draw(runs["gon"], runs["detached"])) < 2**20


def test_the_starting_digits_are_ten_pictures_in_the_middle():
    digits = live.written_digits(32)
    assert digits.shape == (10, 1, 32, 32) and digits.min() == 0 and digits.max() == 1
    assert not digits[..., :3, :].any() and not digits[..., -3:, :].any()
    assert len({picture.numpy().tobytes() for picture in digits}) == 10


# --- in a browser ---


@needs_chromium
@pytest.mark.slow
def test_a_drawn_digit_is_encoded_and_decoded_as_by_the_library(runs, show):
    browser = show(live.draw(runs["gon"], runs["detached"]))
    before = numbers(browser, "it.views[0].picture")
    drag(browser, ".draw", (0.3, 0.3), (0.5, 0.6), (0.7, 0.3))
    for i, name in enumerate(("gon", "detached")):
        model = runs[name].load_model()
        x = torch.tensor(numbers(browser, "it.x"), dtype=torch.float32).view(1, 1, 32, 32)
        with torch.no_grad(), model.evaluating("population"):
            z = model.encode(x)
            picture = model.decode(z).flatten()
        shown = numbers(browser, f"it.views[{i}].z")
        np.testing.assert_allclose(shown, z[0], atol=1e-3 * z.abs().max().item())
        decoded = numbers(browser, f"it.views[{i}].gon.decode(it.views[{i}].z)")
        np.testing.assert_allclose(decoded, picture, atol=1e-3)
        if i == 0:
            assert float(browser.evaluate("document.querySelector('.live > *').find('.error').value")) == pytest.approx(
                (picture - x.flatten()).square().sum().item(), abs=0.2)
    assert np.abs(numbers(browser, "it.views[0].picture") - before).max() > 0.01


@needs_chromium
@pytest.mark.slow
def test_bars_and_the_step_can_be_dragged_and_typed(runs, show):
    browser = show(live.draw(runs["gon"], runs["detached"]), screen=PHONE)
    model = runs["gon"].load_model()
    drag(browser, ".bars", (4.5 / 32, 0.5), (4.5 / 32, 0.1))
    z = numbers(browser, "it.views[0].z")
    assert z[4] == pytest.approx(0.8 * browser.evaluate("document.querySelector('.live > *').views[0].limit"), rel=0.05)
    with torch.no_grad(), model.evaluating("population"):
        moved = model.decode(torch.tensor(z[None], dtype=torch.float32)).flatten()
        origin = model.decode(torch.zeros(1, 32)).flatten()
    np.testing.assert_allclose(numbers(browser, "it.views[0].picture"), moved, atol=1e-3)
    browser.evaluate("document.querySelector('.live > *').find('.bars').focus()")
    press(browser, "ArrowRight", "ArrowUp")
    assert numbers(browser, "it.views[0].z")[5] > z[5]
    drag(browser, ".t", (0.98, 0.5), (0.0, 0.5))
    np.testing.assert_allclose(numbers(browser, "it.views[0].picture"), origin, atol=1e-3)


def press(browser, *keys):
    for key in keys:
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        browser.call("Input.dispatchKeyEvent", type="keyUp", key=key)
    browser.evaluate(DRAWN)


@needs_chromium
@pytest.mark.slow
def test_the_second_model_is_beside_the_first_when_asked_for(runs, show):
    browser = show(live.draw(runs["gon"], runs["detached"]))
    visible = "[...document.querySelector('.live > *').shadowRoot.querySelectorAll('.bars')].map(b => b.checkVisibility())"
    assert browser.evaluate(visible) == [True, False]
    drag(browser, ".beside", (0.5, 0.5))
    assert browser.evaluate(visible) == [True, True]


@needs_chromium
@pytest.mark.slow
def test_colour_models_can_be_drawn_for_too(tmp_path, show):
    config = Config(dataset="patches", size=16, train_images=64, test_images=16, epochs=1, filters=4, latents=8)
    run = Store(tmp_path).run(config, progress=lambda *_: None)
    browser, model = show(live.draw(run)), run.load_model()
    x = torch.tensor(numbers(browser, "it.x"), dtype=torch.float32).view(1, 1, 16, 16).expand(-1, 3, -1, -1)
    with torch.no_grad(), model.evaluating("population"):
        picture = model.reconstruct(x).flatten()
    np.testing.assert_allclose(numbers(browser, "it.views[0].picture"), picture, atol=1e-3)


@needs_chromium
@pytest.mark.slow
def test_without_scripts_there_is_a_picture(runs, browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(PAGE.format(live.draw(runs["gon"])))
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(path.as_uri())
        seen = browser.evaluate("""(() => { const image = document.querySelector('gon-draw img');
            return [image.checkVisibility(), image.naturalWidth, image.alt.length] })()""")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert seen[0] and seen[1] > 400 and seen[2] > 20
