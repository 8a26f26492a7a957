"""The web chat's files. A package, so that they are installed with it."""
