"""vLLM in this process. Needs the package vllm."""

from qwenvl_kit.backends.vllm.loading import load_vllm_backend

__all__ = ["load_vllm_backend"]
