"""Facts about saga_engine, one folder for each room of the house; `support` holds the servers they run against."""
