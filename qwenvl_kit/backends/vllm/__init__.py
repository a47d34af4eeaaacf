"""The vLLM backend: a model that vLLM runs in this process. Needs the package vllm."""

from qwenvl_kit.backends.vllm.loader import load_vllm_backend

__all__ = ["load_vllm_backend"]
