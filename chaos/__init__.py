"""A long conversation among hostile neighbours: ``make chaos``."""
