"""Small scopes of the real core, each explored to its end: every order in which frames may arrive, and every moment for what may go wrong."""
