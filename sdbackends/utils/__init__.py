"""Processes, forks, signals and folders: what every other package may use and none is about."""
