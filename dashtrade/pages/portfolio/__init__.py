"""What is watched and what is held."""
