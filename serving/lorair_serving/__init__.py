"""Serving lorair through Triton Inference Server; nothing is built here yet."""
