"""Other brokers under the same load, see rows.py."""
