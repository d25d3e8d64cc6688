"""What else could answer in scailookup's place, each as its own process."""
