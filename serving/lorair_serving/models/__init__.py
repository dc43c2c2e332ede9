"""The models of a repository that Triton's Python backend runs; its `1/model.py` files import them from here.

They import triton_python_backend_utils, which exists inside that backend alone.
"""
