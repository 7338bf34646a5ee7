"""Which likelihood the paper's Table 2 may have used."""

import pandas as pd
import pytest

from gonlib.study.chapters.table2 import likelihood_distances


def test_the_nearest_likelihood_comes_first():
    rows = [("gaussian", 5.0, (5.5, None)), ("gaussian", 6.0, (5.9, None)), ("bernoulli", 0.5, (5.5, None)),
            ("logistic", 1.0, None)]  # the last on data that the paper has not
    frame = pd.DataFrame(rows, columns=["likelihood", "test_bits", "paper"]).assign(state="done", row="VGON")
    frame["column"] = range(len(frame))
    found = likelihood_distances(frame)
    assert found.to_dict() == pytest.approx({"gaussian": 0.3, "bernoulli": 5.0}) and found.index[0] == "gaussian"
    assert likelihood_distances(frame[frame.paper.isna()]).empty
    failed = frame.assign(state=["failed" if i == 0 else "done" for i in range(len(frame))])
    assert likelihood_distances(failed).max() == float("inf")  # the others of that likelihood do not hide it
