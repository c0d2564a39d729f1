"""Container images, the local stack, and the monitoring that goes with them."""
