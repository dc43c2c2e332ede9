"""From a checkpoint to ONNX and TensorRT, each checked against the model it came from, and measured."""
