"""One configuration to one trained model: the loop, how a step runs, what is measured on the way, and checkpoints.

It may import the method and the data. `loop.NUMERICS` is raised with every change that moves a number of a run.
"""
