"""Families of networks beside Demucs: SCNet, BS-RoFormer, Mel-Band RoFormer, MDX23C."""
