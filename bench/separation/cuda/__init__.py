"""What MSaaS and Demucs do on a CUDA card: `python -m bench.separation.cuda`."""
