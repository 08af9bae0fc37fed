"""How groups of people fare, from counts: one pass over the rows, then figures, intervals, intersections and slices."""
