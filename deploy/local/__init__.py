"""The stack on one machine without Docker or root: for `make run`, the tests and the benchmarks."""
