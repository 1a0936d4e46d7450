"""Inner loops in C, where a C compiler was at hand when the package was installed. Every caller has another way."""
