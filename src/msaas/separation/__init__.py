"""Separating songs into stems. Knows no jobs, no HTTP, no Redis; importing it loads no torch.

`weights.load_model` ▸ `pipeline.Separator(model, device)` ▸ `separate_song(song, out_dir, request)`.
"""

# What a process that separates is best started with (torch reads it once, as it loads): OpenMP's threads otherwise
# spin while they wait, and where another process shares the cores that makes everything five to ten times slower.
PROCESS_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
