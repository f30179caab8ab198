"""Who is timed: archlab's own trainers, and models written by hand or by others that compute the same."""
