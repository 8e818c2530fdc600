"""The report page: what ``twinloop run --html`` writes."""
