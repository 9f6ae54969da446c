"""IN WHICH ORDER: Prefect flows and the command line. No arithmetic, no file formats."""
