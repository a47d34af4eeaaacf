"""Attribution: passes over a prompt and its answer that watch the attention of the model."""
