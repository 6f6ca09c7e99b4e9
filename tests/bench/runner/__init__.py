"""Runs the engines in turn, measures them, and writes what was found into the documentation."""
