"""Events of films with their times: asked window by window, read, clipped and joined."""
