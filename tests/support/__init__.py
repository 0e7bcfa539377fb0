"""What tests stand on: database servers, and the time that each room may take."""
