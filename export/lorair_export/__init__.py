"""Checkpoint -> ONNX and TensorRT, with proof that the artefact restores what the checkpoint restores."""
