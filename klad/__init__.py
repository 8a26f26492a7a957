"""Klåd's host library: everything but the actors. Each part is usable, and tested, alone."""

__version__ = "0.1.0"
