"""What the items do; each module has a `main(turn, **options)`."""
