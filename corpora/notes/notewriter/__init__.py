"""Writes synthetic clinical notes and, in the same stroke, their gold annotations."""
