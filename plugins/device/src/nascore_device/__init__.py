"""What a network costs on this device: measured, looked up in a table, predicted; and its energy."""
