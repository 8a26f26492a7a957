"""The schema, version by version. Each file is frozen once released."""
