"""Weights in half precision from weights in full: safetensors to safetensors, in a folder of its own."""
