"""The metrics: each module defines some in ``ENTRIES``, with their formulas. A new file here is a new metric.

Formulas import numpy and torch when they are called: entries are read where neither is loaded.
"""
