"""Files that ``saga init`` writes into a user's folder."""
