"""Attribution: passes over a prompt and its answer that watch attention while the model computes."""
