"""Ready-made steps for people who move data. They know only what a step receives."""
