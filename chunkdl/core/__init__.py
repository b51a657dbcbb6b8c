"""Decisions only: no I/O, no clock, no global randomness; everything arrives as an argument."""
