"""What the paper claims, the experiments that test it, and how we judge them.

It may import everything but the book's pages and the benchmarks: no notebook, no drawing.
"""
