"""The how-to documents, followed word for word: what they say is what happens."""
