"""What the mesh means: frozen values that know no dialect."""
