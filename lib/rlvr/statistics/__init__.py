"""Tests, intervals, power, variance components and verdict rules of the studies.

Nothing is imported here: scipy takes a second that jobs need not wait for which want a constant alone.
"""
