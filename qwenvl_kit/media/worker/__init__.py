"""The decoding process: the child's side of `qwenvl_kit.media.isolation`."""
