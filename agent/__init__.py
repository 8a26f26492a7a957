"""What runs inside a container: it asks the gateway for turns, works on them, and tells what happens.

Only the standard library, and nothing of klad or actors: this package is copied into the image alone.
The way through it: entry → turns → loop (a Harness) → model and tools; journal and signals beside it.
"""
