"""What a saga is and what an event means. Pure: no clock, no SQL, no logging, no I/O."""
