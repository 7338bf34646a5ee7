"""The live elements: what they compute equals the library, they move, ask no host for anything, and have a fallback."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from browser import PHONE, Browser, needs_chromium

from gonlib.book import export, live, stills
from gonlib.data import as_float
from gonlib.data.builtin import SHAPES, shapes_images
from gonlib.method import models
from gonlib.method.decoders import count_parameters
from gonlib.method.empirical_bayes import posterior_mean
from gonlib.runs import kept
from gonlib.runs.store import Store, load_data
from gonlib.study import registry
from gonlib.study.chapters.super_resolution import enlarge, render
from gonlib.study.measures import paths, psnr
from gonlib.training.config import Config

PAGE = ('<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<style>img {{ max-width: 100% }}</style>{}")
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
TINY = dict(dataset="digits", train_images=128, test_images=32, epochs=1, learning_rate=1e-3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Short runs: a GON of the paper's size, one detached, implicit ones for digits and shapes."""
    store = Store(tmp_path_factory.mktemp("live") / "store")
    siren = TINY | dict(decoder="siren", size=8, hidden=16, layers=2, latents=6)
    configs = {"gon": Config(**TINY), "detached": Config(detach=True, **TINY), "digits": Config(**siren),
               "shapes": Config(**siren | {"dataset": "shapes"}),
               "classes": Config(**siren | {"latents": 2, "task": "classify"})}

    class Trained(dict):
        """Name -> run, trained when it is first asked for."""

        def __missing__(self, name):
            run = self[name] = store.run(configs[name], progress=lambda *_: None)
            if name == "classes":
                registry.get("classifier").finish(run)
            return run

    return Trained()


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
    for step in export.folded(model.decoder):
        x = torch.nn.functional.conv_transpose2d(x, step["weight"], step["bias"], step["stride"], step["padding"])
        x = {"elu": torch.nn.functional.elu, "sigmoid": torch.sigmoid}[step["activation"]](x)
    with torch.no_grad(), model.evaluating("population"):
        torch.testing.assert_close(x, model.decode(z), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("change", "named"), [({"activation": "gelu"}, "gelu"), ({"likelihood": "bernoulli"}, "squared"),
                                               ({"variational": True}, "stochastic"), ({"inner_steps": 2}, "one")])
def test_what_the_page_does_not_know_is_refused(change, named):
    with pytest.raises(ValueError, match=named):
        export.exported(models.build(Config(**change), 1))


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
    assert np.abs(numbers(browser, "it.views[0].picture") - before).max() > 0.003  # of a network that is hardly trained


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


ELEMENTS = [lambda runs: live.draw(runs["gon"], runs["detached"]), lambda runs: live.ring(),
            lambda runs: live.zoom(runs["shapes"]), lambda runs: live.path(runs["shapes"]),
            lambda runs: live.scatter(runs["classes"])]


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("make", ELEMENTS)
def test_whatever_one_can_move_or_see_has_a_name_and_is_reached_by_keys(runs, show, make):
    browser = show(make(runs))
    browser.call("Accessibility.enable")
    nodes = [node for node in browser.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    kinds = ("button", "slider", "checkbox", "image", "img", "application", "Canvas")
    named = [(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if node["role"]["value"] in kinds]
    assert len(named) > 1 and all(name for _, name in named), named
    reached = browser.evaluate("""(() => { const it = document.querySelector('.live > *').shadowRoot;
        const all = [...it.querySelectorAll('button, input, [tabindex]')].filter(part => part.checkVisibility());
        return all.every(part => { part.focus(); return it.activeElement === part }) })()""")
    assert reached


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("make", ELEMENTS)
def test_without_scripts_there_is_a_picture(runs, browser, tmp_path, make):
    path = tmp_path / "page.html"
    path.write_text(PAGE.format(make(runs)))
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(path.as_uri())
        seen = browser.evaluate("""(() => { const image = document.querySelector('.live img');
            return [image.checkVisibility(), image.naturalWidth, image.alt.length] })()""")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert seen[0] and seen[1] > 300 and seen[2] > 20


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.3, 0.7, 1.5])
def test_the_arrow_on_the_ring_is_equation_4(show, sigma):
    browser, variance = show(live.ring(2.0, sigma)), sigma**2 * torch.eye(2, dtype=torch.float64)
    for place in ((0.8, 0.3), (0.2, 0.55)):
        drag(browser, ".field", (0.5, 0.5), place)
        z0 = torch.tensor(numbers(browser, "it.z0"))
        np.testing.assert_allclose(z0, [8 * place[0] - 4, 4 - 8 * place[1]], atol=0.05)
        mean = posterior_mean(lambda z: stills.ring_density(z, 2.0, sigma), z0, variance)
        np.testing.assert_allclose(numbers(browser, "it.mean"), mean, atol=1e-6)


@needs_chromium
@pytest.mark.slow
def test_the_ring_is_moved_by_keys_noise_and_button(show):
    browser = show(live.ring(), screen=PHONE)
    before = numbers(browser, "it.z0"), numbers(browser, "it.mean")
    drag(browser, ".sigma", (0.3, 0.5), (0.9, 0.5))
    assert np.abs(numbers(browser, "it.mean") - before[1]).max() > 0.01
    browser.evaluate("document.querySelector('.live > *').find('.point').focus()")
    press(browser, "ArrowLeft", "ArrowUp")
    np.testing.assert_allclose(numbers(browser, "it.z0"), before[0] + [-0.1, 0.1], atol=1e-9)
    drag(browser, "button", (0.5, 0.5))
    assert not numbers(browser, "it.z0").any() and np.abs(numbers(browser, "it.mean")).max() < 1e-9


SETTLED = """(async it => { while (it.shown.side < 100) await new Promise(done => setTimeout(done, 20));
    return Object.fromEntries(it.panels.map(name => [name, Array.from(it.shown.pictures[name])]))
})(document.querySelector('.live > *'))"""


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("name", ["shapes", "digits"])
def test_the_zoom_shows_what_the_library_draws(runs, show, name):
    browser, run = show(live.zoom(runs[name])), runs[name]
    drag(browser, ".zoom", (0.25, 0.5), (0.0, 0.5))  # the whole image
    seen = browser.evaluate(SETTLED)
    model, side = run.load_model(), 144
    small = as_float(load_data(run.config, "cpu").test[:1])
    drawn = {"bicubic": enlarge(small, side, "bicubic"), "gon": render(model, model.encode(small).detach(), side)}
    if name == "shapes":
        drawn["truth"] = as_float(load_data(run.config.replace(size=side, test_images=1), "cpu").test)
        score = psnr(drawn["gon"], drawn["truth"]).item()
        shown = browser.evaluate("document.querySelector('.live > *').find('.gon + p output').value")
        assert float(shown.split()[0]) == pytest.approx(score, abs=0.1)
    assert ("truth" in seen) == (name == "shapes")
    for panel, picture in drawn.items():
        tolerance = 0.5 / 255 + 1e-3 if panel == "truth" else 1e-3  # the library rounds its scenes to bytes
        np.testing.assert_allclose(seen[panel], picture.flatten(), atol=tolerance, err_msg=panel)


@needs_chromium
@pytest.mark.slow
def test_the_truth_of_every_kind_of_scene_is_the_librarys(runs, show):
    factors = {"radius": 0.3, "x": 0.45, "y": 0.55, "rotation": 100.0, "grey": 0.8}
    browser = show(live.zoom(runs["shapes"]))
    drag(browser, ".zoom", (0.25, 0.5), (0.0, 0.5))
    for kind, shape in enumerate(SHAPES):
        scene = factors | {"corners": live.CORNERS[shape]}
        browser.evaluate(f"""(it => {{ it.data.scenes[0] = {json.dumps(scene)}; it.redraw() }})(
            document.querySelector('.live > *'))""")
        browser.evaluate(DRAWN)
        drawn = as_float(shapes_images({name: torch.tensor([v]) for name, v in (factors | {"shape": kind}).items()}, 144))
        seen = browser.evaluate(SETTLED)["truth"]
        np.testing.assert_allclose(seen, drawn.flatten(), atol=0.5 / 255 + 1e-3, err_msg=shape)


@needs_chromium
@pytest.mark.slow
def test_the_zoomed_window_is_the_part_of_the_image_that_it_says(runs, show):
    browser = show(live.zoom(runs["shapes"]), screen=PHONE)
    drag(browser, ".gon", (0.9, 0.5), (0.1, 0.5))  # at twice the size: 0.4 of the image to the right, as far as there is
    assert numbers(browser, "it.centre") == pytest.approx([0.75, 0.5])
    seen = browser.evaluate(SETTLED)
    whole = as_float(load_data(runs["shapes"].config.replace(size=288, test_images=1), "cpu").test)
    np.testing.assert_allclose(seen["truth"], whole[..., 72:216, 144:].flatten(), atol=0.5 / 255 + 1e-3)
    browser.evaluate("document.querySelector('.live > *').find('.panels').focus()")
    press(browser, "+", "ArrowUp")
    assert browser.evaluate("document.querySelector('.live > *').times") == pytest.approx(2**1.25)
    assert numbers(browser, "it.centre")[1] < 0.5


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("name", ["shapes", "digits"])
def test_the_path_is_the_librarys_and_straight_is_the_cross_fade(runs, show, name):
    browser, model = show(live.path(runs[name]), screen=PHONE), runs[name].load_model()
    x = as_float(load_data(runs[name].config, "cpu").test[:3])
    drag(browser, ".to button:nth-child(4)", (0.5, 0.5))
    drag(browser, ".t", (0.5, 0.5), (0.25, 0.5))
    t = float(browser.evaluate("document.querySelector('.live > *').find('.t').value"))
    assert 0.1 < t < 0.4
    seen = browser.evaluate("""(async it => { while (it.shown.side < 64) await new Promise(done => setTimeout(done, 20));
        return {slerp: Array.from(it.shown.of.slerp), lerp: Array.from(it.shown.of.lerp), pixels: Array.from(it.fade)}
        })(document.querySelector('.live > *'))""")
    drawn = paths(model, x[:1], x[2:], 101, 64)
    for way, picture in seen.items():
        np.testing.assert_allclose(picture, drawn[way][round(100 * t), 0].flatten(), atol=1e-3, err_msg=way)
    straight, faded = (numbers(browser, what) for what in ("it.ways.lerp", "it.faded"))
    np.testing.assert_allclose(straight, faded, atol=1e-4 * np.abs(straight).max())


@needs_chromium
@pytest.mark.slow
def test_a_point_of_the_scatter_shows_its_image(runs, show):
    browser, points = show(live.scatter(runs["classes"])), kept.table(runs["classes"], "points")
    x, y = numbers(browser, "it.places[7]")
    drag(browser, "svg", (x / 125, y / 100))
    said = browser.evaluate("document.querySelector('.live > *').find('.said').textContent")
    assert f"Class {points.label[7]}" in said
    images = load_data(runs["classes"].config, "cpu").test
    shown = numbers(browser, "it.images[it.chosen]") * 255
    np.testing.assert_allclose(shown, images[7].flatten(), atol=0.01)
    browser.evaluate("document.querySelector('.live > *').find('svg').focus()")
    before = browser.evaluate("document.querySelector('.live > *').places[document.querySelector('.live > *').chosen][0]")
    press(browser, "ArrowRight" if before < 60 else "ArrowLeft")
    after = browser.evaluate("document.querySelector('.live > *').places[document.querySelector('.live > *').chosen][0]")
    assert after > before if before < 60 else after < before


def table_of(**rows):
    """Runs as an experiment gives them, with made-up curves: {row: (errors of epochs 1, 2, ..., the paper's value)}."""

    class Made:
        def __init__(self, errors):
            self.history = pd.DataFrame({"epoch": range(1, len(errors) + 1), "test_error": errors})

    return pd.DataFrame([{"row": name, "column": "coil20", "run": Made(errors), "paper": known and (known, 0.1), "seed": 0,
                          "state": "growing", "epoch": len(errors), "asked": 500, "hash": name}
                         for name, (errors, known) in rows.items()])


@needs_chromium
@pytest.mark.slow
def test_the_rows_of_a_race_change_places_with_the_epoch(show):
    runs = table_of(GON=([9, 6, 4, 2], 5.35), AE=([7, 5, 4.5], 1.0), GLO=([8, 7.9, 7.8, 7.7], None))
    both = {"recorded": runs, "this build": pd.concat([runs, table_of(GON=([11, 8, 6, 6], 5.35))])}
    assert 'data-runs="GON AE GLO"' in live.race(both)
    browser = show(live.race(both), screen=PHONE)
    order = "document.querySelector('.live > *').order"
    assert browser.evaluate(order) == ["GON", "AE", "GLO"]
    notes = "[...document.querySelector('.live > *').shadowRoot.querySelectorAll('.note')].map(it => it.textContent)"
    gon, ae, glo = browser.evaluate(notes)
    assert "5.35: at epoch 3" in gon and "not reached" in ae and "ends at 3" in ae and not glo
    assert browser.evaluate("document.querySelector('.live > *').shadowRoot.querySelectorAll('.time i').length") == 1
    about = browser.evaluate("document.querySelector('.live > *').find('.about').textContent")
    assert about == "1 seed, at epochs 3 to 4 of 500."
    drag(browser, ".epoch", (0.98, 0.5), (0.0, 0.5))
    assert browser.evaluate(order) == ["AE", "GLO", "GON"]
    tops = numbers(browser, "it.lanes.map(lane => lane.style.getPropertyValue('--rank'))")
    assert list(tops) == [2, 0, 1]
    drag(browser, ".panels button:last-child", (0.5, 0.5))
    assert browser.evaluate(order) == ["GON", "AE", "GLO"]
    values = numbers(browser, "it.lanes.map(lane => Number(lane.querySelector('.value').textContent))")
    assert list(values) == [4, 4.5, 7.7]  # the mean of two seeds, the last of the others


@needs_chromium
@pytest.mark.slow
def test_a_race_runs_by_itself_when_started(show):
    browser = show(live.race({"recorded": table_of(GON=([3, 2, 1], None), AE=([2, 2, 2], None))}))
    browser.evaluate("document.querySelector('.live > *').find('.play').click()")
    ended = """(async it => { while (it.playing) await new Promise(done => setTimeout(done, 50)); return it.slider.value
        })(document.querySelector('.live > *'))"""
    assert browser.evaluate(ended) == "3"


@needs_chromium
@pytest.mark.slow
def test_a_race_begins_at_its_end(show):
    long = {"GON": ([3.0 - i / 250 for i in range(500)], None), "AE": ([2.0] * 400, None)}
    browser = show(live.race({"recorded": table_of(**long)}))
    assert browser.evaluate("document.querySelector('.live > *').find('.at').value") == "500 of 500"


def test_a_race_without_runs_is_a_sentence():
    assert "no race" in live.race({"recorded": pd.DataFrame({"run": [None], "column": ["mnist"], "row": ["GON"]})})


@needs_chromium
@pytest.mark.slow
def test_nothing_is_cut_off_on_a_narrow_phone(runs, show):
    for piece in (live.draw(runs["gon"], runs["detached"]), live.ring(), live.zoom(runs["shapes"]),
                  live.path(runs["shapes"]), live.scatter(runs["classes"]),
                  live.race({"recorded": table_of(GON=([2, 1], 5.0), AE=([2, 2], 7.0))})):
        browser = show(piece, screen=PHONE | {"width": 360})
        assert browser.evaluate("document.documentElement.scrollWidth") <= 360
        cut = browser.evaluate("""(it => [...it.shadowRoot.querySelectorAll('button, label, p, h4')]
            .filter(part => part.clientWidth && part.scrollWidth > part.clientWidth + 1)
            .map(part => part.outerHTML))(document.querySelector('.live > *'))""")
        assert not cut


# --- which runs a page shows ---


def test_a_page_shows_the_recorded_runs_or_its_own(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "recorded_store", lambda: Store(tmp_path))
    own = pd.DataFrame({"run": [runs["gon"], runs["detached"]]})
    assert runs["gon"].hash in live.element("gon", own)
    recorded = runs["gon"].config.replace(dataset="digits", filters=4, latents=4)
    monkeypatch.setitem(live.OF_EXPERIMENTS, "gon", (live.draw, {"train_images": 64, "test_images": 16, "epochs": 1,
                                                                 "filters": 4, "latents": 4}))
    for config in (recorded.replace(train_images=64, test_images=16, detach=detach) for detach in (False, True)):
        Store(tmp_path).run(config, progress=lambda *_: None)
    assert runs["gon"].hash not in live.element("gon", own)
    assert runs["shapes"].hash in live.element("implicit", pd.DataFrame({"run": [runs["digits"], None, runs["shapes"]]}))


def test_without_weights_there_is_a_sentence():
    assert "weights" in live.element("implicit", pd.DataFrame({"run": [None]}))
