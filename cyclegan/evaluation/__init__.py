"""Measure how good a model is, and report it."""
