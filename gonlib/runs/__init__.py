"""Trained once, known for ever, and longer when asked: the store of runs, where they come from, and which is next.

A run is a trajectory; its name leaves out how long it is trained and how it is looked at. It may import training and below.
"""
