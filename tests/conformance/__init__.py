"""What every engine is held to: samples of ops, model families, suites of other projects."""
