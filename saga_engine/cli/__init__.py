"""The command line: each command parses, asks the engine once, prints. Rooms by what a person wants to do."""
