"""What holds in every page: a parameter that it lacks is refused, its pictures are there, its style is the book's."""

import json
import re

import matplotlib.pyplot as plt
import papermill
import pytest
from conftest import write_notebook

from gonlib.book import page, pages
from gonlib.errors import UserError

STYLE = "from gonlib.book import figures\n\nfigures.style()"
DRAW = "import matplotlib.pyplot as plt\nfig = plt.figure()\n_ = fig.add_subplot().set_title('$x$ of latents')"


def execute(path, parameters):
    """The notebook, executed by papermill as a reader would."""
    return papermill.execute_notebook(path, path.with_name("out.ipynb"), parameters, progress_bar=False,
                                      kernel_name="python3", language="python")


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """An environment in which the reader has settings of matplotlib and IPython."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfigure.dpi: 10\n")
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-mine.py").write_text("raise SystemExit('a startup file was read')\n")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "matplotlibrc"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
def test_papermill_refuses_a_parameter_that_the_page_lacks(tmp_path, first):
    """Whether the library is imported before the parameters or behind them."""
    write_notebook(tmp_path, "page", "epochs = 1\nlatents = 2", *([] if first else [STYLE]), "print(epochs)")
    path = tmp_path / "page.ipynb"
    if first:
        written = json.loads(path.read_text())
        written["cells"].insert(1, written["cells"][-1] | {"source": STYLE, "id": "style"})
        path.write_text(json.dumps(written))
    execute(path, {"epochs": 3})
    with pytest.raises(papermill.PapermillExecutionError, match="unknown parameter 'epoch'; did you mean epochs?"):
        execute(path, {"epoch": 3})


@pytest.mark.slow
def test_pictures_are_drawn_whatever_the_reader_has_set(hostile):
    write_notebook(hostile, "page", "epochs = 1", STYLE, DRAW)
    done = execute(hostile / "page.ipynb", {"epochs": 2})
    shown = [out["data"].get("text/html", "") for cell in done.cells for out in cell.get("outputs", []) if "data" in out]
    assert any("<svg" in html for html in shown)


@pytest.mark.parametrize("name", ["x$\\frac$", "$\\foo$ $", "a$b", "<$_$>"])
def test_a_picture_shows_any_name(name):
    page.begin()
    shown = plt.figure().text(0, 0, name)
    assert shown.get_window_extent().width > 0
    assert page.drawable("$z_1$") == "$z_1$"
    plt.close()


def test_names_are_those_that_cells_assign():
    assert page.assigned(["a = b = 1\nc, (d, e) = x\nf.g = 2\nimport h\n%time", "n = 1\nif n: m = 2"]) == ["n"]
    page.refuse_unknown(["latents = 1"], "# Parameters\nlatents = 2\n")
    page.refuse_unknown([], "latents = 2\n")
    page.refuse_unknown(["epochs = 1\noverrides = {}"], "# Parameters\noverrides = {'batch_size': 2}\n")
    with pytest.raises(UserError, match="overrides cannot hold 'epochs'"):
        page.refuse_unknown(["epochs = 1\noverrides = {}"], "# Parameters\noverrides = {'epochs': 2}\n")
    with pytest.raises(UserError, match="unknown parameter 'latent'; did you mean latents?"):
        page.refuse_unknown(["import x", "latents = 1"], "# Parameters\nlatent = 2\n")


def test_files_are_named_after_the_page_that_offers_them():
    link = '<a class="download" download="{}.csv" href="data:text/csv;base64,YQ==">CSV</a>'
    cells = [{"outputs": [{"data": {"text/html": [link.format(name)]}}]} for name in ("recorded", "this-build", "recorded")]
    pages._name_downloads(cells, "04-table1")
    found = [re.search('download="(.*?)"', cell["outputs"][0]["data"]["text/html"])[1] for cell in cells]
    assert found == ["04-table1-recorded.csv", "04-table1-this-build.csv", "04-table1-recorded-2.csv"]


@pytest.mark.parametrize("name, caption, begins", [
    ("table-psnr", "Decibels.", "**Table.** Decibels."), ("fig-known", "One pair.", "**Figure.** One pair."),
    ("fig-6", "Figure 6 of the paper.", "Figure 6 of"), ("table-1", "Table 1 of the paper.", "Table 1 of")])
def test_a_caption_says_whether_it_is_a_table_or_a_figure(tmp_path, name, caption, begins):
    write_notebook(tmp_path, "page", "epochs = 1", "1")
    written = json.loads((tmp_path / "page.ipynb").read_text())
    written["cells"][-1]["metadata"]["mystnb"] = {"figure": {"name": name, "caption": caption}}
    (tmp_path / "page.ipynb").write_text(json.dumps(written))
    shown = pages.readable(tmp_path / "page.ipynb", tmp_path / "executed.ipynb")["cells"][-1]
    assert shown["metadata"]["mystnb"]["figure"]["caption"].startswith(begins)
