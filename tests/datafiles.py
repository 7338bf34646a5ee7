"""What the tests of data share: small prepared files, damage, and no network."""

import socket

import numpy as np
import pytest

from gonlib.data.registry import DATASETS


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Downloads fail; in force where a test module imports this name."""

    def refuse(host, *args, real=socket.getaddrinfo, **kwargs):
        if host in ("127.0.0.1", "localhost"):
            return real(host, *args, **kwargs)
        raise socket.gaierror("no network in tests")

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def example(name, train=20, test=10):
    """Random arrays of the right kind for a prepared file."""
    random, arrays = np.random.default_rng(0), {"source": "a test"}
    for part, count in (("train", train), ("test", test)):
        arrays[f"{part}_images"] = random.integers(0, 256, (count, *DATASETS[name.partition("@")[0]].shape), np.uint8)
        arrays[f"{part}_labels"] = np.arange(count, dtype=np.uint8) // 5
    return arrays


def mixed(rows):
    """Rows in the order in which `load` gives those of a file."""
    return rows[np.random.default_rng(0).permutation(len(rows))]


def put(root, name, arrays):
    path = root / "prepared" / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
