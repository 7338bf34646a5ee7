"""What a training step, encoding and decoding cost on this machine, measured in one process on equal terms.

`measure` is the command `bench`; `recorded` shows what it found elsewhere. It may import everything but the book's pages.
"""
