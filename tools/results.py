#!/usr/bin/env python3
"""The recorded part of Table 1 as a table in README.md, between its two marks.

    .venv/bin/python tools/results.py       after runs were recorded
"""

from pathlib import Path

from gonlib.study import registry
from gonlib.study.judging import done, where
from gonlib.study.numbers import mean_sd, written
from gonlib.study.paper import TABLE1

README = Path(__file__).resolve().parents[1] / "README.md"
MARKS = "<!-- table 1 -->\n", "<!-- end of table 1 -->\n"
ROWS = ("GON", "AE", "Tied AE", "1 step, detached")


def table() -> str:
    """A line of Markdown for each data set with recorded runs: ours, and the paper's in brackets."""
    runs = done(registry.recorded("table1", models=list(ROWS)), "test_error")
    lines = [["data set", "epochs", "seeds", *ROWS], ["---", *["--:"] * (2 + len(ROWS))]]
    for name, here in runs.groupby("dataset", sort=False):
        numbers = [written(*mean_sd(where(here, model=row).test_error)) for row in ROWS]
        papers = [TABLE1[row][name.partition("@")[0]][0] for row in ROWS]
        lines.append([f"`{name}`", f"{here.epoch.max():.0f}", f"{here.seed.nunique()}",
                      *(f"{ours} ({paper:.2f})" for ours, paper in zip(numbers, papers, strict=True))])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def written_into(text: str) -> str:
    """README's text with today's table."""
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return f"{before}{MARKS[0]}{table()}{MARKS[1]}{after}"


if __name__ == "__main__":
    README.write_text(written_into(README.read_text(encoding="utf-8")), encoding="utf-8")
