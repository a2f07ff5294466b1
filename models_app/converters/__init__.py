"""Converters to ONNX of our own, for what skl2onnx converts in float32 only, otherwise, or not."""
