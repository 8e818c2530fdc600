"""Is one result worse than another: what was compared, tests that know noise, words for it."""
