"""`python -m sdbackends …` is `sdbackends …`."""

from sdbackends.cli import main

main()
