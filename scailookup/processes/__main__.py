"""How a supervisor begins a worker; people use the command `scailookup serve`."""

from scailookup.processes.worker import main

main()
