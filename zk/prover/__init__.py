"""Makes and checks proofs in a process of its own; `pool` starts it, `worker` runs inside it."""
