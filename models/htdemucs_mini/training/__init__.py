"""How htdemucs_mini was made: songs by code, training, evaluation. No part of the installed package."""
