"""Separating songs into stems. Knows no jobs, no HTTP, no Redis; importing it loads no torch.

`weights.load_model` ▸ `pipeline.Separator(model, device)` ▸ `separate_song(song, out_dir, request)`.
"""

# What a process that separates is best started with; both are read once, as it starts.
# OpenMP's threads otherwise spin while they wait, and where another process shares the cores that makes everything five
# to ten times slower. And glibc otherwise gives each big tensor back to the kernel, which hands it out again page by
# page, zeroed: a quarter of the time of a segment. That holds for the one arena which is not made of small heaps.
PROCESS_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}
