"""What training needs: examples, losses, the optimiser, the recipe; and a baseline."""
