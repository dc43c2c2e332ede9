"""The models of a repository that Triton's Python backend runs; its `1/model.py` files import them from here.

`triton_api` imports triton_python_backend_utils, which exists only inside that backend.
"""
