"""How much faster things should be than others, and whether they are."""

from .encoding import IMAGES
from .steps import AE, EXACT
from .timing import REFERENCE

SIRENS = ("SIREN 32x3", "SIREN 256x4")
GOALS = {  # words, (case, batch), slower variant, faster variant ("...": its fastest form), least ratio of their times
    "cpu": [
        *((f"{name} step against the reference", (f"training step: {name}", 64), REFERENCE, "exact...", 3.0)
          for name in SIRENS),
        *((f"{name} step against the decoder alone, both compiled", (f"training step: {name}", 64),
           "decoder alone, compiled", "exact, compiled", 1 / 1.25) for name in SIRENS),
        ("conv 32/16 step against the reference", ("training step: conv 32/16", 64), REFERENCE, "exact...", 2.0),
        ("conv 32/16 step against the autoencoder, both compiled", ("training step: conv 32/16", 64),
         "autoencoder, compiled", "exact, compiled", 1 / 1.1),
        ("the same, batch 256, against the reference", ("training step: conv 32/16", 256), REFERENCE, "exact...", 2.8),
        ("the same, batch 256, against the autoencoder", ("training step: conv 32/16", 256), AE, EXACT, 1.0),
        ("encoding against the reference", (f"encode {IMAGES:,}: conv 32/16", 250), REFERENCE, EXACT, 30.0),
        ("encoding against the autoencoder", (f"encode {IMAGES:,}: conv 32/16", 250), AE, EXACT, 20.0),
    ],
    "cuda": [
        ("conv 32/16 step, captured, against the reference", ("training step: conv 32/16", 64), REFERENCE, "exact...", 10.0),
        ("8 runs at once against one at a time", ("several at once: conv 32/16", 64), "1 at once", "8 at once", 3.0),
        ("encoding against the reference", (f"encode {IMAGES:,}: conv 32/16", 250), REFERENCE, EXACT, 30.0),
    ],
}


def goals(table):
    """(goal in words, ratio measured, ratio wanted) for each goal that the table has the rows of."""
    out = []
    for words, (case, batch), slower, faster, least in GOALS[table.device.iloc[0]]:
        ms = table[(table.case == case) & (table.batch == batch)].set_index("variant").ms
        forms = [v for v in ms.index if v == faster or (faster == "exact..." and v.partition(",")[0] == EXACT)]
        if slower in ms and forms:
            out.append((words, ms[slower] / ms[forms].min(), least))
    return out
