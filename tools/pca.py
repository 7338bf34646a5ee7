#!/usr/bin/env python3
"""The error of principal component analysis on data sets at 32 x 32, for every number of components up to 512.

    .venv/bin/python tools/pca.py mnist fashion_mnist cifar10 coil20       writes book/results/pca.csv

Chapters 4 and 12 set it beside Table 1. The column `data` is the checksum of the images that it was computed from.
"""

import argparse
from pathlib import Path

import pandas as pd

from gonlib.data import datasets
from gonlib.study import linear

FILE = Path(__file__).resolve().parents[1] / "book" / "results" / "pca.csv"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+")
    parts = []
    for name in parser.parse_args().datasets:
        images = datasets.load(name, size=32)
        errors = linear.pca_errors(images)[:513].clamp(min=0)
        columns = {"components": range(len(errors)), "error": errors, "data": images.checksum[:16]}
        parts.append(pd.DataFrame({"dataset": name} | columns))
        print(f"{name}: done", flush=True)
    pd.concat(parts).to_csv(FILE, index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
