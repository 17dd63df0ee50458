"""The packaged fleet."""
