"""The backends that a person can name, the environments of workers, and what is missing here."""
