"""Virtual workers in one process, and the time that real ones would take."""
