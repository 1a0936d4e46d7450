"""The architecture of Demucs' htdemucs (its training configuration), for tests and measurements."""

from fractions import Fraction

from demucs.htdemucs import HTDemucs

SEGMENT_SECONDS = Fraction(39, 5)


def htdemucs() -> HTDemucs:
    """41,984,456 parameters, drawn at random."""
    return HTDemucs(
        sources=["drums", "bass", "other", "vocals"],
        channels=48,
        depth=4,
        bottom_channels=512,
        t_layers=5,
        dconv_mode=3,
        segment=SEGMENT_SECONDS,
    )
