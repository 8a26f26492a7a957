"""What only a real engine can show."""
