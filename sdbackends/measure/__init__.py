"""What happens inside a measured process: `SD_MEASURE=<folder>` lays an observer over diffusers.

The observer notes how long the imports, the loading, the building, every picture and every part of
it took, and writes that into the folder; the script and the engines know nothing of it. Without
the variable nothing here is imported. Whoever reads the folder needs `sdbackends.measure.record`.
"""
