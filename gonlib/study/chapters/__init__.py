"""One file per chapter: a figure or table of the paper with its grid of runs, what is kept of them, and its rules.

A chapter imports what all chapters share (experiment, judging, measures, numbers, paper, linear), never another chapter.
"""
