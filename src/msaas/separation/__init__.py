"""Separates songs into stems. Independent of jobs, HTTP and Redis; importing it does not load torch.

`weights.load_model` ▸ `pipeline.Separator(model, device)` ▸ `separate_song(song, out_dir, request)`.
"""

# Environment for a separation process; libraries read it once, at start.
# OpenMP threads spin by default while they wait, which makes everything five to ten times slower if another process
# shares the cores. glibc by default returns each large tensor to the kernel, which hands it out again page by page,
# zeroed: a quarter of a segment's time. The settings affect the main arena only, so there is one.
PROCESS_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}
