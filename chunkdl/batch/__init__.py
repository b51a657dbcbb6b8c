"""Off-peak batch pulls: a queue that survives, windows, a bandwidth timetable, and a page to look at."""
