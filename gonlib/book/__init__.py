"""Pages: notebooks executed when something that they use has changed, drawings, and Jupyter Book run over them.

May import everything below it: method, data, training, runs and study. Nothing imports it but the command line.
"""
