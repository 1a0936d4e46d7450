"""How the small models are made: songs by code, training, evaluation. No part of the installed package."""
