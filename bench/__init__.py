"""What scailookup costs, beside what else could stand in its place: ``python -m bench``."""
