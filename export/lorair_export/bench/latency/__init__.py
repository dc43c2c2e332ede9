"""Latency of models side by side: cases, measuring in turn, rows, and what is made of them."""
