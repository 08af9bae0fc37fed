"""Values with a syntax of their own: where their readable leaves are, and how to write something else there."""
