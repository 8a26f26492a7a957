"""The recipe of the two images: what `klad build` reads. Nothing here is imported by the agent.

`recipe.json` says what the bases hold; a change there builds them anew (minutes). `Dockerfile` puts
the agent on top (seconds).
"""
