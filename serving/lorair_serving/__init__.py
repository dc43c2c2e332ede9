"""Serving lorair through Triton Inference Server: model repository, server, client, load."""
