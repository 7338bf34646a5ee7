"""How tests damage what lies on a disk: bytes, and values of JSON."""

import copy

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FEW = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=2000)  # for tests marked nightly


@st.composite
def harmed(draw, raw):
    """Some bytes changed, or the rest cut off, or a piece taken out or doubled."""
    harm, at = draw(st.sampled_from("flip cut drop double".split())), draw(st.integers(0, len(raw) - 1))
    if harm == "flip":
        changed = bytearray(raw)
        for place in [at, *draw(st.lists(st.integers(0, len(raw) - 1), max_size=3))]:
            changed[place] ^= draw(st.integers(1, 255))
        return bytes(changed)
    end = min(len(raw), at + draw(st.integers(1, 200)))
    return raw[:at] + {"cut": b"", "drop": raw[end:], "double": raw[at:end] + raw[at:]}[harm]


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=5)


def replaced(data, value):
    """A JSON value with one place in it, at any depth, replaced by another value or taken out."""
    if not isinstance(value, dict | list) or not value or data.draw(st.booleans()):
        return data.draw(JSON)
    value = copy.copy(value)
    key = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    if data.draw(st.integers(0, 4)) == 0:
        del value[key]
    else:
        value[key] = replaced(data, value[key])
    return value
