"""How well a model separates songs whose stems are known. Knows no jobs and no service.

METRICS: the names of `metrics.global_sdr` and `metrics.frame_sdr`. Importing this loads neither numpy nor torch.
"""

GLOBAL, FRAMES = METRICS = ("global", "museval")
